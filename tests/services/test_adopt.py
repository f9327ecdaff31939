"""Taking sessions over and giving them back: whose they are, and whose webhook."""

from __future__ import annotations

import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from phonebank.accounts.models import Plan, User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import adopt, gateways, sessions
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)
OLD = {"webhook_url": "https://crm.example.org/hook", "webhook_enabled": True, "webhook_events": ["messages.received"]}


@pytest.fixture(autouse=True)
def _address(settings: object) -> None:
    settings.LOCAL_URL = "http://127.0.0.1:8000"


@pytest.fixture
def box(user: User, sandbox: Sandbox) -> GatewayAccount:
    return gateways.ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)


def theirs(sandbox: Sandbox, n: int = 1, **fields: Any) -> int:
    """A session made at the gateway by another program. Returns its number there."""
    about = {"name": f"Old {n}", "phone_number": f"+1212555012{n}", "account_protection": False, "log_messages": True}
    headers = {"Authorization": f"Bearer {sandbox.token}", "Content-Type": "application/json"}
    body = json.dumps(about | OLD | fields).encode()
    request = urllib.request.Request(f"{sandbox.url}/api/whatsapp-sessions", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["data"]["id"]


def hook(sandbox: Sandbox) -> dict[str, Any]:
    found = sandbox.sessions()[0]
    return {name: found[name] for name in OLD}


def test_what_is_not_here_yet_is_listed(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    sessions.create_session(actor=user, account=box, phone_number="+12125550101")
    number = theirs(sandbox)
    [found] = adopt.adoptable(actor=user, account=box)
    assert (found.wasender_id, found.name, found.phone, found.webhook, found.replaces_webhook) == (
        number, "Old 1", "+12125550121", "https://crm.example.org/hook", True,
    )  # fmt: skip


def test_taking_over_and_giving_back(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    number = theirs(sandbox)
    done = adopt.adopt(actor=user, account=box, wasender_ids=[number])
    [row] = done.sessions
    assert (row.session_name, row.phone_number, row.is_default, row.account_protection) == (
        "Old 1", "+12125550121", True, False,
    )  # fmt: skip
    assert row.api_key == sandbox.sessions()[0]["api_key"] and row.adopted_at
    assert hook(sandbox)["webhook_url"].endswith(f"/webhook/{user.public_id}/{row.webhook_token}/")
    assert json.loads(row.adopted_webhook) == OLD
    assert row.events.get().reason == "Taken over from WaSender." and Event.objects.get(verb="session.adopted")
    assert not adopt.adoptable(actor=user, account=box)
    assert sessions.delete(actor=user, wa_session=row, at_gateway=False) == ""
    assert hook(sandbox) == OLD
    row.refresh_from_db()
    assert row.adopted_webhook == ""
    again = adopt.adopt(actor=user, account=box, wasender_ids=[number])
    assert again.sessions[0].session_name == "Old 1"


def test_one_made_here_stops_its_events_when_it_leaves(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    row = sessions.create_session(actor=user, account=box, phone_number="+12125550101")
    assert hook(sandbox)["webhook_enabled"]
    sessions.delete(actor=user, wa_session=row, at_gateway=False)
    assert not hook(sandbox)["webhook_enabled"]


def test_a_gateway_that_is_away_does_not_keep_a_session_here(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    theirs(sandbox)
    [row] = adopt.adopt(actor=user, account=box, wasender_ids=[sandbox.sessions()[0]["id"]]).sessions
    GatewayAccount.objects.update(base_url="http://127.0.0.1:9/api")
    note = sessions.delete(actor=user, wa_session=row, at_gateway=False)
    assert "still points here" in note and "https://crm.example.org/hook" in note
    assert not WaSenderSession.objects.alive().exists()


def test_without_an_address_their_webhook_stays(
    user: User, box: GatewayAccount, sandbox: Sandbox, settings: object
) -> None:
    settings.LOCAL_URL = ""
    number = theirs(sandbox)
    assert not adopt.adoptable(actor=user, account=box)[0].replaces_webhook
    [row] = adopt.adopt(actor=user, account=box, wasender_ids=[number]).sessions
    assert hook(sandbox) == OLD
    assert json.loads(row.adopted_webhook) == OLD  # for the day on which there is an address
    sessions.delete(actor=user, wa_session=row, at_gateway=False)
    assert hook(sandbox) == OLD


def test_a_connected_one_can_send_at_once(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    number = theirs(sandbox)
    row = adopt.adopt(actor=user, account=box, wasender_ids=[number]).sessions[0]
    sessions.connect(actor=user, wa_session=row)
    sandbox.link(number, lambda: sandbox.sessions()[0]["status"] == "connected")
    sessions.delete(actor=user, wa_session=row, at_gateway=False)
    row = adopt.adopt(actor=user, account=box, wasender_ids=[number]).sessions[0]
    assert (row.status, row.connection_version, row.linked_number) == ("connected", 1, "+12125550121")


def test_places_are_respected_one_by_one(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    Plan.objects.filter(slug="pro").update(max_sessions=2)
    numbers = [theirs(sandbox, n) for n in range(3)]
    done = adopt.adopt(actor=user, account=box, wasender_ids=[*numbers, 99])
    assert len(done.sessions) == 2 and len(done.refused) == 2
    assert "Your plan allows 2 sessions" in done.refused[0] and "no such session" in done.refused[1]
    assert adopt.room(user) == 0


def test_many_at_once_take_each_once_and_no_place_too_many(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    Plan.objects.filter(slug="pro").update(max_sessions=2)
    numbers = [theirs(sandbox, n) for n in range(4)]
    barrier = threading.Barrier(8)

    def attempt(n: int) -> int:
        barrier.wait()
        try:
            return len(adopt.adopt(actor=user, account=box, wasender_ids=[numbers[n % 4]]).sessions)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 2
    assert WaSenderSession.objects.count() == 2


def test_the_operators_account_is_nobodys_to_list(
    user: User, stranger: User, box: GatewayAccount, sandbox: Sandbox
) -> None:
    number = theirs(sandbox)
    GatewayAccount.objects.update(user=None)
    box.granted_to.set([user, stranger])
    boss = User.objects.create_superuser("boss@example.org")
    for actor in (user, stranger, boss):
        for verb in (adopt.adoptable, lambda **k: adopt.adopt(**k, wasender_ids=[number])):
            with pytest.raises(ServiceError) as error:
                verb(actor=actor, account=box)
            assert error.value.code == "not_found"
    assert not adopt.accounts_to_adopt_from(user) and not WaSenderSession.objects.exists()


def test_the_command_adopts_from_the_operators_account(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    number = theirs(sandbox)
    GatewayAccount.objects.update(user=None)
    with pytest.raises(CommandError, match="Name one gateway account"):
        call_command("adopt", "--user", user.email)
    box.granted_to.add(user)
    out = StringIO()
    call_command("adopt", "--user", user.email, stdout=out)
    assert f"{number}" in out.getvalue() and "events go to https://crm.example.org/hook" in out.getvalue()
    call_command("adopt", "--user", user.email, str(number), stdout=out)
    row = WaSenderSession.objects.get()
    assert row.user == user and "Taken over: Old 1" in out.getvalue()
    with pytest.raises(CommandError, match="1 of 1"):
        call_command("adopt", "--user", user.email, "77", stdout=out, stderr=out)
    with pytest.raises(CommandError, match="no active user"):
        call_command("adopt", "--user", "nobody@example.org")


def test_removing_an_account_gives_everything_back(user: User, box: GatewayAccount, sandbox: Sandbox) -> None:
    number = theirs(sandbox)
    row = adopt.adopt(actor=user, account=box, wasender_ids=[number]).sessions[0]
    other = User.objects.create_user("other@example.org")
    with pytest.raises(ServiceError) as error:
        adopt.remove_account(actor=other, account=box)
    assert error.value.code == "not_found"
    assert adopt.remove_account(actor=user, account=box) == []
    box.refresh_from_db()
    row.refresh_from_db()
    assert box.token == "" and box.removed_at and row.deleted_at and hook(sandbox) == OLD
    assert len(sandbox.sessions()) == 1 and not gateways.accounts_for(user).exists()
    with pytest.raises(ServiceError):
        gateways.replace_token(actor=user, account=box, token=sandbox.token)
    for verb in ("account.removed", "session.deleted"):
        assert Event.objects.filter(verb=verb).exists()


def test_only_an_administrator_grants(user: User, stranger: User, sandbox: Sandbox, settings: object) -> None:
    settings.WASENDER_URL = f"{sandbox.url}/api"
    with pytest.raises(ServiceError) as error:
        gateways.add_account(actor=user, token=sandbox.token, for_others=True)
    assert error.value.code == "forbidden"
    boss = User.objects.create_superuser("boss@example.org")
    house = gateways.add_account(actor=boss, token=sandbox.token, name="House", for_others=True)
    assert house.user is None and not gateways.accounts_for(boss).exists()
    with pytest.raises(ServiceError):
        gateways.grant(actor=user, account=house, users=[user])
    gateways.grant(actor=boss, account=house, users=[stranger])
    assert list(gateways.accounts_for(stranger)) == [house] and not gateways.accounts_for(user).exists()
    mine = gateways.add_account(actor=boss, token=sandbox.token)
    with pytest.raises(ServiceError):
        gateways.grant(actor=boss, account=mine, users=[user])
    gateways.grant(actor=boss, account=house, users=[])
    assert Event.objects.filter(verb="account.granted").count() == 2


def test_check_tells_the_address_the_last_event_and_what_to_do(
    user: User, box: GatewayAccount, settings: object
) -> None:
    row = sessions.create_session(actor=user, account=box, phone_number="+12125550101")
    settings.PUBLIC_URL = ""
    GatewayAccount.objects.update(is_sandbox=False)
    [reach] = gateways.reach()
    assert (reach.sessions, reach.proven, reach.last_event) == (1, 0, None)
    assert reach.remedy.startswith("PUBLIC_URL is not set.")
    settings.PUBLIC_URL = "https://desk.example.org"
    assert "not proven" in gateways.reach()[0].remedy
    WaSenderSession.objects.filter(pk=row.pk).update(webhook_proven_at="2026-11-01T00:00Z")
    assert gateways.reach()[0].remedy == ""
    out = StringIO()
    call_command("check", stdout=out)
    assert "https://desk.example.org" in out.getvalue() and "1 of 1 sessions" in out.getvalue()
