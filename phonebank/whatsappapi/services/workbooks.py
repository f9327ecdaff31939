"""Reads workbooks (XLSX) that strangers made: looked over from outside, then turned into CSV by a child process that
may use only so much memory and time."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.language import said
from phonebank.whatsappapi.services.csv_files import COLUMNS_MAX, ROWS_MAX, FileProblem

FILE_MAX = 25 * 2**20  # bytes of the file itself
UNPACKED_MAX = 400 * 2**20
RATIO_MAX = 200  # unpacked to packed, of parts larger than a megabyte; rows that repeat reach about 50
PARTS_MAX = 2_000
SECONDS = 30  # for an honest workbook of a million rows; bombs end within a few
_CHILD = Path(__file__).with_name("workbook_child.py")
_SAVE_AS = gettext_lazy("Save it as “CSV UTF-8” and try again.")


@dataclass(frozen=True, slots=True)
class Sheet:
    """The sheet that was read; `first_line` is the row of it that its header stands in, `others` how many were not."""

    name: str
    first_line: int
    others: int


def is_workbook(start: bytes) -> bool:
    """Whether a file that starts so is an XLSX (any zip, in fact: `to_csv` says what it lacks)."""
    return start.startswith(b"PK\x03\x04")


def to_csv(source: Path, target: Path) -> Sheet:
    """Writes the rows of the first sheet with any as CSV (UTF-8, commas). Raises FileProblem."""
    with source.open("rb") as file:
        _look_over(file)
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", str(_CHILD), str(source), str(target), str(ROWS_MAX), str(COLUMNS_MAX)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FileProblem(_("The workbook takes too long to read. %(save_as)s") % {"save_as": _SAVE_AS}) from None
    answer = _answer(done.stdout) if done.returncode == 0 else {}
    if not answer:
        raise FileProblem(
            _(
                "The workbook needs too much memory or time to read: often far more cells are formatted than filled. "
                "Copy the rows into a new workbook, or save them as “CSV UTF-8”."
            )
        )
    if "error" in answer:
        raise FileProblem(said(str(answer["error"])))
    return Sheet(str(answer["name"])[:60], int(answer["first_line"]), int(answer["others"]))


def _answer(output: bytes) -> dict[str, object]:
    try:
        found = json.loads(output)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _look_over(file: BinaryIO) -> None:
    """Unpacks everything once, into nothing: what the directory says of sizes need not be true."""
    if file.seek(0, 2) > FILE_MAX:
        raise FileProblem(
            _("The workbook is larger than %(file_max)s MB. Split it, or save it as “CSV UTF-8”.")
            % {"file_max": FILE_MAX // 2**20}
        )
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as bundle:
            parts = bundle.infolist()
            if not any(part.filename == "xl/workbook.xml" for part in parts):
                raise FileProblem(_("This is not an XLSX workbook. Save it as XLSX or as “CSV UTF-8” and try again."))
            if len(parts) > PARTS_MAX or len({part.filename for part in parts}) < len(parts):
                raise FileProblem(_("The workbook is built in an unusual way. %(save_as)s") % {"save_as": _SAVE_AS})
            if any(part.flag_bits & 1 for part in parts):
                raise FileProblem(_("The workbook is locked by a password. Save it without one."))
            _unpack(bundle, parts)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, ValueError):
        raise FileProblem(_("The workbook is damaged: it cannot be unpacked. Save it anew and try again.")) from None


def _unpack(bundle: zipfile.ZipFile, parts: list[zipfile.ZipInfo]) -> None:
    total = 0
    for part in parts:
        unpacked = 0
        for block in _read(bundle, part):
            if not unpacked and b"<!DOCTYPE" in block[:65536].replace(b"\x00", b""):
                raise FileProblem(
                    _("The workbook holds definitions that no spreadsheet writes. %(save_as)s") % {"save_as": _SAVE_AS}
                )
            unpacked += len(block)
            total += len(block)
            if total > UNPACKED_MAX or (unpacked > 2**20 and unpacked > RATIO_MAX * max(part.compress_size, 1)):
                raise FileProblem(
                    _("The workbook unpacks to far more than it holds. %(save_as)s") % {"save_as": _SAVE_AS}
                )


def _read(bundle: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    with bundle.open(part) as unpacked:
        yield from iter(lambda: unpacked.read(2**20), b"")
