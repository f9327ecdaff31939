"""Time, size, repetition and the moment of the first byte."""

from __future__ import annotations

import asyncio
import time

import pytest

from phonebank.gateways import transport
from phonebank.gateways.base import Accepted, Deferred, MaybeSent, boot_clock
from phonebank.gateways.wasender import WaSender, open_http
from tests.gateways.server import ACCEPTED, KEY, PHONE, RawServer, answer, replies, reset


async def test_silence_ends_at_the_deadline(server: RawServer, http):
    async def behave(request, writer):
        await asyncio.Event().wait()

    server.behave = behave
    started = time.monotonic()
    outcome = await WaSender(server.url, http, deadline=1.0).send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (MaybeSent, "timeout")
    assert 0.9 < time.monotonic() - started < 20


@pytest.mark.parametrize("drip", [answer(200, ACCEPTED), b"HTTP/1.1 100 Continue\r\n\r\n" * 1000])
async def test_a_dripping_server_is_bounded_by_the_total_deadline(server: RawServer, http, drip):
    """A read timeout would start anew with each byte."""

    async def behave(request, writer):
        for place in range(len(drip)):
            writer.write(drip[place : place + 1])
            await asyncio.sleep(0.05)

    server.behave = behave
    started = time.monotonic()
    outcome = await WaSender(server.url, http, deadline=1.0).send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (MaybeSent, "timeout")
    assert time.monotonic() - started < 20


async def test_long_limits_are_not_rounded_up():
    limits = transport.time_limits(20.0, 5.0)
    assert (limits.total, limits.connect) == (20.0, 5.0)
    assert limits.total < limits.ceil_threshold


@pytest.mark.parametrize("length", [b"Content-Length: 10000000", b"Transfer-Encoding: chunked"])
async def test_an_endless_answer_is_cut(server: RawServer, gateway: WaSender, length):
    sent = 0

    async def behave(request, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n")
        chunk = b" " * 8192 if b"Length" in length else b"2000\r\n" + b" " * 8192 + b"\r\n"
        for _ in range(1200):
            writer.write(chunk)
            sent += 8192
            await writer.drain()

    server.behave = behave
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code, outcome.http_status) == (MaybeSent, "garbage", 200)
    await server.until(lambda: server.open_now == 0)
    assert sent < 9_000_000


async def test_an_answer_of_just_the_limit_is_read(server: RawServer, gateway: WaSender):
    body = b'{"success":true,"data":{"msgId":5}}'
    server.behave = replies(answer(200, body.ljust(transport.ANSWER_LIMIT)))
    assert type(await gateway.send_text(KEY, PHONE, "Hello")) is Accepted
    server.behave = replies(answer(200, body.ljust(transport.ANSWER_LIMIT + 1)))
    assert (await gateway.send_text(KEY, PHONE, "Hello")).code == "garbage"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(server: RawServer, gateway: WaSender, status):
    async with RawServer() as elsewhere:
        server.behave = replies(answer(status, b"", {"Location": elsewhere.url + "/send-message"}))
        outcome = await gateway.send_text(KEY, PHONE, "Hello")
        assert elsewhere.connections == 0
    assert outcome.code == "configuration"
    assert len(server.requests) == 1


async def test_connections_are_kept_and_cookies_are_not(server: RawServer, gateway: WaSender):
    server.behave = replies(answer(200, ACCEPTED, {"Set-Cookie": "a=b; Path=/"}))
    await gateway.send_text(KEY, PHONE, "one")
    await gateway.send_text(KEY, PHONE, "two")
    assert server.connections == 1
    assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_kept_connection_dropped_on_the_second_request_gets_one_post(server: RawServer, gateway: WaSender, how):
    """The case in which other clients send the request again, silently."""

    async def drop(request, writer):
        if how == "rst":
            reset(writer)
        return True

    for _ in range(5):
        server.behave = replies(answer(200, ACCEPTED))
        assert type(await gateway.send_text(KEY, PHONE, "first")) is Accepted
        before, connections = len(server.requests), server.connections
        server.behave = drop
        outcome = await gateway.send_text(KEY, PHONE, "second")
        assert (type(outcome), outcome.code) == (MaybeSent, "reset")
        assert len(server.requests) == before + 1
        assert server.connections == connections  # it really was the kept one


async def test_an_idle_connection_is_not_used_after_some_seconds(server: RawServer):
    assert 0 < transport.KEEPALIVE <= 5
    async with open_http() as http:
        assert http.connector._keepalive_timeout == transport.KEEPALIVE


async def test_late_before_anything_opens_no_connection(server: RawServer, gateway: WaSender):
    outcome = await gateway.send_text(KEY, PHONE, "Hello", send_before=boot_clock() - 0.001)
    assert (type(outcome), outcome.code, outcome.http_status) == (Deferred, "late", None)
    assert server.connections == 0


async def test_in_time(server: RawServer, gateway: WaSender):
    left: list[bytes] = []
    when = {"send_before": boot_clock() + 30, "leaving": lambda: left.append(server.received)}
    assert type(await gateway.send_text(KEY, PHONE, "Hello", **when)) is Accepted
    assert left == [b""]  # once, before the first byte


async def test_late_after_connecting_writes_no_byte(server: RawServer, gateway: WaSender, monkeypatch):
    """The clock passes `send_before` while the connection is made."""
    ticks = iter([0.0, 100.0])
    monkeypatch.setattr("phonebank.gateways.wasender.boot_clock", lambda: next(ticks))
    monkeypatch.setattr("phonebank.gateways.transport.boot_clock", lambda: next(ticks))
    left: list[None] = []
    outcome = await gateway.send_text(KEY, PHONE, "Hello", send_before=50.0, leaving=lambda: left.append(None))
    assert (type(outcome), outcome.code, left) == (Deferred, "late", [])
    await server.until(lambda: server.connections == 1 and server.open_now == 0)  # discarded
    assert server.received == b""


async def test_late_on_a_kept_connection_discards_it(server: RawServer, gateway: WaSender, monkeypatch):
    await gateway.send_text(KEY, PHONE, "one")
    seen = server.received
    monkeypatch.setattr("phonebank.gateways.transport.boot_clock", lambda: 100.0)
    monkeypatch.setattr("phonebank.gateways.wasender.boot_clock", lambda: 0.0)
    assert (await gateway.send_text(KEY, PHONE, "two", send_before=50.0)).code == "late"
    await server.until(lambda: server.open_now == 0)
    assert server.received == seen
    monkeypatch.undo()
    assert type(await gateway.send_text(KEY, PHONE, "three")) is Accepted
    assert [request.json["text"] for request in server.requests] == ["one", "three"]
    assert server.connections == 2


async def test_late_through_a_stalled_loop_writes_no_byte(server: RawServer, gateway: WaSender):
    """Something holds the loop after the headers are ready and before the body's task runs (Python < 3.12)."""
    await gateway.send_text(KEY, PHONE, "one")
    seen, send_before = server.received, boot_clock() + 0.2

    def hold() -> None:
        while boot_clock() <= send_before:
            pass

    task = asyncio.create_task(gateway.send_text(KEY, PHONE, "two", send_before=send_before))
    asyncio.get_running_loop().call_soon(hold)
    outcome = await task
    assert (type(outcome), outcome.code) == (Deferred, "late")
    await server.until(lambda: server.open_now == 0)
    assert server.received == seen


async def test_an_answer_nobody_asked_for_is_never_taken(server: RawServer, gateway: WaSender):
    """A second answer on a kept connection would pass for that of the next message, which was never sent."""
    ghost = answer(200, {"success": True, "data": {"msgId": 666, "jid": ""}})
    go = asyncio.Event()

    async def behave(request, writer):
        writer.write(answer(200, ACCEPTED))
        if len(server.requests) == 1:
            await go.wait()
            writer.write(ghost)
            await writer.drain()

    server.behave = behave
    async with open_http() as http:
        gateway = WaSender(server.url, http)
        assert (await gateway.send_text(KEY, PHONE, "one")).msg_id == 12345678
        (waiting,) = http.connector._conns.values()
        go.set()
        async with asyncio.timeout(60):
            while not waiting[0][0]._buffer:  # until the ghost lies there
                await asyncio.sleep(0)
        outcome = await gateway.send_text(KEY, PHONE, "two")
        assert (type(outcome), outcome.code) == (Deferred, "unreachable")
        assert (await gateway.send_text(KEY, PHONE, "three")).msg_id == 12345678
    assert [request.json["text"] for request in server.requests] == ["one", "three"]


async def test_cancelling_passes_through_and_closes(server: RawServer, gateway: WaSender):
    async def behave(request, writer):
        await asyncio.Event().wait()

    server.behave = behave
    task = asyncio.create_task(gateway.send_text(KEY, PHONE, "Hello"))
    await server.until(lambda: len(server.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Writer:
    """What a body sees of a connection; `state` says what is wrong with it."""

    def __init__(self, state: str = "") -> None:
        self.wrote = b""
        self.protocol = self
        self.transport = None if state == "lost" else self
        self.closing = state == "closing"
        self.should_close = state == "unasked bytes"

    def is_closing(self) -> bool:
        return self.closing

    async def write(self, chunk: bytes) -> None:
        self.wrote += chunk


async def test_a_body_is_written_once():
    body, writer = transport.GuardedBody(b"{}"), Writer()
    await body.write_with_length(writer, None)
    with pytest.raises(transport._NotWritten):
        await body.write_with_length(writer, None)
    assert writer.wrote == b"{}"


@pytest.mark.parametrize("state", ["lost", "closing", "unasked bytes"])
async def test_a_body_is_not_written_to_a_spoilt_connection(state):
    body, writer = transport.GuardedBody(b"{}"), Writer(state)
    with pytest.raises(transport._NotWritten):
        await body.write_with_length(writer, None)
    assert (writer.wrote, body.written) == (b"", False)


async def test_a_body_reported_as_unsent_stays_unsent():
    """The write is a task of its own before Python 3.12, and may start after the outcome is out."""
    body, writer = transport.GuardedBody(b"{}"), Writer()
    transport._failure(RuntimeError(), body)
    with pytest.raises(transport._NotWritten):
        await body.write_with_length(writer, None)
    assert writer.wrote == b""


async def test_proxies_of_the_environment_are_not_used(server: RawServer, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with open_http() as http:
        assert type(await WaSender(server.url, http).send_text(KEY, PHONE, "Hello")) is Accepted
