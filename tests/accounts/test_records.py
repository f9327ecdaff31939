"""What the audit log keeps of logins, passwords, settings and an administrator's hand; and what it never keeps."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from pytest_django import Settings

from phonebank.accounts.models import User
from phonebank.audit.models import Event

from .conftest import PASSWORD

pytestmark = pytest.mark.django_db
NEW = "another horse 10"


def told() -> list[tuple[str, str | None, dict]]:
    """Verb, by whom, changes; in order."""
    names = dict(User.objects.values_list("public_id", "email"))
    rows = Event.objects.order_by("id").values_list("verb", "actor_ref", "changes")
    return [(verb, names.get(ref), changes) for verb, ref, changes in rows]


def everything() -> str:
    return json.dumps([[str(value) for value in row] for row in Event.objects.values_list()])


def log_in(client: Client, email: str, password: str):
    return client.post("/accounts/login/", {"login": email, "password": password})


def test_logins(ana: User, client: Client) -> None:
    log_in(client, "ana@example.org", "my cat's name")
    log_in(client, "nobody@example.org", "my cat's name")
    log_in(client, "ana@example.org", PASSWORD)
    client.post("/accounts/logout/")
    client.post("/accounts/logout/")
    me = "ana@example.org"
    assert told() == [("login.refused", None, {}), ("login.unknown", None, {}), ("login.done", me, {}),
                      ("login.ended", me, {})]  # fmt: skip
    first, second = Event.objects.order_by("id")[:2]
    assert (first.owner_id, second.owner_id, first.how, first.address) == (ana.pk, None, "page", "127.0.0.1")
    for word in ("cat", "nobody", PASSWORD):
        assert word not in everything()
    client.force_login(ana)
    assert "turned away a login as <bdi>you</bdi>" in client.get("/audit/").text


def test_signing_up(boss: User, client: Client, settings: Settings) -> None:
    settings.SIGNUP = "open"
    form = {"email": "new@example.org", "password1": PASSWORD, "password2": PASSWORD, "time_zone": "UTC"}
    client.post("/accounts/signup/", form)
    assert {verb for verb, *_ in told()} == {"user.signed_up", "login.done"}


def test_settings_and_passwords(ana: User, client: Client, settings: Settings, mailoutbox: list) -> None:
    client.force_login(ana)
    form = {"name": "Anabel", "time_zone": "Asia/Tokyo", "locale": "en"}
    for _ in range(2):  # the second changes nothing
        client.post("/accounts/settings/", form)
    client.post("/accounts/password/", {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW})
    settings.EMAIL_URL = "smtp://mail.example"
    guest = Client()
    guest.post("/accounts/password/reset/", {"email": "ana@example.org"})
    link = re.search(r"http://testserver(\S+)", mailoutbox[0].body)
    assert link
    form_url = guest.get(link[1])["Location"]
    guest.post(form_url, {"password1": "a third horse 11", "password2": "a third horse 11"})
    me = "ana@example.org"
    assert told() == [("user.settings_changed", me, {"time_zone": ["Europe/Madrid", "Asia/Tokyo"]}),
                      ("user.password_set", me, {}), ("user.password_reset", me, {})]  # fmt: skip
    for word in ("Anabel", "horse", form_url.split("/")[-2]):
        assert word not in everything()
