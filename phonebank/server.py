"""How `phonebank web` serves: waitress in one process, or in several behind one listening socket (ADR 0005).

Waitress reads a request to its end, chunked or not, before a thread sees it: slow clients hold no thread, and a
chunked webhook reaches the view with its whole body and a true Content-Length.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import importlib
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ThreadedTaskDispatcher, WSGITask

APPLICATION = "phonebank.config.wsgi:application"
DRAIN = 10.0  # seconds that running requests get to finish after a stop signal
QUICK_DEATH = 5.0  # seconds; a worker that ends sooner cannot start, and restarting it would go on for ever
IDLE_TIMEOUT = 10  # seconds without a byte until a connection that is in no view is closed
CONNECTIONS = 500  # per process; below the usual limit of 1,024 open files
TOGETHER = 200  # requests that are answered together at most
M_ARENA_MAX = -8  # of malloc.h
LARGEST_BODY = 52 * 2**20  # bytes; the largest file of contacts (IMPORT_MAX_BYTES), and a form around it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a worker process must know; `trusted_proxy` is the address whose X-Forwarded-For and -Proto count."""

    application: str
    threads: int
    trusted_proxy: str


def serve_web(
    host: str,
    port: int,
    *,
    workers: int = 1,
    threads: int = 8,
    trusted_proxy: str = "",
    application: str = APPLICATION,
) -> None:
    """Serve until SIGINT or SIGTERM, let running requests finish, return. Call it in the main thread.

    Raises OSError when the address is taken, SystemExit(1) when a worker process cannot start.
    """
    options = Options(application, threads, trusted_proxy)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=1024) as listener:
        if workers == 1:
            _serve(listener, options)
        else:
            _supervise(listener, options, workers)


def _without_head_body(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Waitress sends what the application returns, so the body of a HEAD answer would garble the connection."""

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = application(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return answer
        if hasattr(answer, "close"):
            answer.close()
        return []

    return wrapped


class _Dispatcher(ThreadedTaskDispatcher):
    """Requests that the application answers together go to one thread, as many as have come; the others to the pool.

    The application says which (`takes`), how large their bodies may be (`most` bytes) and how they are answered
    (`answer`: WSGI environments to status lines, headers and bodies). A commit takes as long for one webhook as for a
    hundred.
    """

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._takes, self._answer, self._most = application.takes, application.answer, application.most
        self._come: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ready = threading.local()
        threading.Thread(target=self._serve_together, name="together", daemon=True).start()

    def add_task(self, task: Any) -> None:
        request = task.requests[0]
        if request.error is None and self._takes(request.path):
            self._come.put(task)
        else:
            super().add_task(task)

    def around(self, application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """The application, but for requests whose answer is there already."""

        def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            found = getattr(self._ready, "answer", None)
            if found is None:
                return application(environ, start_response)
            start_response(*found[:2])
            return [found[2]]

        return wrapped

    def limit(self, server: Any) -> None:
        """From now on the server refuses too large a body of such a request before it comes."""
        takes, adj = self._takes, copy.copy(server.adj)
        adj.max_request_body_size = self._most + 1

        class Parser(HTTPRequestParser):
            def parse_header(self, header_plus: bytes) -> None:
                super().parse_header(header_plus)
                if takes(self.path):
                    self.adj = adj

        server.channel_class = type("Channel", (HTTPChannel,), {"parser_class": Parser})

    def _serve_together(self) -> None:
        while True:
            channels = [self._come.get()]
            while len(channels) < TOGETHER and not self._come.empty():
                channels.append(self._come.get())
            answers = self._answer([WSGITask(one, one.requests[0]).get_environment() for one in channels])
            for channel, self._ready.answer in zip(channels, answers, strict=True):
                try:
                    channel.service()
                except Exception:
                    log.exception("A request could not be answered")
            self._ready.answer = None


def _stop_on_signals(also: Callable[[], None] = lambda: None) -> Callable[[], bool]:
    """From now on SIGINT and SIGTERM are only noted (and `also` runs); ask the returned function."""
    seen: list[int] = []

    def note(number: int, _frame: object) -> None:
        seen.append(number)
        also()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return lambda: bool(seen)


def _share_one_heap() -> None:
    """glibc gives each thread a heap, which keeps the most it ever held: after some days the largest page eight times.

    Threads take turns in Python anyway. Where there is no glibc nothing is done.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _serve(listener: socket.socket, options: Options) -> None:
    _share_one_heap()
    module, name = options.application.split(":")
    application = getattr(importlib.import_module(module), name)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns whenever a request waits a moment
    proxy = {"trusted_proxy": options.trusted_proxy, "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-proto"}}
    dispatcher = None
    if hasattr(application, "takes"):
        dispatcher = _Dispatcher(application)
        dispatcher.set_thread_count(options.threads)
        application = dispatcher.around(application)
    server = waitress.create_server(
        _without_head_body(application),
        _dispatcher=dispatcher,
        sockets=[listener],
        threads=options.threads,
        ident=None,
        channel_timeout=IDLE_TIMEOUT,
        cleanup_interval=IDLE_TIMEOUT // 2,
        connection_limit=CONNECTIONS,
        max_request_body_size=LARGEST_BODY,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=True,
        **(proxy if options.trusted_proxy else {}),
    )
    if dispatcher is not None:
        dispatcher.limit(server)
    stopping = _stop_on_signals(server.pull_trigger)
    try:
        while not stopping():
            _turn(server, 1.0)
        _drain(server)
    finally:
        server.task_dispatcher.shutdown(timeout=1)
        server.asyncore.close_all(server._map)


def _turn(server: Any, timeout: float) -> None:
    server.asyncore.loop(timeout=timeout, map=server._map, use_poll=True, count=1)


def _drain(server: Any) -> None:
    """Refuse new connections, close idle ones, and see the requests that are in a view or on the wire through."""
    server.asyncore.dispatcher.close(server)
    end = time.monotonic() + DRAIN
    while server.active_channels and time.monotonic() < end:
        for channel in list(server.active_channels.values()):
            if not channel.requests and not channel.total_outbufs_len:
                channel.will_close = True
        _turn(server, 0.1)


def _supervise(listener: socket.socket, options: Options, workers: int) -> None:
    """Keep `workers` processes on one listening socket; none outlives this one, even after a kill -9.

    They are started anew, not forked: a database connection of ours must not be shared.
    """
    stopping = _stop_on_signals()
    lifeline, held = os.pipe()  # the workers see its end when this process is gone
    running: dict[subprocess.Popen[bytes], float] = {}
    try:
        while not stopping():
            for worker in [worker for worker in running if worker.poll() is not None]:
                if time.monotonic() - running.pop(worker) < QUICK_DEATH:
                    raise SystemExit(1)
                log.error("Web worker %d ended with %d; a new one starts.", worker.pid, worker.returncode)
            while len(running) < workers:
                running[_start_worker(listener, lifeline, options)] = time.monotonic()
            time.sleep(0.1)
    finally:
        listener.close()
        for worker in running:
            worker.terminate()
        _see_off(running)
        os.close(lifeline)
        os.close(held)


def _start_worker(listener: socket.socket, lifeline: int, options: Options) -> subprocess.Popen[bytes]:
    told = json.dumps({"listener": listener.fileno(), "lifeline": lifeline, "options": asdict(options)})
    command = [sys.executable, "-m", __name__, told]
    return subprocess.Popen(command, pass_fds=[listener.fileno(), lifeline])  # noqa: S603 - ourselves


def _see_off(workers: Iterable[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + DRAIN + 5
    for worker in workers:
        try:
            worker.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _follow(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the supervisor is gone
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """One worker process, as `_start_worker` starts it."""
    told = json.loads(sys.argv[1])
    threading.Thread(target=_follow, args=[told["lifeline"]], daemon=True).start()
    with socket.socket(fileno=told["listener"]) as listener:
        _serve(listener, Options(**told["options"]))


if __name__ == "__main__":
    main()
