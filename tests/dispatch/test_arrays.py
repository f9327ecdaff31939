from __future__ import annotations

import uuid
from datetime import date
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebank.whatsappapi.dispatch.arrays import ArrayDumper
from tests.dispatch.bench import Bench

ONE = uuid.UUID("11111111-2222-4333-8444-555555555555")


def through(bench: Bench, kind: str, values: list[Any]) -> Any:
    async def ask() -> Any:
        # As a column, for that is how the statements read them.
        rows = await bench.conn.execute(
            f"SELECT coalesce(array_agg(v ORDER BY n), '{{}}') FROM unnest(%(v)s::{kind}[]) WITH ORDINALITY AS u(v, n)",
            {"v": values},
        )
        return (await rows.fetchone())[0]

    return bench.run(ask())


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", [1, -(2**63), 2**63 - 1, None]),
        ("int", []),
        ("float8", [0.1, 1e-300, -5.0, 1e308]),
        ("bool", [True, False, None]),
        ("uuid", [ONE, None]),
        ("date", [date(2026, 2, 28), None]),
        ("bytea", [b"", b'\x00\\"\xff', None]),
        ("text", ["", "NULL", "null", 'a"b', "a\\b", "{}", "a,b", " x ", "\n\t", "שלום", "👩🏽‍🌾", "';", "\\x", None]),
    ],
)
def test_what_goes_in_comes_out(bench: Bench, kind: str, values: list[Any]) -> None:
    assert through(bench, kind, values) == values


def test_any_text_comes_out(bench: Bench) -> None:
    @given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
    def check(values: list[str]) -> None:
        assert through(bench, "text", values) == values

    check()


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_what_postgresql_cannot_hold_is_refused_before_it_leaves(value: str) -> None:
    with pytest.raises((psycopg.DataError, ValueError)):
        ArrayDumper(list).dump([value])
