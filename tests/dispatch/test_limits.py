"""send-path 5: the daily limit through midnights that are missing, doubled or moved; the pace."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from phonebank.accounts.models import Plan
from phonebank.whatsappapi.dispatch.tend import reset_usage
from phonebank.whatsappapi.models import Attempt, Message, WaSenderSession
from tests.dispatch.bench import Bench

HOUR = timedelta(hours=1)
# A midnight that does not exist, one that comes twice, days of 22, 23, 23.5, 24.5, 25 and 26 hours.
VECTORS = [
    ("Africa/Cairo", date(2027, 4, 30)),
    ("America/Havana", date(2027, 3, 14)),
    ("America/Santiago", date(2027, 9, 5)),
    ("Asia/Beirut", date(2027, 3, 28)),
    ("Atlantic/Azores", date(2027, 3, 28)),
    ("America/Havana", date(2027, 11, 7)),
    ("Atlantic/Azores", date(2027, 10, 31)),
    ("Antarctica/Troll", date(2027, 3, 28)),
    ("Antarctica/Troll", date(2027, 10, 31)),
    ("Australia/Lord_Howe", date(2027, 4, 4)),
    ("Australia/Lord_Howe", date(2027, 10, 3)),
    ("Europe/Madrid", date(2027, 10, 31)),
]


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a local date, in UTC, found by looking: it need not be 00:00."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - 16 * HOUR
    while moment.astimezone(zone).date() < day:
        moment += HOUR / 2
    return moment


def send(bench: Bench) -> None:
    bench.settle(*map(bench.accepted, bench.claim(5)))


@pytest.mark.parametrize(("name", "day"), VECTORS)
@pytest.mark.parametrize("nightly", [False, True])
def test_each_local_date_has_its_limit_once(bench: Bench, name: str, day: date, nightly: bool) -> None:
    zone = ZoneInfo(name)
    bench.user.time_zone = name
    bench.user.save()
    session = bench.session(daily_limit=3)
    bench.campaign(bench.people(14), [session])
    start, end = local_midnight(day - timedelta(days=1), zone), local_midnight(day + timedelta(days=2), zone)
    middles = [local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone)]
    moments = {start, *(one + i * HOUR / 2 for one in middles for i in range(-3, 6))}
    moments |= {start + i * 12 * HOUR for i in range(7)}
    with bench.clock() as at:
        for moment in sorted(one for one in moments if one < end):
            at(moment)
            if nightly:
                reset_usage()
            send(bench)
        sent = Attempt.objects.values_list("started_at", "usage_date")
        by_date = Counter(started.astimezone(zone).date() for started, _ in sent)
        assert by_date == {day - timedelta(days=1): 3, day: 3, day + timedelta(days=1): 3}
        assert all(started.astimezone(zone).date() == used for started, used in sent)


@pytest.mark.parametrize("change", ["claim", "nightly"])
def test_the_date_changes_at_most_once_in_twenty_hours(bench: Bench, change: str) -> None:
    session = bench.session(daily_limit=2)
    bench.campaign(bench.people(9), [session])
    yesterday = date(2027, 1, 9)
    now = datetime(2027, 1, 10, 12, tzinfo=UTC)
    with bench.clock() as at:
        at(now)
        for opened, opens in ((now - 20 * HOUR + HOUR / 60, False), (now - 20 * HOUR, True)):
            WaSenderSession.objects.update(messages_sent_today=2, usage_date=yesterday, usage_opened_at=opened)
            claims = bench.claim(9) if change == "claim" else [None] * (reset_usage() * 2)
            assert len(claims) == (2 if opens else 0)
            session.refresh_from_db()
            assert session.usage_date == (now.date() if opens else yesterday)
            assert session.usage_opened_at == (now if opens else opened)
        WaSenderSession.objects.update(messages_sent_today=Attempt.objects.count())


@pytest.mark.parametrize("change", ["claim", "nightly"])
def test_the_date_never_goes_back(bench: Bench, change: str) -> None:
    session = bench.session(daily_limit=2)
    bench.campaign(bench.people(9), [session])
    with bench.clock() as at:
        at(datetime(2027, 1, 10, 12, tzinfo=UTC))
        send(bench)
        at(datetime(2027, 1, 8, 12, tzinfo=UTC))  # the clock was set back
        assert bench.claim(9) == []
        assert reset_usage() == 0
        session.refresh_from_db()
        assert (session.usage_date, session.messages_sent_today) == (date(2027, 1, 10), 2)


@pytest.mark.parametrize("change", ["claim", "nightly"])
def test_a_zone_far_behind_does_not_bring_yesterday_back(bench: Bench, change: str) -> None:
    """Opened at midnight in Kiritimati, 21 hours ago; at Baker Island it is still the day before."""
    bench.user.time_zone = "Etc/GMT+12"
    bench.user.save()
    session = bench.session(daily_limit=2)
    bench.campaign(bench.people(9), [session])
    now = datetime(2027, 1, 11, 7, tzinfo=UTC)
    with bench.clock() as at:
        at(now)
        values = {"usage_date": date(2027, 1, 11), "usage_opened_at": now - 21 * HOUR, "messages_sent_today": 2}
        WaSenderSession.objects.update(**values)
        assert (bench.claim(9) == []) if change == "claim" else (reset_usage() == 0)
        session.refresh_from_db()
        assert (session.usage_date, session.messages_sent_today) == (date(2027, 1, 11), 2)
        WaSenderSession.objects.update(messages_sent_today=0)


def test_flipping_the_time_zone_gains_no_second_day(bench: Bench) -> None:
    dice = random.Random(7)
    zones = ["Pacific/Kiritimati", "Etc/GMT+12", "UTC", "Asia/Kolkata", "America/Havana", "Pacific/Chatham"]
    session = bench.session(daily_limit=2)
    bench.campaign(bench.people(40), [session])
    changes: list[datetime] = []
    last: date | None = None
    moment = datetime(2027, 3, 1, tzinfo=UTC)
    with bench.clock() as at:
        for _ in range(40):
            at(moment)
            bench.user.time_zone = dice.choice(zones)
            bench.user.save()
            if dice.random() < 0.3:
                reset_usage()
            send(bench)
            session.refresh_from_db()
            if session.usage_date != last:
                assert last is None or session.usage_date > last
                changes.append(moment)
                last = session.usage_date
            moment += timedelta(minutes=dice.choice([1, 30, 60, 300]))
        assert len(changes) > 3
        assert min(b - a for a, b in itertools.pairwise(changes)) >= 20 * HOUR
        per_day = Counter(Attempt.objects.values_list("usage_date", flat=True))
        assert max(per_day.values()) <= 2


@pytest.mark.parametrize("lower", ["session", "plan"])
def test_a_lowered_limit_stops_at_once(bench: Bench, lower: str) -> None:
    session = bench.session(daily_limit=9)
    bench.campaign(bench.people(20), [session])
    bench.settle(*map(bench.accepted, bench.claim(5)))
    if lower == "session":
        WaSenderSession.objects.update(daily_limit=4)
    else:
        Plan.objects.filter(slug="enterprise").update(daily_limit=4)
    assert bench.claim(9) == []
    assert bench.used(session) == 5
    WaSenderSession.objects.update(daily_limit=7)
    Plan.objects.filter(slug="enterprise").update(daily_limit=7)
    assert len(bench.claim(9)) == 2


def test_the_smaller_of_session_and_plan_is_the_limit(bench: Bench) -> None:
    one, two, three = bench.session(daily_limit=2), bench.session(daily_limit=9), bench.session()
    Plan.objects.filter(slug="enterprise").update(daily_limit=4)
    bench.campaign(bench.people(40), [one, two, three])
    bench.claim(20)
    assert [bench.used(each) for each in (one, two, three)] == [2, 4, 4]


def test_without_a_limit_nothing_stops(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(30), [session])
    assert len(bench.claim(50)) == 30


def test_unknown_keeps_its_unit_and_what_is_under_way_counts(bench: Bench) -> None:
    session = bench.session(daily_limit=3)
    bench.campaign(bench.people(9), [session])
    claims = bench.claim(2)
    bench.lapse(claims[0])
    bench.reap()
    assert len(bench.claim(9)) == 1


# --- pace -------------------------------------------------------------------------------------------------------------


def pace(bench: Bench, seconds: float, **fields: object) -> list[float]:
    """When messages leave within some seconds, by ticks every 0.25 s that each want as many as there are."""
    session = bench.session(**fields)
    bench.campaign(bench.people(60), [session])
    start = datetime(2027, 1, 10, 12, tzinfo=UTC)
    WaSenderSession.objects.update(next_send_at=start)
    leaves: list[float] = []
    with bench.clock() as at:
        for i in range(int(seconds * 4)):
            at(start + timedelta(seconds=i / 4))
            claims = bench.claim(60)
            leaves += [i / 4 + one.due for one in claims]
            bench.settle(*map(bench.accepted, claims))
    return leaves


def set_rate(bench: Bench, rate: int | None) -> None:
    bench.account.rate_per_minute = rate
    bench.account.save()


@pytest.mark.parametrize(
    ("rate", "protected", "gap"),
    [(None, False, 60.3 / 256), (None, True, 5.05), (1, True, 60.0), (1, False, 60.3), (60, False, 60.3 / 60)],
)
def test_the_smallest_pace_holds(bench: Bench, rate: int | None, protected: bool, gap: float) -> None:
    set_rate(bench, rate)
    leaves = pace(bench, 4 if gap < 1 else 11, account_protection=protected)
    assert all(b - a >= gap - 0.001 for a, b in itertools.pairwise(leaves))
    assert len(leaves) >= (4 if gap < 1 else 11) // gap  # and nothing is given away


def test_only_rows_due_within_half_a_second_are_claimed(bench: Bench) -> None:
    set_rate(bench, 600)
    leaves = pace(bench, 0.25)
    assert max(leaves) <= 0.5 + 0.001 and len(leaves) == 5


def test_time_that_went_by_is_made_up_for_by_a_second_at_most(bench: Bench) -> None:
    set_rate(bench, 600)
    session = bench.session()
    bench.campaign(bench.people(60), [session])
    WaSenderSession.objects.update(next_send_at=timezone.now() - HOUR)
    assert len(bench.claim(60)) <= 6
    assert Message.objects.filter(state="sending").count() == len(bench.claim(0)) + 6


def test_a_protected_session_makes_up_for_nothing(bench: Bench) -> None:
    set_rate(bench, None)
    session = bench.session(account_protection=True)
    bench.campaign(bench.people(9), [session])
    WaSenderSession.objects.update(next_send_at=timezone.now() - HOUR)
    assert len(bench.claim(9)) == 1
