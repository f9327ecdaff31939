"""The drawing of a forecast: sessions as lanes over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django import template
from django.utils.translation import ngettext

from phonebank.language import grouped
from phonebank.whatsappapi.services.forecast import Forecast

register = template.Library()
LANES = 8  # sessions drawn one by one; more are drawn as one
HEIGHT = 10


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Strip:
    name: str
    total: int
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Drawing:
    """`nights`: columns that begin a day. `ticks`: moments written below, evenly from the first to the last."""

    strips: list[Strip]
    columns: int
    nights: list[int]
    ticks: list[datetime]
    has_days: bool


@register.filter
def drawn(forecast: Forecast) -> Drawing:
    shown = [one for one in forecast.sessions if one.total]
    rows = [(one.name, one.total, one.cells) for one in shown]
    if len(shown) > LANES:
        rows = [
            (
                ngettext("%(n)s session", "%(n)s sessions", len(shown)) % {"n": grouped(len(shown))},
                forecast.sendable,
                forecast.totals,
            )
        ]
    top = max((n for _, _, cells in rows for n in cells), default=0) or 1
    strips = [Strip(name, total, _bars(cells, top)) for name, total, cells in rows]
    zone = ZoneInfo(forecast.zone)
    local = [one.astimezone(zone) for one in forecast.columns]
    nights = [i for i, one in enumerate(local) if i and one.date() != local[i - 1].date()]
    n = len(local)
    ticks = [local[i * (n - 1) // 3] for i in range(4)] if n >= 4 else local
    return Drawing(strips, max(1, n), nights if forecast.width < 86400 else [], ticks, bool(nights))


def _bars(cells: list[float], top: float) -> list[Bar]:
    bars = []
    for x, n in enumerate(cells):
        if n > 0:
            height = max(0.6, HEIGHT * n / top)
            bars.append(Bar(x, f"{HEIGHT - height:.2f}", f"{height:.2f}"))
    return bars
