"""Plots as SVG: no library, their own ground, and colours that follow the reader's light or dark."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from phonebank.whatsappapi.management.bench.results import NAMES

WIDTH, LEFT, ROW, TOP = 760, 250, 34, 64
STYLE = """
.ground{fill:#fff}.text{fill:#1f2933}.soft{fill:#52606d}.grid{stroke:#d9dee3}.us{fill:#0f766e}.them{fill:#94a3b8}

text{font:13px Inter,system-ui,sans-serif}.title{font-size:15px;font-weight:600}
@media (prefers-color-scheme:dark){.ground{fill:#14181d}.text{fill:#e6eaee}.soft{fill:#a3adb8}.grid{stroke:#323a43}
.us{fill:#2dd4bf}.them{fill:#64748b}}
"""


def draw(parts: dict[str, Any]) -> dict[str, str]:
    """{name: SVG} of what was measured."""
    made = {}
    if "peers" in parts:
        fast, slow = parts["peers"]["0"], parts["peers"]["200"]
        made["rate"] = bars("Messages a second, gateway answers at once", _by(fast, "rate"), "{:,.0f}")
        made["rate-200"] = bars("Messages a second, gateway answers after 200 ms", _by(slow, "rate"), "{:,.1f}")
        made["cpu"] = bars("CPU milliseconds a message: worker, database, broker", _by(fast, "cpu_ms"), "{:.2f}")
    if "sizes" in parts:
        sizes = [one for key, one in parts["sizes"].items() if key.isdigit()]
        made["sizes"] = bars(
            "CPU milliseconds a message, by people in the campaign",
            [(f"{one['people']:,}", one["cost"]["cpu_ms"], True) for one in sizes], "{:.3f}", log=False,
        )  # fmt: skip
    return made


def _by(rows: dict[str, Any], figure: str) -> list[tuple[str, float, bool]]:
    return [(label, rows[name][figure], name == "phonebank") for name, label in NAMES.items() if name in rows]


def bars(title: str, rows: list[tuple[str, float, bool]], form: str, *, log: bool = True) -> str:
    """Horizontal bars of (label, value, ours); on a logarithmic axis, which the title says."""
    low = 10 ** math.floor(math.log10(min(value for _, value, _ in rows))) if log else 0.0
    high = max(value for _, value, _ in rows)
    space = WIDTH - LEFT - 80

    def length(value: float) -> float:
        part = math.log10(value / low) / math.log10(high / low * 1.0001) if log else value / high
        return max(2.0, part * space)

    height = TOP + ROW * len(rows) + 12
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}: '
        + escape("; ".join(f"{label} {form.format(v)}" for label, v, _ in rows))
        + '">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="text title" x="16" y="28">{escape(title)}</text>',
    ]
    if log:
        lines.append('<text class="soft" x="16" y="47">logarithmic</text>')
        power = low
        while power <= high:
            x = LEFT + math.log10(power / low) / math.log10(high / low * 1.0001) * space
            lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 12}"/>')
            power *= 10
    for i, (label, value, ours) in enumerate(rows):
        y = TOP + i * ROW
        lines += [
            f'<text class="text" x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{"us" if ours else "them"}" x="{LEFT}" y="{y}" width="{length(value):.1f}" '
            f'height="{ROW - 10}" rx="3"/>',
            f'<text class="text" x="{LEFT + length(value) + 8:.1f}" y="{y + 17}">{form.format(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
