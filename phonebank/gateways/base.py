"""What a gateway hands back: the outcome of a send, and facts about sessions, logs and messages.

Outcomes state what is *proven* (send-path 1): only `MaybeSent` leaves open whether the person got the message.
Secrets and personal data are kept out of every repr.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: its monotonic clock runs on while asleep

T = TypeVar("T")


def boot_clock() -> float:
    """Seconds since the machine started, time asleep included: the clock of `send_before`."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The gateway queued the message and named it (contract 3); delivery is reported later."""

    msg_id: int
    jid: str = ""
    http_status: int = 200


@dataclass(frozen=True, slots=True)
class Rejected:
    """Proven unsent and final for this recipient. `code`: not_on_whatsapp or invalid."""

    code: str
    detail: str
    http_status: int


@dataclass(frozen=True, slots=True)
class Deferred:
    """Proven unsent and nobody's fault: same session, after `retry_after` seconds, no attempt counted.

    `code`: rate_limited, unreachable or late. `http_status` is None when no answer came.
    """

    code: str
    detail: str
    retry_after: float
    http_status: int | None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Proven unsent, and the fault lies with the session or the set-up.

    `code`: unauthorized, no_subscription, not_connected, gone, or configuration (pauses the campaign).
    """

    code: str
    detail: str
    http_status: int | None


@dataclass(frozen=True, slots=True)
class MaybeSent:
    """Bytes left and no clear answer came back: never repeat it without evidence.

    `code`: timeout, reset, server_error, garbage, no_msg_id or unexpected.
    """

    code: str
    detail: str
    http_status: int | None


Outcome = Accepted | Rejected | Deferred | NotSent | MaybeSent


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as the gateway describes it (contract 2.1). The secrets come with create, get and update only."""

    id: int
    name: str
    phone_number: str
    status: str
    raw_status: str
    account_protection: bool
    log_messages: bool
    webhook_url: str
    webhook_enabled: bool
    webhook_events: tuple[str, ...]
    api_key: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    warning: str = ""


@dataclass(frozen=True, slots=True)
class QrCode:
    """The text of a linking QR code (contract 2.2); who scans it owns the session, so it is never shown in a repr."""

    qr: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Passkey:
    """What WaSender's passkey helper asks for (contract 2.5); who has it can link the session."""

    token: str = field(repr=False)
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConnectResult:
    """The answer to connect (contract 2.2): a QR text, a passkey token, or neither when already connected."""

    status: str
    raw_status: str
    qr: str | None = field(default=None, repr=False)
    passkey_token: str | None = field(default=None, repr=False)
    passkey_expires_at: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One message sent through the API (contract 2.3). `to` and `content` are None when message logging is off."""

    id: int
    to: str | None = field(repr=False)
    content: str | None = field(repr=False)
    status: str
    failed_reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SessionLogEntry:
    """One change of a session's state as the gateway recorded it (contract 2.3)."""

    id: int
    event_type: str
    status: str
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class LogPage(Generic[T]):
    """One page of a log, newest first; pages count from 1."""

    entries: tuple[T, ...]
    page: int
    last_page: int
    total: int


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """What the gateway knows of one message (contract 3.2); `status` is 0..5 or None."""

    msg_id: int
    key_id: str
    remote_jid: str
    status: int | None
    text: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """The number really linked to a session, as +E164, which may differ from the one it was created with."""

    number: str
    lid: str
    name: str
