"""send-path 2 and 4: what a claim looks at again before anything may leave."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.gateways.base import Accepted, Deferred, MaybeSent, boot_clock
from phonebank.whatsappapi.dispatch.claim import SEND_BEFORE
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignSession,
    Contact,
    InboundMessage,
    Installation,
    Message,
    Suppression,
    WaSenderSession,
)
from tests.dispatch.bench import Bench

ALL_DAY = {"quiet_start": time(0, 0), "quiet_end": time(23, 59, 59, 999999)}


def due(**fields: Any) -> None:
    """All held rows are due now."""
    Message.objects.filter(**fields).exclude(retry_at=None).update(retry_at=timezone.now() - timedelta(seconds=1))


def test_a_claim_records_its_intent(bench: Bench) -> None:
    session = bench.session(key_version=4, connection_version=2)
    people = bench.people(1, attributes={"city": "Quito"})
    bench.campaign(people, [session], body="Hi {{ name|there }} in {{ city }}{{ nothing }}")
    before, begun = boot_clock(), timezone.now()
    [claim] = bench.claim()
    assert claim.body == "Hi P in Quito"
    assert before < claim.send_before <= boot_clock() + SEND_BEFORE
    attempt = Attempt.objects.get(pk=claim.attempt)
    assert attempt.message_id == claim.message and attempt.session_id == session.pk
    assert (attempt.key_version, attempt.connection_version) == (4, 2)
    assert bytes(attempt.body_hash) == hashlib.sha256(b"Hi P in Quito").digest()
    assert attempt.usage_date == timezone.now().date() and attempt.worker == "bench"
    assert begun <= attempt.lease_until - timedelta(seconds=30) <= timezone.now()
    assert attempt.finished_at is None and attempt.resolved_at is None


@pytest.mark.parametrize("state", ["paused", "cancelled", "completed", "dealing"])
def test_only_a_running_campaign_is_claimed(bench: Bench, state: str) -> None:
    session = bench.session()
    campaign = bench.campaign(bench.people(3), [session])
    bench.settle((bench.claim()[0], Deferred("late", "", 0, None)))
    due()
    Campaign.objects.update(state=state)
    assert bench.claim(9) == []
    assert bench.used(session) == 0
    campaign.refresh_from_db()


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "disconnected"},
        {"status": "unknown"},
        {"is_active": False},
        {"rejected_key_version": 1},
        {"deleted_at": timezone.now()},
        {"paused_until": timezone.now() + timedelta(hours=9)},
        {"api_key": ""},
        {"daily_limit": 0},
    ],
)
def test_a_session_that_cannot_send_gets_nothing(bench: Bench, fields: dict[str, Any]) -> None:
    session = bench.session()
    bench.campaign(bench.people(2), [session])
    WaSenderSession.objects.filter(pk=session.pk).update(**fields)
    assert bench.claim(9) == []
    assert bench.used(session) == 0


def test_the_kill_switch_stops_every_claim(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    Installation.objects.update(is_stopped=True)
    assert bench.claim(9) == []
    Installation.objects.update(is_stopped=False)
    assert len(bench.claim(9)) == 2


def test_an_inactive_owner_sends_nothing(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    bench.user.is_active = False
    bench.user.save()
    assert bench.claim(9) == []


def test_only_who_holds_the_shard_by_a_running_job_is_granted(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    limits = bench.worker("other")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE lock = 'other'")
    assert bench.claim(9, limits=limits) == []
    limits.held.clear()
    assert bench.claim(9, limits=limits) == []
    assert len(bench.claim(9)) == 2


def test_consent_taken_back_after_the_deal_is_obeyed(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(3), [bench.session()])
    first, second, _ = Contact.objects.order_by("pk")
    Contact.objects.filter(pk=first.pk).update(consent="withdrawn")
    second.delete()  # an erased person left no consent either
    assert len(bench.claim(9)) == 1
    assert bench.states(campaign) == {"skipped": 2, "sending": 1}
    assert set(Message.objects.filter(state="skipped").values_list("reason", flat=True)) == {"No consent on record"}


def test_a_suppression_after_the_deal_is_obeyed_in_the_lane_and_in_retries(bench: Bench) -> None:
    session = bench.session()
    campaign = bench.campaign(bench.people(2), [session])
    bench.settle((bench.claim(1)[0], Deferred("late", "", 0, None)))
    due()
    for phone in Contact.objects.values_list("phone", flat=True):
        Suppression.objects.create(user=bench.user, phone=phone)
    assert bench.claim(9) == []
    assert bench.states(campaign) == {"skipped": 2}
    assert bench.used(session) == 0


def test_an_expired_campaign_ends_its_rows(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(2), [bench.session()], expires_at=timezone.now())
    assert bench.claim(9) == []
    assert bench.states(campaign) == {"expired": 2}
    assert bench.complete(campaign)


def test_quiet_hours_of_the_recipient_hold_a_row_back_until_they_end(bench: Bench) -> None:
    session = bench.session()
    people = bench.people(1, time_zone="Asia/Tokyo")
    bench.people(1, start=1, time_zone="UTC")
    bench.campaign(people, [session], quiet_start=time(21), quiet_end=time(8))
    with bench.clock() as at:
        at(datetime(2027, 3, 1, 13, 0, tzinfo=UTC))  # 22:00 in Tokyo
        claims = bench.claim(9)
        assert [Contact.objects.get(phone=one.phone).time_zone for one in claims] == ["UTC"]
        held = Message.objects.get(state="queued")
        assert held.retry_at == datetime(2027, 3, 1, 23, 0, tzinfo=UTC)  # 08:00 there
        assert held.reason == "Waits for the end of quiet hours"
        at(datetime(2027, 3, 1, 22, 59, tzinfo=UTC))
        assert bench.claim(9) == []
        at(datetime(2027, 3, 1, 23, 0, 1, tzinfo=UTC))
        assert len(bench.claim(9)) == 1


@pytest.mark.parametrize(("hour", "is_quiet"), [(20, False), (21, True), (23, True), (0, True), (7, True), (8, False)])
def test_quiet_hours_go_over_midnight(bench: Bench, hour: int, is_quiet: bool) -> None:
    bench.campaign(bench.people(1), [bench.session()], quiet_start=time(21), quiet_end=time(8))
    with bench.clock() as at:
        at(datetime(2027, 3, 1, hour, 0, tzinfo=UTC))
        assert len(bench.claim(9)) == (not is_quiet)


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "consent", "suppression"),
    [
        ("transactional", True, True),
        ("reply", False, True),
        ("test", False, False),
        ("confirmation", False, False),
        ("probe", False, False),
    ],
)
def test_kinds_obey_what_the_table_says(bench: Bench, kind: str, consent: bool, suppression: bool) -> None:
    session = bench.session()
    bench.people(2)
    unasked, stopped = Contact.objects.order_by("pk")
    Contact.objects.filter(pk=unasked.pk).update(consent="unknown")
    Suppression.objects.create(user=bench.user, phone=stopped.phone)
    one = bench.single(session, unasked.phone, kind)
    two = bench.single(session, stopped.phone, kind)
    bench.claim(9)
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.state, two.state) == ("skipped" if consent else "sending", "skipped" if suppression else "sending")


@pytest.mark.parametrize("kind", ["reply", "test", "probe"])
def test_what_a_kind_demands_of_the_person_is_seen_by_the_claim(bench: Bench, kind: str) -> None:
    """A reply goes to who wrote, a test and a probe to the owner's own numbers, whatever way the row came in."""
    session = bench.session()
    phone = bench.people(1).contacts.get().phone
    elsewhere = bench.session(user=User.objects.create_user("other@example.com"), linked_number=phone)
    InboundMessage.objects.create(user=elsewhere.user, session=elsewhere, key_id="k", phone=phone)
    message = bench.single(session, phone, kind, earned=False)
    assert bench.claim(9) == []
    message.refresh_from_db()
    assert message.state == "failed" and message.reason
    assert bench.used(session) == 0
    allowed = bench.single(session, phone, kind)
    assert [one.message for one in bench.claim(9)] == [allowed.pk]


def test_two_workers_find_one_person_below_the_cap_once(bench: Bench) -> None:
    """Two campaigns over two sessions, driven by two workers, cap 1 a day: the second counts again after the first."""
    people = bench.people(1)
    one, two = bench.session(), bench.session()
    bench.campaign(people, [one], cap_day=1)
    bench.campaign(people, [two], cap_day=1)
    other = bench.worker("other")
    first: list[Any] = []
    found = bench.overlap(
        lambda: first.extend(bench.claim({one.pk: 1})),
        lambda: bench.elsewhere({two.pk: 1}, limits=other).claims,
    )
    assert len(first) == 1 and found == []
    assert Message.objects.get(campaign__lanes__session=two).state == "queued"


def test_a_person_under_review_waits_and_is_not_skipped(bench: Bench) -> None:
    session = bench.session()
    people = bench.people(2)
    phone = people.contacts.order_by("pk")[0].phone
    held = Suppression.objects.create(user=bench.user, phone=phone, reason="review")
    campaign = bench.campaign(people, [session])
    assert len(bench.claim(9)) == 1
    assert bench.states(campaign) == {"queued": 1, "sending": 1}
    Suppression.objects.filter(pk=held.pk).update(lifted_at=timezone.now())
    due()
    assert [one.phone for one in bench.claim(9)] == [phone]


def test_a_window_that_is_closed_stops_campaigns_alone(bench: Bench) -> None:
    session = bench.session()
    now = timezone.now()
    campaign = bench.campaign(bench.people(3), [session], windows=[[0, 1]] * 7, open_from=now + timedelta(hours=1))
    Contact.objects.create(user=bench.user, phone="+13125550199", consent="granted")
    single = bench.single(session, "+13125550199")
    assert [one.message for one in bench.claim(9)] == [single.pk]
    Campaign.objects.filter(pk=campaign.pk).update(open_from=now - timedelta(1), open_until=now - timedelta(seconds=1))
    assert bench.claim(9) == []
    Campaign.objects.filter(pk=campaign.pk).update(open_until=now + timedelta(hours=1))
    claims = bench.claim(9)
    assert len(claims) == 3
    bench.settle(*[(one, Deferred("late", "", 0, None)) for one in claims])
    due()
    Campaign.objects.filter(pk=campaign.pk).update(open_until=now - timedelta(seconds=1))
    assert bench.claim(9) == []  # retries neither


def test_a_campaigns_own_pace_holds(bench: Bench) -> None:
    """60 a minute: one at once and one for the second gone by, then one a second; others do not wait."""
    session = bench.session()
    with bench.clock() as at:
        start = timezone.now()
        at(start)
        slow = bench.campaign(bench.people(9), [session], pace=60)
        sent = []
        for step in range(8):
            at(start + timedelta(seconds=step / 2))
            claims = bench.claim(9)
            sent.append(len(claims))
            bench.settle(*map(bench.accepted, claims))
        assert sum(sent) <= 1 + 1 + 0.5 + 3.5 + 1 and sum(sent) >= 4
        assert all(n <= 1 for n in sent[1:])
        bench.campaign(bench.people(4, "Others", start=20), [session])
        assert len(bench.claim(9)) >= 4
    assert bench.states(slow)["queued"] > 0


def test_a_session_beyond_the_plan_sends_nothing(bench: Bench) -> None:
    session = bench.session(is_surplus=True)
    bench.campaign(bench.people(2), [session])
    assert bench.claim(9) == [] and bench.used(session) == 0


def test_every_kind_counts_for_the_daily_limit(bench: Bench) -> None:
    session = bench.session(daily_limit=3)
    for i, kind in enumerate(["transactional", "reply", "test", "confirmation", "probe"]):
        bench.people(1, start=i)
        bench.single(session, Contact.objects.order_by("-pk")[0].phone, kind)
    assert len(bench.claim(9)) == 3
    assert bench.used(session) == 3
    assert bench.claim(9) == []


def test_replies_and_confirmations_come_before_campaigns(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(4), [session])
    bench.settle(*[(one, Deferred("late", "", 0, None)) for one in bench.claim(2)])
    due()
    reply = bench.single(session, "+13125550199", "reply", retry_at=timezone.now())
    assert [one.message for one in bench.claim(1)] == [reply.pk]


def test_the_frequency_cap_counts_campaigns_and_transactional_messages(bench: Bench) -> None:
    one, two = bench.session(), bench.session()
    people = bench.people(1)
    phone = people.contacts.get().phone
    bench.single(one, phone, "transactional")
    bench.settle(*map(bench.accepted, bench.claim(9)))
    campaign = bench.campaign(people, [two], cap_day=1)
    assert bench.claim(9) == []
    held = Message.objects.get(campaign=campaign)
    assert held.reason == "Waits: this person was written to recently"
    assert timedelta(minutes=59) < held.retry_at - timezone.now() <= timedelta(hours=1)
    single = bench.single(two, phone, "transactional")  # obeys no cap itself
    assert [c.message for c in bench.claim(9)] == [single.pk]


@pytest.mark.parametrize("kind", ["reply", "test", "confirmation", "probe"])
def test_other_kinds_do_not_count_for_the_cap(bench: Bench, kind: str) -> None:
    one, two = bench.session(), bench.session()
    people = bench.people(1)
    bench.single(one, people.contacts.get().phone, kind)
    bench.settle(*map(bench.accepted, bench.claim(9)))
    bench.campaign(people, [two], cap_day=1, cap_month=1)
    assert len(bench.claim(9)) == 1


def test_the_cap_looks_back_a_day_and_thirty_days(bench: Bench) -> None:
    session = bench.session()
    people = bench.people(1)
    for i, days in enumerate((29, 2)):
        bench.campaign(people, [session], name=f"Old {i}")
        bench.settle(*map(bench.accepted, bench.claim(9)))
        Attempt.objects.filter(started_at__gt=timezone.now() - timedelta(days=1)).update(
            started_at=timezone.now() - timedelta(days=days)
        )
    bench.campaign(people, [session], cap_day=1, cap_month=2)
    assert bench.claim(9) == []
    Campaign.objects.update(cap_month=3)
    due()
    assert len(bench.claim(9)) == 1


def test_what_was_proven_unsent_does_not_count_for_the_cap(bench: Bench) -> None:
    session = bench.session()
    people = bench.people(1)
    bench.campaign(people, [session])
    bench.settle((bench.claim()[0], Deferred("late", "", 0, None)))
    Campaign.objects.update(state="paused")
    bench.campaign(people, [session], cap_day=1)
    assert len(bench.claim(9)) == 1


def test_two_campaigns_claim_one_person_once_in_a_tick(bench: Bench) -> None:
    """An account-wide cap: rotation must not multiply the pressure on one person."""
    people = bench.people(4)
    bench.campaign(people, [bench.session()], cap_day=1)
    bench.campaign(people, [bench.session()], cap_day=1)
    claims = bench.claim(9)
    assert Counter(Counter(one.phone for one in claims).values()) == {1: 4}
    bench.settle(*map(bench.accepted, claims))
    due()
    assert bench.claim(9) == []  # the others by now meet the cap


# --- one open attempt -------------------------------------------------------------------------------------------------


def test_one_open_attempt_for_a_session_and_person(bench: Bench) -> None:
    session = bench.session()
    people = bench.people(1)
    bench.campaign(people, [session])
    [first] = bench.claim()
    bench.settle((first, MaybeSent("timeout", "", None)))
    bench.campaign(people, [session])
    assert bench.claim(9) == []
    held = Message.objects.get(state="queued")
    assert held.reason == "Waits for an open message to this person" and held.retry_at > timezone.now()
    attempt = Attempt.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt.pk = None
        attempt.save(force_insert=True)
    bench.settle((first, Accepted(5)))
    due()
    assert len(bench.claim(9)) == 1


def test_two_rows_to_one_person_in_one_tick_become_one_claim(bench: Bench) -> None:
    session = bench.session()
    bench.people(1)
    phone = Contact.objects.get().phone
    bench.single(session, phone)
    bench.single(session, phone)
    assert len(bench.claim(9)) == 1
    assert bench.used(session) == 1
    assert Message.objects.get(state="queued").retry_at > timezone.now()


# --- lanes ------------------------------------------------------------------------------------------------------------


def test_slots_go_round_the_campaigns_of_a_session(bench: Bench) -> None:
    session = bench.session()
    made = [bench.campaign(bench.people(9, name, start=9 * i), [session]) for i, name in enumerate("abc")]
    served = [bench.claim(2)[0].campaign for _ in range(6)]
    assert Counter(served) == {one.pk: 2 for one in made}
    assert sorted(served[:3]) == sorted(served[3:])


def test_quota_that_found_no_row_goes_back(bench: Bench) -> None:
    bench.account.rate_per_minute = 600
    bench.account.save()
    session = bench.session(daily_limit=50)
    bench.campaign(bench.people(2), [session])
    WaSenderSession.objects.update(next_send_at=timezone.now() - timedelta(hours=1))
    assert len(bench.claim(9)) == 2
    assert bench.used(session) == 2
    session.refresh_from_db()
    assert session.next_send_at < timezone.now() + timedelta(seconds=0.3)  # two gaps of 0.1 s, not seven
    assert bench.claim(9) == []
    assert bench.used(session) == 2


def test_a_taken_out_session_sends_nothing_more_of_that_campaign(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(4), [session])
    bench.settle(*[(one, Deferred("late", "", 0, None)) for one in bench.claim(2)])
    due()
    CampaignSession.objects.update(is_active=False)
    assert bench.claim(9) == []


def test_the_in_flight_cap_counts_open_requests(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(9), [session])
    limits = bench.worker("two", in_flight=2)
    claims = bench.claim(9, limits=limits)
    assert len(claims) == 2
    assert bench.claim(9, limits=limits) == []
    bench.settle(bench.accepted(claims[0]), (claims[1], MaybeSent("timeout", "", None)))
    assert len(bench.claim(9, limits=limits)) == 2  # what is only looked up is not in flight


def test_a_row_that_cannot_be_rendered_fails_alone(bench: Bench) -> None:
    session = bench.session()
    campaign = bench.campaign(bench.people(3), [session])
    Message.objects.filter(pk=Message.objects.order_by("position")[0].pk).update(variables=["no", "object"])
    assert len(bench.claim(9)) == 2
    assert bench.states(campaign) == {"failed": 1, "sending": 2}
    assert bench.used(session) == 2


@pytest.mark.parametrize("where", ["lane", "retries"])
def test_many_rows_that_wait_do_not_keep_the_others_waiting(bench: Bench, where: str) -> None:
    """One row a tick would be 42 minutes for 10,000 people who were written to today."""
    session = bench.session()
    campaign = bench.campaign(bench.people(250), [session])
    if where == "retries":
        CampaignSession.objects.update(cursor=250)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE whatsappapi_message SET retry_at = now() - '1 h'::interval + position * '1 s'::interval"
            )
    waiting = Message.objects.order_by("position")[:240]
    Contact.objects.filter(pk__in=[one.contact_id for one in waiting]).update(consent="withdrawn")
    ticks = [bench.claim(1)]
    while not ticks[-1]:
        ticks.append(bench.claim(1))
        bench.check()
    assert len(ticks) <= 5 and len(ticks[-1]) == 1  # it looks further ahead, and takes no more than it may
    assert bench.used(session) == 1
    assert bench.states(campaign) == {"skipped": 240, "sending": 1, "queued": 9}
    assert len(bench.claim(20)) == 9


def test_replies_come_first_also_when_it_looks_ahead(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(9), [session])
    bench.settle(*[(one, Deferred("late", "", 0, None)) for one in bench.claim(5)])
    due()
    reply = bench.single(session, "+13125550199", "reply", retry_at=timezone.now())
    bench.limits.dull = {session.pk}
    assert [one.message for one in bench.claim(1)] == [reply.pk]
