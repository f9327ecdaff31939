"""docs/security.md leaves nothing out, and names only tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/security.md").read_text()
STATES = {"met", "partly", "not done", "n/a"}

# Requirements of ASVS 5.0.0 at levels 1 and 2: section -> how many from the first on (its level 3 ones come last).
SECTIONS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2, "3.3": 4,
    "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5,
    "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4,
    "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1,
    "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3,
    "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4,
    "17.3": 2,
}  # fmt: skip


def test_every_named_test_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 150
    files = {file: ROOT / "tests" / file for file, _ in named}
    assert [file for file, path in files.items() if not path.is_file() and file != "tests/api/fuzz.py"] == []
    sources = {file: path.read_text() for file, path in files.items() if path.is_file()}
    assert [(file, name) for file, name in named if name and f"def {name}(" not in sources[file]] == []


def test_every_threat_and_every_requirement_is_answered() -> None:
    assert re.findall(r"^\| (S\d+) \|", TEXT, re.M) == [f"S{n}" for n in range(1, 35)]
    rows = re.findall(r"^\| ((?:\d+\.\d+\.\d+(?:, )?)+) \| [^|]+ \| ([^|]+) \|", TEXT, re.M)
    found = [one for numbers, _ in rows for one in numbers.split(", ")]
    asked = [f"{section}.{n}" for section, count in SECTIONS.items() for n in range(1, count + 1)]
    assert sorted(found) == sorted(asked)
    assert {state for _, state in rows} <= STATES
