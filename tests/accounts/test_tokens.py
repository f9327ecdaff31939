"""Tokens of the API: shown once, kept as a hash, revoked at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from phonebank.accounts.api_tokens import MOST, ApiToken, TooManyTokens, create_token, find_token, revoke_token
from phonebank.accounts.models import User
from phonebank.audit.models import Event


@pytest.fixture
def browser(ana: User) -> Client:
    client = Client()
    client.force_login(ana)
    return client


def make(browser: Client, name: str = "Shop", scope: str = "read", days: str = "") -> str:
    page = browser.post("/accounts/tokens/", {"name": name, "scope": scope, "days": days})
    assert page.status_code == 200
    return re.search(r'value="(pbk_[0-9a-f]{64})"', page.text)[1]


def test_a_token_is_shown_once(browser: Client, ana: User) -> None:
    text = make(browser)
    page = browser.get("/accounts/tokens/")
    assert text not in page.text
    assert text[:15] in page.text
    assert "Never" in page.text
    token = find_token(text)
    assert (token.user, token.scope, token.may_write) == (ana, "read", False)


def test_the_database_holds_no_token(browser: Client) -> None:
    """Whoever reads the whole row can log in with nothing of it."""
    text = make(browser)
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_apitoken t")
        row = cursor.fetchone()[0]
    assert text[15:] not in row
    words = re.findall(r"[0-9a-zA-Z_]+", row)
    assert not any(find_token(word) for word in words)


def test_revoked_at_once(browser: Client) -> None:
    text = make(browser, "Shop")
    token = ApiToken.objects.get()
    page = browser.post(f"/accounts/tokens/{token.public_id}/revoke/", follow=True)
    assert "“Shop” is revoked" in page.text
    assert find_token(text) is None


def test_nobody_else_revokes_it(browser: Client, boss: User) -> None:
    make(browser, "My shop")
    token = ApiToken.objects.get()
    stranger = Client()
    stranger.force_login(boss)
    assert stranger.post(f"/accounts/tokens/{token.public_id}/revoke/").status_code == 404
    assert "My shop" not in stranger.get("/accounts/tokens/").text
    assert ApiToken.objects.exists()


def test_expired(browser: Client) -> None:
    text = make(browser, days="30")
    assert ApiToken.objects.get().expiry - timezone.now() > timedelta(days=29)
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert find_token(text) is None
    assert "Expired" in browser.get("/accounts/tokens/").text


def test_of_an_inactive_person(ana: User) -> None:
    _, text = create_token(actor=ana, name="x", scope="write", days=None)
    User.objects.update(is_active=False)
    assert find_token(text) is None


def test_last_used_is_written_once_a_minute(ana: User) -> None:
    _, text = create_token(actor=ana, name="x", scope="read", days=None)
    find_token(text)
    first = ApiToken.objects.get().last_used_at
    find_token(text)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    find_token(text)
    assert ApiToken.objects.get().last_used_at >= first


def test_the_audit_log_names_it_and_keeps_no_secret(ana: User) -> None:
    token, text = create_token(actor=ana, name="Shop", scope="read", days=30)
    revoke_token(actor=ana, public_id=token.public_id)
    made, gone = Event.objects.filter(verb__startswith="token.").order_by("pk")
    assert (made.verb, gone.verb, made.data["name"]) == ("token.created", "token.revoked", "Shop")
    assert made.target_id == gone.target_id == str(token.public_id)
    assert not any(text[8:] in str(event.data) for event in (made, gone))


def test_not_without_end(ana: User) -> None:
    for n in range(MOST):
        create_token(actor=ana, name=str(n), scope="read", days=None)
    with pytest.raises(TooManyTokens):
        create_token(actor=ana, name="more", scope="read", days=None)


def test_a_name_is_needed(browser: Client) -> None:
    page = browser.post("/accounts/tokens/", {"name": "", "scope": "read", "days": ""})
    assert page.status_code == 422
    assert not ApiToken.objects.exists()
