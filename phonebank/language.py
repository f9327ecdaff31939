"""Figures as the reader writes them, and sentences that rows keep, in the reader's language (docs/adr/0017)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from django.utils.formats import number_format
from django.utils.translation import get_language, gettext, override

T = TypeVar("T")
_PLACE = re.compile(r"%\((\w+)\)s")
_OWN = {"cell", "name", "session"}  # what people have named themselves is in no language
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")
_PATTERNS: dict[str, re.Pattern[str]] = {}


def stored(sentence: str) -> str:
    """Marks a sentence that is kept in a row. It stays English there; `said` puts it into the reader's language.

    To be called at import: what fills its %(places)s is found again by the sentence's pattern.
    """
    if _PLACE.search(sentence):
        parts = _PLACE.split(sentence.replace("%%", "%"))
        texts = [re.escape(part) if n % 2 == 0 else f"(?P<{part}>.+?)" for n, part in enumerate(parts)]
        _PATTERNS[sentence] = re.compile("".join(texts), re.S)
    return sentence


def said(text: str) -> str:
    """A sentence out of a row in the reader's language; as it is where nobody marked it."""
    if not text or (get_language() or "en").startswith("en"):
        return text
    if (known := gettext(text)) != text:
        return known
    for sentence, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            places = found.groupdict().items()
            return gettext(sentence) % {name: value if name in _OWN else _each(value) for name, value in places}
    parts = _SENTENCE_END.split(text)
    return " ".join(map(said, parts)) if len(parts) > 1 else text


def _each(value: str) -> str:
    """What stood in a place: several things may."""
    return ", ".join(map(said, value.split(", ")))


def in_english(rows: Iterable[T]) -> Iterator[T]:
    """What goes into a file, made in English however late it is asked for: a file is written after its request."""
    each = iter(rows)
    while True:
        with override("en"):
            found = list(itertools.islice(each, 1))
        if not found:
            return
        yield found[0]


def without_stop(sentence: str) -> str:
    """To stand in another sentence. Hindi ends its own with a danda."""
    return sentence.rstrip(".।")


def grouped(value: int) -> str:
    """12,345 in the reader's way."""
    return str(value) if -1000 < value < 1000 else number_format(value, use_l10n=True, force_grouping=True)
