"""Reads CSV files as people have them: any usual encoding and separator, one clear sentence where it cannot."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import charset_normalizer
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.language import grouped

COLUMNS_MAX = 60
ROWS_MAX = 1_000_000
SAMPLE = 64 * 1024  # bytes looked at to tell text from anything else
BLOCK = 1 << 20
DELIMITERS = ",;\t|"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, ""), (codecs.BOM_UTF32_BE, ""),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_LOCKED = "EncryptedPackage".encode("utf-16-le")  # in the container that spreadsheets put an encrypted workbook into
_MANY_HIGH = re.compile(rb"[\xc0-\xff]{4}")  # four accented letters in a row: not a Western code page
_GUESSED = [
    "cp1251", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r", "iso8859_2",
    "iso8859_5", "mac_roman", "mac_cyrillic", "shift_jis", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp949",
]  # fmt: skip
_SAVE_AS = gettext_lazy("Save it as “CSV UTF-8” and try again.")


class FileProblem(Exception):
    """The file as a whole cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """The headers, and the rows as (line number, cells) with blank ones left out. Reading on may raise FileProblem."""

    headers: list[str]
    rows: Iterator[tuple[int, list[str]]]
    encoding: str
    delimiter: str


def open_table(
    source: bytes | BinaryIO,
    *,
    known: frozenset[str] = frozenset(),
    encoding: str = "",
    delimiter: str = "",
    may_guess: bool = False,
) -> Table:
    """Reads the header. `known` are headers (as `plain` writes them) that tell the right separator from a wrong one.

    `encoding` and `delimiter` are found when they are not given. `may_guess`: somebody will look at a preview, so an
    encoding that is only likely will do.
    """
    file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source
    encoding = encoding or _encoding(file, may_guess)
    file.seek(0)
    text = io.TextIOWrapper(_Kept(file), encoding=encoding, newline="")
    skipped = 0
    first = text.readline(SAMPLE)
    named = re.fullmatch(r"sep=(.)\r?\n?", first)  # a spreadsheet's way to name its separator
    if named:
        skipped, first = 1, text.readline(SAMPLE)
    if not first.strip():
        raise FileProblem(_("The first line is empty; it must name the columns."))
    delimiter = delimiter or (named[1] if named else _delimiter(first, known))
    text.seek(0)
    for __ in range(skipped):
        text.readline()
    lines = _rows(csv.reader(text, delimiter=delimiter, strict=True), skipped)
    __, headers = next(lines, (0, []))
    headers = [" ".join(cell.split()) for cell in headers]
    if len(headers) > COLUMNS_MAX:
        raise FileProblem(
            _("The file has %(n)s columns; at most %(columns_max)s can be read. Remove some.")
            % {"n": len(headers), "columns_max": COLUMNS_MAX}
        )
    return Table(headers, lines, encoding, delimiter)


def plain(header: str) -> str:
    """A header's letters and digits in lower case."""
    return "".join(char for char in header.casefold() if char.isalnum())


class _Kept(io.RawIOBase):
    """The caller's file for a text wrapper, which would otherwise close it with itself."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _rows(reader: Iterator[list[str]], skipped: int) -> Iterator[tuple[int, list[str]]]:
    line = skipped + 1
    read = 0
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                read += 1
                if read > ROWS_MAX + 1:
                    raise FileProblem(
                        _("The file has more than %(rows_max)s rows. Split it into several.")
                        % {"rows_max": grouped(ROWS_MAX)}
                    )
                yield line, cells
            line = skipped + reader.line_num + 1  # type: ignore[attr-defined]
    except csv.Error as error:
        if "field larger" in str(error):
            raise FileProblem(_("Line %(line)s has a cell of more than 131,072 characters.") % {"line": line}) from None
        raise FileProblem(
            _("Line %(line)s: a quotation mark is opened and never closed, or stands inside a cell.") % {"line": line}
        ) from None
    except UnicodeError:
        raise FileProblem(
            _("Near line %(line)s the file is not in the encoding it begins in. %(save_as)s")
            % {"line": line, "save_as": _SAVE_AS}
        ) from None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(BLOCK), b"")


def _encoding(file: BinaryIO, may_guess: bool) -> str:
    file.seek(0)
    sample = file.read(SAMPLE)
    if all(not block.strip(b"\x00\t\r\n ") for block in _blocks(file)):
        raise FileProblem(_("The file is empty."))
    if sample.startswith(b"\xd0\xcf\x11\xe0") and any(_LOCKED in block for block in _blocks(file)):
        raise FileProblem(_("The workbook is locked by a password. Save it without one."))
    if sample.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise FileProblem(_("This is a spreadsheet, not a CSV file. Open it and save it as “CSV UTF-8”."))
    for mark, encoding in _BOMS:
        if sample.startswith(mark):
            if not encoding or not _decodes(file, encoding):
                break
            return encoding
    else:
        found = _without_mark(file, sample, may_guess)
        if found:
            return found
    raise FileProblem(_("The file's encoding cannot be told. %(save_as)s") % {"save_as": _SAVE_AS})


def _without_mark(file: BinaryIO, sample: bytes, may_guess: bool) -> str:
    for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if sample[odd::2].count(0) > len(sample) * 0.4 and not sample[1 - odd :: 2].count(0):
            return encoding if _decodes(file, encoding) else ""
    if any(_CONTROLS.search(block) for block in _blocks(file)):
        raise FileProblem(_("This is not a text file. %(save_as)s") % {"save_as": _SAVE_AS})
    if _decodes(file, "utf-8"):
        return "utf-8"
    if not any(_MANY_HIGH.search(block) for block in _blocks(file)) and _decodes(file, "cp1252"):
        return "cp1252"
    return _guess(file, sample) if may_guess else ""


def _guess(file: BinaryIO, sample: bytes) -> str:
    """The likeliest encoding of what is written in another script than ours; empty where none makes sense."""
    best = charset_normalizer.from_bytes(sample.rpartition(b"\n")[0] or sample, cp_isolation=_GUESSED).best()
    return best.encoding if best is not None and best.chaos < 0.1 and _decodes(file, best.encoding) else ""


def _decodes(file: BinaryIO, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in _blocks(file):
            if "\x00" in decoder.decode(block):
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
