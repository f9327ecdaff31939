"""Dropped sessions come back by themselves; never against a person, never by a webhook's word, never all at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    CallBudget,
    GatewayAccount,
    PhoneLink,
    Reconnection,
    SessionEvent,
    WaSenderSession,
)
from phonebank.whatsappapi.services import bulk, links, reconnect, sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from phonebank.whatsappapi.services.session_status import apply_status
from tests.services.conftest import Sandbox, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def row(user: User, sandbox: Sandbox) -> WaSenderSession:
    """A session that is linked. Its webhooks reach nobody: what is learned is what the test looks at."""
    box = ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)
    made = sessions.create_session(actor=user, account=box, phone_number="+12125550101", name="Desk")
    link(user, made, sandbox)
    made.refresh_from_db()
    return made


def link(user: User, row: WaSenderSession, sandbox: Sandbox) -> None:
    sessions.connect(actor=user, wa_session=row)
    sandbox.link(row.wasender_id, lambda: sessions.refresh_status(wa_session=row).status == "connected")


def status(row: WaSenderSession) -> str:
    return WaSenderSession.objects.get(pk=row.pk).status


def drop(row: WaSenderSession, sandbox: Sandbox, how: str = "drop") -> None:
    sandbox.pull("POST", f"/sessions/{row.wasender_id}/{how}", {})
    sessions.refresh_status(wa_session=row)


def hurry() -> int:
    """A round in which whoever waits for a time is due at once."""
    CallBudget.objects.all().delete()
    tried = reconnect.bring_back()
    if Reconnection.objects.filter(next_at__gt=timezone.now()).update(next_at=timezone.now()):
        CallBudget.objects.all().delete()
        tried += reconnect.bring_back()
    return tried


def attempts(row: WaSenderSession) -> list[str]:
    return list(row.events.filter(kind="reconnect").order_by("pk").values_list("reason", flat=True))


def test_a_dropped_session_comes_back(row: WaSenderSession, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "FIRST", 1e6)  # by chance it would be due at once
    drop(row, sandbox)
    assert status(row) == "disconnected"
    assert reconnect.bring_back() == 0  # not in the very same moment
    wait_for(lambda: hurry() or status(row) == "connected")
    wait_for(lambda: hurry() or status(row) == "connected")
    assert attempts(row) == ["Reconnecting."]
    assert list(row.events.filter(kind="status").values_list("status", flat=True))[:2] == ["connected", "connecting"]
    assert reconnect.bring_back() == 0
    assert Reconnection.objects.get().next_at is None


@pytest.mark.parametrize("how", ["page", "bulk", "relink first"])
def test_nobody_is_fought_who_disconnected_on_purpose(
    how: str, row: WaSenderSession, user: User, sandbox: Sandbox
) -> None:
    if how == "bulk":  # it is down already, and a person wants it so
        drop(row, sandbox)
        action = bulk.start(actor=user, verb="disconnect", public_ids=[row.public_id])
        bulk._turn(action, action.results.select_related("session__account").get())
    else:
        sandbox.pull("PATCH", "/knobs", {"keep_link": True})
        if how == "relink first":
            sessions.relink(actor=user, wa_session=row)
            wait_for(lambda: sessions.refresh_status(wa_session=row).status == "connected")
        sessions.disconnect(actor=user, wa_session=row)
    assert [hurry() for _ in range(3)] == [0, 0, 0] and status(row) == "disconnected" and attempts(row) == []
    if how == "page":
        sessions.connect(actor=user, wa_session=row)
        wait_for(lambda: sessions.refresh_status(wa_session=row).status == "connected")
        drop(row, sandbox)
        assert hurry() == 1


def test_what_needs_a_scan_is_left_to_people(row: WaSenderSession, user: User, sandbox: Sandbox) -> None:
    drop(row, sandbox, "logout")
    assert hurry() == 0 and status(row) == "logged_out"
    sessions.connect(actor=user, wa_session=row)  # a code that nobody scans
    apply_status(wa_session_id=row.pk, status="disconnected", source="poll")
    assert hurry() == 0
    assert attempts(row) == []


def test_a_link_that_is_gone_for_good_asks_for_a_scan_once(row: WaSenderSession, sandbox: Sandbox, user: User) -> None:
    """Disconnected at the gateway's own page: there it is no longer linked."""
    token, number = row.account.token, row.wasender_id
    sandbox.pull("PATCH", "/knobs", {"keep_link": False})
    reconnect.client_call(row.account, lambda gateway: gateway.disconnect(token, number))
    sessions.refresh_status(wa_session=row)
    assert hurry() == 1 and status(row) == "need_scan"
    assert [hurry() for _ in range(3)] == [0, 0, 0]
    assert attempts(row) == ["It cannot come back without a scan."]


def test_a_forged_webhook_starts_nothing(row: WaSenderSession, sandbox: Sandbox) -> None:
    for _ in range(20):
        apply_status(wa_session_id=row.pk, status="disconnected", source="webhook")
        hurry()
    looks = attempts(row)
    assert set(looks) == {"WaSender says that it is connected; there was nothing to do."}
    assert status(row) == "connected" and sandbox.sessions()[0]["status"] == "connected"


def test_only_so_many_tries_an_hour(row: WaSenderSession, sandbox: Sandbox) -> None:
    drop(row, sandbox)
    sandbox.fault("error", "connect", status=503, accept=False)
    for _ in range(40):
        hurry()
    assert len(attempts(row)) == reconnect.AN_HOUR
    assert attempts(row)[0].startswith("It could not be reconnected.")
    hurry()
    assert Reconnection.objects.get().next_at > timezone.now() - timedelta(seconds=1)
    SessionEvent.objects.filter(kind="reconnect").update(at=timezone.now() - timedelta(hours=2))
    assert hurry() >= 1


def test_the_pauses_grow(row: WaSenderSession) -> None:
    for tries, least, most in ((0, 7.5, 12.5), (1, 15, 25), (3, 60, 100), (12, 675, 1125)):
        assert least <= reconnect._pause(tries).total_seconds() <= most


def test_switched_off(row: WaSenderSession, user: User, stranger: User, sandbox: Sandbox) -> None:
    with pytest.raises(ServiceError):
        reconnect.switch(actor=stranger, wa_session=row, is_on=False)
    reconnect.switch(actor=user, wa_session=row, is_on=False)
    drop(row, sandbox)
    assert hurry() == 0 and status(row) == "disconnected"
    reconnect.switch(actor=user, wa_session=row, is_on=True)
    assert hurry() == 1
    assert Event.objects.filter(verb="session.auto_reconnect").count() == 2


def test_a_person_who_disconnects_meanwhile_has_the_last_word(
    row: WaSenderSession, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(row, sandbox)
    ask = reconnect.client_call

    def asked(account: GatewayAccount, work: Any) -> Any:
        result = ask(account, work)
        if getattr(result, "status", "") == "connected" and not hasattr(result, "id"):
            reconnect.ended(row)
        return result

    monkeypatch.setattr(reconnect, "client_call", asked)
    assert hurry() == 1
    wait_for(lambda: sandbox.sessions()[0]["status"] == "disconnected")
    assert status(row) == "disconnected"


# --- one-time links ---------------------------------------------------------------------------------------------------


def test_a_link_works_once(row: WaSenderSession, user: User, stranger: User, sandbox: Sandbox) -> None:
    with pytest.raises(ServiceError, match="nothing to scan"):
        links.make(actor=user, wa_session=row)
    drop(row, sandbox, "logout")
    with pytest.raises(ServiceError):
        links.make(actor=stranger, wa_session=row)
    first, second = (links.make(actor=user, wa_session=row) for _ in range(2))
    assert len(second) >= 43 and links.find(first) is None and links.find("x" * 43) is None
    found = links.find(second)
    assert found and not PhoneLink.objects.filter(digest__contains=second[:20]).exists()
    links.start(found)
    assert links.current_qr(found).startswith("2@")
    sandbox.link(row.wasender_id, lambda: links.look(found).status == "connected")
    done = links.find(second)
    assert done.end == "linked" and done.ended_at
    with pytest.raises(ServiceError, match="ended"):
        links.current_qr(done)
    PhoneLink.objects.update(ended_at=timezone.now() - timedelta(minutes=11))
    assert links.find(second) is None
    used = Event.objects.filter(verb__startswith="phone_link").order_by("pk")
    assert [(one.verb, one.actor) for one in used] == [
        ("phone_link.made", user), ("phone_link.made", user), ("phone_link.used", None)]  # fmt: skip
    assert second not in str(list(used.values())) and row.events.filter(reason__startswith="Somebody opened").exists()


def test_links_end(row: WaSenderSession, user: User, sandbox: Sandbox) -> None:
    drop(row, sandbox, "expire")
    token = links.make(actor=user, wa_session=row)
    PhoneLink.objects.update(expires_at=timezone.now())
    assert links.find(token) is None
    token = links.make(actor=user, wa_session=row)
    assert links.revoke(actor=user, wa_session=row) == 1 and links.find(token) is None
    token = links.make(actor=user, wa_session=row)
    user.is_active = False
    user.save()
    assert links.find(token) is None


def test_a_link_is_not_asked_too_often(
    row: WaSenderSession, user: User, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VIEW_GAP", "VIEW_BURST", "START_GAP", "START_BURST"):  # as many, however slow the machine
        monkeypatch.setattr(links, name, 100 * getattr(links, name))
    drop(row, sandbox, "logout")
    found = links.find(links.make(actor=user, wa_session=row))
    assert found and sum(links.may_view(found) for _ in range(100)) <= 65
    for _ in range(4):
        links.start(found)
    with pytest.raises(ServiceError, match="too often"):
        links.start(found)
