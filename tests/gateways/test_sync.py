"""The facade for synchronous code."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest
import pytest_asyncio

from phonebank.gateways import errors, sync
from tests.gateways.server import KEY, TOKEN, RawServer, answer, replies


@pytest_asyncio.fixture(autouse=True)
async def closed(server: RawServer):
    await asyncio.to_thread(sync.close)
    server.behave = replies(answer(200, {"status": "connected"}))
    yield
    await asyncio.to_thread(sync.close)


def gateway_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gateway"]


def status(url: str) -> str:
    return sync.run(url, lambda gateway: gateway.session_status(KEY))


async def test_many_threads_share_one_loop_and_its_connections(server: RawServer):
    assert gateway_threads() == []
    assert await asyncio.to_thread(status, server.url) == "connected"
    assert await asyncio.gather(*(asyncio.to_thread(status, server.url) for _ in range(8))) == ["connected"] * 8
    (thread,) = gateway_threads()
    assert thread.daemon
    assert server.connections <= 9
    await asyncio.to_thread(sync.close)
    assert gateway_threads() == []
    await server.until(lambda: server.open_now == 0)
    assert await asyncio.to_thread(status, server.url) == "connected"


async def test_errors_pass_through(server: RawServer):
    server.behave = replies(answer(401, {"message": "Unnotarized"}))
    with pytest.raises(errors.Unauthorized):
        await asyncio.to_thread(sync.run, server.url, lambda gateway: gateway.list_sessions(TOKEN))
    with pytest.raises(errors.ConfigurationError):
        await asyncio.to_thread(status, "no url")


async def test_one_deadline_for_all_requests(server: RawServer):
    async def behave(request, writer):
        await asyncio.sleep(0.1)
        writer.write(answer(200, {"status": "connected"}))

    async def endless(gateway):
        while True:
            await gateway.session_status(KEY)

    server.behave = behave
    started = time.monotonic()
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await asyncio.to_thread(lambda: sync.run(server.url, endless, deadline=0.35))
    assert time.monotonic() - started < 10
    assert caught.value.__cause__ is None


async def test_closing_ends_a_call_under_way(server: RawServer):
    async def behave(request, writer):
        await asyncio.Event().wait()

    server.behave = behave
    call = asyncio.create_task(asyncio.to_thread(status, server.url))
    await server.until(lambda: len(server.requests) == 1)
    await asyncio.to_thread(sync.close)
    with pytest.raises(errors.OutcomeUnknown):
        await call


async def test_not_from_its_own_thread(server: RawServer):
    async def nested(gateway):
        return status(server.url)

    with pytest.raises(RuntimeError, match="own thread"):
        await asyncio.to_thread(sync.run, server.url, nested)


FORK = """
import os, sys
from phonebank.gateways import sync
def status():
    return sync.run(sys.argv[1], lambda gateway: gateway.session_status("k"))
assert status() == "connected"
child = os.fork()
if not child:
    assert status() == "connected"
    sys.exit(7)
assert status() == "connected"
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert status() == "connected"
print("both fine")
"""


async def test_a_forked_child_starts_its_own_and_leaves_the_parents_alone(server: RawServer):
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FORK, server.url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("both fine\n", "", 0)
    assert len(server.requests) == 4
    assert server.connections == 2  # the parent's went on being used after the child had ended
