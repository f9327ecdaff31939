"""Reads translators' files (.po) without gettext's tools."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import phonebank

LOCALE = Path(phonebank.__file__).parent / "locale"
LANGUAGES = {"es": "es", "pt-br": "pt_BR", "ar": "ar", "id": "id", "hi": "hi"}


@dataclass
class Entry:
    """`texts` by plural form; one form where there is no plural."""

    context: str | None = None
    one: str = ""
    many: str | None = None
    texts: dict[int, str] = field(default_factory=dict)
    is_fuzzy: bool = False

    @property
    def key(self) -> str:
        """As compiled catalogues have it."""
        return self.one if self.context is None else f"{self.context}\x04{self.one}"


def read(locale: str) -> list[Entry]:
    """Everything but the header."""
    path = LOCALE / locale / "LC_MESSAGES" / "django.po"
    return [one for one in _entries(path.read_text(encoding="utf-8")) if one.one]


def _entries(text: str) -> Iterator[Entry]:
    for block in text.split("\n\n"):
        entry, what = Entry(), ""
        parts: dict[str, str] = {}
        for line in block.splitlines():
            if line.startswith("#"):
                entry.is_fuzzy |= line.startswith("#,") and "fuzzy" in line
                continue
            if not line.startswith('"'):
                what, _, line = line.partition(" ")
            parts[what] = parts.get(what, "") + ast.literal_eval(line)
        if "msgid" not in parts:
            continue
        entry.context, entry.one, entry.many = parts.get("msgctxt"), parts["msgid"], parts.get("msgid_plural")
        for name, value in parts.items():
            if name.startswith("msgstr"):
                entry.texts[int(name[7:-1] or 0) if "[" in name else 0] = value
        yield entry
