"""Every fault, as a client sees it and as the ledger knows it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from .desk import ANNA, BEN, Desk, until


async def accepted(desk: Desk) -> int:
    return (await desk.ledger())["accepted"]


async def raw(desk: Desk, session: dict, seconds: float = 10.0) -> bytes:
    """What comes back on the wire within the time, or ConnectionResetError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.server.port)
    body = json.dumps({"to": ANNA, "text": "Hello"}).encode()
    writer.write(
        b"POST /api/send-message HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
        + session["api_key"].encode()
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    found = b""
    try:
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(4096):
                found += chunk
    except TimeoutError:
        pass
    finally:
        writer.close()
    return found


@pytest.mark.parametrize("accept", [True, False])
async def test_drop(desk: Desk, accept: bool):
    session = await desk.linked()
    await desk.fault("drop", accept=accept)
    with pytest.raises(ConnectionResetError):
        await raw(desk, session)
    with pytest.raises(aiohttp.ClientError):
        await desk.send(session)
    assert await accepted(desk) == (2 if accept else 0)


async def test_reset_at_headers(desk: Desk):
    session = await desk.linked()
    await desk.fault("reset_headers", next=1)
    with pytest.raises(ConnectionResetError):
        await raw(desk, session)
    assert await accepted(desk) == 0
    assert (await desk.send(session)).status == 200, "next 1 strikes once"


@pytest.mark.parametrize("accept", [True, False])
async def test_silence(desk: Desk, accept: bool):
    session = await desk.linked()
    await desk.fault("silence", accept=accept)
    assert await raw(desk, session, seconds=1.0) == b""
    assert await accepted(desk) == (1 if accept else 0)


async def test_late_acceptance(desk: Desk):
    session = await desk.linked()
    await desk.fault("late", seconds=2.0)
    assert await raw(desk, session, seconds=0.1) == b""
    assert await accepted(desk) == 0

    async def arrived() -> bool:
        return await accepted(desk) == 1

    await until(arrived)


@pytest.mark.parametrize(
    ("kind", "about", "status", "content"),
    [
        ("error", {}, 500, "application/json"),
        ("error", {"status": 503}, 503, "application/json"),
        ("html", {}, 502, "text/html; charset=UTF-8"),
        ("answer", {}, 200, "application/json"),
        ("answer", {"status": 302, "body": "", "content_type": "text/html"}, 302, "text/html"),
    ],
)
@pytest.mark.parametrize("accept", [True, False])
async def test_wrong_answers(desk: Desk, kind: str, about: dict, status: int, content: str, accept: bool):
    session = await desk.linked()
    await desk.fault(kind, accept=accept, **about)
    body = {"to": ANNA, "text": "Hello"}
    headers = {"Authorization": f"Bearer {session['api_key']}"}
    url = desk.server.url + "/api/send-message"
    async with desk.client.post(url, json=body, headers=headers, allow_redirects=False) as response:
        assert (response.status, response.headers["Content-Type"]) == (status, content)
        text = await response.text()
    if kind == "html":
        assert "Ray ID" in text
    if kind == "answer":
        assert text == about.get("body", "<garbage>")
    assert await accepted(desk) == (1 if accept else 0)


async def test_cut_answer(desk: Desk):
    session = await desk.linked()
    await desk.fault("cut")
    with pytest.raises(aiohttp.ClientPayloadError):
        await desk.send(session)
    assert await accepted(desk) == 1


async def test_dripped_answer(desk: Desk):
    session = await desk.linked()
    await desk.fault("drip", seconds=0.1)
    found = await raw(desk, session, seconds=1.0)
    assert 2 <= len(found) <= 11 and b"HTTP/1.1 200".startswith(found)
    assert await accepted(desk) == 1


@pytest.mark.parametrize(
    ("hint", "body", "header"),
    [
        ("body", {"retry_after"}, None),
        ("header", set(), "Retry-After"),
        ("delta", set(), "X-RateLimit-Reset"),
        ("epoch", set(), "X-RateLimit-Reset"),
        ("bad", set(), "X-RateLimit-Reset"),
        ("none", set(), None),
    ],
)
async def test_429_with_each_hint(desk: Desk, hint: str, body: set, header: str | None):
    session = await desk.linked()
    await desk.fault("429", hint=hint, retry_after=7)
    before = time.time()
    answer = await desk.send(session)
    assert answer.status == 429 and set(answer.body) == {"message"} | body
    for name in ("Retry-After", "X-RateLimit-Reset"):
        assert (name in answer.headers) == (name == header)
    if hint == "epoch":
        assert before + 6 <= int(answer.headers["X-RateLimit-Reset"]) <= time.time() + 8
    elif hint == "bad":
        assert not answer.headers["X-RateLimit-Reset"].isdigit()
    elif header:
        assert answer.headers[header] == "7"
    assert await accepted(desk) == 0


async def test_from_a_certain_message_on(desk: Desk):
    session = await desk.linked()
    await desk.fault("unauthorized", session=session["id"], from_message=2)
    assert [(await desk.send(session)).status for _ in range(4)] == [200, 200, 401, 401]
    other = await desk.linked()
    await desk.fault("disconnect", session=other["id"], from_message=1, next=1)
    answers = [await desk.send(other) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 400, 400]
    assert await desk.status(other) == "disconnected"


async def test_scope_and_probability(start: Callable[..., Awaitable[Desk]]):
    desk = await start(seed=7)
    session, other = await desk.linked(), await desk.linked()
    await desk.fault("error", to=BEN, accept=False)
    await desk.fault("error", session=other["id"], probability=0.5, accept=False)
    assert (await desk.send(session)).status == 200 and (await desk.send(session, to=BEN)).status == 500
    first = [(await desk.send(other)).status for _ in range(40)]
    assert 10 <= first.count(500) <= 30
    await desk.admin("DELETE", "/faults")
    await desk.fault("error", session=other["id"], probability=0.5, accept=False)
    await desk.admin("POST", "/seed", {"seed": 7})
    assert [(await desk.send(other)).status for _ in range(40)] == first, "the same seed, the same faults"


async def test_other_endpoints(desk: Desk):
    session = await desk.linked()
    await desk.fault("error", endpoint="message-logs", session=session["id"], accept=False)
    path = f"/whatsapp-sessions/{session['id']}/message-logs"
    assert (await desk.account("GET", path)).status == 500
    assert (await desk.send(session)).status == 200


async def test_refused_requests_are_refused_as_usual(desk: Desk):
    session = await desk.linked()
    await desk.fault("drop", accept=True)
    assert (await desk.send(session, to="nonsense")).status == 422


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"kind": "flood"},
        {"kind": "drop", "probability": "often"},
        {"kind": "drop", "next": True},
        {"kind": "429", "hint": "loud"},
        {"kind": "drop", "to": "nobody"},
        {"kind": "drop", "id": 3},
        {"kind": 5},
    ],
)
async def test_rules_are_checked(desk: Desk, about: dict):
    assert (await desk.call("POST", "/sandbox/faults", None, about)).status == 422
    assert await desk.admin("GET", "/faults") == []
