"""Deliveries that no webhook reported, asked of a real sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from phonebank.gateways import sync
from phonebank.gateways.base import Accepted, SessionInfo
from phonebank.gateways.wasender import WaSender
from phonebank.whatsappapi.dispatch import budget, poll
from phonebank.whatsappapi.dispatch.settle import Claim
from phonebank.whatsappapi.dispatch.sql import poll as sql
from phonebank.whatsappapi.dispatch.statuses import Status
from phonebank.whatsappapi.models import (
    Attempt,
    CallBudget,
    Campaign,
    GatewayAccount,
    Message,
    Sweep,
    WaSenderSession,
    Watch,
)
from tests.dispatch.bench import Bench
from tests.services.conftest import Sandbox, _sandbox, sandbox, wait_for

__all__ = ["_sandbox", "sandbox"]


@pytest.fixture
def quick(settings: Any) -> None:
    settings.SEND_POLL_AFTER = 0.05


@pytest.fixture
def linked(bench: Bench, sandbox: Sandbox, quick: None) -> Iterator[Callable[[], WaSenderSession]]:
    """Makes sessions that are connected at a sandbox that loses every webhook."""
    sandbox.pull("PATCH", "/knobs", {"webhook_loss": 1, "rate_limit": 0, "concurrency": 0,
                                     "sent_after": 0.01, "delivered_after": 0.02, "read_after": 0.05})  # fmt: skip
    bench.account.base_url, bench.account.token = sandbox.url + "/api", sandbox.token
    bench.account.save()

    def make() -> WaSenderSession:
        phone = f"+164655501{WaSenderSession.objects.count():02d}"

        async def create(gateway: WaSender) -> SessionInfo:
            info = await gateway.create_session(
                sandbox.token, name="Desk", phone_number=phone, account_protection=False
            )
            await gateway.connect(sandbox.token, info.id)
            return info

        info = sync.run(bench.account.base_url, create)
        sandbox.link(info.id, lambda: {one["id"]: one["status"] for one in sandbox.sessions()}[info.id] == "connected")
        return bench.session(wasender_id=info.id, api_key=info.api_key)

    yield make
    sandbox.pull("DELETE", "/faults")


def send(bench: Bench, sandbox: Sandbox, people: int, rows: list[WaSenderSession]) -> Campaign:
    """Sends a whole campaign over the wire; every message is accepted."""
    campaign = bench.campaign(bench.people(people), rows)
    keys = {row.pk: row.api_key for row in rows}

    async def post(gateway: Any, claims: list[Claim]) -> list[tuple[Claim, Any]]:
        return [(claim, await gateway.send_text(keys[claim.session], claim.phone, claim.body)) for claim in claims]

    while claims := bench.claim(100):
        outcomes = sync.run(sandbox.url + "/api", lambda gateway, claims=claims: post(gateway, claims))
        assert all(isinstance(outcome, Accepted) for _, outcome in outcomes)
        bench.settle(*outcomes)
    return campaign


def truth(sandbox: Sandbox) -> dict[int, int]:
    """Of each msgId: 0 failed, else what its person did."""
    return {one["msgId"]: one["status"] for one in sandbox.pull("GET", "/ledger/entries?limit=100000")["entries"]}


def asked_of(sandbox: Sandbox) -> dict[str, Any]:
    """Requests by operation and answer."""
    return sandbox.pull("GET", "/stats")["requests"]


def known() -> dict[int, int]:
    rows = Attempt.objects.exclude(msg_id=None).values_list("msg_id", "message__rank", "message__state")
    return {msg_id: 0 if state == "failed" else rank for msg_id, rank, state in rows}


def poll_all() -> int:
    """Rounds until nothing is due, whatever the clocks say."""
    poll.sweep()
    total = 0
    Watch.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    while n := poll.poll():
        total += n
    return total


def swept(messages: int) -> None:
    """So many are on watch, and due, the oldest first."""

    def are_there() -> bool:
        poll.sweep()
        return Watch.objects.count() == messages

    wait_for(are_there)
    Watch.objects.update(due_at=F("started_at") - timedelta(hours=1))


def one_accepted(bench: Bench, **fields: Any) -> Claim:
    bench.campaign(bench.people(1), [bench.session(**fields)])
    [claim] = bench.claim()
    bench.settle((claim, Accepted(70)))
    return claim


def aged(seconds: float = 3600.0, **more: Any) -> None:
    Attempt.objects.update(started_at=timezone.now() - timedelta(seconds=seconds), **more)


def test_without_any_webhook_the_end_is_the_gateways_truth(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox
) -> None:
    sandbox.pull("PATCH", "/knobs", {"read_fraction": 0.6, "delivered_fraction": 0.8, "fail_fraction": 0.1})
    send(bench, sandbox, 200, [linked(), linked()])
    assert set(known().values()) == {0}

    def are_equal() -> bool:
        poll_all()
        bench.check()
        return known() == truth(sandbox)

    wait_for(are_equal, 60)
    assert {0, 2, 3, 4} <= set(known().values())
    assert set(Watch.objects.values_list("rank", flat=True)) <= {2, 3}  # what is read or failed is not asked again
    assert Message.objects.filter(state="failed").values_list("reason", flat=True)[0] == poll.UNDELIVERABLE


def test_only_what_is_late_and_unreported_is_asked_about(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(4), [bench.session()])
    fresh, told, waiting, gone = bench.claim(4)
    bench.settle((fresh, Accepted(1)), (told, Accepted(2)), (waiting, Accepted(3)))
    aged()
    Attempt.objects.filter(pk=fresh.attempt).update(started_at=timezone.now() - timedelta(seconds=500))
    Attempt.objects.filter(pk=gone.attempt).update(outcome="not_sent", finished_at=timezone.now())
    bench.merge(Status(told.session, 3, 2, "", timezone.now()))
    poll.sweep()
    assert set(Watch.objects.values_list("attempt_id", flat=True)) == {waiting.attempt}
    Attempt.objects.filter(pk=gone.attempt).update(outcome="", finished_at=None)
    assert campaign.pk


def test_nothing_is_seen_twice_and_nothing_missed(bench: Bench) -> None:
    claim = one_accepted(bench)
    aged()
    poll.sweep()
    Watch.objects.all().delete()
    poll.sweep()
    assert not Watch.objects.exists()
    assert Sweep.objects.get().until == Attempt.objects.get(pk=claim.attempt).started_at


def test_a_claim_still_being_committed_is_not_swept_over(bench: Bench) -> None:
    """Its worker may be frozen: the row becomes visible later, with an older time."""
    session = bench.session()
    bench.campaign(bench.people(1), [session])
    [claim] = bench.claim()
    bench.settle((claim, Accepted(70)))

    async def oldest_writer() -> Any:
        return (await (await bench.conn.execute(sql.OLDEST_WRITER, {"after": 0.0})).fetchone())[0]

    with transaction.atomic(), connection.cursor() as cursor:
        Attempt.objects.update(worker="frozen")
        cursor.execute("SELECT now()")
        [begun] = cursor.fetchone()
        assert bench.run(oldest_writer()) == begun
    assert bench.run(oldest_writer()) > begun


def test_what_a_webhook_told_meanwhile_costs_no_question(bench: Bench) -> None:
    claim = one_accepted(bench)
    aged()
    poll.sweep()
    bench.merge(Status(claim.session, 3, 70, "", timezone.now()))
    assert poll.poll() == 0
    assert not Watch.objects.exists()


def test_after_three_days_nobody_asks_any_more(bench: Bench) -> None:
    one_accepted(bench)
    aged()
    poll.sweep()
    Watch.objects.update(started_at=timezone.now() - timedelta(hours=73))
    assert poll.poll() == 0
    assert not Watch.objects.exists()


def test_an_unknown_attempt_waits_until_it_is_known(bench: Bench) -> None:
    one_accepted(bench)
    aged(outcome="unknown", resolved_at=None, msg_id=None)
    poll.sweep()
    assert poll.poll() == 0
    assert Watch.objects.get().due_at > timezone.now() + timedelta(minutes=9)
    aged(outcome="accepted", resolved_at=timezone.now(), msg_id=70)
    Message.objects.update(state="accepted")


def test_questions_become_rarer(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox, settings: Any
) -> None:
    sandbox.pull("PATCH", "/knobs", {"delivered_fraction": 0})
    send(bench, sandbox, 1, [linked()])
    wait_for(lambda: poll_all() and known() == dict.fromkeys(truth(sandbox), 2))
    settings.SEND_POLL_AFTER = 600.0
    Watch.objects.update(asks=0)
    waits = []
    for _ in range(8):
        Watch.objects.update(due_at=timezone.now())
        before = timezone.now()
        assert poll.poll() == 1
        waits.append((Watch.objects.get().due_at - before).total_seconds())
    # From when it was asked, which is after `before`.
    assert waits == pytest.approx([600, 1200, 2400, 4800, 9600, 19200, 21600, 21600], rel=0, abs=60)


def test_questions_take_a_tenth_of_the_sessions_rate(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox
) -> None:
    row = linked()
    send(bench, sandbox, 40, [row])
    row.account.rate_per_minute = 600  # a tenth: one a second, ten saved up
    row.account.save()
    CallBudget.objects.all().delete()
    swept(40)
    began = time.monotonic()
    assert 10 <= (asked := poll.poll()) <= 12 + time.monotonic() - began
    assert asked + poll.poll() <= 12 + time.monotonic() - began


def test_protection_slows_the_questions_too(bench: Bench) -> None:
    row = bench.session(account_protection=True)
    bench.account.rate_per_minute = None
    row.account = bench.account
    assert budget.may_ask(row, 9) == 2  # one every 50 s, and one saved up
    assert budget.may_ask(row, 9) == 0


def test_the_oldest_are_asked_first(bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox) -> None:
    sandbox.pull("PATCH", "/knobs", {"read_fraction": 0})  # what was read is not asked again, so not on watch any more
    row = linked()
    send(bench, sandbox, 20, [row])
    row.account.rate_per_minute = 60  # one in 10 s, and one saved up
    row.account.save()
    CallBudget.objects.all().delete()
    swept(20)
    in_order = sorted(Watch.objects.values_list("pk", flat=True))  # of random numbers: not the order of the rows
    for age, pk in enumerate(in_order):
        Watch.objects.filter(pk=pk).update(due_at=timezone.now() - timedelta(seconds=100 - age))
    assert poll.poll() == 2
    assert set(Watch.objects.filter(asks=1).values_list("pk", flat=True)) == set(in_order[:2])


@pytest.mark.parametrize("kind", ["429", "unauthorized", "error"])
def test_a_gateway_that_says_no_is_left_alone(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox, kind: str
) -> None:
    row = linked()
    send(bench, sandbox, 3, [row])
    sandbox.fault(kind, "info", retry_after=7)
    swept(3)
    before = asked_of(sandbox)
    assert poll.poll() == 0
    closed = CallBudget.objects.get(key=f"session:{row.pk}").closed_until
    wait = (closed - timezone.now()).total_seconds()
    assert (
        {"429": 0, "unauthorized": 200, "error": 20}[kind] < wait <= {"429": 61, "unauthorized": 300, "error": 30}[kind]
    )
    Watch.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    after = asked_of(sandbox)
    assert poll.poll() == 0 and asked_of(sandbox) == after != before
    sandbox.pull("DELETE", "/faults")
    CallBudget.objects.all().delete()
    assert poll.poll() == 3


def test_an_account_with_an_impossible_address_costs_nobody_else(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox
) -> None:
    row, other = linked(), linked()
    send(bench, sandbox, 4, [row, other])
    swept(4)
    odd = GatewayAccount.objects.create(user=bench.user, name="Odd", base_url="ftp://box/api", rate_per_minute=0)
    WaSenderSession.objects.filter(pk=other.pk).update(account=odd)
    assert poll.poll() == 2


def test_a_long_backlog_is_swept_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [2000, 2000, 1999, 7]
    monkeypatch.setattr(poll, "sweep", lambda: found.pop(0))
    poll.sweep_at_times()
    assert found == [7]


def test_a_session_that_is_paused_or_refused_is_not_asked_for(bench: Bench) -> None:
    one_accepted(bench)
    aged()
    poll.sweep()
    later = timezone.now() + timedelta(minutes=1)
    for change in ({"paused_until": later}, {"paused_until": None, "rejected_key_version": 1}, {"api_key": ""}):
        WaSenderSession.objects.update(**change)
        assert poll._claim() == []
    WaSenderSession.objects.update(rejected_key_version=0, api_key="x")


def test_a_message_that_the_gateway_does_not_know_is_dropped(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox
) -> None:
    send(bench, sandbox, 1, [linked()])
    Attempt.objects.update(msg_id=999_999_999)
    swept(1)
    assert poll_all() == 1
    assert not Watch.objects.exists() and Message.objects.get().state == "accepted"


def test_a_reported_failure_is_asked_about_at_once(
    bench: Bench, linked: Callable[[], WaSenderSession], sandbox: Sandbox, settings: Any
) -> None:
    sandbox.pull("PATCH", "/knobs", {"fail_fraction": 1})
    row = linked()
    send(bench, sandbox, 1, [row])
    settings.SEND_POLL_AFTER = 600.0
    number = Attempt.objects.get().msg_id or 0
    wait_for(lambda: truth(sandbox)[number] == 0)
    with transaction.atomic(), connection.cursor() as cursor:
        assert poll.hurry(cursor, [(row.pk, number), (row.pk, 1), (row.pk + 1, number)]) == {(row.pk, number)}
    assert poll.poll() == 1
    assert Message.objects.get().state == "failed" and not Watch.objects.exists()
