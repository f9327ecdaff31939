"""Who is logged in, for how long, and how it ends. Guessing, and what it tells."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone

from phonebank.accounts import lifetime, services
from phonebank.accounts.models import OneTimeLink, User
from phonebank.audit.models import Event
from phonebank.whatsappapi.services import guard
from tests.accounts.conftest import PASSWORD

PAGE = "/accounts/settings/"
LOGINS = "/whatsappapi/account/logins/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def log_in(client: Client, user: User, password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/accounts/login/", {"login": user.email, "password": password}, **more)


def is_in(client: Client) -> bool:
    return client.get(PAGE).status_code == 200


def age(client: Client, key: str, hours: float) -> None:
    """As if that had happened so long ago."""
    session = client.session
    session[key] = timezone.now().timestamp() - hours * 3600
    session.save()


@pytest.mark.parametrize(("remember", "hours", "stays"), [
    (False, 11.9, True), (False, 12.1, False), (True, 12.1, True), (True, 335.9, True), (True, 336.1, False),
])  # fmt: skip
def test_without_use_a_login_ends(remember: bool, hours: float, stays: bool, ana: User) -> None:
    client = Client()
    fields = {"login": ana.email, "password": PASSWORD} | ({"remember": "on"} if remember else {})
    client.post("/accounts/login/", fields)
    key = client.session.session_key
    age(client, lifetime.SEEN, hours)
    assert is_in(client) == stays
    assert Session.objects.filter(session_key=key).exists() == stays


def test_a_page_that_refreshes_by_itself_is_no_use(ana: User) -> None:
    client = Client()
    log_in(client, ana)
    age(client, lifetime.SEEN, 11)
    client.get("/whatsappapi/", headers={"HX-Request": "true"})
    assert timezone.now().timestamp() - client.session[lifetime.SEEN] > 10 * 3600
    client.get(PAGE)
    assert timezone.now().timestamp() - client.session[lifetime.SEEN] < 3600


def test_after_thirty_days_it_ends_in_any_case(ana: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": ana.email, "password": PASSWORD, "remember": "on"})
    age(client, lifetime.BEGAN, 30 * 24 - 1)
    assert is_in(client)
    age(client, lifetime.BEGAN, 30 * 24 + 1)
    assert client.get(PAGE)["Location"] == f"/accounts/login/?next={PAGE}"


def test_a_login_of_the_release_before_goes_on(ana: User) -> None:
    client = Client()
    client.force_login(ana)
    session = client.session
    for key in (lifetime.BEGAN, lifetime.SEEN, lifetime.AGENT, lifetime.ADDRESS):
        session.pop(key, None)
    session.save()
    assert is_in(client) and lifetime.BEGAN in client.session


def test_the_key_is_new_at_login_and_dead_after_logout(ana: User) -> None:
    client, thief = Client(), Client()
    client.get("/accounts/login/")
    client.session["x"] = 1
    client.session.save()
    planted = client.session.session_key
    log_in(client, ana)
    assert client.session.session_key != planted
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    assert is_in(thief)
    client.post("/accounts/logout/")
    assert not is_in(thief)


def test_one_sees_ones_browsers_and_ends_them(ana: User, boss: User) -> None:
    here, there, elsewhere, foreign = (Client() for _ in range(4))
    log_in(here, ana)
    log_in(there, ana, headers={"User-Agent": FIREFOX}, REMOTE_ADDR="192.0.2.7")
    log_in(elsewhere, ana)
    log_in(foreign, boss)
    page = here.get(LOGINS)
    assert len(page.context["logins"]) == 3 and "Firefox, Linux" in page.text and "192.0.2.7" in page.text
    for client in (here, there, elsewhere):
        assert client.session.session_key not in page.text
    pick = next(one.name for one in page.context["logins"] if one.browser == "Firefox")
    assert here.post(LOGINS, {"pick": pick, "password": "wrong wrong"}).status_code == 422 and is_in(there)
    here.post(LOGINS, {"pick": pick, "password": PASSWORD})
    assert [is_in(one) for one in (here, there, elsewhere)] == [True, False, True]
    theirs = foreign.get(LOGINS).context["logins"][0].name
    here.post(LOGINS, {"pick": theirs, "password": PASSWORD})
    here.post(LOGINS, {"all": "1", "password": PASSWORD})
    assert [is_in(one) for one in (here, elsewhere, foreign)] == [True, False, True]
    assert Event.objects.filter(verb="login.ended_elsewhere", actor=ana).count() == 2


def test_a_restore_brings_no_ended_login_back(ana: User) -> None:
    """What the backup holds may have been ended since, with reason."""
    Client().post("/accounts/login/", {"login": ana.email, "password": PASSWORD})
    token = services.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=ana)
    invitation = services.make_link(purpose=OneTimeLink.Purpose.INVITE, email="new@example.org")
    assert Session.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute(guard.hold_sql(timezone.now()))
    assert not Session.objects.exists() and services.find_link(token) is None and services.find_link(invitation)


def test_guessing_is_slowed_for_one_account_from_many_addresses(ana: User) -> None:
    """Five wrong ones in five minutes close the door of this account alone."""
    for n in range(5):
        log_in(Client(), ana, "nonsense nonsense", REMOTE_ADDR=f"192.0.2.{n}")
    late = Client()
    log_in(late, ana, REMOTE_ADDR="192.0.2.99")
    assert not is_in(late)
    other = User.objects.create_user("bea@example.org", PASSWORD)
    log_in(late, other, REMOTE_ADDR="192.0.2.99")
    assert is_in(late)


def test_guessing_is_slowed_for_one_address_over_many_accounts(ana: User) -> None:
    client = Client()
    for n in range(10):
        client.post("/accounts/login/", {"login": f"nobody{n}@example.org", "password": "nonsense nonsense"})
    log_in(client, ana)
    assert not is_in(client)


def test_the_old_password_is_not_guessed_in_an_open_browser(ana: User) -> None:
    client = Client()
    client.force_login(ana)
    new = {"new_password1": "another horse 10", "new_password2": "another horse 10"}
    answers = [client.post("/accounts/password/", {"old_password": f"guess {n}"} | new) for n in range(11)]
    assert "Too many tries" in answers[-1].text and "Too many tries" not in answers[0].text
    assert client.post("/accounts/password/", {"old_password": PASSWORD} | new).status_code == 422


def test_who_is_unknown_costs_as_much_work(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not compared, which would depend on the machine: the costly step is done once for everybody."""
    done: list[str] = []
    real = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *a: (done.append("work"), real[0](*a))[1])
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *a: (done.append("work"), real[1](*a))[1])
    User.objects.create_user("off@example.org", PASSWORD, is_active=False)
    work = []
    for address in (ana.email, "nobody@example.org", "off@example.org"):
        done.clear()
        Client().post("/accounts/login/", {"login": address, "password": "nonsense nonsense"})
        work.append(len(done))
    assert work == [1, 1, 1]


def test_resetting_tells_nobody_who_is_here(ana: User, settings: Any, mailoutbox: list[Any]) -> None:
    settings.EMAIL_URL = "smtp://mail.example"
    EmailAddress.objects.create(user=ana, email=ana.email, primary=True, verified=True)
    answers = []
    for address in (ana.email, "nobody@example.org"):
        answer = Client().post("/accounts/password/reset/", {"email": address}, follow=True)
        answers.append((answer.status_code, answer.redirect_chain, answer.text.replace(address, "")))
    assert answers[0][:2] == answers[1][:2]


@pytest.mark.parametrize("password", ["phonebank2026", "WhatsAppAdmin", "wasender123", "Password99!"])
def test_the_products_own_words_are_no_password(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password)


@pytest.mark.parametrize("password", ["my phonebank is a brass bird", "ünïcode und länger", "xy" * 100 + "z"])
def test_length_and_any_letters_are_welcome(password: str) -> None:
    validate_password(password)
