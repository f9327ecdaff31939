from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings
from rest_framework.permissions import IsAuthenticated

from phonebank.accounts import services
from phonebank.accounts.models import Plan, Subscription, User
from tests.accounts.conftest import PASSWORD

OPEN = {
    "account_login", "account_signup", "account_inactive", "account_email_verification_sent", "account_confirm_email",
    "account_reset_password", "account_reset_password_done", "account_reset_password_from_key",
    "account_reset_password_from_key_done", "account_logout", "link", "phone_link", "webhook", "webhook_token",
    "no_such_address", "language", "metrics", "account_left", "healthz", "readyz",
    "mfa_authenticate",
}  # fmt: skip


def log_in(client: Client, password: str = PASSWORD):
    return client.post("/accounts/login/", {"login": "ana@example.org", "password": password})


def test_login_and_logout(ana: User, client: Client) -> None:
    before = client.session.session_key
    assert log_in(client)["Location"] == "/whatsappapi/"
    assert client.session.session_key != before
    client.post("/accounts/logout/")
    assert "_auth_user_id" not in client.session


def test_a_wrong_password_and_an_unknown_address_read_the_same(ana: User, client: Client) -> None:
    wrong = log_in(client, "nonsense nonsense")
    unknown = client.post("/accounts/login/", {"login": "nobody@example.org", "password": "nonsense nonsense"})
    assert str(wrong.context["form"].errors) == str(unknown.context["form"].errors)


def test_guessing_is_throttled(ana: User, client: Client) -> None:
    for _ in range(10):
        log_in(client, "nonsense nonsense")
    assert "_auth_user_id" not in client.session
    log_in(client)
    assert "_auth_user_id" not in client.session


def test_login_goes_only_to_our_own_pages(ana: User, client: Client) -> None:
    answer = client.post("/accounts/login/?next=https://evil.example/", {"login": ana.email, "password": PASSWORD})
    assert answer["Location"] == "/whatsappapi/"
    theme = client.post("/accounts/theme/", {"theme": "dark", "next": "//evil.example/"})
    assert theme["Location"] == "/whatsappapi/"
    assert theme.cookies["theme"].value == "dark"


def test_the_chosen_theme_is_painted_by_the_server(client: Client, plans: None) -> None:
    client.cookies["theme"] = "dark"
    assert '<html lang="en" data-bs-theme="dark">' in client.get("/accounts/login/").text
    client.cookies["theme"] = '"><script>'
    assert "<script>" not in client.get("/accounts/login/").text


def test_without_mail_the_reset_page_says_what_to_do(client: Client, plans: None, settings: Settings) -> None:
    settings.EMAIL_URL = ""
    page = client.get("/accounts/password/reset/").text
    assert "No mail is set up here: ask your administrator for a login link" in page
    assert 'name="email"' not in page


def test_with_mail_the_reset_page_asks_for_the_address(
    ana: User, client: Client, settings: Settings, mailoutbox: list
) -> None:
    settings.EMAIL_URL = "smtp://mail.example"
    assert 'name="email"' in client.get("/accounts/password/reset/").text
    client.post("/accounts/password/reset/", {"email": "ana@example.org"})
    link = re.search(r"http://testserver(\S+)", mailoutbox[0].body)
    assert link
    assert "Choose a new password" in client.get(link[1], follow=True).text


def test_a_new_password_ends_the_other_sessions(ana: User, client: Client) -> None:
    other = Client()
    for one in (client, other):
        one.force_login(ana)
    form = {"old_password": PASSWORD, "new_password1": "another horse 10", "new_password2": "another horse 10"}
    assert client.post("/accounts/password/", form).status_code == 302
    assert client.get("/accounts/settings/").status_code == 200
    assert other.get("/accounts/settings/").status_code == 302


def test_settings_change_zone_and_formats(ana: User, client: Client) -> None:
    client.force_login(ana)
    saved = client.post("/accounts/settings/", {"name": "Ana", "time_zone": "Asia/Tokyo", "locale": "en-gb"})
    assert saved.status_code == 302
    ana.refresh_from_db()
    assert (ana.name, ana.time_zone, ana.locale) == ("Ana", "Asia/Tokyo", "en-gb")
    assert client.post("/accounts/settings/", {"time_zone": "Mars/Base", "locale": "en"}).status_code == 422


def test_pages_of_people_stay_out_of_caches(ana: User, client: Client) -> None:
    client.force_login(ana)
    for path in ("/accounts/settings/", "/whatsappapi/", "/nowhere/"):
        assert client.get(path)["Cache-Control"] == "no-store"


def patterns(resolver: URLResolver, name: str = "") -> list[tuple[str, URLPattern]]:
    found = []
    for one in resolver.url_patterns:
        found += patterns(one, name) if isinstance(one, URLResolver) else [(one.name or "", one)]
    return found


def test_every_page_asks_for_a_login_but_those_listed(plans: None) -> None:
    """The API asks by itself: a program is answered 401, not sent to a page (tests/api/test_matrix.py)."""

    def asks_for_it(view: Any) -> bool:
        by_itself = IsAuthenticated in view.cls.permission_classes if hasattr(view, "cls") else False
        return by_itself or getattr(view, "login_required", True)

    asks = {
        name: asks_for_it(pattern.callback)
        for name, pattern in patterns(get_resolver())
        if pattern.callback.__module__.split(".")[0] in {"phonebank", "allauth"}
    }
    assert {name for name, asked in asks.items() if name and not asked} <= OPEN
    assert Client().get("/whatsappapi/")["Location"] == "/accounts/login/?next=/whatsappapi/"


@pytest.mark.parametrize(
    "path", ["/accounts/settings/", "/accounts/password/", "/accounts/theme/", "/accounts/logout/"]
)
def test_posts_need_the_token_of_the_form(path: str, ana: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    assert client.post(path, {}).status_code == 403


def test_every_way_to_make_a_user_makes_the_subscription(boss: User) -> None:
    User.objects.create_user("one@example.org")
    User(email="two@example.org").save()
    token = services.make_link(purpose=services.Purpose.INVITE, email="Three@example.org")
    services.accept_invite(token=token, password=PASSWORD, time_zone="UTC")
    plans = dict(Subscription.objects.values_list("user__email", "plan__slug"))
    assert plans == {
        "boss@example.org": "enterprise", "one@example.org": "free", "two@example.org": "free",
        "three@example.org": "free",
    }  # fmt: skip


def test_an_address_that_was_changed_does_not_log_in(boss: User, ana: User) -> None:
    EmailAddress.objects.create(user=ana, email=ana.email, primary=True, verified=True)
    services.change_address(actor=boss, user=ana, email="neu@example.org")
    stranger = Client()
    log_in(stranger)
    assert "_auth_user_id" not in stranger.session


def test_the_four_plans(plans: None) -> None:
    assert list(Plan.objects.values_list("slug", "max_sessions", "daily_limit")) == [
        ("free", 1, 100), ("basic", 3, 500), ("pro", 5, 1000), ("enterprise", 10, None),
    ]  # fmt: skip
