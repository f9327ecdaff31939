"""Reading what the gateway posts (contract 7), in every shape seen, and whatever else somebody posts."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest

from phonebank.gateways.webhooks import (
    Ignored,
    Inbound,
    QrUpdated,
    SendFailed,
    SessionStatus,
    StatusUpdate,
    WebhookError,
    blank,
    find_session_ref,
    parse,
)  # fmt: skip
from tests.gateways.server import KEY, PHONE

JID = "12125550123@s.whatsapp.net"
LID = "182736455463728@lid"


def raw(event: object, data: object, **more: object) -> bytes:
    body = {"event": event, "sessionId": KEY, "data": data, "timestamp": 1765200000123}
    return json.dumps(body | more).encode()


def one(event: str, data: object) -> object:
    payload = parse(raw(event, data))
    assert len(payload.events) == 1
    return payload.events[0]


def test_the_envelope():
    payload = parse(raw("session.status", {"status": "CONNECTED"}))
    assert (payload.event, payload.session_id) == ("session.status", KEY)
    assert payload.timestamp == datetime(2025, 12, 8, 13, 20, 0, 123_000, UTC)
    assert payload.events == (SessionStatus("connected", "CONNECTED"),)
    assert KEY not in repr(payload)


@pytest.mark.parametrize(
    ("more", "ref"),
    [
        ({}, KEY),
        ({"sessionId": 17}, "17"),
        ({"sessionId": "17"}, "17"),
        ({"sessionId": None, "data": {"session_id": "abc"}}, "abc"),
        ({"sessionId": True, "data": {"sessionId": 5}}, "5"),
        ({"sessionId": "", "data": []}, None),
        ({"sessionId": {"a": 1}}, None),
        ({"sessionId": 2**70}, None),
    ],
)
def test_the_session_reference(more, ref):
    body = raw("call", **{"data": {}} | more)
    assert find_session_ref(body) == ref
    assert parse(body).session_id == ref


def test_the_session_reference_of_a_body_that_does_not_parse():
    assert find_session_ref(b'{"event":"x","sessionId": "' + KEY.encode() + b'","data":') == KEY
    assert find_session_ref(b'{"sessionId": 17,') == "17"
    assert find_session_ref(b'{"sessionId": "\xff",') == "\ufffd"
    assert find_session_ref(b"nothing") is None


@pytest.mark.parametrize("stamp", [None, True, -5, 0, 10**17, "soon", 1e400, [1], 2**70])
def test_an_absurd_time_is_none(stamp):
    assert parse(raw("call", {}, timestamp=stamp)).timestamp is None


@pytest.mark.parametrize("stamp", [1765200000, 1765200000000, "1765200000"])
def test_seconds_and_milliseconds(stamp):
    assert parse(raw("call", {}, timestamp=stamp)).timestamp == datetime(2025, 12, 8, 13, 20, tzinfo=UTC)


KEY_OUT = {"id": "3EB0A", "fromMe": True, "remoteJid": JID}


def test_update_in_the_full_shape():
    data = {
        "id": "3EB0A", "msgId": 12345678, "remoteJid": JID, "status": 3, "messageTimestamp": "1765200000",
        "key": KEY_OUT, "message": {"extendedTextMessage": {"text": "Hello"}},
    }  # fmt: skip
    assert one("messages.update", data) == StatusUpdate(12345678, "3EB0A", 3, JID, "Hello")
    assert one("messages.update", data | {"message": {"documentMessage": {"caption": "A"}}}).text == "A"
    assert one("messages.update", data | {"msgId": True}).msg_id is None
    assert one("messages.update", data | {"msgId": 2**63}).msg_id is None
    assert one("messages.update", data | {"msgId": -1}).msg_id is None


def test_update_in_the_acknowledgement_and_the_documented_shape():
    expected = StatusUpdate(None, "3EB0A", 4, JID, None)
    assert one("messages.update", {"key": KEY_OUT, "status": 4}) == expected
    assert one("messages.update", {"key": KEY_OUT, "update": {"status": 4}}) == expected
    assert one("messages.update", {"key": KEY_OUT | {"remoteJid": ""}, "status": 0}).status == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"key": KEY_OUT | {"fromMe": False}, "status": 4}, "about an incoming message"),
        ({"key": KEY_OUT, "msgId": 5, "status": 6}, "no known status"),
        ({"key": KEY_OUT, "msgId": 5, "status": -1}, "no known status"),
        ({"key": KEY_OUT, "msgId": 5, "status": True}, "no known status"),
        ({"key": KEY_OUT, "msgId": 5, "status": "DELIVERED"}, "no known status"),
        ({"key": KEY_OUT, "message": {"editedMessage": {}}}, "no known status"),
        ({"key": KEY_OUT, "messageStubType": 2}, "no known status"),
        ({"status": 3}, "no id"),
        ({"key": {"id": 5}, "status": 3}, "no id"),
        (None, "no known status"),
        ("x", "no known status"),
    ],
)
def test_updates_without_meaning_for_delivery(data, why):
    assert one("messages.update", data) == Ignored("messages.update", why)


def test_several_updates_in_one_delivery():
    payload = parse(raw("messages.update", [{"key": KEY_OUT, "status": s} for s in (2, 3)]))
    assert [update.status for update in payload.events] == [2, 3]
    assert parse(raw("messages.update", [])).events == (Ignored("messages.update", "no data"),)
    assert len(parse(raw("messages.update", [{}] * 5000)).events) == 1000


def test_message_sent():
    message = {"conversation": "Hello"}
    sent = one("message.sent", {"key": KEY_OUT, "message": message, "success": True})
    assert sent == StatusUpdate(None, "3EB0A", 2, JID, "Hello")
    failed = one(
        "message.sent", {"success": False, "error": "Failed to send message: Invalid number JID: +12125550123"}
    )
    assert failed == SendFailed(PHONE, "Failed to send message: Invalid number JID: +12125550123")
    assert PHONE not in repr(failed)
    assert one("message.sent", {"success": False}) == SendFailed(None, "")


def test_session_and_qr():
    assert one("session.status", {"status": "logged_out", "timestamp": 1}) == SessionStatus("logged_out", "logged_out")
    assert one("session.status", {"status": "open"}) == SessionStatus("unknown", "open")
    assert one("session.status", {"status": 5}) == Ignored("session.status", "no status")
    assert one("qrcode.updated", {"qr": "2@abc"}) == QrUpdated("2@abc")
    assert "2@abc" not in repr(one("qrcode.updated", {"qr": "2@abc"}))
    assert one("qrcode.updated", {}) == Ignored("qrcode.updated", "no code")


def inbound(key: dict | None = None, **more: object) -> dict:
    base = {"id": "ABC", "fromMe": False, "remoteJid": LID, "addressingMode": "lid", "senderPn": JID,
            "cleanedSenderPn": "12125550123", "senderLid": LID}  # fmt: skip
    message = {"key": base | (key or {}), "id": "ABC", "remoteJid": LID, "messageTimestamp": 1765200000,
               "pushName": "Ann", "messageBody": "stop", "message": {"conversation": "stop"}}  # fmt: skip
    return message | more


def without(names: str, **more: object) -> dict:
    message = inbound(**more)
    return message | {"key": {k: v for k, v in message["key"].items() if k not in names.split()}}


@pytest.mark.parametrize(
    "event", ["messages.received", "messages-personal.received", "messages.upsert", "messages.recieved"]
)
@pytest.mark.parametrize("shape", ["object", "array", "bare"])
def test_an_inbound_message(event, shape):
    data = {"object": {"messages": inbound()}, "array": {"messages": [inbound()]}, "bare": inbound()}[shape]
    stamp = datetime(2025, 12, 8, 13, 20, tzinfo=UTC)
    assert one(event, data) == Inbound("ABC", PHONE, LID, "stop", "Ann", stamp, False)
    assert "stop" not in repr(one(event, data))
    assert PHONE not in repr(one(event, data))


@pytest.mark.parametrize(
    ("message", "phone", "lid"),
    [
        (without("cleanedSenderPn"), PHONE, LID),
        (without("cleanedSenderPn senderPn"), None, LID),
        (without("cleanedSenderPn senderPn senderLid"), None, LID),
        (inbound({"cleanedSenderPn": LID, "senderPn": LID}), None, LID),
        (inbound({"cleanedSenderPn": "0123"}), PHONE, LID),
        (inbound({"cleanedSenderPn": 12125550123}), PHONE, LID),
        (inbound({"cleanedSenderPn": "1" * 16, "senderPn": None}), None, LID),
        (inbound({"cleanedSenderPn": "١٢٣٤٥٦٧٨٩٠", "senderPn": None}), None, LID),
        (inbound({"cleanedSenderPn": None, "senderPn": "12125550123:7@s.whatsapp.net"}), PHONE, LID),
        (
            inbound({"cleanedSenderPn": None, "senderPn": None, "senderLid": None, "remoteJid": JID}, remoteJid=JID),
            PHONE,
            None,
        ),
        (inbound({"cleanedSenderPn": None, "senderPn": None, "remoteJid": "182736455463728"}), None, LID),
    ],
)
def test_a_lid_is_never_a_number(message, phone, lid):
    found = one("messages.received", {"messages": message})
    assert (found.phone, found.lid) == (phone, lid)


def test_a_group_message_is_its_participants():
    key = {"remoteJid": "1203630@g.us", "participant": LID, "participantPn": JID, "cleanedParticipantPn": "12125550123",
           "participantLid": LID, "senderPn": None, "cleanedSenderPn": None}  # fmt: skip
    found = one("messages.received", {"messages": inbound(key)})
    assert (found.phone, found.lid, found.is_group) == (PHONE, LID, True)
    bare = key | {"participantPn": None, "cleanedParticipantPn": None, "participantLid": None}
    found = one("messages.received", {"messages": inbound(bare)})
    assert (found.phone, found.lid) == (None, LID)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"conversation": "a"}, "a"),
        ({"extendedTextMessage": {"text": "a"}}, "a"),
        ({"imageMessage": {"caption": "a"}}, "a"),
        ({"ephemeralMessage": {"message": {"conversation": "a"}}}, "a"),
        ({"editedMessage": {"message": {"protocolMessage": {"editedMessage": {"conversation": "a"}}}}}, "a"),
        ({"buttonsResponseMessage": {"selectedDisplayText": "STOP"}}, "STOP"),
        ({"audioMessage": {}}, None),
        ({"reactionMessage": {"text": "x"}}, None),
        ({"conversation": 5}, None),
        ({"conversation": "a\x00b\ud800"}, "ab?"),
        (None, None),
        ([], None),
    ],
)
def test_the_words_of_a_message(message, text):
    assert one("messages.received", {"messages": inbound(messageBody=None, message=message)}).text == text


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (inbound({"fromMe": True}), "not an incoming message"),
        (inbound({"fromMe": None}), "not an incoming message"),
        (inbound({"id": None}) | {"id": None}, "no id"),
        (inbound({"remoteJid": "status@broadcast"}), "a channel or a status"),
        (inbound({"remoteJid": "1@newsletter"}), "a channel or a status"),
        ("x", "not an incoming message"),
        (None, "not an incoming message"),
    ],
)
def test_what_is_no_inbound_message(message, why):
    assert one("messages.upsert", {"messages": message}) == Ignored("messages.upsert", why)


def test_unused_and_unknown_events():
    assert one("message-receipt.update", {}) == Ignored("message-receipt.update", "not used")
    assert one("x.y", {}) == Ignored("x.y", "unknown event")


HOSTILE = [
    b"", b" ", b"null", b"[]", b"1", b'"x"', b"\x00", b"\xff\xfe\xff", b"{", b"{}", b'{"event":null}', b'{"event":""}',
    b'{"event":5}', b"[" * 200_000, b'{"a":' * 200_000, b'{"event":"call","data":' + b"[" * 200_000,
    b'{"event":"call","timestamp":' + b"9" * 5000 + b"}", b"<html>", "{\u201cevent\u201d:1}".encode(), b"NaN",
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_event_raises_only_webhook_error(body):
    with pytest.raises(WebhookError) as caught:
        parse(body)
    assert len(str(caught.value)) < 100
    find_session_ref(body)
    blank(body, KEY)


def test_any_junk_in_any_place_is_survived():
    """Replaces random parts of real deliveries with junk; only WebhookError may come out."""
    junk = [None, True, False, 0, -1, 2**63, 2**200, 1e308, float("nan"), "", "\x00", "\ud800", "9" * 30, [], {}, [[]],
            [None], {"id": {}}, "x" * 5000, LID]  # fmt: skip
    seeds = [
        raw(
            "messages.update", {"msgId": 5, "key": KEY_OUT, "status": 3, "update": {}, "message": {"conversation": "a"}}
        ),
        raw("messages.received", {"messages": inbound()}),
        raw("messages.upsert", {"messages": [inbound({"remoteJid": "1@g.us", "participant": LID})]}),
        raw("message.sent", {"success": False, "error": "x", "key": KEY_OUT}),
        raw("session.status", {"status": "connected"}),
    ]
    chance = random.Random(7)

    def spoil(value: object) -> object:
        if chance.random() < 0.15:
            return chance.choice(junk)
        if isinstance(value, dict):
            return {name: spoil(item) for name, item in value.items()}
        return [spoil(item) for item in value] if isinstance(value, list) else value

    read = 0
    for _ in range(2000):
        body = json.dumps(spoil(json.loads(chance.choice(seeds)))).encode()
        find_session_ref(body)
        try:
            payload = parse(body)
        except WebhookError:
            continue
        read += 1
        for event in payload.events:
            for name in event.__dataclass_fields__:
                value = getattr(event, name)
                assert not isinstance(value, int) or abs(value) < 2**63
                if isinstance(value, str):
                    assert "\x00" not in value
                    value.encode()
    assert read > 500


def test_blanking():
    body = raw("call", {"note": f"the key is {KEY.upper()}", "session_id": 'abc\\"d', "sessionId": 17})
    clean = blank(body, KEY)
    assert KEY.encode() not in clean.lower()
    value = json.loads(clean)
    assert value["sessionId"] == "***"
    assert value["data"] == {"note": "the key is ***", "session_id": "***", "sessionId": "***"}
    assert value["event"] == "call"
    assert blank(b'{"sessionId": "cut off ' + KEY.encode(), KEY) == b'{"sessionId": "cut off ***'
    assert blank(b'{"sessionId":"other"}', "") == b'{"sessionId":"***"}'
