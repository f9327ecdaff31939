"""docs/benchmarks.md and its plots, from results alone: text between markers is replaced, prose around them stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from phonebank.whatsappapi.management.bench import plots
from phonebank.whatsappapi.management.bench.cost import CHECKOUT
from phonebank.whatsappapi.management.bench.results import NAMES, goals, ratio

PAGE = CHECKOUT / "docs" / "benchmarks.md"
IMAGES = CHECKOUT / "docs" / "images"


def write(found: dict[str, Any]) -> list[Path]:
    """Fills what was measured; a part without results keeps what stands there. Returns the files written."""
    parts, written = found["parts"], [PAGE]
    blocks = {"goals": _goals(parts), "machine": _machine(found["machine"])} if parts else {}
    for name, write_ in (("peers", _peers), ("sizes", _sizes), ("pace", _pace), ("intake", _intake),
                         ("pages", _pages), ("import", _import), ("profile", _profile)):  # fmt: skip
        if name in parts:
            blocks[name] = write_(parts[name])
    text = PAGE.read_text()
    for name, block in blocks.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, b=block: m[1] + b + "\n" + m[2], text, flags=re.S
        )
    PAGE.write_text(text)
    for name, svg in plots.draw(parts).items():
        path = IMAGES / f"bench-{name}.svg"
        path.write_text(svg)
        written.append(path)
    return written


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _goals(parts: dict[str, Any]) -> str:
    rows = [[one.what, one.goal, one.found, "yes" if one.met else "**no**"] for one in goals(parts)]
    return table(["what", "goal", "found", "met"], rows)


def _machine(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}; "
        f"Python {about['python']}, PostgreSQL {about['postgresql']} with its defaults for durability "
        f"(`fsync`, `synchronous_commit` on); {versions}. Load when it began: {about['load_at_start']}. "
        f"Cores: {about['split']}."
    )


def _peers(found: dict[str, Any]) -> str:
    fast, slow = found["0"], found["200"]
    rows = []
    for name, label in NAMES.items():
        if name not in fast:
            rows.append([label, found["missing"].get(name, "not run"), *[""] * 7])
            continue
        one, late = fast[name], slow[name]
        bare, rate, wait = (
            ratio(fast, "cpu_ms", name, "bare"),
            ratio(fast, "rate", "phonebank", name),
            ratio(slow, "rate", "phonebank", name),
        )
        rows.append(
            [label, f"{one['rate']:,.0f}", _times(rate), f"{one['worker_ms']:.3f}", f"{one['database_ms']:.3f}",
             f"{one['broker_ms']:.3f}", _times(bare), f"{one['commits']:.3f}", f"{late['rate']:,.1f} ({_times(wait)})"]
        )  # fmt: skip
    head = ["", "msg/s, 0 ms", "Phonebank is", "worker ms", "database ms", "broker ms", "CPU to bare", "commits",
            "msg/s, 200 ms (Phonebank is)"]  # fmt: skip
    return table(head, rows)


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}x" if value >= 10 else f"{value:.1f}x"


def _sizes(found: dict[str, Any]) -> str:
    rows = [
        [f"{one['people']:,}", f"{one['deal_seconds']:.1f} s", f"{one['deal_rate']:,}", f"{one['first_seconds']:.1f} s",
         f"{one['cost']['rate']:,.0f}", f"{one['cost']['cpu_ms']:.3f}", f"{one['send_mib']:.0f}",
         f"{one['work_mib']:.0f}", f"{one['backend_mib']:.0f}"]
        for key, one in found.items() if key.isdigit()
    ]  # fmt: skip
    head = ["people", "deal", "rows/s", "first message", "msg/s", "CPU ms", "send MiB", "work MiB", "backend MiB"]
    return table(head, rows)


def _pace(found: dict[str, Any]) -> str:
    rows = [
        [f"{one['sessions']:,} sessions, {label}", f"{one['allowed']:,.1f}", f"{one['rate']:,.1f}",
         f"{one['share']:.1%}", f"{one['refused_share']:.3%}", f"{one['cost']['cpu_ms']:.2f}"]
        for label, one in (("256 a minute", found["per_minute"]), ("1 per 5 s", found["protected"]))
    ]  # fmt: skip
    return table(["", "allowed msg/s", "sent msg/s", "share", "429s", "CPU ms"], rows)


def _intake(one: dict[str, Any]) -> str:
    row = [f"{one['deliveries']:,}", f"{one['rate']:,.0f}", f"{one['p50_ms']:.0f} ms", f"{one['p99_ms']:.0f} ms",
           f"{one['worst_ms']:.0f} ms", str(one["lost"]), f"{one['backlog_seconds']:.1f} s", f"{one['cpu_ms']:.2f}",
           f"{one['generator_cpu_ms']:.2f}"]  # fmt: skip
    head = ["deliveries", "per second", "p50", "p99", "worst", "lost", "backlog gone after", "CPU ms", "generator's"]
    return table(head, [row])


def _pages(found: dict[str, Any]) -> str:
    rows = [
        [name, f"{page['p95_ms']:.0f} ms", f"{page['p95_of_four_ms']:.0f} ms", *map(str, page["queries"])]
        for name, page in found["pages"].items()
    ]
    text = table(["page", "p95", "p95, four at once", "queries, 10 sessions", "queries, 1,000"], rows)
    return f"{found['sessions']:,} sessions, {found['rows']:,} messages.\n\n{text}"


def _import(found: dict[str, Any]) -> str:
    rows = [
        [f"{one['rows']:,}", f"{one['rate']:,}", f"{one['work_us']:.1f}", f"{one['database_us']:.1f}",
         f"{one['upload_us']:.1f}", f"{one['work_mib']:.0f}", f"{one['new']:,}", f"{one['duplicate']:,}",
         f"{one['invalid']:,}"]
        for key, one in found.items() if key.isdigit()
    ]  # fmt: skip
    head = ["rows", "rows a second", "worker µs", "database µs", "upload µs", "worker MiB", "new", "twice", "invalid"]
    phones = found["phones"]
    plain, largest = phones["library_us"], found[str(found["rows"])]["work_us"]
    checks = [
        ["plain `phonenumbers`: parse, validate, format", f"{plain:.1f}", "1.0x"],
        ["our phone check, the same verdicts", f"{phones['ours_us']:.1f}", f"{plain / phones['ours_us']:.1f}x"],
        ["our worker's whole import, the check among it", f"{largest:.1f}", f"{plain / largest:.1f}x"],
    ]
    return table(head, rows) + "\n\n" + table(["a row", "CPU µs", "faster"], checks)


def _profile(found: dict[str, Any]) -> str:
    rows = [[room, f"{share:.0%}"] for room, share in found["shares"].items() if share >= 0.005]
    return table(["of the sending process's main thread", "share"], rows)
