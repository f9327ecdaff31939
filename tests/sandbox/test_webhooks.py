"""Webhooks as the service posts them, and everything that may go wrong with them (contract 7)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from .desk import ANNA, Desk, Subscriber, until


async def test_linking(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings())
    await until(lambda: len(subscriber.of("session.status")) == 3)
    assert [data["status"] for data in subscriber.of("session.status")] == ["need_scan", "connecting", "connected"]
    [code] = subscriber.of("qrcode.updated")
    assert code["qr"].startswith("2@")
    envelope, headers = subscriber.events[0], subscriber.headers[0]
    assert set(envelope) == {"event", "sessionId", "data", "timestamp"}
    assert envelope["sessionId"] == session["api_key"]
    assert headers["X-Webhook-Signature"] == session["webhook_secret"]
    assert abs(envelope["timestamp"] / 1000 - time.time()) < 10 and len(str(envelope["timestamp"])) == 13


async def test_a_message(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update", "message.sent", "messages.upsert"))
    await desk.turn(delivered_after=0.3, read_after=0.6)  # posts that are under way together keep no order
    message_id = (await desk.send(session)).body["data"]["msgId"]
    await until(lambda: len(subscriber.of("messages.update")) == 3)
    assert subscriber.statuses() == [2, 3, 4]
    update = subscriber.of("messages.update")[0]
    assert update["msgId"] == message_id and update["id"] == update["key"]["id"]
    assert update["key"] == {"id": update["id"], "fromMe": True, "remoteJid": ANNA[1:] + "@s.whatsapp.net"}
    assert update["message"] == {"extendedTextMessage": {"text": "Hello"}}
    [sent] = subscriber.of("message.sent")
    assert sent == {"key": update["key"], "message": update["message"], "success": True}
    [upsert] = subscriber.of("messages.upsert")
    assert upsert["messages"][0]["key"]["fromMe"] is True


async def test_failure_has_no_key(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update", "message.sent"))
    await desk.turn(fail_fraction=1)
    await desk.send(session)
    await until(lambda: len(subscriber.events) == 2)
    [sent] = subscriber.of("message.sent")
    assert set(sent) == {"success", "error"} and ANNA in sent["error"]
    assert subscriber.statuses() == [0]


async def test_docs_shape(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update"))
    await desk.turn(webhook_shape="docs")
    await desk.send(session)
    await until(lambda: len(subscriber.events) == 3)
    assert set(subscriber.of("messages.update")[0]) == {"update", "key"}


@pytest.mark.parametrize(("form", "jid"), [("pn", "14155550101@s.whatsapp.net"), ("lid", None), ("empty", "")])
async def test_ack_shape(desk: Desk, subscriber: Subscriber, form: str, jid: str | None):
    session = await desk.linked(**subscriber.settings("messages.update"))
    about = {"number": ANNA, "form": form, "status": 3, "from_me": False}
    await desk.admin("POST", f"/sessions/{session['id']}/ack", about)
    await until(lambda: subscriber.events)
    [data] = subscriber.of("messages.update")
    assert set(data) == {"key", "status"} and data["key"]["fromMe"] is False
    assert data["key"]["remoteJid"] == jid if jid is not None else data["key"]["remoteJid"].endswith("@lid")
    assert ("senderPn" in data["key"]) == (form == "pn")


@pytest.mark.parametrize("lid_only", [False, True])
async def test_inbound(desk: Desk, subscriber: Subscriber, lid_only: bool):
    session = await desk.linked(**subscriber.settings("messages.received", "messages.upsert"))
    body = {"from": ANNA, "text": "Yes, please", "lid_only": lid_only}
    await desk.admin("POST", f"/sessions/{session['id']}/inbound", body)
    await until(lambda: len(subscriber.events) == 2)
    [received] = subscriber.of("messages.received")
    message = received["messages"]
    assert message["messageBody"] == "Yes, please" and message["key"]["fromMe"] is False
    if lid_only:
        assert message["key"]["addressingMode"] == "lid" and message["remoteJid"].endswith("@lid")
        assert ANNA[1:] not in str(message)
    else:
        assert message["key"]["cleanedSenderPn"] == ANNA[1:] and message["key"]["addressingMode"] == "pn"
    assert isinstance(subscriber.of("messages.upsert")[0]["messages"], list)


async def test_stop(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.received"))
    await desk.admin("POST", f"/sessions/{session['id']}/stop", {"from": ANNA})
    await until(lambda: subscriber.events)
    assert subscriber.of("messages.received")[0]["messages"]["messageBody"] == "STOP"


async def test_only_what_was_subscribed(desk: Desk, subscriber: Subscriber):
    silent = await desk.linked(**(subscriber.settings() | {"webhook_enabled": False}))
    nothing = await desk.linked(**(subscriber.settings() | {"webhook_events": []}))
    chosen = await desk.linked(**subscriber.settings("messages.update"))
    for session in (silent, nothing, chosen):
        await desk.send(session)
    await until(lambda: len(subscriber.events) == 3)
    assert {event["event"] for event in subscriber.events} == {"messages.update"}

    async def all_taken() -> bool:
        return (await desk.admin("GET", "/stats"))["webhooks"] == {"posted": 3, "ok": 3, "waiting": 0}

    await until(all_taken)


async def test_duplicates_and_backwards(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update"))
    await desk.turn(webhook_duplicate=1, webhook_copies=3)
    await desk.send(session)
    await until(lambda: len(subscriber.events) == 9)
    assert sorted(subscriber.statuses()) == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    subscriber.events.clear()
    await desk.turn(webhook_duplicate=0, webhook_backwards=1)
    await desk.send(session)
    await until(lambda: len(subscriber.events) == 5)
    statuses = subscriber.statuses()
    assert sorted(statuses) == [2, 2, 3, 3, 4] and statuses != sorted(statuses)


async def test_reordered(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update"))
    await desk.turn(webhook_reorder=0.5)
    for number in range(6):
        await desk.send(session, text=f"Number {number}")
    await until(lambda: len(subscriber.events) == 18)
    by_message: dict[int, list[int]] = {}
    for data in subscriber.of("messages.update"):
        by_message.setdefault(data["msgId"], []).append(data["status"])
    assert any(statuses != sorted(statuses) for statuses in by_message.values())
    assert all(sorted(statuses) == [2, 3, 4] for statuses in by_message.values())


async def test_lost_late_and_wrong_secret(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update"))
    await desk.turn(webhook_loss=1)
    await desk.send(session)

    async def read() -> bool:
        return (await desk.ledger())["read"] == 1

    await until(read)
    await desk.turn(webhook_loss=0, webhook_delay=0.3, webhook_wrong_secret=1, delivered_fraction=0)
    sent = time.time()
    await desk.send(session)
    await until(lambda: subscriber.events)
    assert subscriber.statuses() == [2], "the events of the first message are lost"
    assert subscriber.arrived[0] - sent >= 0.3
    assert subscriber.headers[0]["X-Webhook-Signature"] != session["webhook_secret"]


async def test_early(start: Callable[..., Awaitable[Desk]], subscriber: Subscriber):
    desk = await start(knobs={"webhook_early": True, "sent_after": 60})
    session = await desk.linked(**subscriber.settings("messages.update"))
    for number in range(1, 6):
        assert (await desk.send(session)).status == 200
        assert subscriber.statuses() == [2] * number, "the webhook is there before the answer"


async def test_retries(desk: Desk, subscriber: Subscriber):
    subscriber.status = 503
    session = await desk.linked(**subscriber.settings("messages.received"))
    path = f"/sessions/{session['id']}/stop"
    await desk.admin("POST", path, {"from": ANNA})
    await until(lambda: len(subscriber.events) == 1)
    await desk.turn(webhook_retries=3, webhook_retry_after=0.02)
    await desk.admin("POST", path, {"from": ANNA})
    await until(lambda: len(subscriber.events) >= 3)
    subscriber.status = 200

    async def settled() -> bool:
        return (await desk.admin("GET", "/stats"))["webhooks"]["waiting"] == 0

    await until(settled)
    assert len(subscriber.events) <= 5, "off by default, and at most three repetitions"


async def test_any_event_and_an_unreachable_target(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("poll.results"))
    await desk.admin("POST", f"/sessions/{session['id']}/event", {"event": "poll.results", "data": {"odd": "\u0000"}})
    await until(lambda: subscriber.events)
    assert subscriber.of("poll.results") == [{"odd": "\u0000"}]
    gone = await desk.linked(
        webhook_url="http://127.0.0.1:1/hook", webhook_enabled=True, webhook_events=["messages.update"]
    )
    assert (await desk.send(gone)).status == 200

    async def failed() -> bool:
        return (await desk.admin("GET", "/stats"))["webhooks"].get("failed") == 3

    await until(failed)


async def test_many_at_once(desk: Desk, subscriber: Subscriber):
    await desk.turn(rate_limit=0, concurrency=0)
    session = await desk.linked(**subscriber.settings("messages.update"))
    for number in range(200):
        assert (await desk.send(session, text=f"Number {number}")).status == 200
    await until(lambda: len(subscriber.events) == 600)


async def test_a_deleted_session_is_silent(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.update"))
    await desk.turn(sent_after=0.2)
    await desk.send(session)
    await desk.account("DELETE", f"/whatsapp-sessions/{session['id']}")

    async def read() -> bool:
        return (await desk.ledger())["read"] == 1

    await until(read)
    assert subscriber.events == []
