"""Turns foreign values into ones that PostgreSQL takes: no NUL, no lone surrogate, nothing beyond bigint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

BIGINT_MAX = 2**63 - 1
STATUSES = frozenset({"disconnected", "connecting", "need_scan", "need_passkey", "connected", "logged_out", "expired"})
_PN_JID = re.compile(r"(\d{7,15})(?::\d+)?@s\.whatsapp\.net", re.ASCII)
# Where the words of a message stand (contract 7.4, 7.7); wrappers carry another message under "message".
_TEXTS = (
    ("extendedTextMessage", "text"), ("imageMessage", "caption"), ("videoMessage", "caption"),
    ("documentMessage", "caption"), ("buttonsResponseMessage", "selectedDisplayText"),
    ("templateButtonReplyMessage", "selectedDisplayText"), ("listResponseMessage", "title"),
)  # fmt: skip
_CARRIED = (
    ("imageMessage", "photo"), ("videoMessage", "video"), ("audioMessage", "audio"), ("documentMessage", "document"),
    ("stickerMessage", "sticker"), ("contactMessage", "contact"), ("contactsArrayMessage", "contact"),
    ("locationMessage", "location"), ("liveLocationMessage", "location"), ("pollCreationMessage", "poll"),
    ("reactionMessage", "reaction"),
)  # fmt: skip
_WRAPPERS = ("ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "documentWithCaptionMessage", "editedMessage")


def normalise_status(raw: object) -> str:
    """A session status in our words, `unknown` for any other (contract 2.4); unknown is never connected."""
    word = raw.strip().casefold() if isinstance(raw, str) else ""
    return word if word in STATUSES else "unknown"


def as_object(value: object) -> Mapping[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_int(value: object) -> int | None:
    """An integer that fits a bigint, from a number or its decimal digits; None for all else, booleans included."""
    if isinstance(value, str) and 0 < len(value) <= 19 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -BIGINT_MAX <= value <= BIGINT_MAX else None


def as_text(value: object, limit: int = 4096) -> str:
    """Storable text of at most `limit` characters; empty when `value` is not a string."""
    if not isinstance(value, str):
        return ""
    text = value[:limit]
    if text.isascii() and "\x00" not in text:  # nearly all of them, and one in every answer to a send
        return text
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def as_phone(value: object) -> str | None:
    """+E164 from bare digits (with or without a plus) or from a phone JID; never from a LID (contract 4)."""
    text = as_text(value, 64).strip()
    jid = _PN_JID.fullmatch(text)
    digits = jid[1] if jid else text.removeprefix("+")
    if digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 and digits[0] != "0":
        return "+" + digits
    return None


def as_time(value: object) -> datetime | None:
    """An aware UTC time from seconds or milliseconds since 1970 (contract 7.3); None when absent or absurd."""
    number = as_int(value)
    if number is None or number <= 0:
        return None
    try:
        return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def as_datetime(value: object) -> datetime | None:
    """An aware UTC time from ISO 8601 text; text without a zone is UTC (contract 2.3)."""
    try:
        moment = datetime.fromisoformat(as_text(value, 40).strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_json(raw: bytes | str) -> object:
    """The JSON value in `raw`; ValueError for anything that is none, too deep or too long a number included."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def message_media(message: object) -> str:
    """What a WhatsApp message object carries beside words, in one word; empty for a bare text."""
    for _ in range(6):
        body = as_object(message)
        found = next((word for field, word in _CARRIED if isinstance(body.get(field), dict)), "")
        inner = next((body[kind] for kind in _WRAPPERS if isinstance(body.get(kind), dict)), None)
        if found or inner is None:
            return found
        message = as_object(inner).get("message")
    return ""


def message_text(message: object, limit: int = 65536) -> str | None:
    """The words of a WhatsApp message object or of a send payload, caption included; None when it has none."""
    for _ in range(6):
        body = as_object(message)
        for found in (body.get("conversation"), body.get("text"), *(as_object(body.get(k)).get(f) for k, f in _TEXTS)):
            if isinstance(found, str):
                return as_text(found, limit)
        inner = next((body[kind] for kind in _WRAPPERS if isinstance(body.get(kind), dict)), None)
        message = as_object(inner).get("message") or as_object(body.get("protocolMessage")).get("editedMessage")
    return None
