from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Alert, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from phonebank.whatsappapi.services.rotation import get_next_available_session
from tests.services.conftest import Sandbox, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = "+1 212 555 0101"


@pytest.fixture
def box(user: User, sandbox: Sandbox) -> GatewayAccount:
    return ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)


def create(user: User, box: GatewayAccount, n: int = 1, **more: object) -> WaSenderSession:
    return sessions.create_session(actor=user, account=box, phone_number=f"+1212555010{n}", **more)


def age(row: WaSenderSession, minutes: float) -> None:
    WaSenderSession.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(minutes=minutes))


def test_a_new_session_has_what_the_gateway_gave_it(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = sessions.create_session(actor=user, account=box, phone_number=PHONE, name="  Front   desk ", daily_limit=50)
    theirs = sandbox.sessions()[0]
    assert (row.session_name, row.phone_number, row.status, row.daily_limit) == (
        "Front desk", "+12125550101", "disconnected", 50,
    )  # fmt: skip
    assert (row.wasender_id, row.api_key, row.webhook_secret) == (
        theirs["id"],
        theirs["api_key"],
        theirs["webhook_secret"],
    )
    assert row.is_default and row.status_reason == "" and row.key_version == 1
    assert theirs["webhook_url"].endswith(f"/whatsappapi/webhook/{user.public_id}/{row.webhook_token}/")
    assert Event.objects.get(verb="session.created").target_id == str(row.public_id)


def test_names_are_made_up_unique_and_checked(user: User, box: GatewayAccount) -> None:
    create(user, box, 1, name="session 2")
    assert create(user, box, 2).session_name == "Session 3"
    for name, code in (("SESSION 2", "name_taken"), ("x" * 61, "name"), ("a\x00b", "name")):
        with pytest.raises(ServiceError) as error:
            create(user, box, 3, name=name)
        assert error.value.code == code
    assert WaSenderSession.objects.count() == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"phone_number": "12"}, "phone_number"), ({"daily_limit": 0}, "daily_limit"), ({"account": None}, "not_found")],
)
def test_what_cannot_be_created_leaves_nothing(
    user: User, stranger: User, box: GatewayAccount, sandbox: Sandbox, fields: dict, code: str
) -> None:
    if "account" in fields:
        fields = {"account": GatewayAccount.objects.create(user=stranger, name="Theirs", base_url=box.base_url)}
    with pytest.raises(ServiceError) as error:
        sessions.create_session(**{"actor": user, "account": box, "phone_number": PHONE} | fields)
    assert error.value.code == code
    assert not WaSenderSession.objects.exists() and not sandbox.sessions()


def test_sixteen_at_once_for_the_last_place_make_one(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    Plan.objects.filter(slug="pro").update(max_sessions=2)
    create(user, box, 0)
    barrier = threading.Barrier(16)

    def attempt(n: int) -> str:
        barrier.wait()
        try:
            sessions.create_session(actor=user, account=box, phone_number=f"+121255501{20 + n}")
            return "made"
        except ServiceError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(attempt, range(16)))
    assert sorted(results) == ["made"] + ["plan_limit"] * 15
    assert WaSenderSession.objects.count() == len(sandbox.sessions()) == 2
    assert sessions.slots(user) == (2, 2) and not sessions.can_create_session(user)


def test_sixteen_at_once_have_one_default_and_names_of_their_own(user: User, box: GatewayAccount) -> None:
    Plan.objects.filter(slug="pro").update(max_sessions=16)
    barrier = threading.Barrier(8)

    def attempt(n: int) -> None:
        barrier.wait()
        try:
            sessions.create_session(actor=user, account=box, phone_number=f"+121255501{20 + n}", is_default=n % 2 == 0)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(8)))
    assert WaSenderSession.objects.filter(is_default=True).count() == 1
    assert {row.session_name for row in WaSenderSession.objects.all()} == {f"Session {n}" for n in range(1, 9)}


@pytest.mark.parametrize("fault", ["429", "unauthorized"])
def test_a_refusal_takes_the_intent_away(user: User, box: GatewayAccount, sandbox: Sandbox, fault: str) -> None:
    sandbox.fault(fault, "create", next=1)
    with pytest.raises(ServiceError, match="Nothing was created"):
        create(user, box)
    assert not WaSenderSession.objects.exists()
    assert create(user, box).wasender_id


def test_a_number_taken_at_the_gateway(user: User, box: GatewayAccount, stranger: User, sandbox: Sandbox) -> None:
    create(user, box)
    other = ensure_sandbox_account(owner=stranger, url=sandbox.url, token=sandbox.token)
    with pytest.raises(ServiceError) as error:
        create(stranger, other)
    assert error.value.code == "phone_taken" and WaSenderSession.objects.count() == 1


def test_an_unreachable_gateway_takes_the_intent_away(user: User, account: GatewayAccount) -> None:
    with pytest.raises(ServiceError) as error:
        create(user, account)
    assert error.value.code == "unreachable" and not WaSenderSession.objects.exists()


def test_a_lost_answer_keeps_the_intent_until_it_is_found(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    sandbox.fault("drop", "create", next=1, accept=True)
    with pytest.raises(ServiceError) as error:
        create(user, box, name="Desk")
    assert error.value.code == "outcome_unknown"
    row = WaSenderSession.objects.get()
    assert row.wasender_id is None and "finding out" in row.status_reason
    assert sessions.reconcile_intents() == 0  # too young: the call might still be under way
    age(row, 2)
    assert sessions.reconcile_intents() == 1
    row.refresh_from_db()
    theirs = sandbox.sessions()
    assert len(theirs) == 1 and row.wasender_id == theirs[0]["id"] and row.api_key == theirs[0]["api_key"]
    assert row.is_default and row.status_reason == ""


def test_an_intent_that_came_to_nothing_is_removed(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    sandbox.fault("drop", "create", next=1, accept=False)
    with pytest.raises(ServiceError):
        create(user, box)
    row = WaSenderSession.objects.get()
    age(row, 2)
    assert sessions.reconcile_intents() == 0
    age(row, 6)
    sandbox.fault("error", "list", next=1, accept=False)
    assert sessions.reconcile_intents() == 0  # no answer proves nothing
    assert sessions.reconcile_intents() == 1
    assert not WaSenderSession.objects.exists() and not sandbox.sessions()
    assert Event.objects.filter(verb="session.intent_removed").count() == 1


def test_there_is_one_default_while_and_after_a_creation_fails(
    user: User, box: GatewayAccount, sandbox: Sandbox
) -> None:
    """A first session in doubt is the default already; when it comes to nothing the next one is."""
    sandbox.fault("drop", "create", next=1, accept=False)
    with pytest.raises(ServiceError):
        create(user, box)
    doubtful = WaSenderSession.objects.get()
    assert doubtful.is_default
    other = create(user, box, 3)
    age(doubtful, 6)
    sessions.reconcile_intents()
    assert list(WaSenderSession.objects.filter(is_default=True)) == [other]


def test_an_intent_whose_number_exists_under_another_name_is_reported(
    user: User, box: GatewayAccount, sandbox: Sandbox
) -> None:
    sandbox.fault("drop", "create", next=1, accept=True)
    with pytest.raises(ServiceError):
        create(user, box, name="Desk")
    row = WaSenderSession.objects.get()
    WaSenderSession.objects.filter(pk=row.pk).update(session_name="Other")
    age(row, 6)
    for _ in range(2):
        assert sessions.reconcile_intents() == 0
    assert Alert.objects.filter(user=user, closed_at=None).count() == 1
    assert WaSenderSession.objects.filter(pk=row.pk, status_reason__contains="another name").exists()


def test_deleting_an_intent_leaves_no_orphan(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    sandbox.fault("drop", "create", next=1, accept=True)
    with pytest.raises(ServiceError):
        create(user, box)
    row = WaSenderSession.objects.get()
    with pytest.raises(ServiceError) as error:
        sessions.delete(actor=user, wa_session=row)
    assert error.value.code == "not_created" and len(sandbox.sessions()) == 1
    age(row, 2)
    sessions.delete(actor=user, wa_session=row)
    assert not sandbox.sessions() and not WaSenderSession.objects.alive().exists()


def test_linking(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = create(user, box)
    result = sessions.connect(actor=user, wa_session=row)
    assert result.status == "need_scan" and result.qr == sessions.current_qr(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.status == "need_scan" and row.connection_version == 0
    sandbox.link(row.wasender_id, lambda: sessions.refresh_status(wa_session=row).status == "connected")
    row.refresh_from_db()
    assert (row.connection_version, row.linked_number) == (1, "+12125550101") and row.last_active_at
    since = row.status_since
    assert sessions.refresh_status(wa_session=row).status_since == since
    assert sessions.connect(actor=user, wa_session=row).qr is None
    assert sessions.current_qr(actor=user, wa_session=row) is None
    sessions.disconnect(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.status == "disconnected" and row.status_reason and row.status_since > since


def test_an_expired_code_starts_linking_anew(user: User, box: GatewayAccount) -> None:
    row = create(user, box)
    assert sessions.current_qr(actor=user, wa_session=row)


def test_who_scanned_is_stored(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = create(user, box)
    sessions.connect(actor=user, wa_session=row)
    sandbox.pull("POST", f"/sessions/{row.wasender_id}/scan", {"number": "+12125550199"})
    wait_for(lambda: sessions.refresh_status(wa_session=row).status == "connected")
    row.refresh_from_db()
    assert (row.phone_number, row.linked_number) == ("+12125550101", "+12125550199")


def test_a_webhook_address_that_changed_is_put_right(
    user: User, box: GatewayAccount, sandbox: Sandbox, settings: object
) -> None:
    settings.LOCAL_URL = "http://127.0.0.1:8111"
    row = create(user, box)
    settings.LOCAL_URL = "http://127.0.0.1:8222"
    sessions.refresh_status(wa_session=row)
    assert sandbox.sessions()[0]["webhook_url"].startswith("http://127.0.0.1:8222/whatsappapi/webhook/")


def test_a_key_changed_at_the_gateway_is_taken_over(user: User, box: GatewayAccount) -> None:
    row = create(user, box)
    real = row.api_key
    row.set_api_key("b2" * 32)
    row.save()
    row = sessions.refresh_status(wa_session=row)
    assert row.api_key == real and row.key_version == 3 and row.previous_key_until > timezone.now()


def test_delete_moves_the_default_on_and_wipes_secrets(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    first, second, third = (create(user, box, n) for n in (1, 2, 3))
    sessions.delete(actor=user, wa_session=first)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.deleted_at and not first.is_default and first.api_key == first.webhook_secret == ""
    assert second.is_default and len(sandbox.sessions()) == 2
    sandbox.pull("POST", "/reset", {"sessions": True})
    sessions.delete(actor=user, wa_session=second)  # gone at the gateway already
    sessions.delete(actor=user, wa_session=third, at_gateway=False)
    assert sessions.slots(user) == (0, 5)
    assert create(user, box).is_default  # number and name are free again


def test_a_failed_deletion_keeps_the_session(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = create(user, box)
    sandbox.fault("error", "delete", next=1, accept=False, status=500)
    with pytest.raises(ServiceError, match="not deleted"):
        sessions.delete(actor=user, wa_session=row)
    row.refresh_from_db()
    assert row.deleted_at is None and row.api_key


def test_rename_and_default(user: User, box: GatewayAccount) -> None:
    first, second = create(user, box, 1), create(user, box, 2)
    assert sessions.rename(actor=user, wa_session=first, name="SESSION 1").session_name == "SESSION 1"
    with pytest.raises(ServiceError):
        sessions.rename(actor=user, wa_session=first, name="session 2")
    sessions.set_default(actor=user, wa_session=second)
    assert list(WaSenderSession.objects.filter(is_default=True)) == [second]


@pytest.mark.parametrize("verb", ["connect", "current_qr", "disconnect", "delete", "set_default"])
def test_somebody_elses_session_does_not_exist(user: User, stranger: User, box: GatewayAccount, verb: str) -> None:
    row = create(user, box)
    with pytest.raises(ServiceError) as error:
        getattr(sessions, verb)(actor=stranger, wa_session=row)
    assert error.value.code == "not_found"
    row.refresh_from_db()
    assert row.deleted_at is None


def test_a_webhooks_connected_is_looked_up(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = create(user, box)
    assert not sessions.apply_status(wa_session_id=row.pk, status="connected", source="webhook")
    row.refresh_from_db()
    assert row.status == "disconnected" and row.connection_version == 0
    sessions.connect(actor=user, wa_session=row)
    sandbox.link(row.wasender_id, lambda: sandbox.sessions()[0]["status"] == "connected")
    assert sessions.apply_status(wa_session_id=row.pk, status="connected", source="webhook")
    assert sessions.apply_status(wa_session_id=row.pk, status="logged_out", source="webhook")
    row.refresh_from_db()
    assert row.status == "logged_out" and row.connection_version == 1


def test_an_old_answer_does_not_undo_a_newer_one(linked: WaSenderSession) -> None:
    asked = timezone.now()
    sessions.apply_status(wa_session_id=linked.pk, status="logged_out", source="webhook")
    assert not sessions.apply_status(wa_session_id=linked.pk, status="connected", source="poll", asked_at=asked)
    linked.refresh_from_db()
    assert linked.status == "logged_out"


def test_polling_finds_what_changed(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    rows = [create(user, box, n) for n in (1, 2)]
    assert sessions.poll_statuses() == 0  # just looked at
    sessions.connect(actor=user, wa_session=rows[0])
    sandbox.link(rows[0].wasender_id, lambda: sandbox.sessions()[0]["status"] == "connected")
    WaSenderSession.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    assert sessions.poll_statuses() == 1
    assert get_next_available_session(user) == rows[0]
    assert get_next_available_session(user, [rows[0]]) is None
    assert sessions.poll_statuses() == 0


def test_a_session_gone_at_the_gateway_is_never_connected(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = create(user, box)
    WaSenderSession.objects.update(status="connected", updated_at=timezone.now() - timedelta(hours=1))
    sandbox.pull("POST", "/reset", {"sessions": True})
    assert sessions.poll_statuses() == 1
    row.refresh_from_db()
    assert row.status == "unknown" and "does not know" in row.status_reason
