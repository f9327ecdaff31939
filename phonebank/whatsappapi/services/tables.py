"""Rows as files that people download, CSV and XLSX. What a stranger wrote into a cell stays text."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import xlsxwriter

SHEET_ROWS = 1_000_000
CELL_MAX = 32_767
_LIVE = re.compile(r"[\s\x00]*[=+\-@\t\r\x00|%]")
_PHONE = re.compile(r"\+\d{6,17}", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def csv_blocks(rows: Iterable[Sequence[str]], size: int = 100) -> Iterator[bytes]:
    """The rows as CSV (UTF-8 with its mark, which spreadsheets need): the first at once, then `size` at a time.

    Small blocks: that nobody reads any more is noticed between two of them.
    """
    out, due = io.StringIO(), 1
    writer = csv.writer(out)
    out.write("\ufeff")
    for number, row in enumerate(rows, 1):
        writer.writerow([inert(str(value)) for value in row])  # a heading may be translated only here
        if number == due:
            due += min(size, 9 * number)
            yield out.getvalue().encode("utf-8", "replace")
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode("utf-8", "replace")


def inert(value: str) -> str:
    """The value, with an apostrophe before what a spreadsheet would run as a formula. A phone number stays as it is."""
    return f"'{value}" if _LIVE.match(value) and not _PHONE.fullmatch(value) else value


def xlsx_file(rows: Iterable[Sequence[str]]) -> BinaryIO:
    """The rows as a workbook in a temporary file, in constant memory; every cell is text, the first row a heading."""
    file = tempfile.TemporaryFile(suffix=".xlsx")  # noqa: SIM115 - the answer that sends it closes it
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
               "strings_to_numbers": False}  # fmt: skip
    with xlsxwriter.Workbook(file, options) as book:
        bold = book.add_format({"bold": True})
        head: Sequence[str] = ()
        sheet, place = None, 0
        for row in rows:
            if not head:
                head = row
                sheet, place = _sheet(book, head, bold), 1
                continue
            if place >= SHEET_ROWS:
                sheet, place = _sheet(book, head, bold), 1
            for column, value in enumerate(row):
                sheet.write_string(place, column, _FORBIDDEN.sub("", str(value))[:CELL_MAX])
            place += 1
        if sheet is None:
            book.add_worksheet()
    file.seek(0)
    return file


def _sheet(book: xlsxwriter.Workbook, head: Sequence[str], bold: object) -> xlsxwriter.worksheet.Worksheet:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, max(0, len(head) - 1), 18)
    for column, value in enumerate(head):
        sheet.write_string(0, column, _FORBIDDEN.sub("", str(value))[:CELL_MAX], bold)
    return sheet
