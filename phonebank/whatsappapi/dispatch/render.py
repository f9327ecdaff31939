"""Merge tags: `{{ name|there }}`. No template language: one pass, and values are never read again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

TAG = re.compile(r"\{\{\s*(\w{1,40})\s*(?:\|([^{}]{0,200}))?\}\}")


def render(body: str, variables: Mapping[str, Any]) -> str:
    """`body` with its tags filled; an empty or missing value gives the tag's fallback, without one nothing."""

    def fill(tag: re.Match[str]) -> str:
        value = variables.get(tag[1])
        text = "" if value is None else str(value).strip()
        return text or (tag[2] or "").strip()

    return TAG.sub(fill, body)


def tags(body: str) -> list[str]:
    """The names of the tags in `body`, each once, in order."""
    return list(dict.fromkeys(tag[1] for tag in TAG.finditer(body)))


def body_hash(text: str) -> bytes:
    """SHA-256 of a rendered body: stored with the intent, matched against the gateway's log."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
