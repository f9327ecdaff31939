"""A database that is a copy is noticed, and nothing leaves it before an administrator's word."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Campaign, GatewayAccount, Installation, Message, WaSenderSession
from phonebank.whatsappapi.services import aftermath, guard, sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, ensure_sandbox_account
from tests.services.conftest import Sandbox

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any) -> Path:
    settings.HOME = tmp_path
    Installation.objects.update_or_create(pk=1, defaults={"held_at": None, "home": "", "beats": 0})
    return tmp_path


def row() -> Installation:
    return Installation.objects.get(pk=1)


def test_at_home_nothing_is_held_and_the_beat_rises(home: Path) -> None:
    assert [guard.look() for _ in range(3)] == [False] * 3
    assert row().beats == 3 and "/" in row().home and not Event.objects.exists()
    assert json.loads((home / "last-beat").read_text()) == [str(row().instance), 3]


def test_a_copy_on_another_server_is_held() -> None:
    guard.look()
    Installation.objects.update(home="7711249862652697544/16385")
    assert guard.look() and row().held_why == guard.MOVED
    assert guard.look(), "it stays held until a person says so"
    assert Event.objects.filter(verb="installation.held").count() == 1


def test_a_copied_data_folder_is_held(settings: Any, tmp_path: Path) -> None:
    settings.DATABASE_URL = ""  # the embedded server: a copied folder has the same numbers inside
    guard.look()
    settings.HOME = tmp_path / "copy"
    settings.HOME.mkdir()
    assert guard.look() and row().held_why == guard.MOVED


def test_an_earlier_state_put_back_is_held() -> None:
    for _ in range(5):
        guard.look()
    Installation.objects.update(beats=2)
    assert guard.look() and row().held_why == guard.OLDER
    guard.confirm(actor=None)
    assert not guard.look(), "a confirmed copy goes on"


def test_another_installation_in_the_same_folder_is_no_older_one(home: Path) -> None:
    (home / "last-beat").write_text(json.dumps(["00000000-0000-0000-0000-000000000000", 99]))
    assert not guard.look()
    (home / "last-beat").write_text("no JSON")
    assert not guard.look()


def test_the_mark_of_a_restore_is_read_in_any_releases_schema() -> None:
    at = timezone.now().replace(microsecond=0) - timedelta(hours=2)
    with connection.cursor() as cursor:
        cursor.execute(guard.hold_sql(at))
    assert row().held_at and row().known_until == at
    Installation.objects.update(held_at=None, known_until=None)  # an earlier release has no such columns
    assert guard.look() and (row().held_why, row().known_until) == (guard.RESTORED, at)
    guard.confirm(actor=None)
    assert not guard.look(), "the mark is read once"


def test_a_backup_of_a_held_copy_knows_no_more_than_that_copy_did() -> None:
    at = timezone.now().replace(microsecond=0)
    Installation.objects.update(held_at=at, known_until=at - timedelta(days=2))
    with connection.cursor() as cursor:
        cursor.execute(guard.hold_sql(at))
    assert row().known_until == at - timedelta(days=2)
    assert guard.look() and row().known_until == at - timedelta(days=2)


def test_no_call_passes_the_gate(sandbox: Sandbox, user: User) -> None:
    account = ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)
    made = sessions.create_session(actor=user, account=account, phone_number="+12125550100")
    Installation.objects.update(held_at=timezone.now())
    before = sandbox.pull("GET", "/stats")["requests"]
    with pytest.raises(guard.Held):
        client_call(account, lambda gateway: gateway.list_sessions(account.token))
    with pytest.raises(ServiceError, match="restored copy"):
        sessions.connect(actor=user, wa_session=made)
    with pytest.raises(ServiceError, match="restored copy"):
        sessions.create_session(actor=user, account=account, phone_number="+12125550101")
    with pytest.raises(ServiceError):
        sessions.delete(actor=user, wa_session=made)
    assert sandbox.pull("GET", "/stats")["requests"] == before
    assert WaSenderSession.objects.alive().filter(pk=made.pk).exists()
    Installation.objects.update(held_at=None)
    sessions.connect(actor=user, wa_session=made)


def test_chores_rest_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_last", (0.0, False))
    verb = guard.resting(lambda: "done")
    assert verb() == "done"
    guard.look()
    Installation.objects.update(home="elsewhere/1")
    guard.look()
    assert verb() is None
    guard.confirm(actor=None)
    assert verb() == "done"


def test_only_an_administrator_confirms(user: User) -> None:
    Installation.objects.update(held_at=timezone.now())
    with pytest.raises(ServiceError):
        guard.confirm(actor=user)
    assert guard.held()
    user.is_superuser = True  # as somebody last saw it who has lost the right meanwhile
    with pytest.raises(ServiceError):
        guard.confirm(actor=user)
    assert guard.held()
    user.save(update_fields=["is_superuser"])
    guard.confirm(actor=user)
    assert not guard.held() and Event.objects.get().verb == "installation.confirmed"
    assert guard.confirm(actor=user) == 0 and Event.objects.count() == 1


def test_what_would_have_started_meanwhile_waits_for_its_people(user: User) -> None:
    ago, later = timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1)

    def campaign(state: str, at: Any = None) -> Campaign:
        return Campaign.objects.create(user=user, name=state, body="Hi", state=state, scheduled_at=at)

    missed, due, running = campaign("scheduled", ago), campaign("scheduled", later), campaign("running")

    def states() -> list[str]:
        return [Campaign.objects.get(pk=one.pk).state for one in (missed, due, running)]

    Installation.objects.update(held_at=timezone.now())
    assert guard.confirm(actor=None) == 1 and states() == ["paused", "scheduled", "running"]
    Installation.objects.update(held_at=timezone.now())
    assert guard.confirm(actor=None, pause=True) == 1 and states() == ["paused", "scheduled", "paused"]


def test_a_log_that_does_not_tell_leaves_everybody_in_line(user: User, account: GatewayAccount) -> None:
    Installation.objects.update(held_at=timezone.now(), known_until=timezone.now())
    made = WaSenderSession.objects.create(
        user=user, account=account, wasender_id=7, session_name="Deaf", phone_number="+12125550100", log_messages=False
    )
    Message.objects.create(
        user=user, session=made, phone="+12125550102", kind="transactional", state="queued", body="x"
    )
    with pytest.raises(ServiceError, match="Deaf: message logging is off"):
        aftermath.leave_out(actor=None)
    assert Message.objects.get().state == "queued" and guard.held()
    Campaign.objects.create(user=user, name="Half", body="Hi", state="dealing")
    with pytest.raises(ServiceError, match="getting its people in line"):
        aftermath.leave_out(actor=None)
