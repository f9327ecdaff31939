"""Changing a session, its key, its history, and how often the gateway is asked."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.audit.models import Event
from phonebank.audit.origin import acting
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.models import (
    Alert,
    Attempt,
    GatewayAccount,
    Message,
    SessionEvent,
    WaSenderSession,
    WebhookEvent,
)
from phonebank.whatsappapi.services import session_history, sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from phonebank.whatsappapi.services.pace import last_sign, pace
from tests.services.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def box(user: User, sandbox: Sandbox) -> GatewayAccount:
    return ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)


@pytest.fixture
def row(user: User, box: GatewayAccount) -> WaSenderSession:
    return sessions.create_session(actor=user, account=box, phone_number="+12125550101", name="Desk")


def link(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    sessions.connect(actor=user, wa_session=row)
    sandbox.link(row.wasender_id, lambda: sessions.refresh_status(wa_session=row).status == "connected")


def statuses(row: WaSenderSession) -> list[tuple[str, str]]:
    return list(row.events.filter(kind="status").order_by("at", "pk").values_list("status", "source"))


# --- the hourly limit -------------------------------------------------------------------------------------------------


def test_the_hourly_limit_says_when(user: User, box: GatewayAccount, sandbox: Sandbox, settings: object) -> None:
    settings.SESSIONS_PER_HOUR = 2
    user.time_zone = "Asia/Tokyo"
    user.save()
    first = sessions.create_session(actor=user, account=box, phone_number="+12125550101")
    sessions.delete(actor=user, wa_session=first)  # deleting gives no new allowance
    sessions.create_session(actor=user, account=box, phone_number="+12125550102")
    WaSenderSession.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(minutes=40))
    assert not sessions.can_create_session(user)
    with pytest.raises(ServiceError) as error:
        sessions.create_session(actor=user, account=box, phone_number="+12125550103")
    assert error.value.code == "creation_rate" and "2 sessions within an hour" in error.value.message
    free_at = sessions.next_creation_at(user)
    assert timedelta(minutes=19) < free_at - timezone.now() <= timedelta(minutes=20)
    assert len(sandbox.sessions()) == 1
    WaSenderSession.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(minutes=61))
    assert sessions.can_create_session(user)
    settings.SESSIONS_PER_HOUR = 0
    assert sessions.next_creation_at(user) is None


def test_a_limit_above_the_plans_is_refused(user: User, box: GatewayAccount, row: WaSenderSession) -> None:
    with pytest.raises(ServiceError, match="allows 1,000 messages a day") as error:
        sessions.create_session(actor=user, account=box, phone_number="+12125550102", daily_limit=1001)
    assert error.value.code == "daily_limit"
    with pytest.raises(ServiceError):
        sessions.change(actor=user, wa_session=row, daily_limit=1001)
    sessions.change(actor=user, wa_session=row, daily_limit=1000)
    Plan.objects.filter(slug="pro").update(daily_limit=10)
    user = User.objects.get(pk=user.pk)
    assert sessions.change(actor=user, wa_session=row, name="Other", daily_limit=1000).session_name == "Other"


# --- changing ---------------------------------------------------------------------------------------------------------


def test_switches_are_changed_at_the_gateway_too(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    with acting("page"):
        sessions.change(actor=user, wa_session=row, account_protection=False, log_messages=False, daily_limit=7)
    theirs = sandbox.sessions()[0]
    row.refresh_from_db()
    assert (theirs["account_protection"], theirs["log_messages"]) == (False, False)
    assert (row.account_protection, row.log_messages, row.daily_limit) == (False, False, 7)
    written = Event.objects.get(verb="session.changed")
    assert written.changes == {"daily_limit": [None, 7], "account_protection": [True, False],
                               "log_messages": [True, False]}  # fmt: skip
    noted = row.events.get(kind="action")
    assert (noted.reason, noted.source, noted.actor) == (
        "Changed: daily limit, account protection, message log.", "page", user,
    )  # fmt: skip


def test_a_change_that_the_gateway_refuses_changes_nothing(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    sandbox.fault("error", "update", next=1, accept=False, status=500)
    with pytest.raises(ServiceError, match="Nothing was changed here"):
        sessions.change(actor=user, wa_session=row, name="Other", log_messages=False)
    row.refresh_from_db()
    assert (row.session_name, row.log_messages) == ("Desk", True)
    assert not Event.objects.filter(verb__startswith="session.ch").exists()


def test_nothing_changed_leaves_no_trace(user: User, row: WaSenderSession) -> None:
    sessions.change(actor=user, wa_session=row, name="Desk", daily_limit=None, log_messages=True)
    assert not Event.objects.filter(verb__in=["session.changed", "session.renamed"]).exists()


def test_a_new_key_overlaps_with_the_old_one(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    old, old_digest = row.api_key, row.api_key_digest
    sessions.regenerate_key(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.api_key == sandbox.sessions()[0]["api_key"] != old
    assert (row.key_version, row.previous_key_digest) == (2, old_digest)
    assert timedelta(hours=23) < row.previous_key_until - timezone.now() < timedelta(hours=25)
    assert old not in str(list(Event.objects.values())) and row.api_key not in str(list(Event.objects.values()))


def test_a_key_whose_answer_was_lost_is_read(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    sandbox.fault("drop", "regenerate-key", next=1, accept=True)
    sessions.regenerate_key(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.api_key == sandbox.sessions()[0]["api_key"] and row.key_version == 2


def test_a_key_that_was_not_made_is_told(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    sandbox.fault("drop", "regenerate-key", next=1, accept=False)
    with pytest.raises(ServiceError, match="old one still works"):
        sessions.regenerate_key(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.key_version == 1


def test_restart_and_relink(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    with pytest.raises(ServiceError):
        sessions.restart(actor=user, wa_session=row)  # not connected
    link(user, row, sandbox)
    sessions.restart(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.status in ("connecting", "connected")
    assert sessions.relink(actor=user, wa_session=row).qr is None  # the phone is still known
    sandbox.pull("PATCH", "/knobs", {"keep_link": False})
    assert sessions.relink(actor=user, wa_session=row).qr
    row.refresh_from_db()
    assert row.status == "need_scan"


@pytest.mark.parametrize("verb", ["restart", "relink", "regenerate_key", "change"])
def test_a_stranger_changes_nothing(user: User, stranger: User, row: WaSenderSession, verb: str) -> None:
    before = WaSenderSession.objects.filter(pk=row.pk).values().get()
    with pytest.raises(ServiceError) as error:
        getattr(sessions, verb)(actor=stranger, wa_session=row, **({"name": "Mine"} if verb == "change" else {}))
    assert error.value.code == "not_found"
    assert WaSenderSession.objects.filter(pk=row.pk).values().get() == before


# --- history ----------------------------------------------------------------------------------------------------------


def test_every_change_of_status_is_written_with_who_told(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    with acting("api"):
        sessions.connect(actor=user, wa_session=row)
    sandbox.link(row.wasender_id, lambda: sandbox.sessions()[0]["status"] == "connected")
    sessions.apply_status(wa_session_id=row.pk, status="connected", source="webhook")
    sessions.apply_status(wa_session_id=row.pk, status="connected", source="poll")  # nothing new
    sessions.apply_status(wa_session_id=row.pk, status="logged_out", source="webhook")
    assert statuses(row) == [
        ("disconnected", "job"), ("need_scan", "api"), ("connected", "webhook"), ("logged_out", "webhook"),
    ]  # fmt: skip
    assert row.events.get(status="need_scan").actor == user


def test_what_the_engine_changed_is_noticed_once(linked: WaSenderSession) -> None:
    sessions.apply_status(wa_session_id=linked.pk, status="connecting", source="poll")
    since = timezone.now()
    WaSenderSession.objects.update(status="disconnected", status_since=since, status_reason="Said so")
    assert session_history.notice_changes() == 1
    assert session_history.notice_changes() == 0
    noted = linked.events.get(status="disconnected")
    assert (noted.at, noted.reason, noted.source) == (since, "Said so", "job")


def test_a_storm_makes_one_event_one_notice_and_ends(linked: WaSenderSession, account: GatewayAccount) -> None:
    until = timezone.now() + timedelta(minutes=10)
    session_history.notice_changes()
    WaSenderSession.objects.update(strikes=6, paused_until=until)
    Alert.objects.create(user=account.user, session=linked, key=f"slowed:{linked.pk}", text="Too fast")
    assert session_history.notice_changes() == 1
    assert session_history.notice_changes() == 0
    assert linked.events.filter(kind="rate_limit").count() == 1
    assert Alert.objects.get().closed_at is None
    linked.refresh_from_db()
    assert pace(linked).closed_until == until
    WaSenderSession.objects.update(strikes=0, paused_until=None)
    session_history.notice_changes()
    assert Alert.objects.get().closed_at


def test_the_timeline_adds_up(linked: WaSenderSession) -> None:
    now = timezone.now()
    WaSenderSession.objects.update(status_since=now - timedelta(hours=200))
    linked.refresh_from_db()
    assert [(one.kind, round(one.width)) for one in session_history.timeline(linked, 100, now)] == [("connected", 100)]
    for hours, status in ((75, "connected"), (50, "disconnected"), (49.9, "logged_out"), (25, "need_scan")):
        SessionEvent.objects.create(session=linked, at=now - timedelta(hours=hours), status=status, source="poll")
    SessionEvent.objects.create(
        session=linked, at=now - timedelta(hours=30), status="connected", source="page", kind="action"
    )
    bands = session_history.timeline(linked, 100, now)
    assert [(one.kind, round(one.x), round(one.width)) for one in bands] == [
        ("unseen", 0, 25), ("connected", 25, 25), ("down", 50, 25), ("linking", 75, 25),
    ]  # fmt: skip
    assert round(session_history.availability(bands), 1) == 33.3
    assert session_history.timeline(linked, 60, now)[0].kind == "connected"


def test_the_gateways_own_log(user: User, stranger: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    sessions.connect(actor=user, wa_session=row)
    entries = session_history.gateway_log(actor=user, wa_session=row)
    assert [one.status for one in entries] == ["need_scan"]
    with pytest.raises(ServiceError):
        session_history.gateway_log(actor=stranger, wa_session=row)


# --- limits and signs of life -----------------------------------------------------------------------------------------


def test_pace_is_what_the_engine_keeps(linked: WaSenderSession, account: GatewayAccount, user: User) -> None:
    for rate, protected, strikes, expected in (
        (None, True, 0, 11.88), (None, False, 0, 256.0), (None, False, 2, 64.0), (6, True, 0, 6.0), (0, True, 3, None),
    ):  # fmt: skip
        account.rate_per_minute = rate
        linked.account, linked.account_protection, linked.strikes = account, protected, strikes
        found = pace(linked).per_minute
        assert found == expected if expected is None else found == pytest.approx(expected, abs=0.01)
    message = Message.objects.create(user=user, session=linked, phone="+12125550199", body="x")
    for hours, status in ((0, 429), (0, 429), (0, 200), (30, 429)):
        moment = timezone.now() - timedelta(hours=hours)
        Attempt.objects.create(
            message=message, session=linked, phone=message.phone, worker="w", key_version=1, connection_version=1,
            body_hash=b"", started_at=moment, lease_until=moment, finished_at=moment, resolved_at=moment,
            outcome="accepted" if status == 200 else "deferred", http_status=status,
        )  # fmt: skip
    assert pace(linked).refused == 2


def test_the_last_sign_of_life(linked: WaSenderSession) -> None:
    assert last_sign(linked) is None
    linked.last_active_at = timezone.now() - timedelta(minutes=3)
    assert last_sign(linked).what == "WaSender says that it is connected"
    WebhookEvent.objects.create(session=linked, body=b"{}", digest=b"1", event="session.status")
    assert last_sign(linked).what == "WaSender says that it is connected"
    WebhookEvent.objects.create(session=linked, body=b"{}", digest=b"2", event="messages.update")
    assert last_sign(linked).what == "an event about a message arrived"


# --- polling ----------------------------------------------------------------------------------------------------------


def test_one_list_call_tells_of_a_whole_account(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    rows = [sessions.create_session(actor=user, account=box, phone_number=f"+1212555010{n}") for n in range(4)]
    WaSenderSession.objects.filter(pk=rows[0].pk).update(updated_at=timezone.now() - timedelta(hours=1))
    before = sandbox.pull("GET", "/stats")["requests"]
    assert "list" not in before
    assert sessions.poll_statuses() == 0
    assert sessions.poll_statuses() == 0  # the others were looked at with the first
    after = sandbox.pull("GET", "/stats")["requests"]
    assert after["list"] == {"200": 1}
    assert after.get("get") == before.get("get")


def test_a_link_that_went_down_costs_no_call_of_its_own(
    user: User, box: GatewayAccount, row: WaSenderSession, sandbox: Sandbox
) -> None:
    link(user, row, sandbox)
    sandbox.pull("POST", f"/sessions/{row.wasender_id}/logout")
    WaSenderSession.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    before = sandbox.pull("GET", "/stats")["requests"].get("get")
    assert sessions.poll_statuses() == 1
    row.refresh_from_db()
    assert row.status == "logged_out" and statuses(row)[-1] == ("logged_out", "poll")
    assert sandbox.pull("GET", "/stats")["requests"].get("get") == before


def test_polling_keeps_to_the_accounts_share(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = sessions.create_session(actor=user, account=box, phone_number="+12125550101")
    GatewayAccount.objects.update(is_sandbox=False)
    asked, began = 0, time.monotonic()
    for _ in range(60):
        WaSenderSession.objects.update(updated_at=timezone.now() - timedelta(hours=1))
        sessions.poll_statuses()
        row.refresh_from_db()
        asked += row.updated_at > timezone.now() - timedelta(minutes=1)
    # The burst that may be saved up, and what the time since then adds.
    assert 20 <= asked <= (budget.ACCOUNT_BURST + time.monotonic() - began) / budget.ACCOUNT_GAP + 2


def test_polling_rests_when_the_gateway_says_so(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = sessions.create_session(actor=user, account=box, phone_number="+12125550101")
    sandbox.fault("429", "list", next=1, retry_after=60)
    for _ in range(2):
        WaSenderSession.objects.filter(pk=row.pk).update(updated_at=timezone.now() - timedelta(hours=1))
        sessions.poll_statuses()
    with connection.cursor() as cursor:
        cursor.execute("SELECT closed_until > now() FROM whatsappapi_callbudget WHERE key = %s", [f"account:{box.pk}"])
        assert cursor.fetchone()[0]
    assert sandbox.pull("GET", "/stats")["requests"]["list"] == {"429": 1}
