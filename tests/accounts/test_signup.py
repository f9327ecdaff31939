from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from phonebank.accounts import services
from phonebank.accounts.models import User

FORM = {
    "email": "New@Example.org",
    "password1": "correct horse 9",
    "password2": "correct horse 9",
    "time_zone": "Asia/Tokyo",
}


@pytest.mark.parametrize("how", ["closed", "invite", "open"])
def test_nobody_signs_up_before_the_first_administrator(
    how: str, plans: None, client: Client, settings: Settings
) -> None:
    settings.SIGNUP = how
    assert "Sign-up is closed" in client.get("/accounts/signup/").text
    client.post("/accounts/signup/", FORM)
    assert not User.objects.exists()


@pytest.mark.parametrize("how", ["closed", "invite"])
def test_sign_up_is_closed_to_strangers(how: str, boss: User, client: Client, settings: Settings) -> None:
    settings.SIGNUP = how
    client.post("/accounts/signup/", FORM)
    assert User.objects.count() == 1
    assert "Sign up" not in client.get("/accounts/login/").text


def test_open_sign_up_makes_a_user_on_the_default_plan(boss: User, client: Client, settings: Settings) -> None:
    settings.SIGNUP = "open"
    assert "Sign up" in client.get("/accounts/login/").text
    assert client.post("/accounts/signup/", FORM).status_code == 302
    user = User.objects.get(email="new@example.org")
    assert user.subscription.plan.slug == "free"
    assert user.time_zone == "Asia/Tokyo"
    assert not user.is_staff


def test_an_invited_person_joins_with_the_invited_address(boss: User, client: Client) -> None:
    client.force_login(boss)
    page = client.post("/whatsappapi/administration/invite/", {"email": "Ben@example.org"})
    url = page.context["made"]["url"].removeprefix("http://testserver")
    guest = Client()
    assert "ben@example.org" in guest.get(url).text
    form = {"email": "else@example.org", "password": "correct horse 9", "time_zone": "UTC"}
    assert guest.post(url, form).status_code == 302
    user = User.objects.get(email="ben@example.org")
    assert user.subscription.plan.slug == "free"
    assert not user.is_superuser
    assert not User.objects.filter(email="else@example.org").exists()
    assert Client().get(url).status_code == 410


def test_an_invitation_is_void_once_its_address_has_joined(boss: User) -> None:
    token = services.make_link(purpose=services.Purpose.INVITE, email="ben@example.org")
    User.objects.create_user("ben@example.org")
    with pytest.raises(services.LinkSpent):
        services.accept_invite(token=token, password="correct horse 9", time_zone="UTC")


def test_the_link_is_shown_once(boss: User, client: Client) -> None:
    client.force_login(boss)
    made = client.post("/whatsappapi/administration/invite/", {"email": "ben@example.org"}).context["made"]["url"]
    assert made not in client.get("/whatsappapi/administration/").text


def test_a_second_invitation_voids_the_first(boss: User, client: Client) -> None:
    first, second = (services.make_link(purpose=services.Purpose.INVITE, email="ben@example.org") for _ in range(2))
    assert client.get(f"/accounts/link/{first}/").status_code == 410
    assert client.get(f"/accounts/link/{second}/").status_code == 200
