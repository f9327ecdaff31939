"""What is tried as a wrong change: enough, and only what still is a program."""

from __future__ import annotations

import ast

from tests.mutation.areas import AREAS, ROOT, files
from tests.mutation.mutants import mutants

SOURCE = '''
"""May AND or OR."""
RULE = f"""SELECT a FROM b WHERE {1 < 2} AND c <= 3 AND d IS NULL
    -- e < 4
    ORDER BY f DESC"""

def may(x: int = 1, *, sure: bool = True) -> bool:
    if not x and sure:
        raise ValueError("a = b AND c")
    log.info("x")
    note(x)
    return x >= 2
'''
EXPECTED = [
    (3, "<=", "<"), (3, "AND", "OR"), (3, "AND", "OR"), (3, "IS NULL", "IS NOT NULL"), (5, " DESC", ""),
    (7, "1", "2"), (7, "True", "False"), (8, "not x and sure", "(not (not x and sure))"), (8, "not x", "(x)"),
    (8, "and", "or"), (9, 'raise ValueError("a = b AND c")', "pass"), (9, "=", "<>"), (9, "AND", "OR"),
    (11, "note(x)", "pass"), (12, ">=", ">"), (12, "2", "3"), (12, "x >= 2", "None"),
]  # fmt: skip


def test_they_are_the_ones_that_a_rule_can_be_broken_by() -> None:
    source = SOURCE.encode()
    found = sorted((one.line, one.old, one.new) for one in mutants(source))
    assert found == sorted(EXPECTED)
    for one in mutants(source):
        assert one.of(source) != source and ast.parse(one.of(source))


def test_every_area_has_files_with_rules() -> None:
    for area in AREAS:
        assert all(mutants((ROOT / path).read_bytes()) or "sql" in path.parts for path in files(area)), area
