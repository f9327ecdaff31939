"""Long tables and lists written as text at once: template nodes took 0.3 s for the cells of a year."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from uuid import UUID

from django import template
from django.utils.dates import MONTHS_3, WEEKDAYS_ABBR
from django.utils.formats import get_format, number_format
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from phonebank.language import grouped
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.models.analytics import COUNTS
from phonebank.whatsappapi.services.analytics import Point, Sums

register = template.Library()


@register.simple_tag
def figure_rows(points: Iterable[Point]) -> SafeString:
    """The rows of the table of figures: numbers and dates of ours only, so that nothing needs escaping."""
    days, months = _words()

    def head(one: Point) -> str:
        if one.at is not None:
            return f"{one.at.day} {months[one.at.month]}, {one.at:%H:%M}"
        return f"{days[one.date.weekday()]} {one.date.day} {months[one.date.month]} {one.date.year}"

    rows = (
        f'<tr><th scope="row" class="text-nowrap">{head(one)}</th>{cells(one.sums, is_hour=one.at is not None)}</tr>'
        for one in points
    )
    return mark_safe("\n".join(rows))  # nosec B308, B703 # noqa: S308 - numbers and dates of ours


@register.simple_tag
def figure_cells(sums: Sums, is_hour: bool) -> SafeString:
    """The cells of one row, for the sum below the table."""
    return mark_safe(cells(sums, is_hour=bool(is_hour)))  # nosec B308, B703 # noqa: S308 - numbers of ours


def cells(sums: Sums, *, is_hour: bool) -> str:
    text = "".join([f'<td class="text-end">{grouped(getattr(sums, name))}</td>' for name in COUNTS])
    if is_hour:
        return text
    up = sums.up_rate
    share = "" if up is None else f"{number_format(f'{up:.1f}', use_l10n=True)} %"
    return f'{text}<td class="text-end text-nowrap">{share}</td>'


@register.simple_tag
def session_options(sessions: Iterable[tuple[UUID, str]], chosen: WaSenderSession | None) -> SafeString:
    """Sessions (public id, name) as options of a list."""
    mine = chosen.public_id if chosen is not None else None
    options = (
        f'<option value="s:{public_id}"{" selected" if public_id == mine else ""}>{escape(name)}</option>'
        for public_id, name in sessions
    )
    return mark_safe("".join(options))  # nosec B308, B703 # noqa: S308 - names are escaped above


def labels(points: Sequence[Point]) -> list[str]:
    """What stands below a chart: hours, or days (with the year where there are many)."""
    months = _words()[1]
    if points and points[0].at is not None:
        return [f"{one.at:%H:%M}" for one in points if one.at is not None]
    year = len(points) >= 300
    return [_day(one.date, months, year) for one in points]


def _day(day: date, months: Sequence[str], year: bool) -> str:
    return f"{day.day} {months[day.month]}{f' {day.year}' if year else ''}"


def _words() -> tuple[list[str], list[str]]:
    """Names of the days (Monday first) and, from 1, of the months, in the reader's language."""
    months = [str(MONTHS_3[i]) for i in range(1, 13)]
    if "b" not in get_format("DATE_FORMAT"):
        months = [month.title() for month in months]
    return [str(WEEKDAYS_ABBR[i]) for i in range(7)], ["", *months]
