"""What sessions did, as pages, files and the API show it. Counted by roll_up.py; nothing here counts messages."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.language import grouped
from phonebank.whatsappapi.models import DayZone, OwnerDay, SessionGroup, WaSenderSession
from phonebank.whatsappapi.models.analytics import BOUNDS, COUNTS
from phonebank.whatsappapi.services import analytics_sql as sql
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.roll_up import midnight

LONGEST = 1100  # days that can be looked at together: three years
BY_HOUR = 2  # days that are also shown hour by hour
DAY = timedelta(days=1)
ORDERS = tuple(sql.ORDERS)


@dataclass(frozen=True)
class Scope:
    """Whose figures: those of one session, of a group, or of all of `user`'s sessions. Days are of their zone."""

    user: User
    first: date
    last: date
    session: WaSenderSession | None = None
    group: SessionGroup | None = None

    @property
    def length(self) -> int:
        """In days."""
        return (self.last - self.first).days + 1

    @property
    def is_hourly(self) -> bool:
        return self.length <= BY_HOUR

    def before(self) -> Scope:
        """The time of the same length just before it."""
        return Scope(self.user, self.first - self.length * DAY, self.first - DAY, self.session, self.group)


@dataclass(frozen=True, slots=True)
class Sums:
    """What went out in a time and what became of it; `up` and `known` in seconds."""

    sent: int = 0
    delivered: int = 0
    read: int = 0
    replied: int = 0
    failed: int = 0
    unclear: int = 0
    received: int = 0
    opted_out: int = 0
    up: int = 0
    known: int = 0
    allowed: int = 0
    at_limit: int = 0

    @property
    def delivery_rate(self) -> float | None:
        return share(self.delivered, self.sent)

    @property
    def read_rate(self) -> float | None:
        return share(self.read, self.delivered)

    @property
    def reply_rate(self) -> float | None:
        return share(self.replied, self.sent)

    @property
    def up_rate(self) -> float | None:
        return share(self.up, self.known)

    @property
    def limit_use(self) -> float | None:
        return share(self.sent, self.allowed)


@dataclass(frozen=True, slots=True)
class Point:
    """An hour (with `at`) or a day."""

    date: date
    sums: Sums
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A session in the comparison."""

    public_id: str
    name: str
    is_deleted: bool
    sums: Sums


@dataclass(frozen=True)
class Report:
    """Everything about a scope. `hours` holds 24 pairs of sent and read; `reasons` words with how many, most first."""

    scope: Scope
    total: Sums
    days: list[Point]
    hourly: list[Point]
    hours: list[tuple[int, int]]
    times: list[int]
    reasons: list[tuple[str, int]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.total.sent or self.total.received or self.total.failed)

    def quantile(self, q: float) -> float | None:
        return quantile(self.times, q)


def share(part: int, whole: int) -> float | None:
    """In percent, None of nothing."""
    return min(100.0, 100 * part / whole) if whole else None


def check_range(first: date, last: date) -> None:
    """Raises ServiceError."""
    if last < first:
        raise ServiceError(_("The last day is before the first. Nothing is shown."), code="range")
    if (last - first).days >= LONGEST:
        raise ServiceError(
            _("At most %(longest)s days can be shown together. Choose fewer.") % {"longest": grouped(LONGEST)},
            code="range",
        )


def zone_of(user: User) -> ZoneInfo:
    """The zone that the days are counted in: the person's, a minute after they changed it at the latest."""
    known = DayZone.objects.filter(pk=user.pk).values_list("zone", flat=True).first()
    return ZoneInfo(known or user.time_zone)


def today(user: User) -> date:
    return timezone.now().astimezone(zone_of(user)).date()


def report(scope: Scope) -> Report:
    """Four statements at most, whatever the number of messages and sessions."""
    days = series(scope)
    __, [spread] = _spread(scope)
    times, hours, hours_read, reasons = spread
    return Report(
        scope=scope,
        total=_total(days),
        days=days,
        hourly=_hourly(scope) if scope.is_hourly else [],
        hours=list(zip(hours, hours_read, strict=True)),
        times=times,
        reasons=Counter(json.loads(reasons or "{}")).most_common(),
    )


def series(scope: Scope) -> list[Point]:
    """A point for each day of the range; one on which nothing was counted is zero."""
    if scope.session is not None:
        names, rows = _ask(sql.DAYS_OF_SESSION, scope)
    elif scope.group is not None:
        names, rows = _ask(sql.DAYS_OF_SOME, scope)
    else:
        names, rows = _ask(sql.DAYS_OF_ALL, scope)
    known = {row[0]: Sums(**dict(zip(names[1:], row[1:], strict=True))) for row in rows}
    return [Point(day, known.get(day, Sums())) for day in _dates(scope)]


def total(scope: Scope) -> Sums:
    return _total(series(scope))


def compare(scope: Scope, *, order: str = "sent", limit: int = 25, offset: int = 0) -> tuple[list[Line], int]:
    """The sessions of the scope beside each other, and how many there are. `order` is one of ORDERS."""
    names, rows = _ask(_compared(scope, order), scope, limit=limit, offset=offset)
    return [_line(names, row) for row in rows], rows[0][-1] if rows else 0


def _compared(scope: Scope, order: str) -> str:
    text = sql.COMPARE_SOME if scope.session is not None or scope.group is not None else sql.COMPARE_ALL
    return text.replace("@key", sql.ORDERS[order])


def _line(names: Sequence[str], row: Sequence[Any]) -> Line:
    sums = Sums(**dict(zip(names[3:-1], map(int, row[3:-1]), strict=True)))
    return Line(str(row[0]), row[1], row[2] is not None, sums)


def quantile(times: Sequence[int], q: float) -> float | None:
    """Seconds within which the share `q` (0..1) of the deliveries came, from the histogram; None of no delivery.

    Exact to the width of a bucket, which is 1.6 times its beginning. Within one, times count as spread evenly over
    its logarithm.
    """
    whole = sum(times)
    if not whole:
        return None
    left = q * whole
    for number, n in enumerate(times):
        if n and left <= n:
            if number == 0:
                return BOUNDS[0] * left / n
            if number == len(BOUNDS):
                return BOUNDS[-1]
            low, high = BOUNDS[number - 1], BOUNDS[number]
            return low * math.exp(math.log(high / low) * left / n)
        left -= n
    return BOUNDS[-1]


def table(found: Report) -> Iterator[Sequence[str]]:
    """The days (or hours) as rows of a file, with a heading."""
    yield ["time", *(name.replace("_", " ") for name in COUNTS), "connected %", "limit"]
    for point in found.hourly or found.days:
        when = point.at.isoformat() if point.at else point.date.isoformat()
        sums = point.sums
        up = "" if sums.up_rate is None or point.at else f"{sums.up_rate:.1f}"
        limit = str(sums.allowed) if sums.allowed else ""
        yield [when, *(str(getattr(sums, name)) for name in COUNTS), up, limit]


def table_of_sessions(scope: Scope) -> Iterator[Sequence[str]]:
    """The comparison as rows of a file, with a heading."""
    yield ["session", "deleted", *(name.replace("_", " ") for name in COUNTS), "connected %", "days at the limit"]
    text = _compared(scope, "sent")
    with connection.chunked_cursor() as cursor:
        cursor.execute(text, _given(text, scope, limit=None, offset=0))
        names = [one.name for one in cursor.description]
        for line in (_line(names, row) for row in cursor):
            sums = line.sums
            up = "" if sums.up_rate is None else f"{sums.up_rate:.1f}"
            counted = (str(getattr(sums, name)) for name in COUNTS)
            yield [line.name, "yes" if line.is_deleted else "", *counted, up, str(sums.at_limit)]


# --- asking -----------------------------------------------------------------------------------------------------------


def _ask(text: str, scope: Scope, **more: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    with connection.cursor() as cursor:
        cursor.execute(text, _given(text, scope, **more))
        return [one.name for one in cursor.description], cursor.fetchall()


def _given(text: str, scope: Scope, **more: Any) -> dict[str, Any]:
    """What the statement asks for by name."""
    months, months_end = _whole_months(scope)
    given = {
        "user": scope.user.pk,
        "session": scope.session.pk if scope.session else None,
        "first": scope.first,
        "last": scope.last,
        "months": months,
        "months_end": months_end,
        **more,
    }
    if "%(sessions)s" in text:
        given["sessions"] = _sessions(scope)
    return given


def _spread(scope: Scope) -> tuple[list[str], list[tuple[Any, ...]]]:
    is_all = scope.session is None and scope.group is None
    return _ask(sql.SPREAD_OF_ALL if is_all else sql.SPREAD_OF_SOME, scope)


def _sessions(scope: Scope) -> list[int]:
    """Their ids. Deleted sessions stay members of their groups."""
    mine = WaSenderSession.objects.filter(user=scope.user)
    if scope.session is not None:
        mine = mine.filter(pk=scope.session.pk)
    elif scope.group is not None:
        mine = mine.filter(groups=scope.group)
    return list(mine.order_by("pk").values_list("pk", flat=True))


def _whole_months(scope: Scope) -> tuple[date, date]:
    """From the first whole month of the range to the day after its last one; the same day twice where it has none."""
    begin = scope.first if scope.first.day == 1 else (scope.first.replace(day=1) + 32 * DAY).replace(day=1)
    end = (scope.last + DAY).replace(day=1)
    return (begin, end) if begin < end else (begin, begin)


def _dates(scope: Scope) -> Iterator[date]:
    for number in range(scope.length):
        yield scope.first + number * DAY


def _hourly(scope: Scope) -> list[Point]:
    zone = zone_of(scope.user)
    low, high = midnight(scope.first, zone.key), midnight(scope.last + DAY, zone.key)
    names, rows = _ask(sql.HOURS, scope, low=low, high=high)
    known = {row[0]: Sums(**dict(zip(names[1:], row[1:], strict=True))) for row in rows}
    points, hour = [], low
    while hour < high:
        local = hour.astimezone(zone)
        points.append(Point(local.date(), known.get(hour, Sums()), local))
        hour += timedelta(hours=1)
    return points


def _total(points: Sequence[Point]) -> Sums:
    return Sums(**{name: sum(getattr(one.sums, name) for one in points) for name in sql.SUMMED})


def has_data(user: User) -> bool:
    """Whether anything of theirs was ever sent or received."""
    return OwnerDay.objects.filter(user=user).filter(Q(sent__gt=0) | Q(received__gt=0) | Q(failed__gt=0)).exists()
