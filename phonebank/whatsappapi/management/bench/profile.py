"""`phonebank bench profile`: where the sending process's CPU goes, by py-spy's samples."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from phonebank.whatsappapi.management.bench.compare import IN_FLIGHT, SESSIONS
from phonebank.whatsappapi.management.bench.cost import CHECKOUT, engine
from phonebank.whatsappapi.management.bench.machine import TICKS
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand

PY_SPY = CHECKOUT / ".venv-bench" / "bin" / "py-spy"
SECONDS = 8
# The first that fits any frame of a stack, from the innermost out, names it.
ROOMS = (
    ("aiohttp, yarl, multidict", re.compile(r"aiohttp/|yarl/|multidict/|propcache/")),
    ("psycopg", re.compile(r"psycopg")),
    ("gateways", re.compile(r"phonebank/gateways/")),
    ("dispatch", re.compile(r"phonebank/whatsappapi/dispatch/")),
    ("jobs and chores", re.compile(r"procrastinate|phonebank/|django/")),
    ("asyncio", re.compile(r"asyncio/|selectors")),
)


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """Shares of samples by room, and the hottest functions of each."""
    linked = stand.sessions(SESSIONS)
    workers = stand.workers(in_flight=IN_FLIGHT)
    engine(stand, linked, 1000, 0, workers)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        spy = subprocess.Popen(  # noqa: S603
            [PY_SPY, "record", "--format", "raw", "--threads", "--rate", "400", "--duration", str(SECONDS),
             "--output", raw, "--pid", str(workers[0])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before = by_thread(workers[0])
        cost = engine(stand, linked, options.messages, 0, workers)
        spent = {name: round(seconds - before.get(name, 0), 2) for name, seconds in by_thread(workers[0]).items()}
        spy.wait(60)
        stacks = raw.read_text().splitlines()
    shares = rooms(stacks)
    for name, (share, hot) in shares.items():
        options.say(f"{share:5.1%}  {name}: " + ", ".join(f"{one} {part:.1%}" for one, part in hot))
    options.say(f"CPU seconds by thread: {spent}")
    return {
        "cpu_ms": round(cost.ours, 3),
        "threads": spent,
        "shares": {name: share for name, (share, _) in shares.items()},
    }


def by_thread(pid: int) -> dict[str, float]:
    """CPU seconds of a process's threads; the main one first."""
    found: dict[str, float] = {}
    for place in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda one: int(one.name)):
        with suppress(OSError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            name = "main" if int(place.name) == pid else "others"
            found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS
    return found


def rooms(stacks: list[str]) -> dict[str, tuple[float, list[tuple[str, float]]]]:
    """By room: its share of all samples, and its hottest innermost functions."""
    totals: Counter[str] = Counter()
    inner: dict[str, Counter[str]] = {}
    for line in stacks:
        stack, _, n = line.rpartition(" ")
        frames = [frame for frame in stack.split(";")[::-1] if not frame.startswith(("process ", "thread "))]
        if "MainThread" not in stack or frames[0].startswith("select ("):
            continue  # other threads wait where py-spy sees no waiting; their time is in the figures by thread
        room = next((name for frame in frames for name, pattern in ROOMS if pattern.search(frame)), "else")
        totals[room] += int(n)
        inner.setdefault(room, Counter())[frames[0]] += int(n)
    whole = sum(totals.values()) or 1
    return {
        room: (n / whole, [(one, k / whole) for one, k in inner[room].most_common(12)])
        for room, n in totals.most_common()
    }
