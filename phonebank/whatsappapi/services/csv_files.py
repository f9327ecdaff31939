"""Reads CSV files as people have them: any usual encoding and separator, one clear sentence where it cannot."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

COLUMNS_MAX = 60
SAMPLE = 64 * 1024  # bytes looked at to tell text from anything else
DELIMITERS = ",;\t|"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, ""), (codecs.BOM_UTF32_BE, ""),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MANY_HIGH = re.compile(rb"[\xc0-\xff]{4}")  # four accented letters in a row: not a Western code page
_SAVE_AS = "Save it as “CSV UTF-8” and try again."


class FileProblem(Exception):
    """The file as a whole cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """The headers, and the rows as (line number, cells) with blank ones left out. Reading on may raise FileProblem."""

    headers: list[str]
    rows: Iterator[tuple[int, list[str]]]
    encoding: str
    delimiter: str


def open_table(data: bytes, *, known: frozenset[str] = frozenset()) -> Table:
    """Reads the header. `known` are headers (as `plain` writes them) that tell the right separator from a wrong one."""
    encoding = _encoding(data)
    text = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, newline="")
    skipped = 0
    first = text.readline(SAMPLE)
    named = re.fullmatch(r"sep=(.)\r?\n?", first)  # a spreadsheet's way to name its separator
    if named:
        skipped, first = 1, text.readline(SAMPLE)
    if not first.strip():
        raise FileProblem("The first line is empty; it must name the columns.")
    delimiter = named[1] if named else _delimiter(first, known)
    text.seek(0)
    for _ in range(skipped):
        text.readline()
    lines = _rows(csv.reader(text, delimiter=delimiter, strict=True), skipped)
    _, headers = next(lines, (0, []))
    headers = [" ".join(cell.split()) for cell in headers]
    if len(headers) > COLUMNS_MAX:
        raise FileProblem(f"The file has {len(headers)} columns; at most {COLUMNS_MAX} can be read. Remove some.")
    return Table(headers, lines, encoding, delimiter)


def plain(header: str) -> str:
    """A header's letters and digits in lower case."""
    return "".join(char for char in header.casefold() if char.isalnum())


def _rows(reader: Iterator[list[str]], skipped: int) -> Iterator[tuple[int, list[str]]]:
    line = skipped + 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = skipped + reader.line_num + 1  # type: ignore[attr-defined]
    except csv.Error as error:
        if "field larger" in str(error):
            raise FileProblem(f"Line {line} has a cell of more than 131,072 characters.") from None
        raise FileProblem(
            f"Line {line}: a quotation mark is opened and never closed, or stands inside a cell."
        ) from None


def _encoding(data: bytes) -> str:
    if not data.strip(b"\x00\t\r\n "):
        raise FileProblem("The file is empty.")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise FileProblem("This is a spreadsheet, not a CSV file. Open it and save it as “CSV UTF-8”.")
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            if not encoding or not _decodes(data, encoding):
                break
            return encoding
    else:
        found = _without_mark(data)
        if found:
            return found
    raise FileProblem(f"The file's encoding cannot be told. {_SAVE_AS}")


def _without_mark(data: bytes) -> str:
    sample = data[:SAMPLE]
    for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if sample[odd::2].count(0) > len(sample) * 0.4 and not sample[1 - odd :: 2].count(0):
            return encoding if _decodes(data, encoding) else ""
    if _CONTROLS.search(data):
        raise FileProblem(f"This is not a text file. {_SAVE_AS}")
    if _decodes(data, "utf-8"):
        return "utf-8"
    if _MANY_HIGH.search(data):
        return ""
    return next((one for one in ("cp1252",) if _decodes(data, one)), "")


def _decodes(data: bytes, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(data), 1 << 20):
            if "\x00" in decoder.decode(data[start : start + (1 << 20)]):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(first: str, known: frozenset[str]) -> str:
    """The separator that makes known headers of the first line; else the one that stands in it most often."""

    def score(one: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([first], delimiter=one), [])
        except csv.Error:
            cells = []
        return sum(plain(cell) in known for cell in cells), len(cells)

    return max(DELIMITERS, key=score)
