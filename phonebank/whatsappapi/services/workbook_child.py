"""A program of its own: turns the first sheet of a workbook into CSV, with little memory and time to do it in.

    python -I workbook_child.py SOURCE TARGET ROWS COLUMNS

Prints what it read, or why it could not, as JSON. Anything else that it does is taken for "too much". Imports nothing
of the product: it handles what a stranger made.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import json
import resource
import sys
from typing import Any

import python_calamine

MEMORY = 1536 * 2**20  # bytes of address space
SECONDS = 25  # of CPU
CELLS = 12_000_000  # a million rows of twelve columns, empty ones counted


def main(source: str, target: str, rows_max: int, columns_max: int) -> dict[str, Any]:
    """Rows count from the sheet's first; those above the header are left out."""
    try:
        book = python_calamine.CalamineWorkbook.from_path(source)
    except python_calamine.PasswordError:
        return {"error": "The workbook is locked by a password. Save it without one."}
    except python_calamine.CalamineError:
        return {"error": "The workbook cannot be read. Save it anew as XLSX, or as “CSV UTF-8”."}
    shown = [
        one for one in book.sheets_metadata if str(one.typ).endswith("WorkSheet") and "Visible" in str(one.visible)
    ]
    for one in shown:
        sheet = book.get_sheet_by_name(one.name)
        if not sheet.height:
            continue
        if sheet.width > columns_max:
            return {"error": f"The sheet has {sheet.width} columns; at most {columns_max} can be read. Remove some."}
        if sheet.height * sheet.width > CELLS:
            return {"error": "The sheet spans too many cells, most of them empty. Copy its rows into a new workbook."}
        return write(sheet, target, rows_max) | {"name": one.name, "others": len(shown) - 1}
    return {"error": "The workbook has no rows."}


def write(sheet: Any, target: str, rows_max: int) -> dict[str, Any]:
    first, written = 0, 0
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for number, row in enumerate(sheet.iter_rows(), 1):
            cells = [text(value) for value in row] if any(value != "" for value in row) else []
            if not any(cells):
                if first:
                    file.write("\r\n")  # so that line numbers stay those of the sheet
                continue
            first = first or number
            written += 1
            if written > rows_max + 1:
                return {"error": f"The sheet has more than {rows_max:,} rows. Split it into several."}
            writer.writerow(cells)
    return {"first_line": first} if first else {"error": "The workbook has no rows."}


def text(value: Any) -> str:
    """A cell as a person reads it. Numbers without decimals lose the point: phone numbers are often stored so."""
    if isinstance(value, str):
        return " ".join(value.split()).replace("\x00", "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.date | datetime.datetime | datetime.time):
        return value.isoformat()
    return "" if value is None else str(value)


if __name__ == "__main__":
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # not every system knows every limit
            resource.setrlimit(limit, (most, most))
    json.dump(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])), sys.stdout)
