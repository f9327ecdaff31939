"""The gateway for synchronous code: one background thread with an event loop for each process.

The thread starts with the first call, is a daemon, and closes its connections when the process ends. After a fork
the child starts its own; it never touches the parent's loop, whose selector both processes share.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from phonebank.gateways.errors import OutcomeUnknown
from phonebank.gateways.wasender import WaSender, open_http

T = TypeVar("T")

DEADLINE = 30.0  # seconds for all of a caller's requests together
CONNECTIONS = 20  # open at once for one process


class _LoopThread:
    """A running event loop with its HTTP session."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._http: aiohttp.ClientSession | None = None
        self._thread = threading.Thread(target=self._main, name="gateway", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._shutdown())
        finally:
            self._loop.close()

    async def _shutdown(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        await self._loop.shutdown_default_executor()

    async def _work(self, base_url: str, work: Callable[[WaSender], Awaitable[T]], deadline: float) -> T:
        if self._http is None:
            self._http = open_http(limit=CONNECTIONS)
        async with asyncio.timeout(deadline):
            return await work(WaSender(base_url, self._http))

    def call(self, base_url: str, work: Callable[[WaSender], Awaitable[T]], deadline: float) -> T:
        if threading.current_thread() is self._thread:
            raise RuntimeError("the gateway's own thread would wait for itself: use WaSender directly")
        future = asyncio.run_coroutine_threadsafe(self._work(base_url, work, deadline), self._loop)
        try:
            return future.result(deadline + 5)  # the loop may have been stopped under this call
        except (TimeoutError, concurrent.futures.CancelledError):
            pass  # raised below, chained to nothing
        finally:
            future.cancel()  # a caller interrupted while waiting leaves no request behind
        raise OutcomeUnknown(f"not finished within {deadline:g} s")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


gate: Callable[[], None] | None = None  # asked before each call; refuses by raising (the restore guard)
_lock = threading.Lock()
_running: _LoopThread | None = None
_left_behind: list[_LoopThread] = []  # a forked child must not finalise its parent's loop and sockets


def run(base_url: str, work: Callable[[WaSender], Awaitable[T]], *, deadline: float = DEADLINE) -> T:
    """The result of `work`, a function of a `WaSender` for `base_url` that returns a coroutine.

        info = run(account.base_url, lambda gateway: gateway.get_session(token, 7))

    Raises what `work` raises (GatewayError), ConfigurationError for a bad URL, and OutcomeUnknown when not done
    within `deadline` seconds. Safe from any thread but the gateway's own.
    """
    global _running
    if gate is not None:
        gate()
    with _lock:
        if _running is None:
            _running = _LoopThread()
        runner = _running
    return runner.call(base_url, work, deadline)


def close() -> None:
    """End the thread and close its connections; the next `run` starts anew."""
    global _running
    with _lock:
        runner, _running = _running, None
    if runner is not None:
        runner.close()


def _after_fork() -> None:
    global _running, _lock
    _lock = threading.Lock()
    if _running is not None:
        _left_behind.append(_running)
    _running = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(close)
