"""send-path 1 and 4.1: what an outcome does to the message, its attempt, the session and the quota."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Outcome, Rejected
from phonebank.whatsappapi.models import Attempt, Message, WaSenderSession, WebhookEvent
from tests.dispatch.bench import Bench

LATE = Deferred("late", "the moment to send had passed", 0.0, None)
UNREACHABLE = Deferred("unreachable", "nothing was sent", 5.0, None)
THROTTLED = Deferred("rate_limited", "slow down", 7.0, 429)
UNAUTHORIZED = NotSent("unauthorized", "Unauthenticated", 401)
NOT_CONNECTED = NotSent("not_connected", "not connected", 400)
GONE = NotSent("gone", "session not found", 410)
CONFIGURATION = NotSent("configuration", "HTTP 404", 404)
INVALID = Rejected("invalid", "to: invalid", 422)
TIMEOUT = MaybeSent("timeout", "no complete answer", None)


@pytest.mark.parametrize(
    ("outcome", "state", "used", "tries"),
    [
        (Accepted(7), "accepted", 1, 1),
        (INVALID, "failed", 1, 1),  # a 422 keeps its unit of quota
        (LATE, "queued", 0, 0),  # counts as no attempt
        (UNREACHABLE, "queued", 0, 0),
        (THROTTLED, "queued", 0, 0),
        (UNAUTHORIZED, "queued", 0, 1),
        (NOT_CONNECTED, "queued", 0, 1),
        (GONE, "queued", 0, 1),
        (CONFIGURATION, "queued", 0, 1),
        (TIMEOUT, "unknown", 1, 1),
        (MaybeSent("server_error", "HTTP 502", 502), "unknown", 1, 1),
        (MaybeSent("no_msg_id", "", 200), "unknown", 1, 1),
    ],
)
def test_state_table(bench: Bench, outcome: Outcome, state: str, used: int, tries: int) -> None:
    session = bench.session()
    bench.campaign(bench.people(1), [session])
    [claim] = bench.claim()
    assert bench.state(claim) == "sending" and bench.used(session) == 1
    bench.check()
    bench.settle((claim, outcome))
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.tries, bench.used(session)) == (state, tries, used)
    assert (row.attempt is None) == (row.retry_at is not None) == (state == "queued")
    attempt = Attempt.objects.get(pk=claim.attempt)
    assert attempt.finished_at and (attempt.resolved_at is None) == (state == "unknown")
    bench.check()


def test_proven_unsent_marks_the_session_only_for_this_key_and_connection(bench: Bench) -> None:
    session = bench.session(key_version=3, connection_version=5)
    bench.campaign(bench.people(2), [session])
    one, two = bench.claim(2)
    bench.settle((one, UNAUTHORIZED), (two, LATE))
    assert Message.objects.get(pk=one.message).tried == [f"{session.pk}:3:5"]
    assert Message.objects.get(pk=two.message).tried == []
    session.refresh_from_db()
    assert session.rejected_key_version == 3
    assert bench.claim(9) == []  # closed under this key
    WaSenderSession.objects.filter(pk=session.pk).update(key_version=4)
    Message.objects.update(retry_at=timezone.now() - timedelta(seconds=1))
    assert len(bench.claim(9)) == 2


def test_not_connected_closes_the_session_until_it_is_back(bench: Bench) -> None:
    session = bench.session(connection_version=5)
    bench.campaign(bench.people(2), [session])
    one, two = bench.claim(2)
    bench.settle((one, NOT_CONNECTED))
    session.refresh_from_db()
    assert session.status == "disconnected" and "not connected" in session.status_reason
    WaSenderSession.objects.filter(pk=session.pk).update(status="connected", connection_version=6)
    bench.settle((two, NOT_CONNECTED))  # of the link before
    session.refresh_from_db()
    assert session.status == "connected"
    Message.objects.update(retry_at=timezone.now() - timedelta(seconds=1))
    assert len(bench.claim(9)) == 2


def test_a_wrong_set_up_pauses_the_campaign(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    bench.settle((one, CONFIGURATION))
    campaign.refresh_from_db()
    assert campaign.state == "paused" and "HTTP 404" in campaign.pause_reason
    bench.settle(bench.accepted(two))  # what was under way still ends
    assert bench.state(two) == "accepted"
    assert Message.objects.get(pk=one.message).tried == []


def test_a_wrong_set_up_is_not_hammered_with_a_single_message(bench: Bench) -> None:
    """Nothing pauses here, so every try waits longer, and the number of tries has no edge to fall over."""
    session = bench.session()
    message = bench.single(session, "+12015550100", kind="confirmation")
    waits = []
    for tries in (0, 3, 9, 32000):
        Message.objects.update(tries=tries, retry_at=timezone.now() - timedelta(seconds=1))
        bench.settle((bench.claim()[0], CONFIGURATION))
        message.refresh_from_db()
        waits.append((message.retry_at - timezone.now()).total_seconds())
    assert waits[0] < 2 and 5 < waits[1] < 10 and waits[2] > 250 and waits[3] > 250


def test_settling_twice_counts_once(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(3), [session])
    claims = bench.claim(3)
    outcomes = [bench.accepted(claims[0]), (claims[1], LATE), (claims[2], TIMEOUT)]
    bench.settle(*outcomes)
    before = list(Message.objects.order_by("pk").values())
    bench.settle(*outcomes)
    bench.settle(*outcomes)
    assert list(Message.objects.order_by("pk").values()) == before
    assert bench.used(session) == 2
    bench.check()


def test_an_outcome_of_an_older_attempt_moves_nothing(bench: Bench) -> None:
    bench.campaign(bench.people(1), [bench.session()])
    [old] = bench.claim()
    bench.settle((old, LATE))
    Message.objects.update(retry_at=timezone.now())
    [new] = bench.claim()
    assert new.attempt != old.attempt and new.message == old.message
    bench.settle((old, INVALID))
    bench.settle((old, LATE))
    assert bench.state(new) == "sending"
    bench.settle(bench.accepted(new))
    assert bench.state(new) == "accepted"


def test_a_stale_positive_outcome_is_kept_and_raises_an_alert(bench: Bench) -> None:
    bench.campaign(bench.people(1), [bench.session()])
    [old] = bench.claim()
    bench.settle((old, LATE))
    Message.objects.update(retry_at=timezone.now())
    [new] = bench.claim()
    ticked = bench.settle((old, Accepted(4711)))
    assert ticked.alerts == [(old.session, "late")]
    attempt = Attempt.objects.get(pk=old.attempt)
    assert attempt.msg_id == 4711 and attempt.detail.startswith("late")
    assert bench.state(new) == "sending" and Message.objects.get(pk=new.message).attempt == new.attempt
    assert bench.settle((old, Accepted(4711))).alerts == []


def test_an_unknown_is_settled_by_its_own_late_answer(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(2), [session])
    one, two = bench.claim(2)
    bench.lapse()
    bench.reap()
    bench.settle(bench.accepted(one), (two, LATE))
    assert (bench.state(one), bench.state(two), bench.used(session)) == ("accepted", "queued", 1)


def test_an_answer_does_not_undo_what_evidence_said(bench: Bench) -> None:
    bench.campaign(bench.people(1), [bench.session()])
    [claim] = bench.claim()
    bench.settle((claim, Accepted(50)))
    bench.settle((claim, TIMEOUT))
    assert bench.state(claim) == "accepted"


def test_a_collision_of_session_and_msg_id_becomes_unknown_and_an_alert(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    bench.settle((one, Accepted(99)))
    ticked = bench.settle((two, Accepted(99)))
    assert ticked.alerts == [(two.session, "collision")]
    assert (bench.state(one), bench.state(two)) == ("accepted", "unknown")
    assert Attempt.objects.get(pk=two.attempt).msg_id is None


def test_a_collision_within_one_tick_leaves_both_unknown_with_an_alert(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    ticked = bench.settle((one, Accepted(99)), (two, Accepted(99)))
    assert (bench.state(one), bench.state(two)) == ("unknown", "unknown")
    assert (one.session, "collision") in ticked.alerts


def test_the_same_msg_id_under_another_session_is_another_message(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session(), bench.session()])
    one, two = bench.claim(1)
    assert one.session != two.session
    ticked = bench.settle((one, Accepted(99)), (two, Accepted(99)))
    assert (bench.state(one), bench.state(two), ticked.alerts) == ("accepted", "accepted", [])


def test_a_refund_goes_to_the_attempts_own_day_only(bench: Bench) -> None:
    session = bench.session(daily_limit=10)
    bench.campaign(bench.people(6), [session])
    old = bench.claim(2)
    yesterday = timezone.now().date() - timedelta(days=1)
    long_ago = timezone.now() - timedelta(hours=30)
    Attempt.objects.update(usage_date=yesterday)
    WaSenderSession.objects.update(usage_date=yesterday, usage_opened_at=long_ago)
    new = bench.claim(3)  # opens today
    assert bench.used(session) == 3
    bench.settle((old[0], LATE), (new[0], LATE))
    assert bench.used(session) == 2
    bench.check()


def test_a_429_pauses_the_session_and_halves_its_pace(bench: Bench) -> None:
    bench.account.rate_per_minute = 60
    bench.account.save()
    session = bench.session()
    bench.campaign(bench.people(3), [session])
    [claim] = bench.claim(1)
    before = timezone.now()
    bench.settle((claim, THROTTLED))
    session.refresh_from_db()
    assert session.strikes == 1
    assert before + timedelta(seconds=6) < session.paused_until < timezone.now() + timedelta(seconds=9)
    assert bench.claim(1) == []
    WaSenderSession.objects.update(paused_until=None, next_send_at=timezone.now() - timedelta(seconds=9))
    ticked = bench.tick(1)
    assert len(ticked.claims) == 1
    assert ticked.grants[session.pk].gap == pytest.approx(2 * 60.3 / 60)
    bench.tick(1, [bench.accepted(ticked.claims[0])])
    session.refresh_from_db()
    assert session.strikes == 0


def test_repeated_429s_pause_the_session_for_long_and_raise_an_alert(bench: Bench) -> None:
    session = bench.session(strikes=5)
    bench.campaign(bench.people(1), [session])
    [claim] = bench.claim(1)
    ticked = bench.settle((claim, Deferred("rate_limited", "slow down", 0.0, 429)))
    session.refresh_from_db()
    assert session.paused_until - timezone.now() > timedelta(minutes=5)
    assert (session.pk, "slowed") in ticked.alerts


def test_an_answer_wakes_the_webhooks_that_came_before_it(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(1), [session])
    [claim] = bench.claim()
    later = timezone.now() + timedelta(hours=1)
    values: dict[str, Any] = {"body": b"{}", "state": "unmatched", "due_at": later}
    waiting = WebhookEvent.objects.create(session=session, digest=b"1" * 32, msg_id=321, **values)
    other = WebhookEvent.objects.create(session=session, digest=b"2" * 32, msg_id=322, **values)
    bench.settle((claim, Accepted(321)))
    waiting.refresh_from_db()
    other.refresh_from_db()
    assert waiting.due_at <= timezone.now() and other.due_at == later


def test_a_reason_is_told_in_words(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    bench.settle((one, Rejected("not_on_whatsapp", "", 400)), (two, NOT_CONNECTED))
    assert Message.objects.get(pk=one.message).reason == "This number is not on WhatsApp"
    assert Message.objects.get(pk=two.message).reason == "The number was not connected"
