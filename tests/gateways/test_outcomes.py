"""Every row of the classification: what an answer to a send proves (send-path 1; contract 3.1, 5.1, 6)."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Rejected
from phonebank.gateways.wasender import WaSender
from tests.gateways.server import ACCEPTED, KEY, PHONE, RawServer, answer, replies, reset

NOT_CONNECTED = {
    "success": False,
    "message": "Your Whatsapp Session is not connected please connect your session first.",
}
NO_PLAN = {"success": False, "message": "Active subscription or trial is required to use the API"}
NO_PLAN_2 = {"success": False, "error": "You need to have an active subscription to do this"}
HTML = b"<html><h1>502 Bad Gateway</h1> Ray ID: 1 not connected session not connected</html>"


def msg(msg_id: object) -> dict:
    return {"success": True, "data": {"msgId": msg_id}}


ROWS = [
    (200, ACCEPTED, Accepted, None),
    (201, ACCEPTED, Accepted, None),
    (200, msg("12345678"), Accepted, None),
    (200, msg(2**63 - 1), Accepted, None),
    # 2xx without a usable msgId
    (200, {"success": True, "data": {}}, MaybeSent, "no_msg_id"),
    (200, {"success": True}, MaybeSent, "no_msg_id"),
    (200, {"success": True, "data": []}, MaybeSent, "no_msg_id"),
    (200, msg(True), MaybeSent, "no_msg_id"),
    (200, msg(2**63), MaybeSent, "no_msg_id"),
    (200, msg("9" * 19), MaybeSent, "no_msg_id"),
    (200, msg(0), MaybeSent, "no_msg_id"),
    (200, msg(-1), MaybeSent, "no_msg_id"),
    (200, msg(1.5), MaybeSent, "no_msg_id"),
    (200, msg("x1"), MaybeSent, "no_msg_id"),
    (200, msg("١٢"), MaybeSent, "no_msg_id"),
    (200, msg(None), MaybeSent, "no_msg_id"),
    (200, msg([1]), MaybeSent, "no_msg_id"),
    # 2xx that cannot be read, or contradicts itself
    (200, b"", MaybeSent, "garbage"),
    (204, b"", MaybeSent, "garbage"),
    (200, b"OK", MaybeSent, "garbage"),
    (200, b"[]", MaybeSent, "garbage"),
    (200, b"\xff\xfe\x00", MaybeSent, "garbage"),
    (200, b"[" * 60_000, MaybeSent, "garbage"),
    (200, b'{"success":true,"data":{"msgId":' + b"9" * 5000 + b"}}", MaybeSent, "garbage"),
    (200, HTML, MaybeSent, "garbage"),
    (200, {"data": {"msgId": 1}}, MaybeSent, "garbage"),
    (200, {"success": 1, "data": {"msgId": 1}}, MaybeSent, "garbage"),
    (200, {"success": "false", "message": "no"}, MaybeSent, "garbage"),
    (200, {"success": False, "data": {"msgId": 1}}, MaybeSent, "garbage"),
    # 2xx with success:false: proven unsent
    (200, NOT_CONNECTED, NotSent, "not_connected"),
    (200, NO_PLAN, NotSent, "no_subscription"),
    (200, {"success": False, "message": "Invalid API key"}, NotSent, "unauthorized"),
    (200, {"success": False, "message": "JID does not exist on WhatsApp"}, Rejected, "not_on_whatsapp"),
    (200, {"success": False, "message": "wait", "retry_after": 3}, Deferred, "rate_limited"),
    (200, {"success": False, "message": "something else"}, Rejected, "invalid"),
    (200, {"success": False}, Rejected, "invalid"),
    # the session, under any code
    (400, NOT_CONNECTED, NotSent, "not_connected"),
    (403, NOT_CONNECTED, NotSent, "not_connected"),
    (422, NOT_CONNECTED, NotSent, "not_connected"),
    (429, NOT_CONNECTED, NotSent, "not_connected"),
    (500, NOT_CONNECTED, NotSent, "not_connected"),
    (400, {"success": False, "error": "Session not connected"}, NotSent, "not_connected"),
    # credential and subscription
    (401, {"success": False, "message": "Invalid API key"}, NotSent, "unauthorized"),
    (401, {"success": False, "message": "Unnotarized"}, NotSent, "unauthorized"),
    (401, b"", NotSent, "unauthorized"),
    (403, {"success": False, "message": "Forbidden"}, NotSent, "unauthorized"),
    (403, HTML, NotSent, "unauthorized"),
    (403, NO_PLAN, NotSent, "no_subscription"),
    (403, NO_PLAN_2, NotSent, "no_subscription"),
    (400, NO_PLAN_2, NotSent, "no_subscription"),
    (402, {"message": "pay"}, NotSent, "no_subscription"),
    (410, {"message": "gone"}, NotSent, "gone"),
    (404, {"success": False, "error": "The specified session was not found."}, NotSent, "gone"),
    # the set-up
    (404, {"message": "Not Found"}, NotSent, "configuration"),
    (404, HTML, NotSent, "configuration"),
    (405, {"message": "Method Not Allowed"}, NotSent, "configuration"),
    (415, {"message": "Unsupported Media Type"}, NotSent, "configuration"),
    (400, HTML, NotSent, "configuration"),
    (301, b"", NotSent, "configuration"),
    (302, ACCEPTED | {"success": False}, NotSent, "configuration"),
    (304, b"", NotSent, "configuration"),
    (308, b"", NotSent, "configuration"),
    # the recipient
    (422, {"success": False, "message": "JID does not exist on WhatsApp"}, Rejected, "not_on_whatsapp"),
    (422, {"success": False, "message": "The provided JID does not exist on WhatsApp."}, Rejected, "not_on_whatsapp"),
    (422, {"message": "Validation failed", "errors": {"to": ["bad"]}}, Rejected, "invalid"),
    (422, b"", Rejected, "invalid"),
    (400, {"message": "bad request"}, Rejected, "invalid"),
    (400, {"errors": {"to": "bad", "x": [], "y": None}}, Rejected, "invalid"),
    (409, {"message": "conflict"}, Rejected, "invalid"),
    (413, {"message": "too long"}, Rejected, "invalid"),
    # limits
    (429, {"message": "Too many", "retry_after": 3}, Deferred, "rate_limited"),
    (429, b"", Deferred, "rate_limited"),
    (429, HTML, Deferred, "rate_limited"),
    # maybe
    (500, {"success": False, "message": "Server Error"}, MaybeSent, "server_error"),
    (500, b"", MaybeSent, "server_error"),
    (502, HTML, MaybeSent, "server_error"),
    (503, {"message": "Service Unavailable", "retry_after": 3}, MaybeSent, "server_error"),
    (504, b"", MaybeSent, "server_error"),
    (522, HTML, MaybeSent, "server_error"),
    (500, ACCEPTED, MaybeSent, "garbage"),
    (422, ACCEPTED, MaybeSent, "garbage"),
    (302, ACCEPTED, MaybeSent, "garbage"),
    (408, {"message": "Request Timeout"}, MaybeSent, "timeout"),
    (499, b"", MaybeSent, "timeout"),
    (999, b"", MaybeSent, "server_error"),
    (101, b"", MaybeSent, "garbage"),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), ROWS)
async def test_answer(server: RawServer, gateway: WaSender, status, body, kind, code):
    server.behave = replies(answer(status, body))
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert type(outcome) is kind
    assert outcome.http_status == status
    if code:
        assert outcome.code == code
    assert len(server.requests) == 1
    assert KEY not in repr(outcome)


async def test_what_is_accepted_and_what_is_posted(server: RawServer, gateway: WaSender):
    assert await gateway.send_text(KEY, PHONE, "Grüße \ud83d") == Accepted(12345678, PHONE, 200)
    request = server.requests[0]
    assert request.line == "POST /api/send-message HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"].startswith("Phonebank/")
    assert request.json == {"to": PHONE, "text": "Grüße \ud83d"}
    payload = {"to": PHONE, "location": {"latitude": 1.5, "longitude": 2.5}}
    assert type(await gateway.send(KEY, payload)) is Accepted
    assert server.requests[1].json == payload


async def test_a_hostile_jid_can_be_stored(server: RawServer, gateway: WaSender):
    server.behave = replies(answer(200, {"success": True, "data": {"msgId": 7, "jid": "a\x00\ud800" + "b" * 500}}))
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert "\x00" not in outcome.jid
    assert len(outcome.jid.encode()) <= 128


@pytest.mark.parametrize(
    ("body", "headers", "low", "high"),
    [
        ({"retry_after": 3}, {}, 3, 3),
        ({"retry_after": 3}, {"Retry-After": "7"}, 7, 7),
        ({"retry_after": 9}, {"Retry-After": "7", "X-RateLimit-Reset": "4"}, 9, 9),
        ({"retry_after": 1}, {"X-RateLimit-Reset": "42"}, 42, 42),
        ({}, {"X-RateLimit-Reset": "{epoch+30}"}, 15, 31),
        ({}, {"X-RateLimit-Reset": "{epoch-30}"}, 0, 0),
        ({}, {"Retry-After": "{date+30}"}, 15, 31),
        ({"retry_after": "2.5"}, {}, 2.5, 2.5),
        ({}, {}, 5, 5),
        ({"retry_after": 10**400}, {}, 5, 5),
        ({"retry_after": 999_999}, {}, 86_400, 86_400),
        ({"retry_after": True}, {"Retry-After": "soon", "X-RateLimit-Reset": "nan"}, 5, 5),
        ({"retry_after": -4}, {"X-RateLimit-Reset": "inf"}, 0, 0),
        ({"retry_after": [1]}, {"Retry-After": "Fri, 99 Foo 2026 99:99:99"}, 5, 5),
        ({"retry_after": 2}, {"X-RateLimit-Daily-Reset": "600"}, 2, 2),
        ({"retry_after": 2}, {"X-RateLimit-Daily-Reset": "600", "X-RateLimit-Daily-Remaining": "0"}, 600, 600),
    ],
)
async def test_the_longest_hint_decides(server: RawServer, gateway: WaSender, body, headers, low, high):
    from email.utils import formatdate

    now = time.time()
    texts = {"{epoch+30}": str(now + 30), "{epoch-30}": str(now - 30), "{date+30}": formatdate(now + 30, usegmt=True)}
    headers = {name: texts.get(value, value) for name, value in headers.items()}
    server.behave = replies(answer(429, body, headers))
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert type(outcome) is Deferred
    assert low <= outcome.retry_after <= high


async def test_details_are_redacted_and_cut(server: RawServer, gateway: WaSender):
    words = f"key {KEY} Bearer abcdef for +12125550123 failed " + "x y " * 1000
    server.behave = replies(answer(422, {"message": words}))
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert outcome.detail.startswith("key *** Bearer *** for ***0123 failed")
    assert len(outcome.detail) <= 500


async def test_refused_connection(http):
    with socket.socket() as deaf:  # bound, so that nobody else gets the port, and not listening
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/api"
        outcome = await WaSender(url, http).send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code, outcome.http_status) == (Deferred, "unreachable", None)
    assert outcome.retry_after > 0


async def test_unknown_host(http):
    outcome = await WaSender("http://gateway.invalid/api", http).send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (Deferred, "unreachable")


async def test_tls_that_is_none(http):
    async def plain(reader, writer):
        await reader.read(100)
        writer.write(answer(400))
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"
        outcome = await WaSender(url, http).send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (Deferred, "unreachable")


async def test_tls_handshake_that_never_ends(http):
    async def swallow(reader, writer):
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with silent:
        url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}/api"
        outcome = await WaSender(url, http, connect_timeout=0.2).send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (Deferred, "unreachable")


async def test_reset_after_the_request(server: RawServer, gateway: WaSender):
    async def behave(request, writer):
        reset(writer)
        return True

    server.behave = behave
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (MaybeSent, "reset")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([answer(200, ACCEPTED)[:-5]], "reset"),  # cut short
        ([answer(200, ACCEPTED)[:20]], "reset"),  # cut within the headers
        ([b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"suc'], "reset"),
        ([], "reset"),  # closed without an answer
        ([b"220 mail.example ESMTP\r\n"], "garbage"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"], "garbage"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"], "garbage"),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"], "reset"),
    ],
)
async def test_broken_answers(server: RawServer, gateway: WaSender, parts, code):
    async def behave(request, writer):
        for part in parts:
            writer.write(part)
        return True

    server.behave = behave
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (MaybeSent, code)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", [KEY + "\r\nX: y", "schlüssel \u2603", "", None])
async def test_an_impossible_key_never_raises(server: RawServer, gateway: WaSender, key):
    outcome = await gateway.send_text(key, PHONE, "Hello")
    assert type(outcome) in (NotSent, Accepted)
    assert KEY not in repr(outcome)


@pytest.mark.parametrize("payload", [{"to": float("nan")}, {"to": b"x"}, {"to": object()}])
async def test_an_impossible_payload_never_raises(server: RawServer, gateway: WaSender, payload):
    outcome = await gateway.send(KEY, payload)
    assert (type(outcome), outcome.code) == (Rejected, "invalid")
    assert server.received == b""


async def test_a_closed_client_is_proven_unsent(server: RawServer, gateway: WaSender, http):
    await http.close()
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (Deferred, "unreachable")


async def test_the_unforeseen_is_maybe_sent(server: RawServer, gateway: WaSender, monkeypatch, caplog):
    def broken(*_args):
        raise KeyError(KEY)

    monkeypatch.setattr("phonebank.gateways.wasender.classify", broken)
    outcome = await gateway.send_text(KEY, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (MaybeSent, "unexpected")
    assert KEY not in caplog.text
