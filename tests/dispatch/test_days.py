"""send-path 5 under trouble: clocks that jump, people who move, workers at the edge, a gateway that says 429.

The statements are the engine's own; only the clock they read is the test's (bench.clock). `--thorough` rolls more dice.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from phonebank import jobs
from phonebank.gateways.base import Deferred, MaybeSent, Rejected
from phonebank.gateways.transport import open_http
from phonebank.gateways.wasender import WaSender
from phonebank.whatsappapi.dispatch.claim import STRIKES, Ticked, tick
from phonebank.whatsappapi.dispatch.tend import reset_usage
from phonebank.whatsappapi.dispatch.worker import Engine
from phonebank.whatsappapi.models import Alert, Attempt, WaSenderSession
from phonebank.whatsappapi.services.health import used_today, with_light
from tests.dispatch.bench import Bench
from tests.dispatch.test_limits import VECTORS, local_midnight
from tests.services.conftest import Sandbox

HOUR = timedelta(hours=1)
LIMIT = 3
ZONES = sorted({name for name, _ in VECTORS} | {
    "UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Pacific/Chatham", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns",
    "Pacific/Apia", "America/Los_Angeles", "Australia/Eucla",
})  # fmt: skip


class Days:
    """An owner's session with a limit, its clock, and what must hold at each moment."""

    def __init__(self, bench: Bench, at: Callable[[datetime], None], seed: int) -> None:
        self.bench, self.at, self.dice = bench, at, random.Random(seed)
        self.session = bench.session(daily_limit=LIMIT)
        self.now = datetime(2027, 1, 1, tzinfo=UTC)
        self.opened: list[tuple[date, datetime]] = []

    def move(self, zone: str) -> None:
        """The owner's settings page."""
        self.bench.user.time_zone = zone
        self.bench.user.save()

    def step(self, moment: datetime) -> None:
        """The clock says `moment`, whatever it said before. Everything that may happen then happens, and is checked."""
        self.now = moment
        self.at(moment)
        if self.dice.random() < 0.4:
            reset_usage()
            self.look()
        claims = self.bench.claim(self.dice.choice([1, 2, 5]))
        self.look()
        ends = [(claim, self.end(claim)) for claim in claims]
        self.bench.settle(*ends)
        self.look()

    def end(self, claim: Any) -> Any:
        """How a request ends: most are accepted, some give their unit back, some keep it."""
        roll = self.dice.random()
        if roll < 0.2:
            return Deferred("late", "", 0, None)
        if roll < 0.3:
            return MaybeSent("reset", "", None)
        return Rejected("invalid", "", 422) if roll < 0.4 else self.bench.accepted(claim)[1]

    def look(self) -> None:
        row = WaSenderSession.objects.get(pk=self.session.pk)
        if row.usage_date is None:
            return
        if not self.opened or self.opened[-1][0] != row.usage_date:
            if self.opened:
                assert row.usage_date > self.opened[-1][0], "the date went back"
                assert row.usage_opened_at - self.opened[-1][1] >= 20 * HOUR, "a second day within 20 hours"
            self.opened.append((row.usage_date, row.usage_opened_at))
        ledger = Counter(
            Attempt.objects.exclude(outcome__in=["deferred", "not_sent"]).values_list("usage_date", flat=True)
        )
        assert max(ledger.values(), default=0) <= LIMIT, "over the limit"
        assert row.messages_sent_today == ledger[row.usage_date]
        self.look_at_pages(row, ledger)

    def look_at_pages(self, row: WaSenderSession, ledger: Counter[date]) -> None:
        """What the card and the API show is what the claim would find, and the ledger's number."""
        zone = ZoneInfo(self.bench.user.time_zone)
        is_over = row.usage_date < self.now.astimezone(zone).date() and self.now - row.usage_opened_at >= 20 * HOUR
        shown = used_today(row, self.now, zone)
        assert shown == (0 if is_over else ledger[row.usage_date])
        assert with_light(WaSenderSession.objects.filter(pk=row.pk), self.now, zone).get().used_today == shown

    def check(self, hours: float) -> None:
        """Over the whole time: no more days than fit, and each of them full at most."""
        assert len(self.opened) <= hours / 20 + 2
        assert self.bench.used(self.session) <= LIMIT


@pytest.fixture
def days(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Days]:
    with bench.clock() as at:
        made = Days(bench, at, getattr(request, "param", 1))
        at(made.now)
        bench.campaign(bench.people(150), [made.session])
        yield made
        bench.check()


@pytest.mark.parametrize(("name", "day"), VECTORS)
def test_clock_steps_around_an_odd_midnight(days: Days, name: str, day: date) -> None:
    """A clock that is set an hour on or back, again and again, while the day changes."""
    zone = ZoneInfo(name)
    days.move(name)
    start = local_midnight(day, zone)
    days.step(start - 24 * HOUR)
    true, off = start - 3 * HOUR, timedelta()
    while true < start + 5 * HOUR:
        days.step(true + off)
        off = days.dice.choice([-HOUR, timedelta(), HOUR, off, off])
        true += HOUR / 4
    days.step(start + 30 * HOUR)
    days.check(24 + 30)
    assert len(days.opened) >= 2 and days.opened[-1][0] > day


@pytest.mark.parametrize("days", range(2), indirect=True)
def test_a_person_who_changes_zone_fifty_times(days: Days) -> None:
    start = moment = local_midnight(date(2027, 3, 27), ZoneInfo("UTC"))
    for _ in range(50):
        days.move(days.dice.choice(ZONES))
        days.step(moment + days.dice.choice([timedelta(), timedelta(), -HOUR, HOUR]))
        moment += timedelta(minutes=days.dice.choice([1, 20, 90, 400]))
    hours = (moment - start) / HOUR + 2
    days.check(hours)
    assert len(days.opened) > hours / 40, "moving house must not cost whole days either"


def test_the_opened_days_do_open(days: Days) -> None:
    """The checks above can see something: at midday of five days, five full days are sent."""
    days.move("Europe/Madrid")
    for n in range(5):
        for minute in range(12):
            days.step(datetime(2027, 3, 26, 11, minute, tzinfo=UTC) + n * 24 * HOUR)
    assert len(days.opened) == 5
    used = Attempt.objects.exclude(outcome__in=["deferred", "not_sent"]).values_list("usage_date", flat=True)
    assert Counter(used) == {date(2027, 3, 26 + n): LIMIT for n in range(5)}


# --- workers at the edge ----------------------------------------------------------------------------------------------


def test_eight_workers_at_the_edge_of_the_limit(bench: Bench, request: pytest.FixtureRequest) -> None:
    """All want the last places at once, some on the stroke of a new day, with the nightly job in between."""
    rounds = 1000 if request.config.getoption("--thorough") else 200
    dice = random.Random(8)
    session = bench.session(daily_limit=1)
    bench.campaign(bench.people(rounds * 6), [session])
    workers = [bench.worker(f"worker {n}", in_flight=1000) for n in range(8)]
    lines = [bench.connect() for _ in workers]

    async def all_at_once(wants: list[int], night: bool) -> list[Ticked]:
        ticked = [Ticked() for _ in workers]
        parts = zip(lines, workers, wants, ticked, strict=True)
        ticks = [tick(conn, one, [], {session.pk: want}, bench.bodies, 0.0, to) for conn, one, want, to in parts]
        dice.shuffle(ticks)
        more = [asyncio.to_thread(_nightly)] if night else []
        await asyncio.gather(*ticks, *more)
        return ticked

    for n in range(rounds):
        room, new_day = dice.randint(0, 6), dice.random() < 0.4
        row = WaSenderSession.objects.filter(pk=session.pk)
        used = bench.used(session)
        if new_day and row.get().usage_date is not None:
            yesterday = row.get().usage_date - timedelta(days=1)
            Attempt.objects.filter(usage_date__gt=yesterday).update(usage_date=yesterday)
            row.update(usage_date=yesterday, usage_opened_at=datetime.now(UTC) - 21 * HOUR, daily_limit=room or None)
            room = room or 10**6
            used = 0
        else:
            row.update(daily_limit=max(1, used + room))
            room = max(1, used + room) - used
        wants = [dice.randint(0, 3) for _ in workers]
        claims = [claim for one in bench.run(all_at_once(wants, new_day)) for claim in one.claims]
        assert len(claims) == min(room, sum(wants)), f"round {n}: {room} places, {wants} wanted"
        assert bench.used(session) == used + len(claims)
        assert len({claim.message for claim in claims}) == len(claims)
        bench.settle(*map(bench.accepted, claims))
    for conn in lines:
        bench.run(conn.close())


def _nightly() -> None:
    try:
        reset_usage()
    finally:
        connection.close()


# --- a storm of 429s --------------------------------------------------------------------------------------------------


class Weather(Engine):
    """The engine over the sandbox, one round at a time; the bench's clock says when."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(jobs.database())
        self.bench, self.limits = bench, bench.limits
        self.at: list[float] = []  # when requests left, by the bench's clock
        self.clock = 0.0

    async def _send(self, claim: Any) -> None:
        self.at.append(self.clock + max(0.0, claim.due - time.monotonic()))
        claim.due = claim.gap = 0.0
        await super()._send(claim)

    async def round(self) -> None:
        await self._look(self.bench.conn)
        await self._tick(self.bench.conn)
        await asyncio.gather(*self.tasks)


@pytest.fixture
def storm() -> Iterator[Sandbox]:
    made = Sandbox()
    made.pull("PATCH", "/knobs", {"latency": 0, "rate_limit": 0, "protected_gap": 0, "connecting_seconds": 0})
    yield made
    made.close()


@pytest.fixture
def engine(bench: Bench) -> Iterator[Weather]:
    made = Weather(bench)

    async def start() -> None:
        made.http = open_http()

    bench.run(start())
    yield made
    assert made.http is not None
    bench.run(made.http.close())


def test_a_storm_of_429s(bench: Bench, engine: Weather, storm: Sandbox) -> None:
    """The pace halves with each, then the number rests for ten minutes, one notice is given; then all recovers."""
    session = bench.run(_linked(bench, engine, storm))
    bench.account.base_url, bench.account.rate_per_minute = f"{storm.url}/api", 60
    bench.account.save()
    bench.campaign(bench.people(400), [session])
    start = datetime(2027, 1, 10, 12, tzinfo=UTC)
    WaSenderSession.objects.update(next_send_at=start)

    def pass_by(seconds: float, step: float = 0.5) -> list[float]:
        """The times of the requests that left within some seconds."""
        first, until = len(engine.at), engine.clock + seconds
        while engine.clock < until:
            at(start + timedelta(seconds=engine.clock))
            bench.run(engine.round())
            engine.clock += step
        return engine.at[first:]

    with bench.clock() as at:
        calm = len(pass_by(30))
        assert 28 <= calm <= 31

        storm.fault("429", "send-message", retry_after=1)
        times = pass_by(300)
        struck = storm.pull("GET", "/stats")["429"]
        assert struck == STRIKES == len(times)  # 300 in calm weather
        waits = [b - a for a, b in itertools.pairwise(times)]
        # Half the pace each time; up to a second that went by idle is made up for.
        assert all(wait >= 1.005 * 2**n - 1.1 for n, wait in enumerate(waits)), waits
        row = WaSenderSession.objects.get(pk=session.pk)
        rests = (row.paused_until - start).total_seconds() - times[-1]
        assert row.strikes == STRIKES and 600 <= rests <= 601
        notice = Alert.objects.get()
        assert (notice.key, notice.times, notice.closed_at) == (f"slowed:{session.pk}", 1, None)
        assert "rests for ten minutes" in notice.text
        assert bench.used(session) == calm == sum(_delivered(storm).values())  # no unit lost, nobody twice

        engine.clock = times[-1] + 590
        assert pass_by(9) == []
        storm.pull("DELETE", "/faults")
        after = pass_by(400)
        assert after[0] - times[-1] < 605
        gaps = [b - a for a, b in itertools.pairwise(after)]
        assert gaps[0] > 16 and gaps[-1] <= 1.5  # carefully at first, then as before
        assert WaSenderSession.objects.get(pk=session.pk).strikes == 0
        pass_by(1)
        sent = _delivered(storm)
        assert max(sent.values()) == 1 and sum(sent.values()) == bench.used(session)


async def _linked(bench: Bench, engine: Weather, storm: Sandbox) -> WaSenderSession:
    assert engine.http is not None
    gateway = WaSender(f"{storm.url}/api", engine.http, deadline=20.0)
    info = await gateway.create_session(
        storm.token, name="Desk", phone_number="+13035550100", account_protection=False, webhook_url=""
    )
    await gateway.connect(storm.token, info.id)
    await asyncio.to_thread(storm.pull, "POST", f"/sessions/{info.id}/scan", {})
    async with asyncio.timeout(60):
        while (found := await gateway.get_session(storm.token, info.id)).status != "connected":
            await asyncio.sleep(0.01)
    return await asyncio.to_thread(_session, bench, info.id, found.api_key)


def _session(bench: Bench, number: int, key: str) -> WaSenderSession:
    try:
        return bench.session(wasender_id=number, api_key=key)
    finally:
        connection.close()


def _delivered(storm: Sandbox) -> Counter[str]:
    entries = storm.pull("GET", "/ledger/entries?limit=1000")
    return Counter(one["to"] for one in entries["entries"])
