"""Sixteen people's worth of clicks for the last place of a plan: one session, here and at the gateway.

`ROUNDS=200` repeats it that often.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from phonebank.accounts.models import Plan
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from tests.services.conftest import Sandbox
from tests.views.conftest import Desk

ROUNDS, CLICKS = int(os.environ.get("ROUNDS", "3")), 16


@pytest.mark.django_db(transaction=True)
def test_never_one_too_many_and_no_orphan(desk: Desk, sandbox: Sandbox, settings: Settings) -> None:
    settings.LOCAL_URL, settings.SESSIONS_PER_HOUR = "", 0
    account = ensure_sandbox_account(owner=desk.user, url=sandbox.url, token=sandbox.token)
    clients = [Client() for _ in range(CLICKS)]
    for client in clients:
        client.force_login(desk.user)
    Plan.objects.filter(slug="enterprise").update(max_sessions=2)
    desk.account = account
    kept = desk.session(wasender_id=1)
    for turn in range(ROUNDS):
        barrier = threading.Barrier(CLICKS)

        def click(n: int, barrier: threading.Barrier = barrier, turn: int = turn) -> int:
            number = f"+1{212 + turn % 7}555{100 + n:04d}"
            barrier.wait()
            try:
                form = {"account": account.public_id, "phone_number": number, "log_messages": "on"}
                return clients[n].post("/whatsappapi/create-session/", form).status_code
            finally:
                connection.close()

        with ThreadPoolExecutor(CLICKS) as pool:
            answers = sorted(pool.map(click, range(CLICKS)))
        assert answers == [302] + [422] * (CLICKS - 1), f"round {turn}"
        made = WaSenderSession.objects.exclude(pk=kept.pk).get()
        assert [one["id"] for one in sandbox.sessions()] == [made.wasender_id], f"round {turn}"
        made.delete()
        sandbox.pull("POST", "/reset", {"sessions": True})
