"""What a soak measured: a table to read, a plot to look at and the samples themselves, to judge them anew."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.table import Table

from phonebank.whatsappapi.management.bench.plots import STYLE
from phonebank.whatsappapi.management.gauges import Reading
from phonebank.whatsappapi.management.soak import KEPT, Sample, Soak
from phonebank.whatsappapi.management.trend import Series, Trend

FOLDER = Path("var") / "soak"  # below the folder that the command is given in
MIB = 2**20
WIDTH, LEFT, PANEL, GAP, ROW, TOP = 900, 130, 340, 60, 64, 66
MORE = ".line{fill:none;stroke:#0f766e;stroke-width:1.5}@media (prefers-color-scheme:dark){.line{stroke:#2dd4bf}}"
FIGURES = tuple(Reading.__dataclass_fields__)


def processes(soak: Soak) -> Table:
    """A line a process: the medians of the first quarter after the warm-up and of the last."""
    table = Table(title="Processes, first quarter after the warm-up to last", title_justify="left")
    for heading in ("", "Own MiB", "", "Resident MiB", "", "Handles", "Threads", "Database"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in soak.pids:
        own, resident = soak.trend_of(name, "private"), soak.trend_of(name, "resident")
        few = [_pair(soak.trend_of(name, figure), 1, "{:g}") for figure in ("handles", "threads")]
        # A worker's parts open theirs under the worker's name.
        most = max(one.connections.get(name, 0) for one in soak.samples)
        table.add_row(
            name, _pair(own, MIB), f"{own.part:+.1%}", _pair(resident, MIB), f"{resident.part:+.1%}", *few,
            str(most or ""),
        )  # fmt: skip
    return table


def rows(soak: Soak) -> Table:
    """The tables with more rows, by the space that they took in the judged part of the run."""
    begun = next(one for one in soak.samples if one.at >= soak.warm).tables
    ended = soak.samples[-1].tables
    table = Table(title="Tables that grew after the warm-up", title_justify="left")
    for heading in ("", "Rows", "More", "KiB", "More", "Kept by design"):
        table.add_column(heading, justify="right" if heading not in ("", "Kept by design") else "left")
    size = {name: ended[name][1] - begun.get(name, (0, 0))[1] for name in ended}
    for name in sorted(ended, key=lambda name: -size[name]):
        more = ended[name][0] - begun.get(name, (0, 0))[0]
        if more > 0:
            n, space = ended[name]
            table.add_row(name, f"{n:,}", f"{more:+,}", f"{space >> 10:,}", f"{size[name] >> 10:+,}", KEPT.get(name))
    return table


def write(soak: Soak, name: str) -> list[Path]:
    """The plot and the samples, under the name."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture, samples = FOLDER / f"{name}.svg", FOLDER / f"{name}.csv"
    picture.write_text(draw(soak.samples, list(soak.pids), soak.warm, soak.seconds))
    with samples.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["seconds", "process", *FIGURES])
        for one in soak.samples:
            for process, reading in one.processes.items():
                out.writerow([f"{one.at:.1f}", process, *(getattr(reading, figure) for figure in FIGURES)])
    return [picture, samples]


def draw(samples: Sequence[Sample], names: Sequence[str], warm: float, seconds: float) -> str:
    """Two small plots a process, memory of its own and handles; the warm-up is shaded."""
    height = TOP + ROW * len(names)
    shown = {
        "MiB of its own": lambda one: one.private / MIB,
        "open handles": lambda one: float(one.handles),
    }
    label = f"Memory and handles of {', '.join(names)} over {seconds / 60:g} minutes"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}">',
        f"<style>{STYLE}{MORE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="text title" x="16" y="28">Soak, {seconds / 60:g} minutes</text>',
    ]
    for column, (heading, figure) in enumerate(shown.items()):
        x = LEFT + column * (PANEL + GAP)
        lines.append(f'<text class="soft" x="{x}" y="50">{heading}</text>')
        for row, name in enumerate(names):
            series = [(one.at, figure(one.processes[name])) for one in samples if name in one.processes]
            lines += _panel(series, x, TOP + row * ROW, warm, seconds)
    lines += [
        f'<text class="text" x="16" y="{TOP + row * ROW + ROW // 2}">{escape(name)}</text>'
        for row, name in enumerate(names)
    ]
    return "\n".join([*lines, "</svg>", ""])


def _panel(series: Series, left: int, top: int, warm: float, seconds: float) -> list[str]:
    """From nothing to a tenth above the highest: what is flat looks flat."""
    high = max((value for _, value in series), default=0.0) * 1.1 or 1.0
    tall = ROW - 16
    points = " ".join(
        f"{left + min(at / seconds, 1.0) * PANEL:.1f},{top + tall * (1 - value / high):.1f}" for at, value in series
    )
    last = f"{series[-1][1]:.0f}" if series else ""
    return [
        f'<rect class="them" opacity="0.25" x="{left}" y="{top}" width="{warm / seconds * PANEL:.1f}" '
        f'height="{tall}"/>',
        f'<line class="grid" x1="{left}" x2="{left + PANEL}" y1="{top + tall}" y2="{top + tall}"/>',
        f'<polyline class="line" points="{points}"/>',
        f'<text class="text" x="{left + PANEL + 6}" y="{top + tall // 2}">{last}</text>',
    ]


def _pair(found: Trend, unit: int, form: str = "{:.1f}") -> str:
    return f"{form.format(found.first / unit)} → {form.format(found.last / unit)}"
