"""One verb on many sessions: what is put in line, what becomes of each, and what a kill leaves."""

from __future__ import annotations

import threading
import time
import uuid

import pytest
from django.db import connection

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import BulkAction, CallBudget, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import bulk, sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from tests.services.conftest import Sandbox, make_session

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def three(user: User, sandbox: Sandbox) -> list[WaSenderSession]:
    """Three sessions of the sandbox, the first two of them linked."""
    box = ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)
    rows = [sessions.create_session(actor=user, account=box, phone_number=f"+1212555010{n}") for n in range(3)]
    for row in rows[:2]:
        sessions.connect(actor=user, wa_session=row)
        sandbox.link(
            row.wasender_id,
            lambda row=row: sessions.refresh_status(wa_session=row).status == "connected",
        )  # fmt: skip
    return rows


def start(user: User, verb: str, rows: list[WaSenderSession], **more: object) -> BulkAction:
    return bulk.start(actor=user, verb=verb, public_ids=[row.public_id for row in rows], **more)


def run(user: User, seconds: float = 30) -> float | None:
    return bulk.run(user.pk, time.monotonic() + seconds, threading.Event())


def outcomes(action: BulkAction) -> list[str]:
    return list(action.results.values_list("outcome", flat=True))


def status(rows: list[WaSenderSession]) -> list[str]:
    return [WaSenderSession.objects.get(pk=row.pk).status for row in rows]


def todo(user: User) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE lock = %s AND status = 'todo'", [bulk.lock_of(user.pk)]
        )
        return cursor.fetchone()[0]


def test_each_session_has_its_outcome(user: User, three: list[WaSenderSession], sandbox: Sandbox) -> None:
    action = start(user, "disconnect", three)
    assert (action.state, action.total, todo(user)) == ("waiting", 3, 1)
    assert run(user) is None
    action.refresh_from_db()
    assert (action.state, action.done, action.failed) == ("done", 3, 0)
    assert action.finished_at >= action.started_at
    assert sorted(outcomes(action)) == ["done", "done", "skipped"]  # the third had never been linked
    assert "connected" not in [one["status"] for one in sandbox.sessions()]
    assert Event.objects.filter(verb="session.disconnect", actor=user).count() == 2
    assert Event.objects.get(verb="bulk.disconnect").data == {"sessions": 3, "at_gateway": False}


def test_connecting_passes_over_what_is_connected(user: User, three: list[WaSenderSession]) -> None:
    action = start(user, "connect", three)
    run(user)
    texts = dict(action.results.values_list("session__session_name", "text"))
    assert list(texts.values()).count("It was connected already.") == 2
    assert texts[three[2].session_name] == "Its code waits to be scanned."
    assert status(three) == ["connected", "connected", "need_scan"]


def test_deleting_leaves_one_default(user: User, three: list[WaSenderSession], sandbox: Sandbox) -> None:
    WaSenderSession.objects.filter(pk=three[1].pk).update(adopted_at="2026-01-01T00:00Z")
    start(user, "delete", three[:2], at_gateway=True)
    run(user)
    assert [row.pk for row in WaSenderSession.objects.visible_to(user)] == [three[2].pk]
    assert WaSenderSession.objects.get(pk=three[2].pk).is_default
    # What was taken over from there stays there.
    assert {one["id"] for one in sandbox.sessions()} == {three[1].wasender_id, three[2].wasender_id}


@pytest.mark.parametrize("with_own", [True, False])
def test_one_foreign_id_and_nothing_is_done(
    user: User, stranger: User, linked: WaSenderSession, with_own: bool
) -> None:  # fmt: skip
    account = GatewayAccount.objects.create(user=stranger, name="Theirs", token="2|y", is_sandbox=True)
    theirs = make_session(account, "b2" * 32, "d00d" * 8)
    own = [linked.public_id] if with_own else []
    for foreign in (theirs.public_id, uuid.uuid4()):
        with pytest.raises(ServiceError) as error:
            bulk.start(actor=user, verb="disconnect", public_ids=[*own, foreign])
        assert error.value.code == "not_found"
    with pytest.raises(ServiceError) as error:
        bulk.start(actor=user, verb="delete", rows=WaSenderSession.objects.filter(pk=theirs.pk))
    assert error.value.code == "empty"
    assert not BulkAction.objects.exists()
    assert todo(user) == 0


def test_another_number_than_agreed_to_is_refused(user: User, linked: WaSenderSession) -> None:
    with pytest.raises(ServiceError) as error:
        bulk.start(actor=user, verb="delete", rows=WaSenderSession.objects.all(), expected=2)
    assert error.value.code == "changed"
    assert not BulkAction.objects.exists()


def test_a_killed_job_goes_on_where_it_was(user: User, three: list[WaSenderSession]) -> None:
    action = start(user, "disconnect", three)
    halt = threading.Event()
    halt.set()
    assert bulk.run(user.pk, time.monotonic() + 30, halt) == 0.0  # as SIGTERM ends it
    assert outcomes(action) == ["", "", ""]
    # A kill -9 between the gateway's answer and our note of it: the verb is done again, and harms nobody.
    sessions.disconnect(actor=user, wa_session=three[0])
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    assert bulk.finish_what_was_begun() == 1
    assert bulk.finish_what_was_begun() == 0
    assert todo(user) == 1
    assert run(user) is None
    action.refresh_from_db()
    assert (action.state, action.done, action.failed, "" in outcomes(action)) == ("done", 3, 0, False)


def test_a_deletion_that_was_done_is_not_reported_as_failed(user: User, three: list[WaSenderSession]) -> None:
    action = start(user, "delete", three[:1], at_gateway=True)
    sessions.delete(actor=user, wa_session=three[0])
    run(user)
    assert outcomes(action) == ["done"]


def test_a_gateway_that_asks_to_slow_down_is_waited_for(
    user: User, three: list[WaSenderSession], sandbox: Sandbox
) -> None:  # fmt: skip
    sandbox.fault("429", "disconnect", next=1, retry_after=70)
    action = start(user, "disconnect", three[:2])
    assert 69 <= run(user) <= 71
    action.refresh_from_db()
    assert (action.done, action.failed) == (0, 0)
    assert action.note == "The gateway asked us to slow down."
    assert run(user) >= 1  # closed for everybody until then
    CallBudget.objects.update(closed_until=None)
    assert run(user) is None
    assert outcomes(action) == ["done", "done"]


def test_a_real_account_is_asked_at_most_40_times_a_minute(user: User, account: GatewayAccount) -> None:
    account.is_sandbox = False
    account.save()
    for n in range(1, 30):
        make_session(account, f"{n:02d}" * 32, f"{n:02d}" * 16, phone_number=f"+121255501{n:02d}")
    action = bulk.start(actor=user, verb="disconnect", rows=WaSenderSession.objects.all())
    # Nobody listens there: each look is a call that the budget counts.
    began = time.monotonic()
    waits = [run(user)]
    assert waits[0] == bulk.UNREACHABLE
    asked = sum(action.results.values_list("tries", flat=True))
    while asked < 60 and (wait := run(user)) is not None:
        waits.append(wait)
        asked = sum(action.results.values_list("tries", flat=True)) + action.results.filter(outcome="failed").count()
        if wait == bulk.CALL_GAP:
            break
    assert asked <= (bulk.CALL_BURST + time.monotonic() - began) / bulk.CALL_GAP + 2
    assert bulk.CALL_GAP in waits


def test_a_gateway_that_is_away_is_tried_three_times(user: User, linked: WaSenderSession) -> None:
    action = start(user, "disconnect", [linked])
    assert [run(user), run(user), run(user)] == [bulk.UNREACHABLE, bulk.UNREACHABLE, None]
    action.refresh_from_db()
    assert (action.state, action.done, action.failed) == ("done", 0, 1)
    result = action.results.get()
    assert "cannot be reached" in result.text
    assert "may still be connected" in result.text


def test_stopping_leaves_the_rest_out(user: User, stranger: User, three: list[WaSenderSession]) -> None:
    action = start(user, "disconnect", three)
    with pytest.raises(ServiceError) as error:
        bulk.stop(actor=stranger, action=action)
    assert error.value.code == "not_found"
    bulk.stop(actor=user, action=action)
    assert run(user) is None
    action.refresh_from_db()
    assert (action.state, set(outcomes(action))) == ("stopped", {"left"})
    assert status(three[:2]) == ["connected", "connected"]
    with pytest.raises(ServiceError):
        bulk.stop(actor=user, action=action)


def test_what_was_asked_last_has_the_last_word(user: User, three: list[WaSenderSession]) -> None:
    first, second = start(user, "connect", three[2:]), start(user, "disconnect", three)
    assert run(user) is None
    assert first.results.get().at <= second.results.order_by("at").first().at
    assert "connected" not in status(three)
    assert "need_scan" not in status(three)


def test_somebody_who_may_not_act_any_more_does_not(user: User, three: list[WaSenderSession]) -> None:
    action = start(user, "disconnect", three)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert run(user) is None
    action.refresh_from_db()
    assert (action.state, set(outcomes(action))) == ("stopped", {"left"})
    assert status(three[:2]) == ["connected", "connected"]
