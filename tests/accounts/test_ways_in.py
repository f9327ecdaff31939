"""Logins of more than one step, and what may change between two of them. What limits guessing cannot be lifted."""

from __future__ import annotations

import re
from threading import Thread
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.db import connection
from django.db.models.signals import pre_save
from django.test import Client
from pytest_django import Settings

from phonebank.accounts import services
from phonebank.accounts.mfa import MfaAdapter, has_factor, remove_factor
from phonebank.accounts.models import OneTimeLink, User
from phonebank.whatsappapi.services import account_deletion
from tests.accounts.conftest import PASSWORD
from tests.accounts.test_mfa import (
    ACTIVATE,
    CODE,
    CODES,
    HOME,
    MFA,
    NEW_CODES,
    PAGE,
    Clock,
    _plain,
    clock,
    code_of,
    committed,
    factor,
    is_in,
    opens_nothing,
    password,
    verbs,
    wrong,
)

__all__ = ["_plain", "clock", "committed", "factor"]
REAUTHENTICATE = "/accounts/mfa/reauthenticate/"


def begin(by: str, client: Client, user: User) -> None:
    """As far as the page that asks for the code."""
    if by == "password":
        answer = password(client, user)
    else:
        answer = client.post(f"/accounts/link/{services.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user)}/")
    assert answer["Location"] == CODE


def came_by_link(client: Client) -> bool:
    """Whether the page for a new password leaves the old one out."""
    return "old_password" not in client.get("/accounts/password/").context["form"].fields


# --- between the password and the code --------------------------------------------------------------------------------


def test_switched_off_while_one_waits_at_the_code(factor: tuple[str, list[str]], ana: User, clock: Clock) -> None:
    client = Client()
    password(client, ana)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    services.end_logins(ana)
    assert client.post(CODE, {"code": code_of(factor[0], clock)})["Location"] == "/accounts/inactive/"
    User.objects.filter(pk=ana.pk).update(is_active=True)
    assert opens_nothing(client)


@pytest.mark.parametrize("by", ["password", "link"])
def test_a_new_password_ends_a_login_that_waits_for_its_code(
    by: str, factor: tuple[str, list[str]], ana: User, clock: Clock
) -> None:
    client = Client()
    begin(by, client, ana)
    services.set_password(actor=ana, password="another horse 10")
    answer = client.post(CODE, {"code": code_of(factor[0], clock)}, follow=True)
    assert answer.redirect_chain == [("/accounts/login/", 302)] and "was changed in the meantime" in answer.text
    assert opens_nothing(client)


@pytest.mark.parametrize("by", ["password", "link"])
def test_removed_while_its_owner_waits_at_the_code(by: str, factor: tuple[str, list[str]], ana: User) -> None:
    """They call an administrator from that page, and then look at it again."""
    client, guessing = Client(), Client()
    begin(by, client, ana)
    remove_factor(actor=None, user=ana)
    assert client.get(CODE)["Location"] == HOME and is_in(client)
    assert [one for one in verbs() if one.startswith("login.")][-1] == "login.done"
    assert came_by_link(client) == (by == "link")
    guessing.post("/accounts/login/", {"login": ana.email, "password": "nonsense nonsense"})
    assert guessing.get(CODE)["Location"] == "/accounts/login/" and opens_nothing(guessing)


def test_who_comes_by_a_link_was_not_asked_to_stay_logged_in(
    factor: tuple[str, list[str]], ana: User, boss: User, clock: Clock
) -> None:
    """12 hours without use, not 14 days, and no longer than the browser is open."""
    form = {"password": "another horse 10", "time_zone": "UTC", "name": "New"}
    invited, asked, boss_here = Client(), Client(), Client()
    token = services.make_link(purpose=OneTimeLink.Purpose.INVITE, email="new@example.org")
    invited.post(f"/accounts/link/{token}/", form)
    # Somebody who did want to stay did not get beyond the code in this browser.
    asked.post("/accounts/login/", {"login": ana.email, "password": PASSWORD, "remember": "on"})
    asked.post(f"/accounts/link/{services.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=ana)}/")
    asked.post(CODE, {"code": code_of(factor[0], clock)})
    boss_here.post(f"/accounts/link/{services.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=boss)}/")
    for client in (invited, asked, boss_here):
        assert is_in(client) and client.session.get_expire_at_browser_close()
        assert client.cookies["sessionid"]["max-age"] == ""


def test_who_signs_up_was_not_asked_either(boss: User, settings: Settings) -> None:
    settings.SIGNUP = "open"
    client = Client()
    words = {"password1": "another horse 10", "password2": "another horse 10", "time_zone": "UTC"}
    client.post("/accounts/signup/", {"email": "new@example.org"} | words)
    assert is_in(client) and client.session.get_expire_at_browser_close()


# --- limits -----------------------------------------------------------------------------------------------------------


def test_another_port_in_the_request_is_no_other_account(ana: User) -> None:
    """What stands behind the colon of the Host header is for whoever asks to choose."""
    for n in range(5):
        client = Client(REMOTE_ADDR=f"192.0.2.{n}", headers={"Host": f"testserver:{8000 + n}"})
        client.post("/accounts/login/", {"login": ana.email, "password": "nonsense nonsense"})
    late = Client(REMOTE_ADDR="192.0.2.99")
    password(late, ana)
    assert not is_in(late)


def test_a_right_code_of_ones_own_buys_no_more_guesses(
    factor: tuple[str, list[str]], ana: User, boss: User, clock: Clock
) -> None:
    """Ten wrong ones from an address are ten, whoever logs in from there in between."""
    secret, _ = factor
    guessing = Client()
    for n in range(9):
        guessing.post("/accounts/login/", {"login": f"nobody{n}@example.org", "password": "nonsense nonsense"})
    mine = Client()
    password(mine, ana)
    mine.post(CODE, {"code": code_of(secret, clock)})
    assert is_in(mine)
    guessing.post("/accounts/login/", {"login": "nobody9@example.org", "password": "nonsense nonsense"})
    late = Client()
    password(late, boss)
    assert not is_in(late)
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    password(elsewhere, boss)
    assert is_in(elsewhere)


def test_wrong_codes_and_wrong_passwords_count_together(
    factor: tuple[str, list[str]], ana: User, boss: User, clock: Clock
) -> None:
    secret, _ = factor
    waiting = Client()
    password(waiting, ana)
    for _ in range(3):
        waiting.post(CODE, {"code": wrong(code_of(secret, clock))})
    for n in range(7):
        Client().post("/accounts/login/", {"login": f"nobody{n}@example.org", "password": "nonsense nonsense"})
    assert "Too many wrong tries" in waiting.post(CODE, {"code": code_of(secret, clock)}).text
    assert opens_nothing(waiting)


def test_the_code_that_set_it_up_lets_nobody_in(ana: User, clock: Clock, committed: None) -> None:
    client, looking_on = Client(), Client()
    client.force_login(ana)
    client.post(client.get(ACTIVATE)["Location"], {"password": PASSWORD})
    code = code_of(client.get(ACTIVATE).context["form"].secret, clock)
    client.post(ACTIVATE, {"code": code})
    assert has_factor(ana)
    password(looking_on, ana)
    looking_on.post(CODE, {"code": code})
    assert opens_nothing(looking_on)


@pytest.mark.django_db(transaction=True)
def test_set_up_in_two_windows_at_once_it_is_set_up_once(ana: User, clock: Clock) -> None:
    """The other one is between the look whether there is a factor and the row."""
    client = Client()
    client.force_login(ana)
    client.post(client.get(ACTIVATE)["Location"], {"password": PASSWORD})
    code = code_of(client.get(ACTIVATE).context["form"].secret, clock)

    def other_window() -> None:
        try:
            Authenticator.objects.create(user=ana, type="totp", data={"secret": MfaAdapter().encrypt("ABC")})
        finally:
            connection.close()

    def meanwhile(sender: object, instance: Authenticator, **_: Any) -> None:
        pre_save.disconnect(meanwhile, sender=Authenticator)
        thread = Thread(target=other_window)
        thread.start()
        thread.join(20)

    pre_save.connect(meanwhile, sender=Authenticator)
    try:
        assert client.post(ACTIVATE, {"code": code})["Location"] == MFA
    finally:
        pre_save.disconnect(meanwhile, sender=Authenticator)
    assert MfaAdapter().decrypt(Authenticator.objects.get(user=ana).data["secret"]) == "ABC"


# --- when something is missing ----------------------------------------------------------------------------------------


def test_a_factor_that_no_key_opens_is_said_on_every_page(
    factor: tuple[str, list[str]], ana: User, clock: Clock, settings: Settings
) -> None:
    client = Client()
    password(client, ana)
    client.post(CODE, {"code": code_of(factor[0], clock)})
    clock.next_code()
    client.post(REAUTHENTICATE, {"code": code_of(factor[0], clock)})
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    answers = [client.get(path, follow=True) for path in (MFA, CODES, NEW_CODES)]
    answers.append(client.post(REAUTHENTICATE, {"code": "123456"}, follow=True))
    for answer in answers:
        assert answer.redirect_chain == [(PAGE, 302)] and "Your second factor cannot be checked" in answer.text


def test_an_account_that_is_closed_has_none_from_that_moment(
    factor: tuple[str, list[str]], ana: User, boss: User
) -> None:
    """Its other rows may wait for a gateway that does not answer."""
    account_deletion.begin(actor=ana, user=ana)
    assert User.objects.filter(pk=ana.pk).exists() and not Authenticator.objects.exists()


def test_a_link_in_a_mail_leads_to_our_address(ana: User, settings: Settings, mailoutbox: list[Any]) -> None:
    """Whoever asks for the mail writes the Host header."""
    settings.EMAIL_URL, settings.PUBLIC_URL = "smtp://mail.example", "https://phonebank.example"
    client = Client(headers={"Host": "testserver:8443"})
    client.post("/accounts/password/reset/", {"email": ana.email})
    links = re.findall(r"https?://\S+", mailoutbox[0].body)
    assert any("/password/reset/key/" in one for one in links)
    assert {one.split("/accounts/")[0] for one in links} == {"https://phonebank.example"}


def test_a_long_password_confirms_what_it_logs_in(ana: User) -> None:
    client = Client()
    client.force_login(ana)
    long = "a horse and 9 more " * 20
    fields = {"old_password": PASSWORD, "new_password1": long, "new_password2": long}
    assert client.post("/accounts/password/", fields).status_code == 302
    assert client.post("/whatsappapi/account/export/", {"password": long.strip()}).status_code == 422
    assert client.post("/whatsappapi/account/export/", {"password": long})["Content-Type"] == "application/zip"
