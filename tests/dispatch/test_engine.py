"""The engine object: what it does when the database, a row or a setting is bad."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import override_settings

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.gateways.base import Accepted, Deferred, MaybeSent
from phonebank.gateways.transport import open_http
from phonebank.whatsappapi.dispatch import worker
from phonebank.whatsappapi.dispatch.claim import HORIZON, Ticked, tick
from phonebank.whatsappapi.dispatch.worker import UNSENT, Engine, _halves
from phonebank.whatsappapi.models import Alert, Attempt, GatewayAccount, Message, WaSenderSession
from tests.dispatch.bench import Bench


class Driven(Engine):
    """An engine whose claims are kept instead of sent."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(jobs.database())
        self.bench = bench
        self.conn = bench.conn
        self.limits = bench.limits
        self.kept: list[Any] = []

    async def _send(self, claim: Any) -> None:
        self.kept.append(claim)

    def round(self) -> None:
        async def work() -> None:
            await self._look(self.bench.conn)
            await self._tick(self.bench.conn)
            await asyncio.gather(*self.tasks)

        self.bench.run(work())


@pytest.fixture
def engine(bench: Bench) -> Iterator[Driven]:
    made = Driven(bench)

    async def start() -> None:
        made.http = open_http()

    bench.run(start())
    yield made
    assert made.http
    bench.run(made.http.close())


def test_the_lease_must_outlive_the_request() -> None:
    with override_settings(SEND_DEADLINE=20, SEND_LEASE=22), pytest.raises(ValueError, match="SEND_LEASE"):
        Engine({})


def test_a_commit_of_unknown_fate_sends_nothing_and_settles_as_unsent(
    bench: Bench, engine: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to COMMIT is lost: everything was committed, but nobody knows."""
    session = bench.session()
    bench.campaign(bench.people(3), [session])
    first = bench.claim(1)
    engine.flying = {session.pk: 1}
    engine.outcomes = [(first[0], Accepted(70))]

    async def lost(*args: Any) -> None:
        await real(*args)
        raise psycopg.OperationalError("the connection is gone")

    real = worker.tick
    monkeypatch.setattr(worker, "tick", lost)
    with pytest.raises(psycopg.OperationalError):
        engine.round()
    assert engine.kept == [] and Attempt.objects.count() == 3
    assert [outcome for _, outcome in engine.outcomes] == [Accepted(70), UNSENT, UNSENT]
    monkeypatch.setattr(worker, "tick", real)
    engine.draining = True
    engine.round()
    assert engine.outcomes == [] and engine.flying == {}
    assert bench.used(session) == 1
    assert sorted(Message.objects.values_list("state", flat=True)) == ["accepted", "queued", "queued"]


def test_a_rolled_back_tick_changes_nothing_and_loses_no_outcome(
    bench: Bench, engine: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = bench.session()
    bench.campaign(bench.people(3), [session])
    [claim] = bench.claim(1)
    engine.flying = {session.pk: 1}
    engine.outcomes = [(claim, Accepted(70))]

    async def broken(*args: Any) -> None:
        raise psycopg.OperationalError("no database")

    real = worker.tick
    monkeypatch.setattr(worker, "tick", broken)
    with pytest.raises(psycopg.OperationalError):
        engine.round()
    monkeypatch.setattr(worker, "tick", real)
    engine.round()
    assert bench.state(claim) == "accepted" and len(engine.kept) == 2


def test_one_poison_outcome_does_not_lose_the_rest(bench: Bench, engine: Driven) -> None:
    bench.campaign(bench.people(7), [bench.session()])
    claims = bench.claim(7)
    outcomes: list[Any] = [bench.accepted(one) for one in claims]
    outcomes[3] = (claims[3], MaybeSent("timeout", "", 999_999))  # no smallint
    ticked = Ticked()
    bench.run(engine._settled(bench.conn, outcomes, {}, 0.0, ticked))
    assert [bench.state(one) for one in claims].count("accepted") == 6
    bench.lapse()
    bench.reap()
    assert bench.state(claims[3]) == "unknown"


@pytest.mark.parametrize("text", ["nul \x00 inside", "a lone surrogate \ud800", "long " * 500])
def test_hostile_words_are_stored_harmlessly(bench: Bench, text: str) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    bench.settle((one, Deferred("rate_limited", text, 1, 429)), (two, MaybeSent("server_error", text, 500)))
    assert (bench.state(one), bench.state(two)) == ("queued", "unknown")


def test_a_hostile_msg_id_is_isolated(bench: Bench, engine: Driven) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    bench.run(engine._settled(bench.conn, [(one, Accepted(2**70)), (two, Accepted(5))], {}, 0.0, Ticked()))
    assert (bench.state(one), bench.state(two)) == ("sending", "accepted")


def test_a_session_whose_rows_cannot_be_claimed_stands_still_alone(bench: Bench, engine: Driven) -> None:
    """Time zones come from outside; PostgreSQL may not know one that we took."""
    sessions = [bench.session() for _ in range(5)]
    people = bench.people(20)
    bench.campaign(people, sessions)
    stranger = User.objects.create_user("other@phonebank.example", plan="pro")
    theirs = bench.session(user=stranger)
    User.objects.filter(pk=stranger.pk).update(time_zone="Not/AZone")
    bad = sessions[2]
    Message.objects.filter(session=bad).update(time_zone="Not/AZone")
    bench.single(theirs, "+13125550100", "test", user=stranger)
    engine.round()
    served = {one.session for one in engine.kept}
    assert served == {one.pk for one in sessions} - {bad.pk}
    assert set(Alert.objects.values_list("session_id", flat=True)) == {bad.pk, theirs.pk}
    assert bench.used(bad) == 0


@pytest.mark.parametrize("fault", ["address", "key"])
def test_a_session_without_a_usable_address_or_key_stands_still_alone(bench: Bench, engine: Driven, fault: str) -> None:
    good, bad = bench.session(), bench.session()
    bench.campaign(bench.people(4), [good, bad])
    if fault == "address":
        account = GatewayAccount.objects.create(
            user=bench.user, name="Odd", base_url="ftp://box/api", rate_per_minute=0
        )
        WaSenderSession.objects.filter(pk=bad.pk).update(account=account)
    else:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE whatsappapi_wasendersession SET api_key = 'x' WHERE id = %s", [bad.pk])
    engine.round()
    assert {one.session for one in engine.kept} == {good.pk} and engine.kept
    assert Message.objects.filter(session=bad, state="queued").count() == 2
    WaSenderSession.objects.filter(pk=bad.pk).update(api_key="mended")


def test_a_changed_key_is_not_used_under_the_old_version(bench: Bench, engine: Driven) -> None:
    session = bench.session()
    bench.campaign(bench.people(2), [session])
    engine.round()
    assert engine.doors[session.pk].key == "key-0"
    WaSenderSession.objects.filter(pk=session.pk).update(api_key="new", key_version=2)
    [claim] = bench.claim(1) if len(engine.kept) < 2 else engine.kept[:1]
    claim.key_version = 2

    async def send() -> None:
        await Engine._send(engine, claim)

    bench.run(send())
    assert engine.outcomes[-1][1] == UNSENT


def test_a_claim_that_waited_too_long_is_never_written(bench: Bench, engine: Driven) -> None:
    """Nothing listens on the account's port: had it tried to connect, it would be unreachable, not late."""
    bench.campaign(bench.people(1), [bench.session()])
    engine.round()
    [claim] = engine.kept
    claim.send_before -= 60
    claim.due = time.monotonic()

    async def send() -> None:
        await Engine._send(engine, claim)

    bench.run(send())
    outcome = engine.outcomes[-1][1]
    assert isinstance(outcome, Deferred)
    bench.settle((claim, outcome))
    assert bench.state(claim) == "queued"


def test_after_a_change_of_the_key_the_door_is_opened_anew(bench: Bench, engine: Driven) -> None:
    session = bench.session()
    bench.campaign(bench.people(4), [session])
    engine.limits.in_flight = 1
    engine.round()
    WaSenderSession.objects.filter(pk=session.pk).update(key_version=2)
    bench.settle(bench.accepted(engine.kept[0]))
    engine.flying = {}
    engine.round()
    assert session.pk not in engine.doors and engine.kept[1].key_version == 2
    bench.settle(bench.accepted(engine.kept[1]))
    engine.flying = {}
    engine.round()
    assert engine.doors[session.pk].version == 2


def test_a_deadlock_is_tried_again_at_once(bench: Bench, engine: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.campaign(bench.people(1), [bench.session()])
    calls: list[None] = []

    async def once(*call: Any) -> None:
        calls.append(None)
        if len(calls) == 1:
            raise psycopg.errors.DeadlockDetected
        await tick(*call)

    monkeypatch.setattr(worker, "tick", once)
    engine.round()
    assert len(calls) == 2 and len(engine.kept) == 1


def test_a_refused_tick_is_halved_down_to_one_row_or_session() -> None:
    a, b = ("a", "x"), ("b", "x")
    assert _halves([a, b], {}) == [([a], {}), ([b], {})]
    assert _halves([a], {1: 1}) == [([], {1: 1})]
    assert _halves([], {1: 1, 2: 1, 3: 1}) == [([], {1: 1}), ([], {2: 1, 3: 1})]
    assert _halves([], {1: 1}) == _halves([a], {}) == []


def test_what_leaves_late_moves_what_follows(bench: Bench, engine: Driven) -> None:
    """The gateway counts from one arrival to the next: a late one and a punctual one would be too close."""
    bench.account.rate_per_minute = None
    bench.account.save()
    session = bench.session(account_protection=True)
    bench.campaign(bench.people(2), [session])
    engine.round()
    [late] = engine.kept
    assert late.gap == 5.05 and engine._wants(late.due + 5.05)
    left: list[float] = []

    async def note(*call: Any, leaving: Any, **more: Any) -> Any:
        await asyncio.sleep(0 if left else 0.3)  # connects first
        leaving()
        left.append(time.monotonic())
        return bench.accepted(late)[1]

    async def send() -> None:
        engine.doors[session.pk].gateway = SimpleNamespace(send_text=note)
        late.due, late.gap = time.monotonic() - 0.4, 2.0
        await Engine._send(engine, late)
        engine.due[session.pk] = late.due + late.gap
        assert not engine._wants(late.due + late.gap - HORIZON) and engine._wants(left[0] + late.gap - HORIZON)
        await Engine._send(engine, replace(late, due=late.due + late.gap))

    bench.run(send())
    assert 2.0 <= left[1] - left[0] < 30


def test_shards_are_held_in_the_name_of_one_job(bench: Bench) -> None:
    async def work() -> None:
        engine = Engine({})
        old = asyncio.create_task(engine.hold(3, 100, 60))
        await asyncio.sleep(0)
        assert engine.limits.held == {3: 100}
        new = asyncio.create_task(engine.hold(3, 101, 60))
        await asyncio.sleep(0)
        old.cancel()
        await asyncio.gather(old, return_exceptions=True)
        assert engine.limits.held == {3: 101}  # the old one's end does not let go of the new one's shard
        engine.drop_all()
        assert engine.limits.held == {}
        engine.drain()
        await new

    bench.run(work())


def test_the_job_worker_is_started_anew_whatever_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[Exception | None] = [
        psycopg.OperationalError("restart"),
        None,
        psycopg.errors.ForeignKeyViolation("pruned"),
    ]
    restarts = []

    async def work() -> None:
        made = jobs.Worker(["send"], concurrency=1, stalled=3, on_restart=lambda: restarts.append(1))

        async def once() -> None:
            if not ends:
                made.stop()
            elif error := ends.pop(0):
                raise error

        monkeypatch.setattr(made, "_once", once)
        monkeypatch.setattr(jobs.asyncio, "sleep", _yield)
        await made.run()

    asyncio.run(work())
    assert len(restarts) == 4


_real_sleep = asyncio.sleep


async def _yield(seconds: float) -> None:
    await _real_sleep(0)


def test_no_more_is_claimed_than_leaves_in_time(bench: Bench, engine: Driven) -> None:
    """Late ones halve the next tick, down to a floor; full ticks let it grow. The longest due come first."""
    sessions = [bench.session() for _ in range(4)]
    bench.campaign(bench.people(40), sessions)
    engine.limits.in_flight = 10
    engine.most = 24
    engine.round()
    assert len(engine.kept) == 24 and engine.most == 27
    engine.outcomes = [(claim, UNSENT) for claim in engine.kept[:3]]
    engine.round()
    assert engine.most == 20
    bench.settle(*[bench.accepted(claim) for claim in engine.kept[3:]])
    engine.due = {one.pk: -float(i) for i, one in enumerate(sessions)}
    engine.flying, engine.most = {}, 15
    assert engine._wants(time.monotonic()) == {one.pk: 3 for one in sessions}
    engine.most = 2
    assert engine._wants(time.monotonic()) == {sessions[3].pk: 1, sessions[2].pk: 1}


def test_a_drain_without_a_database_ends_after_the_lease() -> None:
    with override_settings(SEND_DEADLINE=0.1, SEND_LEASE=2.7):
        engine = Engine({"host": "127.0.0.1", "port": 1, "connect_timeout": 1})
        engine.flying = {1: 1}
        engine.drain()
        started = time.monotonic()

        async def run() -> asyncio.Task[None]:
            hanging = asyncio.create_task(asyncio.sleep(3600))
            engine.tasks.add(hanging)
            await asyncio.wait_for(engine.run(), 60)
            return hanging

        assert asyncio.run(run()).cancelled()
        assert 2.5 < time.monotonic() - started < 30
