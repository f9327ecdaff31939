"""`make mutation`: a sample of small wrong changes to what must never be wrong, and how many of them a test notices.

Runs after `make coverage`, whose records say which tests run a line. Each change is made in a copy of the project and
those tests are run there, the quickest first, for a minute at most. What they let through counts as not noticed,
although a longer test might notice it: the score is a lower bound. SAMPLE changes an area, chosen by SEED.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

from coverage import CoverageData

from tests.mutation.areas import AREAS, ROOT, files
from tests.mutation.mutants import Mutant, mutants

RECORDS = ROOT / "var/coverage"
GOAL = 85  # percent of each area
PATIENCE = 60.0  # seconds of tests for one change, by what they took with all others
MOST = 60  # of them


@dataclass(frozen=True, slots=True)
class Case:
    area: str
    path: Path
    mutant: Mutant

    def __str__(self) -> str:
        return f"{self.path}:{self.mutant}"


class Tests:
    """Which tests run a line, and for how long."""

    def __init__(self) -> None:
        self.data = CoverageData(str(RECORDS / "data"))
        self.data.read()
        self.seconds: dict[str, float] = defaultdict(float)
        for case in ET.parse(RECORDS / "tests.xml").iter("testcase"):
            place = "/".join(case.attrib["classname"].split(".")) + ".py"
            self.seconds[f"{place}::{case.attrib['name']}"] = float(case.attrib["time"])

    @cache  # noqa: B019 - one object a run
    def lines(self, path: Path) -> dict[int, list[str]]:
        found = self.data.contexts_by_lineno(str(path)) or self.data.contexts_by_lineno(str(ROOT / path))
        return {0: []} | {line: [_name(one) for one in contexts if one] for line, contexts in found.items()}

    def near(self, path: Path, line: int) -> set[str]:
        """Those that run the statement at a line: it is recorded where it begins."""
        lines = self.lines(path)
        return set(lines[max((one for one in lines if one <= line), default=0)]) if lines else set()

    def of(self, case: Case) -> list[str]:
        """The quickest first, as many as PATIENCE has room for."""
        known = self.near(case.path, case.mutant.line)
        if not known and case.mutant.name:
            known = {test for path, line in _uses(case.mutant.name) for test in self.near(path, line)}
        chosen, left = [], PATIENCE
        for test in sorted(known & self.seconds.keys(), key=lambda one: (self.seconds[one], one)):
            left -= self.seconds[test]
            if chosen and (left < 0 or len(chosen) == MOST):
                break
            chosen.append(test)
        return chosen


def _name(context: str) -> str:
    """A test's id of its own context or of that of a process that it started: "id (call)", both, or "a|b"."""
    return re.sub(r" \((setup|call|teardown)\)$", "", context.split("|")[-1] or context.split("|")[0])


@cache
def _uses(name: str) -> frozenset[tuple[Path, int]]:
    """The lines of functions that use a constant of SQL, or another one that it is part of."""
    found, seen, left = set(), {name}, [name]
    while left:
        word = re.compile(rf"\b{re.escape(left.pop())}\b")
        for path, text in _sources().items():
            holder = ""
            for number, line in enumerate(text.splitlines() if word.search(text) else (), 1):
                if made := re.match(r"(?:async )?(?:def )?([A-Za-z_]\w*)(?:: \w+)?(?: = |\()", line):
                    holder = made.group(1)
                if not word.search(line):
                    continue
                found.add((path, number))
                if holder and holder not in seen and (holder.isupper() or "sql" in path.parts):
                    seen.add(holder)
                    left.append(holder)
    return frozenset(found)


@cache
def _sources() -> dict[Path, str]:
    """Those that use our statements."""
    texts = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "phonebank/whatsappapi").rglob("*.py")}
    return {path: text for path, text in texts.items() if "sql" in path.parts or "dispatch.sql" in text}


class Copies:
    """Copies of the project, one for each change that is tried at the same time."""

    def __init__(self, folder: Path, count: int) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        self.free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            copy = folder / str(number)
            for name in listed:
                if (ROOT / name).is_file():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, copy / name)
            self.free.put(copy)

    def try_(self, case: Case | None, tests: list[str]) -> str:
        """What becomes of the tests: "noticed" or "missed"."""
        if not tests:
            return "missed"
        copy = self.free.get()
        path = copy / case.path if case else None
        source = path.read_bytes() if path else b""
        try:
            if path and case:
                path.write_bytes(case.mutant.of(source))
            if self._passes(copy, tests, quiet=case is not None):
                return "missed"
            if path:
                path.write_bytes(source)
            # Tests that are no longer there, by that name, notice nothing.
            return "noticed" if self._passes(copy, ["--collect-only", *tests]) else "missed"
        finally:
            if path:
                path.write_bytes(source)
            self.free.put(copy)

    def _passes(self, copy: Path, tests: list[str], *, quiet: bool = True) -> bool:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        to = subprocess.DEVNULL if quiet else None
        with subprocess.Popen(command, cwd=copy, stdout=to, stderr=to) as child:
            try:
                return child.wait(timeout=4 * PATIENCE) == 0
            except subprocess.TimeoutExpired:  # an endless loop is noticed
                child.kill()
                return False


def sample(size: int, seed: int) -> list[Case]:
    chosen = []
    for area in AREAS:
        known = [Case(area, path, one) for path in files(area) for one in mutants((ROOT / path).read_bytes())]
        chosen += random.Random(seed).sample(known, min(size, len(known)))
        print(f"{area}: {len(known)} possible changes in {len(files(area))} files", flush=True)
    return chosen


def main() -> int:
    size, seed = int(os.environ.get("SAMPLE", "60")), int(os.environ.get("SEED", "1"))
    tests, began = Tests(), time.monotonic()
    chosen = sample(size, seed)
    with tempfile.TemporaryDirectory(prefix="phonebank-mutants-") as folder, ThreadPoolExecutor(count := 2) as pool:
        copies = Copies(Path(folder), count)
        quick = sorted({one for case in chosen[:3] for one in tests.of(case)})[:20]
        if not quick:
            print("There is no record of which tests run a line: run `make coverage` first.")
            return 2
        if copies.try_(None, quick) != "missed":
            print("Without any change these tests do not pass in a copy of the project; see above:", *quick, sep="\n  ")
            return 2
        ends = list(pool.map(lambda case: _tell(case, copies.try_(case, tests.of(case)), len(tests.of(case))), chosen))
    return _verdict(chosen, ends, time.monotonic() - began, seed)


def _tell(case: Case, end: str, count: int) -> str:
    print(f"  {end:8} by {count:2} tests  {case}", flush=True)
    return end


def _verdict(chosen: list[Case], ends: list[str], seconds: float, seed: int) -> int:
    print(f"\n{len(chosen)} changes in {seconds:.0f} s, seed {seed}. Noticed:")
    worst = 100.0
    for area in AREAS:
        here = [end for case, end in zip(chosen, ends, strict=True) if case.area == area]
        score = 100 * here.count("noticed") / len(here)
        worst = min(worst, score)
        print(f"  {area:14} {here.count('noticed')} of {len(here)}, {score:.0f} %")
    print("Not noticed:", *(f"\n  {case}" for case, end in zip(chosen, ends, strict=True) if end == "missed"))
    return int(worst < GOAL)


if __name__ == "__main__":
    sys.exit(main())
