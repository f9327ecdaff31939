"""The main flows with every logger talking: no secret, no number and no text is in what was written."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client

from phonebank.accounts import services as accounts
from phonebank.accounts.models import OneTimeLink, User
from phonebank.audit import logs
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.services import webhooks
from tests.accounts.conftest import PASSWORD
from tests.security.conftest import Owner
from tests.services.conftest import Sandbox

TEXT = "Zaphod keeps beeblebrox hours"
PHONE = "+12125550177"
NUMBERS = re.compile(r"1?2125550177|\(212\)\s*555.?0177|212.555.0177")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that any logger says, down to DEBUG, in the two forms in which the product writes it."""
    out, root = io.StringIO(), logging.getLogger()
    handlers = []
    for formatter in (logs.Line(), logs.Json()):
        handler = logging.StreamHandler(out)
        handler.setFormatter(formatter)
        handler.addFilter(logs.RequestId())
        handlers.append(handler)
        root.addHandler(handler)
    before = root.level
    root.setLevel(logging.DEBUG)
    for name in ("django", "phonebank", "aiohttp", "asyncio", "allauth", "procrastinate"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    logging.getLogger().manager._clear_cache()
    yield out
    root.setLevel(before)
    for handler in handlers:
        root.removeHandler(handler)
    logging.getLogger().manager._clear_cache()


def plain(session: WaSenderSession) -> set[str]:
    return {one for one in (session.api_key, session.webhook_secret, session.webhook_token) if one}


def flows(owner: Owner, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What people and the gateway do in a day, a page that breaks among it. Returns every secret that was in play."""
    user, client = owner.user, owner.client
    user.set_password(PASSWORD)
    user.save()
    client.force_login(user)
    secrets = {PASSWORD, owner.api.headers["Authorization"].split()[1], sandbox.token}
    login = Client()
    login.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    Client().post("/accounts/login/", {"login": user.email, "password": "hunter2 hunter2"})
    secrets |= {"hunter2 hunter2", login.session.session_key, login.cookies["csrftoken"].value}
    link = accounts.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user)
    setup = accounts.make_link(purpose=OneTimeLink.Purpose.INVITE, email="new@example.org")
    for token in (link, setup):
        secrets.add(token)
        Client().get(f"/accounts/link/{token}/")
    Client().post(f"/accounts/link/{setup}/", {"password": "short", "time_zone": "UTC"})
    Client().get(f"/accounts/password/reset/key/1-{'k' * 30}/")
    secrets.add("k" * 30)
    account = owner.account
    account.base_url, account.token = f"{sandbox.url}/api", sandbox.token
    account.save()
    created = owner.api.post("sessions/", {"phone_number": PHONE, "account": str(account.public_id)})
    assert created.status_code == 201, created.content
    session = WaSenderSession.objects.get(public_id=created.json()["id"])
    owner.api.post(f"sessions/{session.public_id}/connect/")
    code = owner.api.get(f"sessions/{session.public_id}/qr/").json()["qr"]
    assert code.startswith("2@")
    secrets |= plain(session) | {code}
    client.get(f"/whatsappapi/sessions/{session.public_id}/")
    owner.api.post("contacts/bulk/", {"list_name": "L", "contacts": [{"phone": PHONE, "name": "Ana"}]})
    person = str(user.contacts.get(phone=PHONE).public_id)
    owner.api.post("messages/", {"body": TEXT, "contact": person, "session": str(session.public_id)})
    owner.api.post("suppressions/", {"phone": PHONE})
    body = {
        "event": "messages.received", "sessionId": session.api_key,
        "data": {"messages": {"key": {"id": "3EB0AA", "fromMe": False, "remoteJid": f"{PHONE[1:]}@s.whatsapp.net",
                                      "cleanedSenderPn": PHONE[1:]}, "message": {"conversation": TEXT}}},
    }  # fmt: skip
    for secret in (session.webhook_secret, "wrong"):
        answer = Client().post(
            f"/whatsappapi/webhook/{user.public_id}/{session.webhook_token}/", json.dumps(body),
            content_type="application/json", headers={"X-Webhook-Signature": secret},
        )  # fmt: skip
        assert answer.status_code == (401 if secret == "wrong" else 200)
    webhooks.process_batch()
    call_command("rotate_keys")

    def breaks(*args: object) -> None:
        raise RuntimeError(
            f"{PHONE} asked with Bearer {session.api_key} at /accounts/link/{link}/ for {PHONE[1:]}@c.us"
        )

    monkeypatch.setattr("phonebank.whatsappapi.views.dashboard.slots", breaks)
    client.raise_request_exception = False
    assert client.get("/whatsappapi/").status_code == 500
    return secrets


def columns() -> dict[str, str]:
    """Every row of every table as the database has it, by table."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            table = model._meta.db_table
            if model._meta.managed:
                cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{table}\" t")
                found[table] = cursor.fetchone()[0]
    return found


def test_nothing_written_or_stored_gives_anything_away(
    owner: Owner, sandbox: Sandbox, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = flows(owner, sandbox, monkeypatch)
    said = written.getvalue()
    assert "/accounts/link/***/" in said and said.count("asked with *** at /accounts/link/***/ for …0177@c.us") >= 2, (
        "nobody said anything"
    )
    assert [one for one in secrets if one in said] == []
    assert TEXT not in said and NUMBERS.findall(said) == []
    assert [one.body for one in mail.outbox if any(secret in one.body for secret in secrets)] == []
    hold_no_key = columns()
    session_keys = {one for one in secrets if one in hold_no_key.pop("django_session", "")}
    leaks = {table: one for table, text in hold_no_key.items() for one in secrets - session_keys if one in text}
    assert leaks == {}
    log = "\n".join(repr(one) for one in Event.objects.values_list("changes", "data", "label", "target", "verb"))
    assert not NUMBERS.search(log) and TEXT not in log


def test_addresses_that_are_a_key_are_masked() -> None:
    token = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
    for path in (f"/accounts/link/{token}/", f"/link/{token}/", f"/whatsappapi/invitation/{token}/",
                 f"/accounts/password/reset/key/1-{token}/", f"/accounts/confirm-email/{token}/",
                 f"/whatsappapi/webhook/5d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a11/{token}"):  # fmt: skip
        line = logs.masked(f"Unprocessable Content: {path}")
        assert token not in line and line.startswith("Unprocessable Content: /") and "***" in line
    kept = "Not Found: /whatsappapi/sessions/5d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a11/link/"
    assert logs.masked(kept) == kept


@pytest.mark.parametrize("formatter", [logs.Line(), logs.Json()])
def test_a_message_is_one_line(formatter: logging.Formatter) -> None:
    """Whatever stands in a name: it neither begins a line of its own nor colours a terminal."""
    forged = "x\r\n2026-11-23 10:00:00 INFO phonebank: all is well\x1b[31m\u2028"
    record = logging.LogRecord("phonebank.x", logging.INFO, "f", 1, "Sale %s paused", (forged,), None)
    line = formatter.format(record)
    assert not {"\n", "\r", "\x1b"} & set(line) and "Sale x" in line and "paused" in line


def test_an_exported_account_and_a_page_tell_no_secret(owner: Owner) -> None:
    """Beside tests/services/test_accounts.py: whatever a page shows of people is no hash of their password."""
    hashed = User.objects.get(pk=owner.user.pk).password
    for path in ("/accounts/settings/", "/whatsappapi/account/export/", "/whatsappapi/account/logins/"):
        page = owner.client.get(path).text
        assert hashed not in page and owner.client.session.session_key not in page
