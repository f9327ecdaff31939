"""Sending, and what the service tells about a message afterwards (contract 3)."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable

import pytest

from .desk import ANNA, BEN, Desk, until


async def test_accepts_and_delivers(desk: Desk):
    session = await desk.linked()
    before = time.time()
    answer = await desk.send(session, text="Grüße 🎉")
    assert answer.status == 200 and answer.body["success"] is True
    data = answer.body["data"]
    assert data == {"msgId": data["msgId"], "jid": ANNA[1:] + "@s.whatsapp.net", "status": "in_progress"}
    [entry] = (await desk.ledger("?to=%2B" + ANNA[1:]))["entries"]
    assert (entry["msgId"], entry["session"], entry["text"]) == (data["msgId"], session["id"], "Grüße 🎉")
    assert before <= entry["first_byte"] <= entry["accepted"] <= time.time()

    async def info() -> dict:
        return (await desk.call("GET", f"/api/messages/{data['msgId']}/info", session["api_key"])).body["data"]

    async def read() -> bool:
        return (await info())["status"] == 4

    await until(read)
    full = await info()
    assert full["key"] == {"id": full["id"], "fromMe": True, "remoteJid": data["jid"]}
    assert full["id"].startswith("3EB0") and len(full["id"]) == 22 and full["messageTimestamp"].isdigit()
    assert full["message"] == {"extendedTextMessage": {"text": "Grüße 🎉"}}
    assert (await desk.ledger()) | {"accepted": 1, "delivered": 1, "read": 1, "duplicates": 0} == await desk.ledger()


async def test_message_ids_grow_over_all_sessions(desk: Desk):
    first, second = await desk.linked(), await desk.linked()
    ids = [(await desk.send(session)).body["data"]["msgId"] for session in (first, second, first)]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]


@pytest.mark.parametrize("to", ["14155550101", "14155550101@s.whatsapp.net", "+14155550101"])
async def test_one_person_whatever_the_spelling(desk: Desk, to: str):
    session = await desk.linked()
    assert (await desk.send(session, to=to)).status == 200
    assert await desk.admin("GET", "/ledger/recipients") == {ANNA: 1}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "Hello"}, "to"),
        ({"to": "hello", "text": "Hello"}, "to"),
        ({"to": 14155550101, "text": "Hello"}, "to"),
        ({"to": ANNA}, "text"),
        ({"to": ANNA, "text": "x" * 4097}, "text"),
        ({"to": ANNA, "text": 5}, "text"),
        ({"to": ANNA, "imageUrl": "file:///etc/passwd"}, "imageUrl"),
        ({"to": ANNA, "poll": {"question": "?", "options": ["one"]}}, "poll"),
        ({"to": ANNA, "location": {"latitude": 91, "longitude": 0}}, "location"),
        ({"to": ANNA, "contact": {"name": "Anna"}}, "contact"),
        ({"to": ANNA, "text": "Hello", "replyTo": 0}, "replyTo"),
    ],
)
async def test_validation(desk: Desk, body: dict, field: str):
    session = await desk.linked()
    answer = await desk.call("POST", "/api/send-message", session["api_key"], body)
    assert answer.status == 422 and list(answer.body["errors"]) == [field]
    assert (await desk.ledger())["accepted"] == 0


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"imageUrl": "https://example.org/a.jpg", "text": "Look"}, "imageMessage"),
        ({"documentUrl": "https://example.org/a.pdf", "fileName": "a.pdf"}, "documentMessage"),
        ({"poll": {"question": "When?", "options": ["now", "later"]}}, "pollCreationMessage"),
        ({"location": {"latitude": 52.5, "longitude": 13.4}}, "locationMessage"),
        ({"contact": {"name": "Anna", "phone": ANNA}}, "contactMessage"),
    ],
)
async def test_kinds(desk: Desk, fields: dict, kind: str):
    session = await desk.linked()
    answer = await desk.call("POST", "/api/send-message", session["api_key"], {"to": ANNA, **fields})
    message_id = answer.body["data"]["msgId"]
    info = await desk.call("GET", f"/api/messages/{message_id}/info", session["api_key"])
    assert list(info.body["data"]["message"]) == [kind]
    [line] = await desk.logs(session)
    assert json.loads(line["content"]) == fields


async def test_unregistered_numbers_and_lids(desk: Desk):
    session = await desk.linked()
    await desk.turn(unregistered=[BEN])
    for to in (BEN, BEN[1:], "123456789012345@lid"):
        answer = await desk.send(session, to=to)
        assert (answer.status, answer.body["message"]) == (422, "The provided JID does not exist on WhatsApp.")
    assert (await desk.send(session)).status == 200


@pytest.mark.parametrize("status", [400, 200])
async def test_not_connected(desk: Desk, status: int):
    await desk.turn(not_connected_status=status)
    session = await desk.create()
    answer = await desk.send(session)
    assert answer.status == status and answer.body["success"] is False and "not connected" in answer.body["message"]
    assert (await desk.ledger())["accepted"] == 0


async def test_no_subscription(desk: Desk):
    session = await desk.linked()
    await desk.admin("PATCH", "/accounts/1", {"subscribed": False})
    answer = await desk.send(session)
    assert answer.status == 403 and "subscription" in answer.body["message"]


async def test_no_json(desk: Desk):
    session = await desk.linked()
    for data in (b"{", b"[]", b"\xff"):
        headers = {"Authorization": f"Bearer {session['api_key']}"}
        async with desk.client.post(desk.server.url + "/api/send-message", data=data, headers=headers) as response:
            assert response.status == 400 and (await response.json())["success"] is False


async def test_failure_and_resend(desk: Desk):
    session = await desk.linked()
    await desk.turn(fail_fraction=1, fail_reason="Failed to send message: no route")
    message_id = (await desk.send(session)).body["data"]["msgId"]
    failed = await until(lambda: desk.logs(session, "?status=failed"))
    assert failed[0]["failed_reason"] == "Failed to send message: no route" and failed[0]["id"] == message_id
    assert (await desk.ledger())["failed"] == 1
    await desk.turn(fail_fraction=0)
    path = f"/api/messages/{message_id}/resend"
    assert (await desk.call("POST", path, session["api_key"])).body["success"] is True
    await until(lambda: desk.logs(session, "?status=sent"))
    again = await desk.call("POST", path, session["api_key"])
    assert again.status == 400 and "status 'failed'" in again.body["error"]
    ledger = await desk.ledger()
    assert (ledger["accepted"], ledger["failed"]) == (1, 0), "a resend is no second message"


async def test_edit_and_delete(desk: Desk):
    session, other = await desk.linked(), await desk.linked()
    message_id = (await desk.send(session)).body["data"]["msgId"]
    path = f"/api/messages/{message_id}"
    foreign = await desk.call("PUT", path, other["api_key"], {"text": "Mine"})
    assert foreign.status == 403 and "not authorized" in foreign.body["error"]
    assert (await desk.call("GET", path + "/info", other["api_key"])).status == 404
    edited = await desk.call("PUT", path, session["api_key"], {"text": "Changed"})
    assert "protocolMessage" in edited.body["data"]["message"]
    assert (await desk.ledger("?to=%2B" + ANNA[1:]))["entries"][0]["text"] == "Changed"
    assert (await desk.call("DELETE", path, session["api_key"])).body["success"] is True
    assert (await desk.call("DELETE", "/api/messages/1", session["api_key"])).status == 404


async def test_log_pages(desk: Desk):
    session = await desk.linked()
    ids = [(await desk.send(session, text=f"Number {number}")).body["data"]["msgId"] for number in range(5)]
    path = f"/whatsapp-sessions/{session['id']}/message-logs"
    first = (await desk.account("GET", path + "?page=1&per_page=2")).body["data"]
    assert [line["id"] for line in first["data"]] == [ids[4], ids[3]]
    assert (first["total"], first["last_page"], first["from"], first["to"]) == (5, 3, 1, 2)
    assert first["next_page_url"].endswith("page=2") and first["prev_page_url"] is None
    last = (await desk.account("GET", path + "?page=3&per_page=2")).body["data"]
    assert [line["id"] for line in last["data"]] == [ids[0]] and last["next_page_url"] is None
    assert (await desk.account("GET", path + "?page=9")).body["data"]["data"] == []
    stamp = time.strptime(first["data"][0]["created_at"], "%Y-%m-%d %H:%M:%S")
    assert abs(time.mktime(time.gmtime()) - time.mktime(stamp)) < 10


async def test_log_without_logging_lag_and_off(desk: Desk):
    silent = await desk.linked(log_messages=False)
    await desk.send(silent)
    [line] = await desk.logs(silent)
    assert line["to"] is None and line["content"] is None and line["id"]
    session = await desk.linked()
    await desk.turn(f"?session={session['id']}", log_lag=60)
    await desk.send(session)
    assert await desk.logs(session) == [] and len(await desk.logs(silent)) == 1
    await desk.turn(f"?session={session['id']}", log_lag=0, logs=False)
    await desk.send(session, text="Never logged")
    assert [json.loads(line["content"])["text"] for line in await desk.logs(session)] == ["Hello"]
    assert (await desk.ledger(f"?session={session['id']}"))["accepted"] == 2


async def test_acceptance_delay_outlives_the_client(start: Callable[..., Awaitable[Desk]]):
    desk = await start(knobs={"acceptance_delay": 2})
    session = await desk.linked()
    with pytest.raises(TimeoutError):
        async with desk.client.post(
            desk.server.url + "/api/send-message",
            json={"to": ANNA, "text": "Late"},
            headers={"Authorization": f"Bearer {session['api_key']}"},
            timeout=type(desk.client.timeout)(total=0.5),
        ):
            pass
    assert (await desk.ledger())["accepted"] == 0

    async def accepted() -> bool:
        return (await desk.ledger())["accepted"] == 1

    await until(accepted)
