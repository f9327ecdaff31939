"""Reads what the gateway posts to us (contract 7): pure functions, tolerant of every shape seen, safe on any bytes.

Only `parse` raises, and only `WebhookError`, when the body is no event at all; a piece that is not understood
becomes `Ignored` with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phonebank.gateways.coerce import (
    as_int,
    as_object,
    as_phone,
    as_text,
    as_time,
    message_media,
    message_text,
    normalise_status,
    parse_json,
)

ITEMS_MAX = 1000  # events read out of one delivery
_PHONE_IN_ERROR = re.compile(r"\+(\d{7,15})(?!\d)", re.ASCII)


class WebhookError(ValueError):
    """The body is not an event of the gateway; the text names the fault and quotes nothing."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A status of an outgoing message: 0 error, 1 pending, 2 sent, 3 delivered, 4 read, 5 played (contract 7.4).

    Unordered and repeated (7.5). `msg_id` comes in the full shape only; `key_id` is WhatsApp's id.
    """

    msg_id: int | None
    key_id: str | None
    status: int
    remote_jid: str = field(repr=False)
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendFailed:
    """A failed send without any id (contract 7.7): a hint to ask the message log, never a verdict."""

    phone: str | None = field(repr=False)
    error: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """The session changed its status; `raw` is the gateway's word."""

    status: str
    raw: str


@dataclass(frozen=True, slots=True)
class QrUpdated:
    """A new linking code."""

    qr: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from somebody. The same one may come under several event names: `key_id` tells.

    `phone` is +E164 or None when only a LID is known; the sender's own, also in a group.
    """

    key_id: str
    phone: str | None = field(repr=False)
    lid: str | None = field(repr=False)
    text: str | None = field(repr=False)
    push_name: str = field(repr=False)
    timestamp: datetime | None
    is_group: bool
    media: str = ""  # what it carries, in a word


@dataclass(frozen=True, slots=True)
class Ignored:
    """A piece of a delivery that changes nothing here, and why."""

    event: str
    why: str


Event = StatusUpdate | SendFailed | SessionStatus | QrUpdated | Inbound | Ignored


@dataclass(frozen=True, slots=True)
class WebhookPayload:
    """One delivery. `session_id` is the session's API key on the wire (contract 7.3), or its number as text."""

    event: str
    session_id: str | None = field(repr=False)
    timestamp: datetime | None
    events: tuple[Event, ...]


def parse(raw: bytes) -> WebhookPayload:
    """Read one delivery. Raises WebhookError, and nothing else whatever the bytes."""
    envelope = _envelope(raw)
    if envelope is None:
        raise WebhookError("the body is no JSON object")
    event = as_text(envelope.get("event"), 100).strip()
    if not event:
        raise WebhookError("the body names no event")
    data = envelope.get("data")
    reader = _READERS.get(event)
    if reader is None:
        events: list[Event] = [Ignored(event, "not used" if event in _UNUSED else "unknown event")]
    else:
        events = [reader(event, item) for item in _items(event, data)] or [Ignored(event, "no data")]
    return WebhookPayload(event, _session_ref(envelope), as_time(envelope.get("timestamp")), tuple(events))


def find_session_ref(raw: bytes) -> str | None:
    """What the delivery gives as its session: a session key, or a number as text; None when absent. Never raises."""
    envelope = _envelope(raw)
    if envelope is not None:
        return _session_ref(envelope)
    found = _SESSION_FIELD.search(raw)
    return as_text(found[2].strip(b'"').decode("ascii", "replace"), 200) or None if found else None


_SESSION_FIELD = re.compile(rb'("session_?id"\s*:\s*)("(?:[^"\\]|\\.)*"|\d+)', re.IGNORECASE | re.DOTALL)


def blank(raw: bytes, key: str) -> bytes:
    """`raw` without the session key: every occurrence of `key` and every sessionId value reads ***."""
    raw = _SESSION_FIELD.sub(rb'\1"***"', raw)
    if key:
        raw = re.sub(re.escape(key.encode()), b"***", raw, flags=re.IGNORECASE)
    return raw


def _envelope(raw: bytes) -> Mapping[str, Any] | None:
    try:
        value = parse_json(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _session_ref(envelope: Mapping[str, Any]) -> str | None:
    data = as_object(envelope.get("data"))
    for value in (envelope.get("sessionId"), data.get("sessionId"), data.get("session_id")):
        number = as_int(value)
        ref = str(number) if number is not None and not isinstance(value, str) else as_text(value, 200).strip()
        if ref:
            return ref
    return None


def _items(event: str, data: object) -> list[object]:
    """The single pieces of a delivery: an object, an array, or either one under "messages" (contract 7.7)."""
    if _READERS[event] is _message_event:
        data = as_object(data).get("messages", data)
    return data[:ITEMS_MAX] if isinstance(data, list) else [data]


def _session_event(event: str, data: object) -> Event:
    raw = as_text(as_object(data).get("status"), 100)
    return SessionStatus(normalise_status(raw), raw) if raw else Ignored(event, "no status")


def _qr_event(event: str, data: object) -> Event:
    body = as_object(data)
    qr = as_text(body.get("qr"), 2000) or as_text(body.get("qrCode"), 2000)
    return QrUpdated(qr) if qr else Ignored(event, "no code")


def _update_event(event: str, data: object) -> Event:
    """messages.update in its full, its acknowledgement and its documented shape (contract 7.4)."""
    body = as_object(data)
    status = as_int(body.get("status"))
    if status is None:
        status = as_int(as_object(body.get("update")).get("status"))
    if status is None or not 0 <= status <= 5:
        return Ignored(event, "no known status")
    return _status(event, body, status)


def _sent_event(event: str, data: object) -> Event:
    """message.sent: success names WhatsApp's id, failure only a text (contract 7.7)."""
    body = as_object(data)
    if body.get("success") is False:
        error = as_text(body.get("error"), 500)
        found = _PHONE_IN_ERROR.search(error)
        return SendFailed(as_phone(found[1]) if found else None, error)
    return _status(event, body, 2)


def _status(event: str, body: Mapping[str, Any], status: int) -> Event:
    key = as_object(body.get("key"))
    if key.get("fromMe") is False:
        return Ignored(event, "about an incoming message")
    msg_id = as_int(body.get("msgId"))
    if msg_id is not None and msg_id < 1:
        msg_id = None
    key_id = as_text(key.get("id"), 200) or as_text(body.get("id"), 200) or None
    if msg_id is None and key_id is None:
        return Ignored(event, "no id")
    remote = as_text(body.get("remoteJid"), 200) or as_text(key.get("remoteJid"), 200)
    return StatusUpdate(msg_id, key_id, status, remote, message_text(body.get("message")))


def _message_event(event: str, data: object) -> Event:
    """An inbound message object (contract 7.7); our own ones come back here as well."""
    body = as_object(data)
    key = as_object(body.get("key"))
    if key.get("fromMe") is not False:
        return Ignored(event, "not an incoming message")
    key_id = as_text(key.get("id"), 200) or as_text(body.get("id"), 200)
    if not key_id:
        return Ignored(event, "no id")
    remote = as_text(key.get("remoteJid"), 200) or as_text(body.get("remoteJid"), 200)
    if remote.endswith(("@broadcast", "@newsletter")):
        return Ignored(event, "a channel or a status")
    is_group = remote.endswith("@g.us")
    name = ("participant", "cleanedParticipantPn", "participantPn", "participantLid") if is_group else (
        "remoteJid", "cleanedSenderPn", "senderPn", "senderLid")  # fmt: skip
    # The address itself counts only as a phone JID: the digits of a LID belong to nobody, or to a stranger.
    address = as_text(key.get(name[0]), 200) or ("" if is_group else remote)
    phone = as_phone(key.get(name[1])) or as_phone(key.get(name[2]))
    if phone is None and "@" in address:
        phone = as_phone(address)
    lid = next((text for text in (as_text(key.get(name[3]), 200), address) if text.endswith("@lid")), None)
    return Inbound(
        key_id=key_id,
        phone=phone,
        lid=lid,
        text=as_text(body.get("messageBody"), 65536) or message_text(body.get("message")),
        push_name=as_text(body.get("pushName"), 200),
        timestamp=as_time(body.get("messageTimestamp")),
        is_group=is_group,
        media=message_media(body.get("message")),
    )


_READERS = {
    "session.status": _session_event,
    "qrcode.updated": _qr_event,
    "messages.update": _update_event,
    "message.sent": _sent_event,
    "messages.received": _message_event,
    "messages.recieved": _message_event,  # a vendor SDK's spelling
    "messages-personal.received": _message_event,
    "messages-group.received": _message_event,
    "messages-newsletter.received": _message_event,
    "messages.upsert": _message_event,
}
_UNUSED = frozenset(
    {
        "passkey.updated",
        "message-receipt.update",
        "messages.delete",
        "messages.reaction",
        "poll.results",
        "call",
        "call.received",
        "chats.upsert",
        "chats.update",
        "chats.delete",
        "contacts.upsert",
        "contacts.update",
        "groups.upsert",
        "groups.update",
        "group-participants.update",
    }
)
