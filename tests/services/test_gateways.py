from __future__ import annotations

import pytest

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import gateways
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.sessions import create_session
from tests.services.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _address(sandbox: Sandbox, settings: object) -> None:
    settings.WASENDER_URL = f"{sandbox.url}/api"


def test_a_token_is_stored_only_if_the_gateway_takes_it(user: User, sandbox: Sandbox) -> None:
    account = gateways.add_account(actor=user, token=f" {sandbox.token}\n")
    assert (account.token, account.name, account.base_url) == (sandbox.token, "WaSender 1", f"{sandbox.url}/api")
    for token, code in (
        (sandbox.token, "duplicate"),
        ("1|" + "x" * 40, "unauthorized"),
        ("", "invalid"),
        ("a b", "invalid"),
    ):
        with pytest.raises(ServiceError) as error:
            gateways.add_account(actor=user, token=token)
        assert error.value.code == code
    assert GatewayAccount.objects.count() == 1


def test_an_unreachable_gateway_stores_nothing(user: User, settings: object) -> None:
    settings.WASENDER_URL = "http://127.0.0.1:9/api"
    with pytest.raises(ServiceError) as error:
        gateways.add_account(actor=user, token="1|" + "x" * 40)
    assert error.value.code == "unreachable" and not GatewayAccount.objects.exists()


def test_a_token_never_stands_in_the_database_in_clear(user: User, sandbox: Sandbox) -> None:
    from django.db import connection

    gateways.add_account(actor=user, token=sandbox.token)
    with connection.cursor() as cursor:
        cursor.execute("SELECT token FROM whatsappapi_gatewayaccount")
        assert sandbox.token not in cursor.fetchone()[0]


def test_a_new_token_must_be_of_the_same_account(user: User, stranger: User, sandbox: Sandbox) -> None:
    account = gateways.ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)
    create_session(actor=user, account=account, phone_number="+12125550101")
    other = sandbox.pull("POST", "/accounts", {"name": "Other"})["token"]
    with pytest.raises(ServiceError) as error:
        gateways.replace_token(actor=user, account=account, token=other)
    assert error.value.code == "other_account"
    with pytest.raises(ServiceError) as error:
        gateways.replace_token(actor=stranger, account=account, token=sandbox.token)
    assert error.value.code == "not_found"
    assert gateways.replace_token(actor=user, account=account, token=sandbox.token).token == sandbox.token


def test_the_sandbox_account_is_made_once_and_kept_up_to_date(user: User) -> None:
    first = gateways.ensure_sandbox_account(owner=user, url="http://127.0.0.1:1", token="1|a")
    again = gateways.ensure_sandbox_account(owner=user, url="http://127.0.0.1:2/api/", token="1|b")
    assert first.pk == again.pk and again.is_sandbox
    again.refresh_from_db()
    assert (again.base_url, again.token) == ("http://127.0.0.1:2/api", "1|b")


def test_accounts_are_ones_own_and_those_granted(user: User, stranger: User) -> None:
    mine = GatewayAccount.objects.create(user=user, name="Mine")
    operators = GatewayAccount.objects.create(user=None, name="House")
    GatewayAccount.objects.create(user=stranger, name="Theirs")
    assert list(gateways.accounts_for(user)) == [mine]
    operators.granted_to.add(user)
    assert list(gateways.accounts_for(user)) == [mine, operators]


@pytest.mark.parametrize(
    ("url", "possible"),
    [
        ("https://desk.example.org", True),
        ("http://desk.example.org", False),
        ("", False),
        ("https://localhost", False),
        ("https://192.168.1.4", False),
        ("https://10.0.0.1:8443", False),
        ("https://[::1]", False),
        ("https://nas", False),
        ("https://box.local", False),
        ("https://100.64.0.1", False),
        ("https://8.8.8.8", True),
    ],
)
def test_who_can_reach_us(linked: WaSenderSession, settings: object, url: str, possible: bool) -> None:
    settings.PUBLIC_URL, settings.LOCAL_URL = url, "http://127.0.0.1:8000"
    assert gateways.webhook_url(linked).startswith("http://127.0.0.1:8000/whatsappapi/webhook/")
    linked.account.is_sandbox = False
    assert gateways.can_receive_webhooks(linked.account) is possible
    expected = f"{url}/whatsappapi/webhook/{linked.user.public_id}/{linked.webhook_token}/"
    assert gateways.webhook_url(linked) == (expected if possible else "")


def test_addresses_are_put_right_at_once(user: User, sandbox: Sandbox, settings: object) -> None:
    account = gateways.ensure_sandbox_account(owner=user, url=sandbox.url, token=sandbox.token)
    create_session(actor=user, account=account, phone_number="+12125550101")
    assert gateways.update_webhooks(user) == 0
    settings.LOCAL_URL = "http://127.0.0.1:8333"
    assert gateways.update_webhooks(user) == 1 and gateways.update_webhooks(user) == 0
