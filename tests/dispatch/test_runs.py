"""send-path 3 and 5: sessions that join and leave a running campaign, starts at a time, windows, brakes, plans."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.audit.models import Event
from phonebank.gateways.base import Deferred, MaybeSent, Rejected
from phonebank.whatsappapi.dispatch import deal, reconcile, tend
from phonebank.whatsappapi.dispatch.render import body_hash
from phonebank.whatsappapi.dispatch.windows import present_or_next
from phonebank.whatsappapi.models import Alert, Attempt, Campaign, Message, Suppression, WaSenderSession
from phonebank.whatsappapi.services import brakes, campaigns, decisions, recipients, runs
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.wizard_pages import preview_of
from tests.dispatch.bench import Bench, nodes


def parts(campaign: Campaign) -> dict[int, int]:
    return dict(Counter(Message.objects.filter(campaign=campaign, state="queued").values_list("session_id", flat=True)))


def jobs_waiting() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_name FROM procrastinate_jobs WHERE queue_name = 'work' ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


# --- sessions that join and leave -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [10_000, 4])
def test_a_session_that_joins_gets_its_part_of_the_tail(
    bench: Bench, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deal, "CHUNK", chunk)
    one, two, three = (bench.session() for _ in range(3))
    campaign = bench.campaign(bench.people(40), [one, two])
    begun = bench.claim({one.pk: 4, two.pk: 4}, limits=bench.worker("w", in_flight=9))
    heads = set(Message.objects.filter(campaign=campaign, position__lte=8).values_list("pk", flat=True))
    runs.add_session(actor=bench.user, campaign=campaign, wa_session=three)
    assert jobs_waiting() == ["share_campaign"]
    runs.share(campaign.pk, three.pk)
    shares = parts(campaign).values()
    assert sum(shares) == 32 and max(shares) - min(shares) <= 2  # 8 of 40 are under way
    moved = Message.objects.filter(session=three)
    assert not heads & set(moved.values_list("pk", flat=True))
    assert set(moved.values_list("why", flat=True)) == {"Moved: Desk 2 joined"}
    bench.check()
    wide = bench.worker("x", in_flight=99)
    claims = [c for _ in range(9) for c in bench.claim(9, limits=wide)]
    assert len({c.message for c in claims + begun}) == 40


def test_a_newcomer_gets_no_more_than_it_may_send_today(bench: Bench) -> None:
    one, two = bench.session(), bench.session(daily_limit=3)
    campaign = bench.campaign(bench.people(20), [one])
    runs.add_session(actor=bench.user, campaign=campaign, wa_session=two)
    runs.share(campaign.pk, two.pk)
    assert parts(campaign) == {one.pk: 17, two.pk: 3}


def test_a_session_that_leaves_claims_nothing_more_and_its_people_go_to_the_others(bench: Bench) -> None:
    one, two = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(8), [one, two], policy="wait")
    late = bench.claim({one.pk: 2})
    runs.remove_session(actor=bench.user, campaign=campaign, wa_session=one)
    bench.settle(*[(c, Deferred("late", "", 0, None)) for c in late])
    Message.objects.exclude(retry_at=None).update(retry_at=timezone.now())
    assert bench.claim({one.pk: 9}) == []
    while bench.redeal(campaign):
        pass
    assert parts(campaign) == {two.pk: 8}
    with pytest.raises(ServiceError) as refused:
        runs.remove_session(actor=bench.user, campaign=campaign, wa_session=two)
    assert refused.value.code == "last_session"
    runs.add_session(actor=bench.user, campaign=campaign, wa_session=one)
    assert campaign.lanes.get(session=one).is_active
    assert set(Event.objects.values_list("verb", flat=True)) >= {"campaign.add_session", "campaign.remove_session"}


def test_a_session_or_campaign_of_somebody_else_does_not_exist(bench: Bench) -> None:
    other = User.objects.create_user("other@example.com")
    mine, theirs = bench.session(), bench.session(user=other)
    campaign = bench.campaign(bench.people(2), [mine])
    for actor, wa_session in ((bench.user, theirs), (other, theirs), (other, mine)):
        for verb in (runs.add_session, runs.remove_session):
            with pytest.raises(ServiceError) as refused:
                verb(actor=actor, campaign=campaign, wa_session=wa_session)
            assert refused.value.code == "not_found"
    assert campaign.lanes.count() == 1


def test_a_finished_campaign_takes_no_session(bench: Bench) -> None:
    one, two = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(1), [one])
    campaigns.cancel(actor=bench.user, campaign=campaign)
    with pytest.raises(ServiceError) as refused:
        runs.add_session(actor=bench.user, campaign=campaign, wa_session=two)
    assert refused.value.code == "wrong_state"


# --- starts and windows -----------------------------------------------------------------------------------------------


def scheduled(bench: Bench, at: datetime) -> Campaign:
    campaign = bench.campaign(bench.people(3), [bench.session()], run=False)
    Campaign.objects.filter(pk=campaign.pk).update(state="scheduled", scheduled_at=at)
    campaign.refresh_from_db()
    return campaign


def test_a_campaign_starts_at_its_time_and_not_before(bench: Bench) -> None:
    campaign = scheduled(bench, timezone.now() + timedelta(minutes=1))
    assert runs.start_due() == 0
    Campaign.objects.update(scheduled_at=timezone.now() - timedelta(minutes=59))
    assert runs.start_due() == 1 and runs.start_due() == 0
    campaign.refresh_from_db()
    assert campaign.state == "dealing" and jobs_waiting() == ["deal_campaign"]


def test_a_start_missed_by_an_hour_waits_for_a_person(bench: Bench) -> None:
    campaign = scheduled(bench, timezone.now() - timedelta(minutes=61))
    runs.start_due()
    campaign.refresh_from_db()
    assert campaign.state == "paused" and "missed" in campaign.pause_reason
    campaigns.resume(actor=bench.user, campaign=campaign)
    assert campaign.state == "dealing" and jobs_waiting() == ["deal_campaign"]
    while not deal.deal_chunk(campaign.pk):
        pass
    assert parts(campaign) and len(bench.claim(9)) == 3


def test_a_time_gone_by_cannot_be_chosen(bench: Bench) -> None:
    campaign = scheduled(bench, timezone.now() + timedelta(minutes=1))
    with pytest.raises(ServiceError):
        runs.schedule(actor=bench.user, campaign=campaign, at=timezone.now())
    runs.schedule(actor=bench.user, campaign=campaign, at=timezone.now() + timedelta(hours=2))
    runs.unschedule(actor=bench.user, campaign=campaign)
    assert campaign.state == "draft" and campaign.scheduled_at is None


OFFICE = [[9 * 60, 18 * 60]] * 5 + [None, None]


@pytest.mark.parametrize(
    ("zone", "now", "start", "end"),
    [
        # Friday after hours: Monday; in the hours: today's.
        ("Europe/Madrid", "2026-11-20T18:00", "2026-11-23T09:00", "2026-11-23T18:00"),
        ("Europe/Madrid", "2026-11-20T17:59", "2026-11-20T09:00", "2026-11-20T18:00"),
        ("America/New_York", "2026-11-23T08:59", "2026-11-23T09:00", "2026-11-23T18:00"),
        # The Monday after each clock change keeps the wall clock's hours.
        ("Europe/Madrid", "2026-03-28T12:00", "2026-03-30T09:00", "2026-03-30T18:00"),
        ("Europe/Madrid", "2026-10-24T12:00", "2026-10-26T09:00", "2026-10-26T18:00"),
    ],
)
def test_the_window_is_that_of_the_owners_wall_clock(zone: str, now: str, start: str, end: str) -> None:
    here = ZoneInfo(zone)

    def at(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=here)

    assert present_or_next(OFFICE, zone, at(now).astimezone(UTC)) == (at(start), at(end))


def test_windows_that_touch_are_one_and_none_is_none() -> None:
    whole = [[0, 1440], [0, 720], None, None, None, None, None]
    now = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)  # a Monday
    assert present_or_next(whole, "UTC", now) == (
        datetime(2026, 11, 23, tzinfo=UTC),
        datetime(2026, 11, 24, 12, tzinfo=UTC),
    )
    assert present_or_next([None] * 7, "UTC", now) is None


def test_a_week_without_any_window_stays_closed(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(1), [bench.session()], windows=[None] * 7)
    assert tend.open_windows() == 0 and bench.claim() == []
    campaign.refresh_from_db()
    assert campaign.open_until is None


def test_one_campaign_that_fails_does_not_hold_up_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = (bench.campaign(bench.people(1, f"List {n}", start=n), [bench.session()]) for n in (1, 2))
    bench.settle(*map(bench.accepted, bench.claim(9)))
    redeal = tend.redeal

    def fail(campaign: int, policy: str) -> int:
        if campaign == bad.pk:
            raise ValueError("of this one alone")
        return redeal(campaign, policy)

    monkeypatch.setattr(tend, "redeal", fail)
    assert not tend.tend()
    assert set(Campaign.objects.values_list("pk", "state")) == {(bad.pk, "running"), (good.pk, "completed")}
    assert f"Campaign {bad.pk} could not be looked after" in caplog.text


def test_a_window_that_is_over_is_followed_by_the_next(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(1), [bench.session()], windows=[[0, 1440]] * 7)
    assert bench.claim() == []
    assert tend.open_windows() == 1 and tend.open_windows() == 0
    campaign.refresh_from_db()
    assert campaign.open_from < timezone.now() < campaign.open_until
    assert len(bench.claim()) == 1


# --- brakes -----------------------------------------------------------------------------------------------------------


def sent(bench: Bench, campaign: Campaign, n: int, reject: int = 0, code: str = "invalid") -> None:
    wide = bench.worker(f"wide {Attempt.objects.count()}", in_flight=999)
    claims: list[Any] = []
    while len(claims) < n and (found := bench.claim(n - len(claims), limits=wide)):
        claims += found
    assert len(claims) == n
    outcomes = [(c, Rejected(code, "", 422)) for c in claims[:reject]] + [bench.accepted(c) for c in claims[reject:]]
    bench.settle(*outcomes)


def braked(campaign: Campaign) -> str:
    paused = brakes.check(campaign)
    campaign.refresh_from_db()
    assert paused == (campaign.state == "paused")
    return campaign.pause_reason


@pytest.mark.parametrize(("bad", "stops"), [(6, False), (7, True)])
def test_over_ten_in_a_hundred_failures_pause(bench: Bench, bad: int, stops: bool) -> None:
    campaign = bench.campaign(bench.people(60), [bench.session()])
    sent(bench, campaign, 60, reject=bad)
    assert bool(braked(campaign)) is stops
    assert Alert.objects.filter(key=f"brake:{campaign.pk}").exists() is stops


def test_numbers_that_are_not_on_whatsapp_do_not_count_as_failures(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(60), [bench.session()])
    sent(bench, campaign, 60, reject=30, code="not_on_whatsapp")
    assert braked(campaign) == ""
    assert brakes.gauges(campaign)[2].words == "0 of the last 60; 30 more not on WhatsApp"


def test_opt_outs_pause_and_a_person_who_resumes_is_not_stopped_by_the_same_ones(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(120), [bench.session()])
    sent(bench, campaign, 60)
    for phone in Message.objects.filter(state="accepted").values_list("phone", flat=True)[:2]:
        Suppression.objects.create(user=bench.user, phone=phone)
    assert braked(campaign) == "2 of 60 people asked not to be written to."
    campaigns.resume(actor=bench.user, campaign=campaign)
    assert braked(campaign) == ""
    # From the resume on they are counted anew, of all that left since, and beyond the last 200.
    sent(bench, campaign, 60)
    assert [(one.n, one.of) for one in brakes.gauges(campaign)] == [(0, 0), (0, 60), (0, 60)]
    late = campaign.messages.filter(attempts__started_at__gt=campaign.resumed_at).values_list("phone", flat=True)
    with mock.patch.object(brakes, "LAST", 50):
        for phone in late.order_by("attempts__started_at")[:2]:
            Suppression.objects.create(user=bench.user, phone=phone)
        assert [(one.n, one.of) for one in brakes.gauges(campaign)] == [(0, 0), (2, 60), (0, 50)]
        assert braked(campaign) == "2 of 60 people asked not to be written to."


def test_two_sessions_lost_within_an_hour_pause_one_or_a_dropped_link_does_not(bench: Bench) -> None:
    one, two, three = (bench.session() for _ in range(3))
    campaign = bench.campaign(bench.people(9), [one, two, three])
    after = timezone.now() + timedelta(seconds=1)
    WaSenderSession.objects.filter(pk=one.pk).update(status="logged_out", status_since=after)
    WaSenderSession.objects.filter(pk=two.pk).update(status="disconnected", status_since=after)
    assert braked(campaign) == ""
    WaSenderSession.objects.filter(pk=two.pk).update(status="expired")
    assert braked(campaign) == "Desk 0 and Desk 1 were lost within an hour. See why before others follow."


def test_few_messages_brake_nothing(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(49), [bench.session()])
    sent(bench, campaign, 49, reject=49)
    assert braked(campaign) == ""


STAND_AS_SENT = """
WITH m AS (
  UPDATE whatsappapi_message SET state = 'accepted', attempt = gen_random_uuid() WHERE campaign_id = %s RETURNING *
)
INSERT INTO whatsappapi_attempt (id, message_id, session_id, phone, worker, key_version, connection_version, body_hash,
  started_at, lease_until, finished_at, resolved_at, outcome, http_status, detail, key_id, why, msg_id)
SELECT attempt, id, session_id, phone, '', 1, 1, '', t, t, t, t, 'accepted', 200, '', '', '', id
FROM (SELECT *, clock_timestamp() AS t FROM m) m
"""


@pytest.mark.parametrize("asked", [brakes.LATEST, brakes.SENT])
def test_brakes_look_up_the_last_messages_and_read_nobody_else(bench: Bench, asked: str) -> None:
    """Joined, the planner takes them for one message, and reads the whole campaign for every session."""
    campaign = bench.campaign(bench.people(4000), [bench.session() for _ in range(4)])
    named = {"campaign": campaign.pk, "since": timezone.now() - timedelta(hours=1), "last": 200, "most": 20_000}
    with connection.cursor() as cursor:
        cursor.execute(STAND_AS_SENT, [campaign.pk])
        cursor.execute("UPDATE whatsappapi_campaigncount SET state = 'accepted'")
        cursor.execute("ANALYZE whatsappapi_message, whatsappapi_attempt")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {asked}", named)
        [[[found]]] = cursor.fetchall()
    of_messages = [one for one in nodes(found["Plan"]) if one.get("Relation Name") == "whatsappapi_message"]
    assert [(one["Node Type"], one["Index Name"]) for one in of_messages] == [
        ("Index Scan", "whatsappapi_message_pkey")
    ]


# --- what nobody could prove ------------------------------------------------------------------------------------------


def uncertain(bench: Bench) -> Campaign:
    campaign = bench.campaign(bench.people(4), [bench.session()])
    claims = bench.claim(4)
    bench.settle(bench.accepted(claims[0]), *[(c, MaybeSent("timeout", "", None)) for c in claims[1:]])
    reconcile.apply([reconcile.Finding(c.attempt, c.message, "uncertain", "May have been sent") for c in claims[1:]])
    bench.complete(campaign)
    campaign.refresh_from_db()
    assert campaign.state == "completed" and bench.states(campaign) == {"accepted": 1, "uncertain": 3}
    return campaign


def test_a_person_may_assume_them_sent_or_have_them_sent_again(bench: Bench) -> None:
    campaign = uncertain(bench)
    one, two, _ = Message.objects.filter(state="uncertain").order_by("pk").values_list("pk", flat=True)
    assert decisions.assume_sent(actor=bench.user, campaign=campaign, messages=[one]) == 1
    assert decisions.send_again(actor=bench.user, campaign=campaign, messages=[one, two]) == 1
    campaign.refresh_from_db()
    assert campaign.state == "running"
    assert bench.states(campaign) == {"accepted": 2, "uncertain": 1, "queued": 1}
    [claim] = bench.claim(9)
    assert claim.message == two
    bench.settle(bench.accepted(claim))
    assert decisions.send_again(actor=bench.user, campaign=campaign) == 1
    assert bench.states(campaign) == {"accepted": 3, "queued": 1}


def test_nobody_else_decides_and_nothing_else_is_touched(bench: Bench) -> None:
    campaign = uncertain(bench)
    for verb in (decisions.assume_sent, decisions.send_again):
        with pytest.raises(ServiceError):
            verb(actor=User.objects.create_user(f"{verb.__name__}@example.com"), campaign=campaign)
    accepted = Message.objects.get(state="accepted").pk
    assert decisions.send_again(actor=bench.user, campaign=campaign, messages=[accepted]) == 0
    Campaign.objects.update(state="cancelled")
    campaign.refresh_from_db()
    with pytest.raises(ServiceError):
        decisions.send_again(actor=bench.user, campaign=campaign)


# --- what follows, and plans ------------------------------------------------------------------------------------------


def test_a_retry_reaches_the_failed_alone(bench: Bench) -> None:
    people = bench.people(6)
    session = bench.session()
    campaign = bench.campaign(people, [session])
    with pytest.raises(ServiceError):
        runs.retry_failed(actor=bench.user, campaign=campaign)
    claims = bench.claim(6, limits=bench.worker("w", in_flight=9))
    bench.settle(*[(c, Rejected("invalid", "", 422)) for c in claims[:3]])
    bench.settle(*[bench.accepted(c) for c in claims[3:5]], (claims[5], MaybeSent("timeout", "", None)))
    Campaign.objects.filter(pk=campaign.pk).update(state="completed")
    campaign.refresh_from_db()
    Suppression.objects.create(user=bench.user, phone=claims[0].phone)
    again = runs.retry_failed(actor=bench.user, campaign=campaign)
    assert again.state == "draft" and [lane.session_id for lane in again.lanes.all()] == [session.pk]
    Campaign.objects.filter(pk=again.pk).update(state="dealing")
    while not deal.deal_chunk(again.pk):
        pass
    rows = dict(Message.objects.filter(campaign=again).values_list("phone", "state"))
    assert rows == {claims[0].phone: "skipped", claims[1].phone: "queued", claims[2].phone: "queued"}
    assert Attempt.objects.count() == 6


def test_a_session_beyond_the_plan_rests_until_there_is_room(bench: Bench) -> None:
    old, new = bench.session(), bench.session()
    plan = Plan.objects.get(slug="free")
    bench.user.subscription.plan = plan
    bench.user.subscription.save()
    assert tend.mark_surplus() == 1
    assert set(WaSenderSession.objects.filter(is_surplus=True)) == {new}
    campaign = bench.campaign(bench.people(4), [old, new])
    while bench.redeal(campaign):
        pass
    assert parts(campaign) == {old.pk: 4}
    assert "plan" in Message.objects.exclude(why="Dealt in turn")[0].why
    WaSenderSession.objects.filter(pk=old.pk).update(deleted_at=timezone.now())
    assert tend.mark_surplus() == 1 and tend.mark_surplus() == 0
    new.refresh_from_db()
    assert not new.is_surplus


def test_pages_show_the_very_text_that_leaves(bench: Bench) -> None:
    """A tag has what the person's columns hold, and nothing else: their number is none of them."""
    body = "Hi {{ name|there }}, {{ phone }} {{ city|town }} {{ Shoe_size }}!"
    people = bench.people(2)
    one, two = people.contacts.order_by("pk")
    people.contacts.filter(pk=one.pk).update(name="Ana", attributes={"city": " Boston ", "Shoe_size": 41})
    people.contacts.filter(pk=two.pk).update(name="", attributes={"phone": "0100", "name": "not me"})
    campaign = bench.campaign(people, [bench.session()], body=body)
    left = {claim.phone: claim.body for claim in bench.claim(2)}
    assert sorted(left.values()) == ["Hi Ana,  Boston 41!", "Hi there, 0100 town !"]
    rows = campaign.messages.select_related("campaign", "contact")
    assert {row.phone: recipients.text_of(row) for row in rows} == left
    for row in rows:
        shown = preview_of({"body": body, "as_contact": str(row.contact.public_id)}, bench.user)
        assert shown["preview"] == left[row.phone]
        assert bytes(row.attempts.get().body_hash) == body_hash(left[row.phone])
