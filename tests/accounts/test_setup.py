from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.transaction import TransactionManagementError
from django.test import Client

from phonebank.accounts import services
from phonebank.accounts.administrators import check_another
from phonebank.accounts.models import OneTimeLink, User

FORM = {"email": "first@example.org", "name": "First", "password": "correct horse 9", "time_zone": "Europe/Madrid"}


def setup_url() -> str:
    return f"/accounts/link/{services.make_link(purpose=services.Purpose.SETUP)}/"


def test_the_setup_link_makes_the_administrator(plans: None, client: Client) -> None:
    url = setup_url()
    assert client.get(url).status_code == 200
    assert client.post(url, FORM).status_code == 302
    user = User.objects.get()
    assert user.is_superuser
    assert user.is_staff
    assert user.subscription.plan.slug == "enterprise"
    assert user.time_zone == "Europe/Madrid"
    assert client.session["_auth_user_id"] == str(user.pk)


def test_a_refused_form_keeps_the_link(plans: None, client: Client) -> None:
    url = setup_url()
    refused = client.post(url, FORM | {"password": "short"})
    assert refused.status_code == 422
    assert "at least 10 characters" in refused.text
    assert client.post(url, FORM).status_code == 302


def test_setup_is_closed_for_good(plans: None, client: Client) -> None:
    first, second = setup_url(), setup_url()
    client.post(first, FORM)
    later = setup_url()
    for url in (second, later):
        assert Client().get(url).status_code == 410
        assert Client().post(url, FORM | {"email": "second@example.org"}).status_code == 410
    assert User.objects.count() == 1


def at_once(work: list[Callable[[], int]]) -> list[int]:
    """Status codes of all of `work`, started together."""
    barrier = threading.Barrier(len(work))

    def run(one: Callable[[], int]) -> int:
        try:
            barrier.wait(60)
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_same_link", [True, False])
def test_sixteen_at_once_make_one_administrator(is_same_link: bool, plans: None) -> None:
    urls = [setup_url()] * 16 if is_same_link else [setup_url() for _ in range(16)]
    posts = [
        lambda i=i, url=url: Client().post(url, FORM | {"email": f"admin{i}@example.org"}).status_code
        for i, url in enumerate(urls)
    ]
    statuses = at_once(posts)
    assert statuses.count(302) == 1
    assert statuses.count(410) == 15
    assert User.objects.filter(is_superuser=True).count() == User.objects.count() == 1
    assert OneTimeLink.objects.filter(used_at=None).count() == 0


@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_use_a_login_link_once(ana: User) -> None:
    url = f"/accounts/link/{services.make_link(purpose=services.Purpose.LOGIN, user=ana)}/"
    statuses = at_once([lambda: Client().post(url).status_code] * 16)
    assert sorted(statuses) == [302] + [410] * 15


@pytest.mark.django_db(transaction=True)
def test_whether_another_administrator_is_left_is_asked_in_a_transaction_only() -> None:
    """Outside of one the answer would be out of date at once."""
    with pytest.raises(TransactionManagementError):
        check_another(User())
