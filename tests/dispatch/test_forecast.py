"""The forecast against the engine itself: the same campaign over the same rows, by the same statements, on a clock."""

from __future__ import annotations

import heapq
import time as clock
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.dispatch.windows import present_or_next
from phonebank.whatsappapi.models import Campaign, CampaignCount, CampaignSession, WaSenderSession
from phonebank.whatsappapi.services.forecast import Forecast, forecast
from tests.dispatch.bench import Bench

NOON = datetime(2027, 3, 2, 12, tzinfo=UTC)  # a Tuesday
Clock = Callable[[datetime], None]


class Played:
    """What a real run did: its last moment, how many each session sent, and on which of the owner's days."""

    def __init__(self) -> None:
        self.ends: datetime | None = None
        self.sent: Counter[Any] = Counter()
        self.days: Counter[Any] = Counter()


def play(bench: Bench, at: Clock, campaign: Campaign, start: datetime, until: datetime) -> Played:
    """Runs the campaign with the engine's statements, each request accepted, the clock moved on to what comes next."""
    played, now, zone = Played(), start, ZoneInfo(bench.user.time_zone)
    sessions = dict(WaSenderSession.objects.values_list("pk", "public_id"))
    while now < until and CampaignCount.objects.filter(campaign=campaign, state="queued", n__gt=0).exists():
        at(now)
        open_window(campaign, now)
        while bench.redeal(campaign):
            pass
        claims = bench.claim(2)
        bench.settle(*(bench.accepted(claim) for claim in claims))
        for claim in claims:
            if claim.campaign == campaign.pk:
                played.ends = now
                played.sent[sessions[claim.session]] += 1
                played.days[now.astimezone(zone).date()] += 1
        now = _next(campaign, now)
    return played


def open_window(campaign: Campaign, now: datetime) -> None:
    """What `tend.open_windows` does, at the test's time."""
    campaign.refresh_from_db()
    if campaign.windows and (campaign.open_until is None or campaign.open_until <= now):
        window = present_or_next(campaign.windows, campaign.user.time_zone, now)
        assert window
        Campaign.objects.filter(pk=campaign.pk).update(open_from=window[0], open_until=window[1])


def _next(campaign: Campaign, now: datetime) -> datetime:
    """When something may change: a session's pace, a window, a person's quiet hours; else a quarter of an hour on."""
    campaign.refresh_from_db()
    moments = [now + timedelta(minutes=15)]
    moments += WaSenderSession.objects.filter(next_send_at__gt=now).values_list("next_send_at", flat=True)
    moments += [one for one in (campaign.open_from, campaign.open_until) if one and one > now]
    moments += [one for one in campaign.lanes.values_list("next_at", flat=True) if one and one > now]
    return heapq.nsmallest(1, moments)[0] + timedelta(milliseconds=1)


def compare(told: Forecast, played: Played, start: datetime) -> None:
    assert told.ends and played.ends
    took, said = (played.ends - start).total_seconds(), (told.ends - start).total_seconds()
    assert abs(took - said) <= 0.05 * took + 2, (told.ends, played.ends)
    assert {one.public_id: one.total for one in told.sessions if one.total} == dict(played.sent)


def draft(bench: Bench, people: int, sessions: list[WaSenderSession], **fields: Any) -> Campaign:
    """A campaign that was not dealt yet."""
    bench.account.rate_per_minute = fields.pop("rate", 6)
    bench.account.save()
    return bench.campaign(bench.people(people), sessions, run=False, **fields)


def launch(campaign: Campaign) -> None:
    while not deal.deal_chunk(campaign.pk):
        pass
    campaign.refresh_from_db()


def agree(bench: Bench, at: Clock, campaign: Campaign, people: int, start: datetime, days: float = 5) -> Forecast:
    """Before the start, and again a third through, the forecast says what then happens."""
    at(start)
    told = forecast(campaign, people=people, now=start)
    launch(campaign)
    assert forecast(campaign, now=start).ends == told.ends
    compare(told, play(bench, at, campaign, start, start + timedelta(days=days)), start)
    bench.check()
    return told


def test_the_pace_decides(bench: Bench) -> None:
    """6 a minute, one session protected: 5.05 s between two of its messages is faster than 10.05."""
    with bench.clock() as at:
        sessions = [bench.session(next_send_at=NOON), bench.session(next_send_at=NOON)]
        told = agree(bench, at, draft(bench, 61, sessions), 61, NOON)
    assert [one.total for one in told.sessions] == [31, 30]
    assert told.binds.startswith("The pace decides: 716 an hour over 2 sessions")
    assert told.today == 61 and told.tomorrow == 0 and not told.unreached


def test_limits_and_days(bench: Bench) -> None:
    """Used-today counts, unequal limits, people who move on to a session with room; three midnights of Madrid."""
    bench.user.time_zone = "Europe/Madrid"
    bench.user.save()
    today = NOON.astimezone(ZoneInfo("Europe/Madrid")).date()
    opened = NOON - timedelta(hours=13)
    used = {"usage_date": today, "usage_opened_at": opened, "next_send_at": NOON}
    with bench.clock() as at:
        sessions = [
            bench.session(daily_limit=6, messages_sent_today=1, **used),
            bench.session(daily_limit=13, messages_sent_today=3, **used),
            bench.session(daily_limit=8, messages_sent_today=0, **used),
            bench.session(status="need_scan", next_send_at=NOON),
        ]
        told = agree(bench, at, draft(bench, 64, sessions), 64, NOON)
    assert told.today == 23 and told.tomorrow == 27
    assert told.binds == "The daily limits decide: 27 a day over 3 sessions."
    assert any("needs a scan: its people go to the others" in note for note in told.notes)


def test_windows_of_a_minute(bench: Bench) -> None:
    """12:00 to 12:01 and none on Thursdays: ten a minute of two sessions."""
    windows: list[Any] = [[720, 721]] * 7
    windows[3] = None
    with bench.clock() as at:
        sessions = [bench.session(next_send_at=NOON), bench.session(next_send_at=NOON)]
        campaign = draft(bench, 50, sessions, windows=windows, rate=15)
        told = agree(bench, at, campaign, 50, NOON - timedelta(hours=1))
    assert told.ends and told.ends.date() == datetime(2027, 3, 3).date()


def test_quiet_hours_of_two_zones(bench: Bench) -> None:
    """Started in the evening: those in the east sleep already, those in the west do not."""
    start = datetime(2027, 3, 2, 19, 58, tzinfo=UTC)
    with bench.clock() as at:
        sessions = [bench.session(next_send_at=start), bench.session(next_send_at=start)]
        bench.people(30, time_zone="Europe/Athens")  # 21:58 there
        bench.people(30, start=30, time_zone="UTC")
        campaign = draft(bench, 0, sessions, quiet_start=time(21), quiet_end=time(8))
        told = agree(bench, at, campaign, 60, start)
    assert told.ends and told.ends.date() == datetime(2027, 3, 3).date()
    assert told.today == 30 and told.tomorrow == 30
    assert "Europe/Athens 50 %" in told.notes[-1]


def test_its_own_pace_and_another_campaign(bench: Bench) -> None:
    """Two campaigns over one session take turns; this one's own pace is slower than the session's."""
    with bench.clock() as at:
        session = bench.session(next_send_at=NOON)
        at(NOON)
        bench.account.rate_per_minute = 60
        bench.account.save()
        bench.campaign(bench.people(40, "Others"), [session])
        campaign = bench.campaign(bench.people(40, start=40), [session], run=False)
        told = agree(bench, at, campaign, 40, NOON)
        assert told.notes == ["Other campaigns run over the same sessions; they take turns."]
        slow = bench.campaign(bench.people(10, "Slow", start=80), [session], run=False, pace=2)
        agree(bench, at, slow, 10, NOON + timedelta(hours=1))


def test_half_way_it_still_agrees(bench: Bench) -> None:
    with bench.clock() as at:
        sessions = [bench.session(daily_limit=25, next_send_at=NOON) for _ in range(2)]
        campaign = draft(bench, 80, sessions)
        at(NOON)
        launch(campaign)
        play(bench, at, campaign, NOON, NOON + timedelta(minutes=2))
        later = NOON + timedelta(minutes=2)
        at(later)
        told = forecast(campaign, now=later)
        assert told.people == 80 - 24
        compare(told, play(bench, at, campaign, later, NOON + timedelta(days=3)), later)


def test_who_is_not_reached(bench: Bench) -> None:
    """The end date, a session that is waited for, no session at all: each is said, none is guessed away."""
    with bench.clock() as at:
        at(NOON)
        one, two = bench.session(next_send_at=NOON, daily_limit=10), bench.session(status="disconnected")
        campaign = draft(bench, 50, [one, two], expires_at=NOON + timedelta(days=1))
        told = forecast(campaign, people=50, now=NOON)
        assert told.ends is None and told.unreached == 30
        assert told.binds == "30 people will not be reached before its end date."
        campaign.expires_at, campaign.policy = None, "wait"
        told = forecast(campaign, people=50, now=NOON)
        assert told.ends is None and told.unreached == 25
        assert told.binds == "25 people wait for a session that cannot send."
        WaSenderSession.objects.update(status="logged_out")
        told = forecast(campaign, people=50, now=NOON)
        assert told.unreached == 50 and told.binds.startswith("No session of it can send.")


def test_a_year_ahead_and_a_thousand_lanes(bench: Bench) -> None:
    """A million people over a thousand sessions that differ: its parts add up, and it costs no more than 50 ms."""
    with bench.clock() as at:
        at(NOON)
        rows = WaSenderSession.objects.bulk_create(
            WaSenderSession(
                user=bench.user, account=bench.account, wasender_id=i, session_name=f"Desk {i}", status="connected",
                phone_number="+12125550100", daily_limit=100 + i % 7, messages_sent_today=i % 90,
                usage_date=NOON.date(), usage_opened_at=NOON - timedelta(hours=12), next_send_at=NOON,
                account_protection=i % 2 == 0,
            )
            for i in range(1000)
        )  # fmt: skip
        campaign = Campaign.objects.create(
            user=bench.user, name="Sale", body="Hi", state="running", sealed_at=NOON,
            windows=[[540, 1080]] * 5 + [None, None],
        )  # fmt: skip
        CampaignSession.objects.bulk_create(
            CampaignSession(campaign=campaign, session=row, position=i, tail=1000) for i, row in enumerate(rows)
        )
        CampaignCount.objects.bulk_create(
            CampaignCount(campaign=campaign, session=row, state="queued", n=1000) for row in rows
        )
        took = []
        for _ in range(5):
            began = clock.thread_time()
            told = forecast(campaign, now=NOON)
            took.append(clock.thread_time() - began)
        campaign.counts.all().delete()  # there are no rows behind them
        WaSenderSession.objects.update(messages_sent_today=0)
    assert told.people == 1_000_000 and told.ends and told.ends > NOON + timedelta(days=10)
    assert sum(one.total for one in told.sessions) == 1_000_000
    # 50 ms where nothing else runs; the least of some, whatever else the machine does.
    assert min(took) < 0.15, took
