from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from phonebank.accounts import services
from phonebank.accounts.models import OneTimeLink, User
from phonebank.audit.models import Event


def login_token(user: User) -> str:
    return services.make_link(purpose=services.Purpose.LOGIN, user=user)


def test_only_a_digest_of_the_token_is_stored(ana: User) -> None:
    token = login_token(ana)
    assert len(token) >= 43  # 256 bits
    assert token not in str(list(OneTimeLink.objects.values()))


def test_looking_at_a_link_burns_nothing(ana: User, client: Client) -> None:
    url = f"/accounts/link/{login_token(ana)}/"
    for _ in range(3):
        page = client.get(url)
        assert page.status_code == 200
        assert "ana@example.org" in page.text
        assert "_auth_user_id" not in client.session
    assert client.post(url).status_code == 302
    assert client.session["_auth_user_id"] == str(ana.pk)


def test_a_link_works_once(ana: User, client: Client) -> None:
    url = f"/accounts/link/{login_token(ana)}/"
    client.post(url)
    stranger = Client()
    assert stranger.post(url).status_code == 410
    assert stranger.get(url).status_code == 410
    assert "_auth_user_id" not in stranger.session


def test_an_old_link_does_not_work(ana: User, client: Client) -> None:
    token = login_token(ana)
    OneTimeLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.post(f"/accounts/link/{token}/").status_code == 410


def test_a_link_of_a_person_switched_off_does_not_work(ana: User, client: Client) -> None:
    token = login_token(ana)
    User.objects.update(is_active=False)
    assert client.post(f"/accounts/link/{token}/").status_code == 410
    assert OneTimeLink.objects.get().used_at is None


def test_a_link_serves_its_purpose_only(ana: User) -> None:
    with pytest.raises(services.LinkSpent):
        services.create_first_administrator(
            token=login_token(ana), email="x@example.org", password="x", time_zone="UTC"
        )
    assert not User.objects.filter(email="x@example.org").exists()


def test_the_page_of_a_link_leaks_its_address_to_nobody(ana: User, client: Client) -> None:
    page = client.get(f"/accounts/link/{login_token(ana)}/")
    # no-referrer would make browsers post the form with "Origin: null", which the CSRF check refuses.
    assert page["Referrer-Policy"] == "strict-origin"
    assert "no-store" in page["Cache-Control"]


def test_making_and_using_a_link_is_on_record(ana: User, client: Client) -> None:
    client.post(f"/accounts/link/{login_token(ana)}/")
    assert set(Event.objects.filter(owner=ana).values_list("verb", flat=True)) == {"link.login.made", "link.login.used"}


def test_who_came_by_link_sets_a_password_without_the_forgotten_one(ana: User, client: Client) -> None:
    client.post(f"/accounts/link/{login_token(ana)}/")
    new = {"new_password1": "another horse 10", "new_password2": "another horse 10"}
    assert client.post("/accounts/password/", new).status_code == 302
    ana.refresh_from_db()
    assert ana.check_password("another horse 10")
    # Once: the next change asks for it again.
    again = {"new_password1": "third horse 11 x", "new_password2": "third horse 11 x"}
    assert client.post("/accounts/password/", again).status_code == 422
