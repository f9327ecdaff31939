"""When a campaign will be done, and what each of its sessions sends until then: before the start, and while it runs."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank.language import grouped, said
from phonebank.whatsappapi.models import Campaign
from phonebank.whatsappapi.services import forecast_data
from phonebank.whatsappapi.services.forecast_data import Seat
from phonebank.whatsappapi.services.virtual_clock import NEVER, Burst, Gates, Lane, Run, new_days

CLASSES = 60  # sessions beyond are taken together with others like them
COLUMNS = 48  # of the timeline at most
WIDTHS = [1, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 7 * 86400]  # seconds
State = Campaign.State


@dataclass(frozen=True, slots=True)
class SessionForecast:
    """A session's part. `per_hour`: at its pace, None while it cannot send; `why`: why not. `cells`: by column."""

    public_id: uuid.UUID
    name: str
    per_hour: int | None
    total: int
    today: int
    tomorrow: int
    ends: datetime | None
    why: str
    cells: list[float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will be sent when, if nothing fails.

    `people`: still to be written to. `ends`: the last message's moment; None where it never comes. `unreached`: who is
    not written to (before the end date, or because no session is left). `binds`: what decides the end, in a sentence.
    `notes`: what is assumed. `columns`: the timeline's beginnings, `width` seconds each; sessions have a cell for each.
    `standing`: the sessions as they are now.
    """

    people: int
    starts: datetime
    ends: datetime | None
    is_rough: bool
    today: int
    tomorrow: int
    unreached: int
    expires: datetime | None
    zone: str
    binds: str
    notes: list[str]
    sessions: list[SessionForecast]
    columns: list[datetime] = field(default_factory=list)
    width: int = 3600
    standing: list[Seat] = field(default_factory=list)

    @property
    def totals(self) -> list[float]:
        """By column, over all sessions."""
        return [sum(cells) for cells in zip(*(one.cells for one in self.sessions), strict=True)]

    @property
    def sendable(self) -> int:
        return self.people - self.unreached


def forecast(campaign: Campaign, *, people: int | None = None, now: datetime | None = None) -> Forecast:
    """The campaign's course from now (a draft's: from its start). Some six queries; nothing is read row by row.

    `people`: who can be written to; needed until the campaign is dealt, for counting them is the caller's business.
    """
    now = now or timezone.now()
    zone = campaign.user.time_zone
    starts = _starts(campaign, now)
    seats = forecast_data.seats(campaign, people, now)
    mix = forecast_data.zones(campaign, seats, now)
    classes = _classes(seats)
    lanes = [_lane(group, mix.held) for group in classes]
    total = round(sum(seat.queued for seat in seats))
    run = Run(
        lanes=lanes,
        gates=Gates(campaign.windows, zone, mix.quiet, mix.names),
        start=starts.timestamp(),
        after_day=new_days(zone),
        mix=mix.shares,
        moves=campaign.policy != Campaign.Policy.WAIT,
        expires=campaign.expires_at.timestamp() if campaign.expires_at else NEVER,
    ).go()
    return _told(campaign, run, _Facts(now, starts, zone, seats, classes, total, mix.notes))


@dataclass(slots=True)
class _Facts:
    now: datetime
    starts: datetime
    zone: str
    seats: list[Seat]
    classes: list[list[Seat]]
    total: int
    notes: list[str]


def _starts(campaign: Campaign, now: datetime) -> datetime:
    planned = campaign.scheduled_at if campaign.state in (State.DRAFT, State.SCHEDULED) else None
    return max(now, planned) if planned else now


def _classes(seats: list[Seat]) -> list[list[Seat]]:
    """Sessions that are reckoned together: each by itself, but where there are very many, with its likes."""
    if len(seats) <= CLASSES:
        return [[seat] for seat in seats]
    kinds: dict[tuple[object, ...], list[Seat]] = {}
    for seat in seats:
        kinds.setdefault(seat.kind, []).append(seat)
    groups = []
    for alike in kinds.values():
        alike.sort(key=lambda seat: ((seat.room or 0) - seat.queued, seat.queued))
        parts = max(1, min(len(alike), CLASSES * len(alike) // len(seats)))
        size = -(-len(alike) // parts)
        groups += [alike[i : i + size] for i in range(0, len(alike), size)]
    return groups


def _lane(group: list[Seat], held_mix: Sequence[float]) -> Lane:
    n, first = len(group), group[0]
    held = sum(seat.held for seat in group) / n
    return Lane(
        gap=first.gap,
        cap=first.cap,
        room=None if first.room is None else sum(seat.room or 0 for seat in group) / n,
        free=sum(seat.free for seat in group) / n,
        resets=first.resets,
        fresh=sum(seat.queued for seat in group) / n - held,
        is_up=first.is_up,
        is_gone=first.is_gone,
        size=n,
        credit=first.credit,
        others=sum(seat.others for seat in group) / n,
        rivals=first.rivals,
        held=[held * part for part in held_mix],
    )


def _told(campaign: Campaign, run: Run, facts: _Facts) -> Forecast:
    last = max((one.end for one in run.bursts), default=run.start)
    columns, width = _columns(run.start, last, facts.zone)
    sessions = _sessions(run, facts, columns, width)
    unreached = round(run.left)
    return Forecast(
        people=facts.total,
        starts=facts.starts,
        ends=None if run.ends is None else datetime.fromtimestamp(run.ends, UTC),
        is_rough=run.is_rough,
        today=sum(one.today for one in sessions),
        tomorrow=sum(one.tomorrow for one in sessions),
        unreached=unreached,
        expires=campaign.expires_at,
        zone=facts.zone,
        binds=_binds(campaign, run, facts, unreached),
        notes=[*forecast_data.remarks(campaign, facts.seats), *facts.notes],
        sessions=sessions,
        columns=columns,
        width=width,
        standing=facts.seats,
    )


def _columns(start: float, end: float, zone: str) -> tuple[list[datetime], int]:
    """Beginnings of the timeline's columns, on round numbers of the owner's clock, and their width in seconds."""
    width = next((one for one in WIDTHS if (end - start) / one < COLUMNS - 1), WIDTHS[-1])
    local = datetime.fromtimestamp(start, ZoneInfo(zone))
    midnight = datetime.combine(local.date(), datetime.min.time(), local.tzinfo).timestamp()
    first = midnight + (start - midnight) // width * width
    n = min(COLUMNS, int((end - first) // width) + 1)
    return [datetime.fromtimestamp(first + i * width, UTC) for i in range(n)], width


def _sessions(run: Run, facts: _Facts, columns: list[datetime], width: int) -> list[SessionForecast]:
    first = columns[0].timestamp()
    days = _Days(facts.zone)
    today = facts.now.astimezone(ZoneInfo(facts.zone)).date()
    cells = [[0.0] * len(columns) for __ in run.lanes]
    by_day: list[Counter[date]] = [Counter() for __ in run.lanes]
    for one in run.bursts:
        for i, n in _spread(one, first, width, len(columns)):
            cells[one.lane][i] += n
        for day, n in days.split(one):
            by_day[one.lane][day] += n  # type: ignore[assignment]
    made = []
    for i, (lane, group) in enumerate(zip(run.lanes, facts.classes, strict=True)):
        ends = None if lane.last is None else datetime.fromtimestamp(lane.last, UTC)
        totals = _whole([lane.sent] * len(group))
        parts = [_whole([by_day[i][day]] * len(group)) for day in (today, today + timedelta(days=1))]
        for k, seat in enumerate(group):
            made.append(
                SessionForecast(
                    public_id=seat.public_id,
                    name=seat.name,
                    per_hour=round(3600 / lane.gap) if lane.is_up else None,
                    total=totals[k],
                    today=parts[0][k],
                    tomorrow=parts[1][k],
                    ends=ends,
                    why="" if lane.is_up else said(seat.why),
                    cells=cells[i],
                )
            )
    order = {seat.public_id: seat.position for seat in facts.seats}
    return sorted(made, key=lambda one: order[one.public_id])


def _whole(values: Sequence[float]) -> list[int]:
    """Whole numbers that add up to the rounded sum of `values`."""
    given, carried = [], 0.0
    for value in values:
        carried += value
        given.append(round(carried) - sum(given))
    return given


def _spread(one: Burst, first: float, width: int, n: int) -> Iterable[tuple[int, float]]:
    """A burst over the columns."""
    a, b = (one.start - first) / width, (one.end - first) / width
    low, high = max(0, math.floor(a)), min(n - 1, math.floor(b))
    if low >= high:
        return [(min(max(low, 0), n - 1), one.n)]
    return [(i, one.n * (min(b, i + 1) - max(a, i)) / (b - a)) for i in range(low, high + 1)]


class _Days:
    """Which of the owner's days a burst's messages leave on."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.ends: dict[date, float] = {}

    def split(self, one: Burst) -> Iterable[tuple[date, float]]:
        gap = (one.end - one.start) / (one.n - 1) if one.n > 1 else 0.0
        at, left = one.start, one.n
        while left > 1e-9:
            day = datetime.fromtimestamp(at, self.zone).date()
            end = self._end(day)
            n = left if one.end < end or gap <= 0 else min(left, float(math.ceil((end - at - 1e-6) / gap)))
            yield day, n
            left -= n
            at += n * gap

    def _end(self, day: date) -> float:
        if day not in self.ends:
            self.ends[day] = datetime.combine(day + timedelta(days=1), datetime.min.time(), self.zone).timestamp()
        return self.ends[day]


def _binds(campaign: Campaign, run: Run, facts: _Facts, unreached: int) -> str:
    """The one thing that decides when it ends."""
    up = [seat for seat in facts.seats if seat.is_up]
    if not facts.total:
        return _("Nobody is left to be written to.")
    if not up:
        return _("No session of it can send. Link one, and it goes on by itself.")
    if unreached and campaign.expires_at and run.ends is None:
        return ngettext(
            "%(n)s person will not be reached before its end date.",
            "%(n)s people will not be reached before its end date.",
            unreached,
        ) % {"n": grouped(unreached)}
    if unreached:
        return ngettext(
            "%(n)s person waits for a session that cannot send.",
            "%(n)s people wait for a session that cannot send.",
            unreached,
        ) % {"n": grouped(unreached)}
    limited = [lane for lane in run.lanes if lane.is_up and lane.cap is not None]
    most = sum((lane.cap or 0) * lane.size for lane in limited)
    if run.is_limited and len(limited) == sum(lane.is_up for lane in run.lanes):
        return _("The daily limits decide: %(most)s a day over %(sessions)s.") % {
            "most": grouped(most),
            "sessions": _sessions_word(len(up)),
        }
    hourly = round(sum(3600 / seat.gap for seat in up))
    if run.gates.windows is not None or run.gates.quiet is not None:
        return _("The pace decides, in the hours that it may send: %(hourly)s an hour over %(sessions)s.") % {
            "hourly": grouped(hourly),
            "sessions": _sessions_word(len(up)),
        }
    return _("The pace decides: %(hourly)s an hour over %(sessions)s.") % {
        "hourly": grouped(hourly),
        "sessions": _sessions_word(len(up)),
    }


def _sessions_word(n: int) -> str:
    return ngettext("%(n)s session", "%(n)s sessions", n) % {"n": grouped(n)}
