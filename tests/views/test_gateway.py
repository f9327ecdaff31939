"""Gateway accounts: the token, whose they are, what leaves with them, and taking sessions over."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from tests.services.conftest import Sandbox
from tests.services.test_adopt import theirs
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db
URL = "/whatsappapi/gateway/"


@pytest.fixture
def live(desk: Desk, sandbox: Sandbox, settings: Settings) -> Desk:
    settings.LOCAL_URL, settings.WASENDER_URL = "http://127.0.0.1:8000", f"{sandbox.url}/api"
    desk.account = ensure_sandbox_account(owner=desk.user, url=sandbox.url, token=sandbox.token)
    return desk


def at(account: GatewayAccount, verb: str = "") -> str:
    return f"{URL}{account.public_id}/{verb}"


def test_of_a_token_only_its_end_is_shown(live: Desk, sandbox: Sandbox) -> None:
    for page in (URL, at(live.account)):
        text = live.client.get(page).text
        assert f"<code>{sandbox.token[-4:]}</code>" in text
        assert sandbox.token[-5:] not in text


def test_replacing_a_token(live: Desk, sandbox: Sandbox) -> None:
    wrong = live.client.post(at(live.account), {"token": "1|wrongwrongwrong"})
    assert wrong.status_code == 422
    assert "wrongwrong" not in wrong.text
    live.account.refresh_from_db()
    assert live.account.token == sandbox.token
    assert live.client.post(at(live.account), {"token": sandbox.token}).status_code == 302


def test_removing_asks_for_the_name_and_says_what_leaves(live: Desk) -> None:
    one = live.session("Front", wasender_id=None)
    WaSenderSession.objects.filter(pk=one.pk).update(wasender_id=5)
    page = live.client.get(at(live.account, "remove/")).text
    assert "1 session leaves Phonebank" in page
    assert "Front" in page
    assert live.client.post(at(live.account, "remove/"), {"typed": "Wrong"}).status_code == 422
    done = live.client.post(at(live.account, "remove/"), {"typed": live.account.name}, follow=True)
    assert "its token wiped" in done.text
    live.account.refresh_from_db()
    assert live.account.removed_at and not WaSenderSession.objects.alive().exists()
    assert "No gateway account yet" in live.client.get(URL).text


@pytest.mark.parametrize("verb", ["", "remove/", "adopt/"])
def test_a_strangers_account_is_not_there(verb: str, desk: Desk, other: Desk) -> None:
    assert other.client.get(at(desk.account, verb)).status_code == 404
    form = {"token": "x", "typed": desk.account.name, "chosen": "1"}
    assert other.client.post(at(desk.account, verb), form).status_code == 404
    desk.account.refresh_from_db()
    assert desk.account.removed_at is None


def test_a_user_of_the_operators_account_neither_lists_nor_adopts(live: Desk, other: Desk, sandbox: Sandbox) -> None:
    """Nor replaces its token, nor removes it, nor sees any of it."""
    number = theirs(sandbox)
    GatewayAccount.objects.filter(pk=live.account.pk).update(user=None, name="House")
    live.account.granted_to.set([live.user, other.user])
    for verb in ("adopt/", "", "remove/"):
        assert live.client.get(at(live.account, verb)).status_code == 404
        assert live.client.post(at(live.account, verb), {"chosen": [number], "typed": "House"}).status_code == 404
    page = live.client.get(URL).text
    assert "House" in page
    assert "From your administrator" in page
    for secret in (f"{sandbox.token[-4:]}<", "Old 1", "Take sessions over", "Remove…"):
        assert secret not in page
    assert "Old 1" not in live.client.get("/whatsappapi/create-session/").text
    assert not WaSenderSession.objects.exists()


def test_an_administrator_grants_the_operators_account(live: Desk, other: Desk, sandbox: Sandbox) -> None:
    assert "for_others" not in live.client.get(URL).text
    sneaky = live.client.post(URL, {"token": sandbox.token, "for_others": "on"})
    assert sneaky.status_code == 422  # read as an account of one's own, which is there already
    User.objects.filter(pk=live.user.pk).update(is_superuser=True)
    assert live.client.post(URL, {"token": sandbox.token, "for_others": "on", "name": "House"}).status_code == 302
    house = GatewayAccount.objects.get(name="House")
    assert house.user is None
    assert "House" not in other.client.get(URL).text
    assert live.client.get(at(house, "adopt/")).status_code == 404
    granted = live.client.post(at(house), {"grant": "1", "granted_to": [other.user.public_id]})
    assert granted.status_code == 302
    assert "House" in other.client.get(URL).text


def test_adopting_by_page(live: Desk, sandbox: Sandbox) -> None:
    assert "Nothing to take over" in live.client.get(at(live.account, "adopt/")).text
    numbers = [theirs(sandbox, n) for n in (1, 2)]
    page = live.client.get(at(live.account, "adopt/")).text
    for words in ("Old 1", "Old 2", "https://crm.example.org/hook", "one webhook address"):
        assert words in page, words
    assert live.client.post(at(live.account, "adopt/"), {}).status_code == 422
    assert live.client.post(at(live.account, "adopt/"), {"chosen": ["77"]}).status_code == 422
    done = live.client.post(at(live.account, "adopt/"), {"chosen": [str(numbers[0])]}, follow=True)
    assert "Taken over: Old 1." in done.text
    assert WaSenderSession.objects.get().wasender_id == numbers[0]
    assert "Old 1" not in live.client.get(at(live.account, "adopt/")).text


def test_a_gateway_that_is_away_is_told(desk: Desk) -> None:
    page = desk.client.get(at(desk.account, "adopt/"))
    assert page.status_code == 502
    assert "cannot be reached" in page.text


def test_sessions_without_proof_are_named(desk: Desk) -> None:
    desk.session("Front")
    proven = desk.session("Back door")
    WaSenderSession.objects.filter(pk=proven.pk).update(webhook_proven_at="2026-11-01T00:00Z")
    assert "Not proven yet" not in desk.client.get(URL).text
    GatewayAccount.objects.update(is_sandbox=False)
    page = desk.client.get(URL).text
    assert "Not proven yet" in page
    assert "Proven at 1 of 2 sessions" in page
    assert page.count("Front") == 1 and "Back door" not in page
