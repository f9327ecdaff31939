"""What was found: one JSON file that every run adds to, and the goals it is held against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from phonebank.whatsappapi.management.bench.cost import CHECKOUT

FOLDER = CHECKOUT / "var" / "bench"
NAMES = {
    "phonebank": "Phonebank",
    "loop": "loop: ORM, requests.post, save",
    "celery": "Celery task per message, Redis",
    "post_office": "django-post-office, 8 threads",
    "bare": "bare aiohttp POST, no database",
}


def load(path: Path | None = None) -> dict[str, Any]:
    """The last results, empty when there are none."""
    path = path or FOLDER / "latest.json"
    return json.loads(path.read_text()) if path.exists() else {"parts": {}}


def save(machine: dict[str, Any], parts: dict[str, Any], at: datetime) -> Path:
    """Adds parts to the latest results, and keeps this run's alone under the time when it began."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for found in parts.values():
        found["at"] = at.isoformat(timespec="seconds")
    run = {"machine": machine, "parts": parts}
    path = FOLDER / f"{at:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(run, indent=1) + "\n")
    latest = load() | {"machine": machine}
    latest["parts"] |= parts
    (FOLDER / "latest.json").write_text(json.dumps(latest, indent=1) + "\n")
    return path


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure beside what it is to be."""

    what: str
    goal: str
    found: str
    met: bool


def at_most(what: str, found: float, goal: float, form: str = "{:.2f}") -> Goal:
    return Goal(what, "at most " + form.format(goal), form.format(found), found <= goal)


def at_least(what: str, found: float, goal: float, form: str = "{:.1f}") -> Goal:
    return Goal(what, "at least " + form.format(goal), form.format(found), found >= goal)


def goals(parts: dict[str, Any]) -> list[Goal]:
    """Every goal for which something was measured."""
    found = []
    for name, part in (
        ("peers", _peers), ("statements", _statements), ("sizes", _sizes), ("fanout", _fanout), ("pace", _pace),
        ("intake", _intake), ("pages", _pages), ("import", _import), ("analytics", _analytics),
    ):  # fmt: skip
        if name in parts:
            found += part(parts[name])
    return found


def ratio(rows: dict[str, Any], figure: str, one: str, two: str) -> float | None:
    if one not in rows or two not in rows or not rows[two][figure]:
        return None
    return float(rows[one][figure] / rows[two][figure])


def _peers(found: dict[str, Any]) -> Iterator[Goal]:
    rows, slow = found["0"], found["200"]
    if cpu := ratio(rows, "cpu_ms", "phonebank", "bare"):
        yield at_most("CPU a message, worker and database, to a bare aiohttp POST", cpu, 2, "{:.2f}x")
    if cpu := ratio(rows, "cpu_ms", "loop", "phonebank"):
        yield at_least("CPU a message of the loop to ours", cpu, 25, "{:.1f}x")
    for name, goal in (("loop", 20), ("celery", 40), ("post_office", 8)):
        if rate := ratio(rows, "rate", "phonebank", name):
            yield at_least(f"Rate at 0 ms to {NAMES[name].split(':')[0]}", rate, goal, "{:.1f}x")
    if rate := ratio(slow, "rate", "phonebank", "loop"):
        yield at_least("Rate at 200 ms to loop", rate, 300, "{:.0f}x")


def _statements(found: dict[str, Any]) -> Iterator[Goal]:
    yield at_most("Statements a message, unpaced", found["unpaced"]["per_message"], 0.02, "{:.4f}")
    yield at_most("Statements a message, 500 sessions at 256/min", found["paced"]["per_message"], 0.08, "{:.4f}")
    most = max(found["unpaced"]["most_per_tick"], found["paced"]["most_per_tick"])
    yield at_most("Statements a tick", most, 5, "{:.0f}")


def _sizes(found: dict[str, Any]) -> Iterator[Goal]:
    sizes = {int(key): one for key, one in found.items() if key.isdigit()}
    small = sizes.get(10_000)
    for count, one in sizes.items():
        if limit := {100_000: 5, 1_000_000: 20}.get(count):
            yield at_most(f"Launch to first message, {count:,} people", one["first_seconds"], limit, "{:.1f} s")
        if small and one is not small:
            for part in ("send", "work"):
                grown = one[f"{part}_mib"] / small[f"{part}_mib"]
                yield at_most(f"Peak memory of {part}, {count:,} people to 10,000", grown, 1.1, "{:.2f}x")
            grown = one["cost"]["cpu_ms"] / small["cost"]["cpu_ms"]
            yield at_most(f"CPU a message, {count:,} people to 10,000", grown, 1.15, "{:.2f}x")


def _fanout(found: dict[str, Any]) -> Iterator[Goal]:
    yield at_least("Fan-out, rows a second", found["deal"], 100_000, "{:,.0f}")
    yield at_least("Fan-out to streamed bulk_create", found["deal"] / found["bulk_create"], 5, "{:.1f}x")


def _pace(found: dict[str, Any]) -> Iterator[Goal]:
    for name in ("per_minute", "protected"):
        one = found[name]
        yield at_least(f"Share of the sum of limits, {one['sessions']:,} sessions", one["share"], 0.97, "{:.1%}")
        yield at_most(f"429s, {one['sessions']:,} sessions", one["refused_share"], 0.001, "{:.2%}")


def _intake(found: dict[str, Any]) -> Iterator[Goal]:
    yield at_least("Webhooks a second, durable", found["rate"], 796, "{:,.0f}")  # 800, less the last answer's time
    yield at_most("Webhooks, p99", found["p99_ms"], 250, "{:.0f} ms")
    yield at_most("Webhooks acknowledged and lost", found["lost"], 0, "{:.0f}")
    yield at_most("Backlog gone after", found["backlog_seconds"], 60, "{:.1f} s")
    yield at_least("Messages with their last status", found["read"], found["messages"], "{:,.0f}")


def _pages(found: dict[str, Any]) -> Iterator[Goal]:
    for name, page in found["pages"].items():
        yield at_most(f"{name}, p95, {found['sessions']:,} sessions", page["p95_ms"], 500, "{:.0f} ms")
        few, many = page["queries"]
        yield Goal(
            f"{name}, queries with 10 and {found['sessions']:,} sessions", "equal", f"{few}, {many}", few == many
        )


def _analytics(found: dict[str, Any]) -> Iterator[Goal]:
    for name, page in found["pages"].items():
        what = f"Analytics, {name}, p95, {found['sessions']:,} sessions x {found['days']} days"
        yield at_most(what, page["p95_ms"], 500, "{:.0f} ms")


def _import(found: dict[str, Any]) -> Iterator[Goal]:
    phones = found["phones"]
    faster = phones["library_us"] / phones["ours_us"]
    yield at_least("Phone checks of an import to plain phonenumbers, CPU", faster, 5, "{:.1f}x")
    yield at_most("Verdicts of phone checks that differ", phones["different"], 0, "{:.0f}")
    small, *large = sorted((one for key, one in found.items() if key.isdigit()), key=lambda one: one["rows"])
    for one in large:
        grown = one["work_mib"] / small["work_mib"]
        yield at_most(f"Peak memory of an import, {one['rows']:,} rows to {small['rows']:,}", grown, 1.1, "{:.2f}x")


def contenders(found: dict[str, Any]) -> Table:
    """The comparison as a table for the terminal."""
    table = Table(title=f"Beside each other, medians of {found['rounds']}", title_justify="left")
    table.add_column("")
    headings = ("msg/s", "worker ms", "database ms", "broker ms", "CPU x bare", "commits", "msg/s at 200 ms")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, label in NAMES.items():
        if name not in found["0"]:
            table.add_row(label, *[""] * (len(headings) - 1), found["missing"].get(name, "not run"))
            continue
        one, slow = found["0"][name], found["200"].get(name)
        to_bare = ratio(found["0"], "cpu_ms", name, "bare")
        table.add_row(
            label, f"{one['rate']:,.0f}", f"{one['worker_ms']:.3f}", f"{one['database_ms']:.3f}",
            f"{one['broker_ms']:.3f}", f"{to_bare:.1f}" if to_bare else "", f"{one['commits']:.3f}",
            f"{slow['rate']:,.0f}" if slow else "",
        )  # fmt: skip
    return table


def verdicts(found: list[Goal]) -> Table:
    table = Table(title="Goals", title_justify="left")
    for heading in ("What", "Goal", "Found", ""):
        table.add_column(heading)
    for one in found:
        table.add_row(one.what, one.goal, one.found, "[green]met[/]" if one.met else "[red]missed[/]")
    return table
