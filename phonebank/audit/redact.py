"""What may be kept of a value: never a secret, a message text or a full phone number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"
LONGEST = 200  # characters of a string
DEEPEST = 4  # levels of lists and mappings

_SECRET = re.compile(r"token|secret|passw|passkey|passphrase|api_?key|credential|digest|cookie|(^|_)qr($|_)", re.I)
_TEXT = re.compile(r"(^|_)(body|text|message|caption|content|reply)$", re.I)
_PHONE = re.compile(r"phone|(^|_)(number|lid|jid|to|recipient|msisdn)$", re.I)
# 7 to 15 digits, however they are grouped; not a part of an id or of a date.
_NUMBER = re.compile(r"(?<![\w.-])\+?\(?\d(?:[\s().-]{0,2}\d){6,14}(?![\w-])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")


def redact(value: Any, key: str = "") -> Any:
    """`value` as JSON may hold it, by the rule of its name and by what it looks like."""
    return _redact(value, key, 0)


def label(text: str) -> str:
    """A name of something, at most 80 characters, without a full phone number."""
    return _words(text)[:80]


def last_four(number: Any) -> str:
    """A phone number as …0123; without four digits nothing is left of it."""
    digits = re.sub(r"\D", "", str(number))
    return f"…{digits[-4:]}" if len(digits) > 4 else "…"


def _redact(value: Any, key: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _SECRET.search(key):
        return HIDDEN
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == DEEPEST:
            return HIDDEN
        if isinstance(value, Mapping):
            return {_words(str(name))[:60]: _redact(one, str(name), depth + 1) for name, one in value.items()}
        return [_redact(one, key, depth + 1) for one in value]
    if _PHONE.search(key) and sum(char.isdigit() for char in str(value)) > 4:
        return last_four(value)
    if isinstance(value, int | float):
        return value if value == value and abs(value) != float("inf") else str(value)
    text = str(value)
    if _TEXT.search(key):
        return f"({len(text)} characters)"
    return _words(text)[:LONGEST]


def _words(text: str) -> str:
    text = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return _NUMBER.sub(lambda found: found[0] if _DATE.match(found[0]) else last_four(found[0]), text)
