"""send-path 1 and 6: what the world reports, the reaper, and what the gateway's log proves."""

from __future__ import annotations

import itertools
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from phonebank.gateways.base import Accepted, Deferred, LogEntry, MaybeSent
from phonebank.whatsappapi.dispatch import budget, reconcile
from phonebank.whatsappapi.dispatch.settle import Claim
from phonebank.whatsappapi.dispatch.statuses import Status, fail
from phonebank.whatsappapi.models import Attempt, CallBudget, Campaign, CampaignCount, Message, WaSenderSession
from tests.dispatch.bench import Bench

TIMEOUT = MaybeSent("timeout", "", None)


def status(claim: Claim, rank: int, msg_id: int | None, **fields: Any) -> Status:
    return Status(
        **{"session_id": claim.session, "rank": rank, "msg_id": msg_id, "key_id": "", "at": timezone.now()} | fields
    )


def one_accepted(bench: Bench, msg_id: int = 70) -> Claim:
    bench.campaign(bench.people(1), [bench.session()])
    [claim] = bench.claim()
    bench.settle((claim, Accepted(msg_id)))
    return claim


def one_unknown(bench: Bench, **fields: Any) -> Claim:
    bench.campaign(bench.people(1), [bench.session(**fields)])
    [claim] = bench.claim()
    bench.settle((claim, TIMEOUT))
    return claim


# --- reports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations([2, 3, 4])))
@pytest.mark.parametrize("at_once", [True, False])
def test_ranks_only_rise_in_whatever_order_reports_come(bench: Bench, order: tuple[int, ...], at_once: bool) -> None:
    claim = one_accepted(bench)
    seen = []
    updates = [status(claim, rank, 70) for rank in order]
    for part in [updates] if at_once else [[one] for one in updates + updates]:
        assert bench.merge(*part) == set()
        seen.append(Message.objects.get(pk=claim.message).rank)
        bench.check()
    assert seen == sorted(seen) and seen[-1] == 4
    attempt = Attempt.objects.get(pk=claim.attempt)
    assert attempt.sent_at and attempt.delivered_at and attempt.read_at
    assert CampaignCount.objects.get(state="read").n == 1


def test_settling_never_lowers_the_rank(bench: Bench) -> None:
    """A report that names the attempt by its key comes before the answer does."""
    claim = one_unknown(bench)
    Attempt.objects.update(key_id="3EB0")
    Attempt.objects.update(msg_id=70)
    bench.merge(status(claim, 3, 70))
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.rank) == ("accepted", 3)
    Attempt.objects.update(outcome="accepted")
    bench.settle((claim, Accepted(70)))
    row.refresh_from_db()
    assert (row.state, row.rank) == ("accepted", 3)


def test_a_report_is_found_by_session_and_msg_id_then_by_key(bench: Bench) -> None:
    claim = one_accepted(bench)
    assert bench.merge(status(claim, 2, 71)) == {0}
    assert bench.merge(status(claim, 2, 70, session_id=claim.session + 1)) == {0}
    assert bench.merge(status(claim, 2, 70, key_id="3EB0AA")) == set()
    assert bench.merge(status(claim, 3, None, key_id="3EB0AA")) == set()
    assert bench.merge(status(claim, 4, None, key_id="")) == {0}
    assert Message.objects.get(pk=claim.message).rank == 3


def test_a_confirmed_failure_is_beaten_by_late_delivered(bench: Bench) -> None:
    claim = one_accepted(bench)
    with transaction.atomic(), connection.cursor() as cursor:
        fail(cursor, claim.session, 70, "It did not get there")
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.reason) == ("failed", "It did not get there")
    bench.check()
    bench.merge(status(claim, 2, 70))
    row.refresh_from_db()
    assert row.state == "failed"  # "sent" says less than the failure
    bench.merge(status(claim, 3, 70))
    row.refresh_from_db()
    assert (row.state, row.rank, row.reason) == ("accepted", 3, "")


def test_a_failure_does_not_touch_what_was_delivered(bench: Bench) -> None:
    claim = one_accepted(bench)
    bench.merge(status(claim, 3, 70))
    with transaction.atomic(), connection.cursor() as cursor:
        fail(cursor, claim.session, 70, "It did not get there")
    assert bench.state(claim) == "accepted"


def test_a_report_about_an_older_attempt_does_not_move_the_message(bench: Bench) -> None:
    bench.campaign(bench.people(1), [bench.session()])
    [old] = bench.claim()
    bench.settle((old, Deferred("late", "", 0, None)))
    Message.objects.update(retry_at=timezone.now())
    [new] = bench.claim()
    bench.settle((old, Accepted(70)))
    bench.merge(status(old, 3, 70))
    assert bench.state(new) == "sending" and Message.objects.get(pk=new.message).rank == 0
    assert Attempt.objects.get(pk=old.attempt).delivered_at


def test_evidence_with_a_msg_id_resolves_unknown(bench: Bench) -> None:
    claim = one_unknown(bench)
    assert bench.merge(status(claim, 3, 70, phone=claim.phone, text=claim.body)) == set()
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.rank) == ("accepted", 3)
    attempt = Attempt.objects.get(pk=claim.attempt)
    assert attempt.msg_id == 70 and attempt.resolved_at and attempt.outcome == "accepted"


@pytest.mark.parametrize(
    "change",
    [{"phone": "+12025550199"}, {"text": "Something else"}, {"msg_id": None, "key_id": "3EB0"}, {"session_id": 0},
     {"at": datetime.fromisoformat("2020-01-01T00:00:00Z")}],
)  # fmt: skip
def test_evidence_must_fit_in_everything(bench: Bench, change: dict[str, Any]) -> None:
    claim = one_unknown(bench)
    values = {"phone": claim.phone, "text": claim.body, "msg_id": 70} | change
    bench.merge(status(claim, 3, **values))
    assert bench.state(claim) == "unknown"


def test_evidence_that_another_attempt_owns_is_none(bench: Bench) -> None:
    claim = one_accepted(bench)
    Campaign.objects.update(state="paused")
    bench.campaign(Campaign.objects.get().contact_list, [WaSenderSession.objects.get()])
    [second] = bench.claim()
    bench.settle((second, TIMEOUT))
    bench.merge(status(claim, 3, 70, phone=claim.phone, text=claim.body))
    assert bench.state(second) == "unknown"


def test_two_candidates_on_either_side_are_no_match(bench: Bench) -> None:
    claim = one_unknown(bench)
    both = [status(claim, 2, one, phone=claim.phone, text=claim.body) for one in (70, 71)]
    assert bench.merge(*both) == {0, 1}
    assert bench.state(claim) == "unknown"


def test_one_given_up_on_is_a_candidate_as_well(bench: Bench) -> None:
    first = one_unknown(bench)
    reconcile.apply([reconcile.Finding(first.attempt, first.message, "uncertain", "")])
    bench.campaign(Campaign.objects.get().contact_list, [WaSenderSession.objects.get()])
    [second] = bench.claim()
    assert second.body == first.body and second.phone == first.phone
    bench.settle((second, TIMEOUT))
    bench.merge(status(second, 3, 70, phone=second.phone, text=second.body))
    assert (bench.state(first), bench.state(second)) == ("uncertain", "unknown")


# --- reaper -----------------------------------------------------------------------------------------------------------


def test_the_reaper_waits_for_the_end_of_the_lease(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(2), [session])
    live, dead = bench.claim(2)
    with connection.cursor() as cursor:  # the worker is gone and its shard has changed hands
        cursor.execute("DELETE FROM procrastinate_jobs")
    bench.reap()
    assert {bench.state(live), bench.state(dead)} == {"sending"}
    bench.lapse(dead)
    bench.reap()
    assert (bench.state(live), bench.state(dead)) == ("sending", "unknown")
    attempt = Attempt.objects.get(pk=dead.attempt)
    assert attempt.finished_at and attempt.outcome == "unknown" and attempt.resolved_at is None
    assert bench.used(session) == 2  # it may have been sent


def test_the_reaper_does_nothing_else(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(6), [bench.session()])
    claims = bench.claim(4)
    bench.settle(bench.accepted(claims[0]), (claims[1], TIMEOUT), (claims[2], Deferred("late", "", 9, None)))
    Attempt.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    bench.reap()
    bench.reap()
    assert bench.states(campaign) == {"accepted": 1, "unknown": 2, "queued": 3}


# --- reconciliation ---------------------------------------------------------------------------------------------------


def entry(number: int, claim: Claim, at: datetime | None = None, **fields: Any) -> LogEntry:
    values = {
        "to": claim.phone,
        "content": claim.body,
        "status": "sent",
        "failed_reason": "",
        "created_at": at or timezone.now(),
    }
    return LogEntry(number, **values | fields)


def look(bench: Bench, monkeypatch: pytest.MonkeyPatch, *entries: LogEntry, **fields: Any) -> int:
    """One round of all sessions with such a log, read far enough back."""
    since = timezone.now() - timedelta(days=30)
    Attempt.objects.filter(outcome="unknown", resolved_at=None).update(lease_until=timezone.now() - timedelta(hours=1))
    WaSenderSession.objects.update(**{"log_messages": True} | fields)
    CallBudget.objects.all().delete()  # as if the last look was long ago
    monkeypatch.setattr(reconcile, "_read_log", lambda session, back_to: reconcile.Record(list(entries), since))
    return sum(reconcile.reconcile(one) for one in reconcile.sessions_with_unknown())


def test_found_in_the_log_is_accepted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = one_unknown(bench)
    assert look(bench, monkeypatch, entry(70, claim)) == 1
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.rank, Attempt.objects.get().msg_id) == ("accepted", 2, 70)


def test_found_as_failed_is_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = one_unknown(bench)
    look(bench, monkeypatch, entry(70, claim, status="failed", failed_reason="no such number"))
    assert bench.state(claim) == "failed"


def test_proven_absent_goes_back_to_the_queue_and_gives_its_quota_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = one_unknown(bench, daily_limit=1)
    session = WaSenderSession.objects.get()
    assert bench.claim(9) == []
    assert look(bench, monkeypatch) == 1
    assert (bench.state(claim), bench.used(session)) == ("queued", 0)
    [again] = bench.claim(9)
    assert again.message == claim.message and again.attempt != claim.attempt


def test_proven_absent_once_too_often_is_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = one_unknown(bench)
    Message.objects.update(tries=reconcile.MOST_TRIES)
    assert look(bench, monkeypatch) == 1
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.reason) == ("failed", "Not sent after 10 tries")


def test_a_log_that_cannot_be_read_proves_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    claim = one_unknown(bench, log_messages=True, wasender_id=1)  # nothing listens on the account's port
    Attempt.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    assert reconcile.reconcile(WaSenderSession.objects.get().pk) == 0 and bench.state(claim) == "unknown"
    assert "could not be read" in caplog.text


def test_a_refund_by_proof_goes_to_the_attempts_own_day_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = one_unknown(bench)
    session = WaSenderSession.objects.get()
    Attempt.objects.update(usage_date=timezone.now().date() - timedelta(days=1))
    WaSenderSession.objects.update(messages_sent_today=0)
    bench.single(session, "+13125550199", "reply")
    bench.settle(*map(bench.accepted, bench.claim(9)))
    look(bench, monkeypatch)
    assert (bench.state(claim), bench.used(session)) == ("queued", 1)


@pytest.mark.parametrize("case", ["too early", "logging off", "not read", "hidden", "two alike", "another text"])
def test_anything_less_proves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    claim = one_unknown(bench)
    entries = {
        "hidden": [entry(70, claim, to=None, content=None)],
        "two alike": [entry(70, claim), entry(71, claim)],
        "another text": [entry(70, claim, content="Hi")],
    }.get(case, [])
    if case == "too early":
        WaSenderSession.objects.update(log_messages=True)
        monkeypatch.setattr(reconcile, "_read_log", lambda *_: pytest.fail("its settle time is not over"))
        Attempt.objects.update(lease_until=timezone.now() - timedelta(seconds=100))
        assert reconcile.sessions_with_unknown() == []
        assert reconcile.reconcile(claim.session) == 0
    elif case == "not read":
        look(bench, monkeypatch, log_messages=False)
        record = reconcile.Record([], timezone.now())
        monkeypatch.setattr(reconcile, "_read_log", lambda *_: record)
        WaSenderSession.objects.update(log_messages=True)
        assert reconcile.reconcile(claim.session) == 0
    else:
        assert look(bench, monkeypatch, *entries, log_messages=case != "logging off") == 0
    assert bench.state(claim) == "unknown"


def holes(bench: Bench, *known: int) -> bool:
    session = WaSenderSession.objects.get()
    now = timezone.now()
    entries = {one: LogEntry(one, "", "", "sent", "", now) for one in known}
    return reconcile._has_holes(session, entries, now - timedelta(hours=3), now)


def test_a_log_that_lacks_what_was_accepted_proves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The assumption about its lag is tested by each message whose fate is known."""
    bench.campaign(bench.people(2), [bench.session()])
    sent, lost = bench.claim(2)
    bench.settle((sent, Accepted(70)), (lost, TIMEOUT))
    assert not holes(bench)  # too fresh to tell
    long_ago = timezone.now() - timedelta(hours=1)
    Attempt.objects.update(started_at=long_ago, finished_at=long_ago)
    assert holes(bench) and holes(bench, 71) and not holes(bench, 70)
    now = timezone.now()
    record = reconcile.Record([], now - timedelta(days=1), has_holes=True)
    WaSenderSession.objects.update(log_messages=True)
    bench.lapse()
    Attempt.objects.filter(pk=lost.attempt).update(lease_until=long_ago)
    monkeypatch.setattr(reconcile, "_read_log", lambda *_: record)
    assert reconcile.reconcile(lost.session) == 0 and bench.state(lost) == "unknown"
    monkeypatch.setattr(reconcile, "_read_log", lambda *_: reconcile.Record([], now - timedelta(days=1)))
    assert reconcile.reconcile(lost.session) == 1 and bench.state(lost) == "queued"


def test_short_clocks_are_for_sandboxes_only(bench: Bench, settings: Any) -> None:
    settings.SEND_SETTLE = 1.0
    claim = one_unknown(bench)
    Attempt.objects.update(lease_until=timezone.now() - timedelta(seconds=90))
    assert reconcile.sessions_with_unknown() == [claim.session]
    bench.account.is_sandbox = False
    bench.account.save()
    assert reconcile.sessions_with_unknown() == [] and reconcile.reconcile(claim.session) == 0
    Attempt.objects.update(lease_until=timezone.now() - timedelta(seconds=121))
    assert reconcile.sessions_with_unknown() == [claim.session]


def test_a_log_is_looked_at_less_and_less_often(bench: Bench) -> None:
    claim = one_unknown(bench, log_messages=False)
    now = timezone.now()
    Attempt.objects.update(lease_until=now - timedelta(seconds=120 + 100))  # ready 100 s ago
    assert reconcile.sessions_with_unknown() == [claim.session]
    reconcile.reconcile(claim.session)
    assert reconcile.sessions_with_unknown() == []  # again 50 s from now
    CallBudget.objects.update(next_at=now - timedelta(seconds=49))
    assert reconcile.sessions_with_unknown() == [claim.session]
    CallBudget.objects.update(next_at=now - timedelta(seconds=5))  # one became ready since the last look
    Attempt.objects.update(lease_until=timezone.now() - timedelta(seconds=121))
    assert reconcile.sessions_with_unknown() == [claim.session]


def test_log_pages_of_a_real_account_are_budgeted(bench: Bench) -> None:
    assert all(budget.may_read_log(bench.account) for _ in range(50))  # a sandbox says itself when it is too much
    CallBudget.objects.all().delete()
    bench.account.is_sandbox = False
    began = time.monotonic()
    taken = sum(budget.may_read_log(bench.account) for _ in range(50))
    assert 21 <= taken <= 21 + (time.monotonic() - began) / budget.ACCOUNT_GAP
    budget.close(budget.account_key(bench.account.pk), 60)
    CallBudget.objects.update(next_at=timezone.now() - timedelta(hours=1))
    assert not budget.may_read_log(bench.account)


def test_a_gateway_clock_that_is_behind_proves_nothing_wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = one_unknown(bench)
    look(bench, monkeypatch, entry(70, claim, timezone.now() - timedelta(seconds=45)))
    assert bench.state(claim) == "accepted"


def test_an_entry_that_another_attempt_owns_is_no_evidence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = one_accepted(bench)
    Campaign.objects.update(state="paused")
    bench.campaign(Campaign.objects.get().contact_list, [WaSenderSession.objects.get()])
    [second] = bench.claim()
    bench.settle((second, TIMEOUT))
    look(bench, monkeypatch, entry(70, first))
    assert (bench.state(first), bench.state(second)) == ("accepted", "queued")


def test_one_id_for_two_people_is_no_proof_of_absence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    bench.settle((one, Accepted(70)))
    bench.settle((two, Accepted(70)))
    assert look(bench, monkeypatch, entry(70, two)) == 0
    assert (bench.state(one), bench.state(two)) == ("accepted", "unknown")


def test_no_proof_in_a_day_is_for_a_person_to_decide(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = one_unknown(bench)
    campaign = Campaign.objects.get()
    Attempt.objects.update(started_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert look(bench, monkeypatch, log_messages=False) == 0
    assert not bench.complete(campaign)
    Attempt.objects.update(started_at=timezone.now() - timedelta(hours=24, minutes=1))
    assert look(bench, monkeypatch, log_messages=False) == 1
    assert bench.state(claim) == "uncertain"
    assert bench.claim(9) == []
    assert bench.complete(campaign)


def test_a_finding_applies_only_to_the_current_unknown_attempt(bench: Bench) -> None:
    claim = one_unknown(bench)
    finding = reconcile.Finding(claim.attempt, claim.message, "queued", "")
    bench.settle((claim, Accepted(70)))
    reconcile.apply([finding, finding])
    assert bench.state(claim) == "accepted"


def test_any_step_back_to_the_queue_reopens_a_completed_campaign(bench: Bench) -> None:
    claim = one_unknown(bench)
    campaign = Campaign.objects.get()
    Campaign.objects.update(state="completed", finished_at=timezone.now())
    reconcile.apply([reconcile.Finding(claim.attempt, claim.message, "queued", "")])
    campaign.refresh_from_db()
    assert (campaign.state, campaign.finished_at) == ("running", None)
    assert len(bench.claim(9)) == 1
    campaign.refresh_from_db()
    assert campaign.state == "running"


@pytest.mark.parametrize("state", ["queued", "sending", "unknown"])
def test_a_campaign_completes_only_when_nothing_can_move(bench: Bench, state: str) -> None:
    campaign = bench.campaign(bench.people(2), [bench.session()])
    claims = bench.claim({"queued": 1}.get(state, 2))
    bench.settle(bench.accepted(claims[0]))
    if state == "unknown":
        bench.settle((claims[1], TIMEOUT))
    assert not bench.complete(campaign)
    for one in claims[1:] or bench.claim(9):
        bench.settle(bench.accepted(one))
    assert bench.complete(campaign)
    campaign.refresh_from_db()
    assert campaign.state == "completed" and campaign.finished_at
    assert not bench.complete(campaign)
