"""Columns of hundreds of values on their way to PostgreSQL, written at once.

psycopg asks each value how it wants to be written, in Python: half of what a message cost the sender. It also names
the type of an array by its largest number, so that one statement was planned for int2[], int4[] and int8[] anew.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.adapt import Dumper


class ArrayDumper(Dumper):
    """A list of one type, as the text of an array of unknown type: statements cast it (`%(n)s::int[]`).

    For numbers, bools, dates, UUIDs, texts and bytes; None is NULL.
    """

    def dump(self, obj: list[Any]) -> bytes:
        kind = next((type(one) for one in obj if one is not None), None)
        write = _text if kind is str else _bytes if kind is bytes else str
        if None in obj:
            return f"{{{','.join('NULL' if one is None else write(one) for one in obj)}}}".encode()
        return f"{{{','.join(map(write, obj))}}}".encode()


def _text(value: str) -> str:
    if "\0" in value:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _bytes(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


async def connect(dsn: dict[str, Any]) -> psycopg.AsyncConnection[Any]:
    """The engine's connection, which commits by itself and writes its lists so."""
    conn = await psycopg.AsyncConnection.connect(**dsn, autocommit=True)
    conn.adapters.register_dumper(list, ArrayDumper)
    return conn
