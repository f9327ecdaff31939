"""Reads the objects of the contract into our values. Each function raises ValueError for an object it cannot trust."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from phonebank.gateways.base import (
    ConnectResult,
    LogEntry,
    LogPage,
    MessageInfo,
    Passkey,
    SessionInfo,
    SessionLogEntry,
    WhoAmI,
)  # fmt: skip
from phonebank.gateways.coerce import (
    as_datetime,
    as_int,
    as_object,
    as_phone,
    as_text,
    message_text,
    normalise_status,
    parse_json,
)  # fmt: skip

T = TypeVar("T")


def session(data: object) -> SessionInfo:
    """A Session object (contract 2.1); unknown fields are ignored, secrets are None where absent."""
    body = as_object(data)
    events = body.get("webhook_events")
    return SessionInfo(
        id=_positive(body.get("id"), "session id"),
        name=as_text(body.get("name"), 200),
        phone_number=as_text(body.get("phone_number"), 40),
        status=normalise_status(body.get("status")),
        raw_status=as_text(body.get("status"), 100),
        account_protection=_flag(body.get("account_protection")),
        log_messages=_flag(body.get("log_messages")),
        webhook_url=as_text(body.get("webhook_url"), 2000),
        webhook_enabled=_flag(body.get("webhook_enabled")),
        webhook_events=tuple(as_text(name, 100) for name in events) if isinstance(events, list) else (),
        api_key=as_text(body.get("api_key"), 500) or None,
        webhook_secret=as_text(body.get("webhook_secret"), 500) or None,
    )


def sessions(data: object) -> list[SessionInfo]:
    """The list of sessions (contract 2)."""
    if not isinstance(data, list):
        raise ValueError("the list of sessions is no list")
    return [session(item) for item in data]


def connection(data: object) -> ConnectResult:
    """The answer to connect (contract 2.2), whose status comes in upper case."""
    body = as_object(data)
    passkey = as_object(body.get("passkey"))
    expires = passkey.get("expires_at")
    return ConnectResult(
        status=normalise_status(body.get("status")),
        raw_status=as_text(body.get("status"), 100),
        qr=as_text(body.get("qrCode"), 2000) or None,
        passkey_token=as_text(passkey.get("token"), 2000) or None,
        passkey_expires_at=str(expires) if as_int(expires) is not None else as_text(expires, 100),
        message=as_text(body.get("message"), 500),
    )


def passkey(data: object) -> Passkey:
    """A passkey token (contract 2); when it ends may be told as a date or as seconds or milliseconds since 1970."""
    body = as_object(data)
    token = as_text(body.get("token"), 2000)
    if not token:
        raise ValueError("no passkey token")
    expires = body.get("expires_at")
    number = as_int(expires)
    if number is not None:
        seconds = number / 1000 if number > 10**11 else number
        moment = datetime.fromtimestamp(seconds, UTC) if 0 <= seconds < 10**11 else None
    else:
        moment = as_datetime(expires)
    return Passkey(token, moment)


def log_page(data: object, entry: Callable[[Any], T]) -> LogPage[T]:
    """A page of a log (contract 2.3). One unreadable entry spoils the page: absence is proven by such pages."""
    body = as_object(data)
    items = body.get("data")
    if not isinstance(items, list):
        raise ValueError("a log page without entries")
    return LogPage(
        entries=tuple(entry(item) for item in items),
        page=_positive(body.get("current_page"), "page number"),
        last_page=_positive(body.get("last_page"), "last page"),
        total=_natural(body.get("total"), "total"),
    )


def message_entry(data: object) -> LogEntry:
    """An entry of the message log; `content` is JSON in a string, or null (contract 2.3)."""
    body = as_object(data)
    return LogEntry(
        id=_positive(body.get("id"), "log id"),
        to=as_text(body.get("to"), 200) or None,
        content=_content(body.get("content")),
        status=as_text(body.get("status"), 50).casefold(),
        failed_reason=as_text(body.get("failed_reason"), 500),
        created_at=_moment(body.get("created_at")),
    )


def session_entry(data: object) -> SessionLogEntry:
    """An entry of the session log (contract 2.3)."""
    body = as_object(data)
    return SessionLogEntry(
        id=_positive(body.get("id"), "log id"),
        event_type=as_text(body.get("event_type"), 100),
        status=as_text(body.get("status"), 100),
        occurred_at=as_datetime(body.get("occurred_at")),
    )


def message_info(data: object) -> MessageInfo:
    """What `GET /messages/{msgId}/info` says (contract 3.2); a status outside 0..5 reads as None."""
    body = as_object(data)
    key = as_object(body.get("key"))
    status = as_int(body.get("status"))
    return MessageInfo(
        msg_id=_positive(body.get("msgId"), "msgId"),
        key_id=as_text(key.get("id"), 200) or as_text(body.get("id"), 200),
        remote_jid=as_text(body.get("remoteJid"), 200) or as_text(key.get("remoteJid"), 200),
        status=status if status is not None and 0 <= status <= 5 else None,
        text=message_text(body.get("message")),
    )


def who_am_i(data: object) -> WhoAmI:
    """The linked number (contract 2): the part of `id` before ":" or "@"."""
    body = as_object(data)
    number = as_phone(body.get("id"))
    if number is None:
        raise ValueError("no number in the answer")
    return WhoAmI(number, as_text(body.get("lid"), 200), as_text(body.get("name"), 200))


# A picture without a caption is known, not hidden.
_MEDIA = {"imageUrl", "videoUrl", "documentUrl", "audioUrl", "stickerUrl"}


def _content(value: object) -> str | None:
    if isinstance(value, dict):
        return message_text(value)
    if not isinstance(value, str):
        return None
    try:
        decoded = parse_json(value)
    except ValueError:
        return as_text(value, 65536)
    if isinstance(decoded, dict):
        words = message_text(decoded)
        return "" if words is None and _MEDIA & decoded.keys() else words
    return as_text(decoded if isinstance(decoded, str) else value, 65536)


def _flag(value: object) -> bool:
    return value is True or value == 1


def _positive(value: object, name: str) -> int:
    number = as_int(value)
    if number is None or number < 1:
        raise ValueError(f"no usable {name}")
    return number


def _natural(value: object, name: str) -> int:
    number = as_int(value)
    if number is None or number < 0:
        raise ValueError(f"no usable {name}")
    return number


def _moment(value: object) -> datetime:
    moment = as_datetime(value)
    if moment is None:
        raise ValueError("no usable time in a log entry")
    return moment
