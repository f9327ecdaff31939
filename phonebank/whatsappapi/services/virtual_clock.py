"""A campaign's run ahead of time: the send engine's rules (docs/send-path.md 3-5) on a virtual clock.

It does not step through messages. From one moment at which something changes to the next (a window opens, a midnight
passes, a number reaches its limit) each session sends what its pace, its limit and its people allow, which is a sum.
Moments are POSIX seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from phonebank.whatsappapi.dispatch.deal import CHUNK
from phonebank.whatsappapi.dispatch.windows import Windows, present_or_next
from phonebank.whatsappapi.services.health import DAY_AT_LEAST

DAYS = 30  # simulated; what lies beyond is reckoned from the last week of them
WEEK = 7
CLOSE = 0.03  # of the time until a session is full: others that are full that much later move on with it
NEVER = math.inf
Clock = Callable[[float], float]


@dataclass(slots=True)
class Lane:
    """A session's part, or `size` alike ones taken together: numbers are those of one of them.

    `gap`: seconds between two messages; `credit`: of them, what an idle time saves up. `room`: what it may still send
    today; with `cap`, None: any. `free`: when the next may leave. `resets`: when its day's count starts anew. `fresh`:
    people not looked at yet; `held`: those held back for quiet hours, by zone. `others`: people of `rivals` other
    campaigns that take turns with this one.
    """

    gap: float
    cap: int | None
    room: float | None
    free: float
    resets: float
    fresh: float
    is_up: bool = True
    is_gone: bool = False
    size: int = 1
    credit: float = 0
    others: float = 0
    rivals: int = 0
    held: list[float] = field(default_factory=list)
    sent: float = 0
    last: float | None = None

    @property
    def queued(self) -> float:
        return self.fresh + sum(self.held)

    @property
    def spare(self) -> float:
        """How many more it may be given today, as the re-deal reckons it (dispatch/deal.py)."""
        return 0 if not self.is_up else CHUNK if self.room is None else max(0, self.room - self.queued)

    @property
    def is_stuck(self) -> bool:
        return self.queued > 0 and (not self.is_up or (self.room is not None and self.room < 1))


@dataclass(frozen=True, slots=True)
class Burst:
    """`n` messages of a lane (of each session in it), evenly from `start` to `end`."""

    lane: int
    start: float
    end: float
    n: float


@dataclass(slots=True)
class Gates:
    """When anybody may be written to: the campaign's windows, and by zone the hours that are not quiet."""

    windows: Windows | None = None
    zone: str = "UTC"
    quiet: tuple[time, time] | None = None
    zones: Sequence[str] = ("UTC",)
    _window: tuple[float, float] = (0.0, 0.0)
    _zones: list[tuple[bool, float]] = field(default_factory=list)

    def at(self, now: float) -> tuple[list[bool], float]:
        """Which zones are open, and until when all that stays so."""
        if not self._zones:
            self._zones = [(True, NEVER if self.quiet is None else now)] * len(self.zones)
        for i, (_, until) in enumerate(self._zones):
            if until <= now and self.quiet is not None:
                self._zones[i] = _awake(self.quiet, ZoneInfo(self.zones[i]), now)
        nearest = min(until for _, until in self._zones)
        if self.windows is None:
            return [is_open for is_open, _ in self._zones], nearest
        if self._window[1] <= now:
            found = present_or_next(self.windows, self.zone, datetime.fromtimestamp(now, UTC))
            self._window = (found[0].timestamp(), found[1].timestamp()) if found else (NEVER, NEVER)
        opens, closes = self._window
        if now < opens:
            return [False] * len(self._zones), opens
        return [is_open for is_open, _ in self._zones], min(nearest, closes)


def _awake(quiet: tuple[time, time], zone: ZoneInfo, now: float) -> tuple[bool, float]:
    """Whether it is outside of quiet hours there, and until when that stays so (the claim's rule, sql/tick.py)."""
    start, end = quiet
    local = datetime.fromtimestamp(now, zone)
    at = local.time()
    is_quiet = at >= start or at < end if start > end else start <= at < end
    edge = end if is_quiet else start
    day = local.date() if at < edge else local.date() + timedelta(days=1)
    until = datetime.combine(day, edge, zone).timestamp()
    # Where the clock was put back, the edge may be in the past.
    return not is_quiet, until if until > now else now + 60.0


def new_days(zone: str) -> Clock:
    """From the moment a day's count opened to the next: the owner's midnight, never within 20 hours."""
    here = ZoneInfo(zone)
    known: dict[float, float] = {}

    def after(opened: float) -> float:
        if opened not in known:
            day = datetime.fromtimestamp(opened, here).date() + timedelta(days=1)
            midnight = datetime.combine(day, time(), here).timestamp()
            known[opened] = max(midnight, opened + DAY_AT_LEAST.total_seconds())
        return known[opened]

    return after


@dataclass(slots=True)
class Run:
    """A run from `start` on. `mix`: the share of each zone among the people. `moves`: whether they may change session.

    `after_day`: when the day's count that opened then is over (`new_days`). `expires`: when it ends for good.
    """

    lanes: list[Lane]
    gates: Gates
    start: float
    after_day: Clock
    mix: Sequence[float] = (1.0,)
    moves: bool = True
    expires: float = NEVER
    bursts: list[Burst] = field(default_factory=list)
    ends: float | None = None
    is_rough: bool = False
    is_limited: bool = False
    left: float = 0

    def go(self) -> Run:
        """Runs it. `ends`: the last message's moment, None where it never comes; `left`: who is not written to.

        `is_limited`: a session stood still at its limit; `is_rough`: the end lies beyond what was simulated.
        """
        for lane in self.lanes:
            lane.held = lane.held or [0.0] * len(self.mix)
        now, horizon = self.start, self.start + DAYS * 86400.0
        while self._waiting() and now < min(horizon, self.expires):
            for lane in self.lanes:
                while lane.resets <= now:
                    self.is_limited |= lane.is_up and lane.room is not None and lane.room < 1
                    lane.room, lane.resets = lane.cap, self.after_day(lane.resets)
            opened, until = self.gates.at(now)
            until = min([until, horizon, self.expires, *{lane.resets for lane in self.lanes}])
            self._stretch(now, until, opened)
            if self._is_dead():
                break
            now = until
        self.left = self._waiting()
        if not self.left:
            self.ends = max((lane.last for lane in self.lanes if lane.last is not None), default=self.start)
        elif now >= horizon and not self._is_dead() and self.expires > horizon:
            self._reckon(horizon)
        return self

    def _waiting(self) -> float:
        left = sum(lane.queued * lane.size for lane in self.lanes)
        return left if left >= 0.5 else 0

    def _is_dead(self) -> bool:
        """No session that is up has anybody, or will get anybody."""
        up = [lane for lane in self.lanes if lane.is_up]
        if any(lane.queued >= 0.5 for lane in up):
            return all(lane.room is not None and not lane.cap for lane in up)
        return not up or not any(lane.queued and self._may_move(lane) for lane in self.lanes)

    def _may_move(self, lane: Lane) -> bool:
        return self.moves or lane.is_gone

    def _reckon(self, horizon: float) -> None:
        """The rest at the last week's pace."""
        week = sum(one.n * self.lanes[one.lane].size for one in self.bursts if one.start >= horizon - WEEK * 86400.0)
        if week > 0:
            self.is_rough = True
            self.ends = horizon + self.left / week * WEEK * 86400.0
            if self.ends > self.expires:
                self.left, self.ends = self.left - week * (self.expires - horizon) / (WEEK * 86400.0), None
            else:
                self.left = 0

    def _stretch(self, now: float, until: float, opened: list[bool]) -> None:
        """From `now` to `until` nothing changes but that sessions reach their limit, and their people move on."""
        while now < until:
            self._redeal()
            if not any(opened):
                return
            stop = until
            if self.moves and any(lane.spare >= 1 for lane in self.lanes):
                full = [end for lane in self.lanes if (end := self._full(lane, now)) < until]
                stop = min(until, min(full) + max(1.0, CLOSE * (min(full) - now))) if full else until
            for i, lane in enumerate(self.lanes):
                if lane.is_up:
                    self._send(i, lane, now, stop, opened)
            if not self._waiting():
                return
            now = stop

    def _full(self, lane: Lane, now: float) -> float:
        """When the lane's limit is reached with people left who may move; NEVER where that does not happen."""
        if not lane.is_up or lane.room is None or lane.room < 1 or lane.queued <= lane.room:
            return NEVER
        return max(now, lane.free) + (lane.room - 1) * lane.gap

    def _send(self, i: int, lane: Lane, now: float, until: float, opened: list[bool]) -> None:
        first = max(now - lane.credit, lane.free)
        if first >= until or not lane.queued:
            return
        slots = float(math.floor((until - first - 1e-6) / lane.gap) + 1) if until < NEVER else NEVER
        most = slots if lane.room is None else min(slots, lane.room)
        share = sum(part for part, is_open in zip(self.mix, opened, strict=True) if is_open)
        ready = sum(n for n, is_open in zip(lane.held, opened, strict=True) if is_open) + lane.fresh * share
        if ready < 1e-6:
            return
        n = min(ready, most)
        if lane.others and lane.rivals:
            # The campaigns take turns: each its share, and what the others leave.
            n = min(ready, math.ceil(max(most / (lane.rivals + 1), most - lane.others))) if most < NEVER else ready
        theirs = min(lane.others, n * lane.rivals, most - n) if lane.rivals else 0.0
        lane.others -= theirs
        end = first + (n + theirs - 1) * lane.gap
        lane.free = end + lane.gap
        if lane.room is not None:
            lane.room -= n + theirs
        lane.sent += n
        lane.last = max(end, now)
        self.bursts.append(Burst(i, max(first, now), lane.last, n))
        _take(lane, n, self.mix, opened, share)

    def _redeal(self) -> None:
        """People of sessions that cannot send go to those that can, in turn, as many as each may still send today."""
        stuck = [lane for lane in self.lanes if lane.is_stuck and self._may_move(lane)]
        targets = [lane for lane in self.lanes if lane.spare >= 1] if stuck else []
        for lane in stuck:
            while lane.queued >= 1 and targets:
                n = min(CHUNK, math.floor(sum(one.spare * one.size for one in targets)), lane.queued * lane.size)
                if n < 1:
                    return
                given = _in_turn(n, targets)
                if sum(given) < 1:
                    return
                for target, part in zip(targets, given, strict=True):
                    target.fresh += part / target.size
                _shrink(lane, sum(given) / lane.size)
                targets = [one for one in targets if one.spare >= 1]


def _take(lane: Lane, n: float, mix: Sequence[float], opened: list[bool], share: float) -> None:
    """`n` people are written to: those held back first; on the way to the others, who is in quiet hours is held back.

    All in one zone are counted without fractions.
    """
    for z, is_open in enumerate(opened):
        if is_open and n > 0:
            part = min(lane.held[z], n)
            lane.held[z] -= part
            n -= part
    if n <= 0:
        return
    passed = min(lane.fresh, n / share)
    lane.fresh -= passed
    for z, is_open in enumerate(opened):
        if not is_open:
            lane.held[z] += passed * mix[z]


def _shrink(lane: Lane, n: float) -> None:
    part = min(lane.fresh, n)
    lane.fresh -= part
    n -= part
    for z, held in enumerate(lane.held):
        part = min(held, n)
        lane.held[z] -= part
        n -= part


def _in_turn(n: float, targets: Sequence[Lane]) -> list[float]:
    """`n` people in turn over the targets, none more than it may be given."""
    given = [0.0] * len(targets)
    left, ring = n, list(range(len(targets)))
    while ring and left >= 1:
        sizes = sum(targets[i].size for i in ring)
        level = left // sizes
        if not level:
            for i in ring[: math.floor(left)]:
                if left >= 1:
                    given[i] += min(1.0, left)
                    left -= 1
            break
        for i in ring:
            more = min(level * targets[i].size, targets[i].spare * targets[i].size - given[i])
            given[i] += more
            left -= more
        ring = [i for i in ring if given[i] < targets[i].spare * targets[i].size - 0.5]
    return given
