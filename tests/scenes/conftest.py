"""Scenes: the real processes on the test database - sandbox, web, worker - and a user with linked sessions."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from phonebank.accounts.models import User
from phonebank.processes import Group, phonebank
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.management import verdict
from phonebank.whatsappapi.management.journey import Sandbox
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    Contact,
    ContactList,
    Message,
    WaSenderSession,
)
from phonebank.whatsappapi.services import campaigns, gateways, sessions
from tests.reference import restore

AREAS = [201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228]
CLOCKS = {"SEND_DEADLINE": "3", "SEND_LEASE": "6", "SEND_SETTLE": "2", "SEND_IN_FLIGHT": "6", "LOG_LEVEL": "INFO"}
FAST = {"rate_limit": 0, "concurrency": 0, "protected_gap": 0}


class Scene:
    """The processes, and verbs that tests are written in. `env` reaches every process."""

    def __init__(self, env: dict[str, str]) -> None:
        self.group = Group()
        self.web_port, sandbox_port = free_port(), free_port()
        self.sandbox = Sandbox(f"http://127.0.0.1:{sandbox_port}")
        self.web = f"http://127.0.0.1:{self.web_port}"
        here = {"DATABASE_URL": test_database(), "LOCAL_URL": self.web, "WASENDER_URL": f"{self.sandbox.url}/api"}
        self.env = here | CLOCKS | env
        settings.LOCAL_URL = self.web
        self.group.start("sandbox", phonebank("sandbox", "--port", str(sandbox_port)), self.env)
        self.group.start("web", phonebank("web", "--port", str(self.web_port)), self.env)
        for name in ("send", "work"):
            self.start(name)
        for url in (self.sandbox.url + "/", self.web + "/accounts/login/"):
            wait_for(url, self.group)
        self.sandbox.call("PATCH", "/sandbox/knobs", FAST)
        self.user = User.objects.create_user("owner@phonebank.example", plan="enterprise")

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """One of the worker's two processes."""
        return self.group.start(name, phonebank("worker", "--only", name), self.env)

    def kill(self, name: str) -> None:
        child = self.group.children[name]
        child.kill()
        child.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.group.children[name].pid, number)

    def link(self, count: int, *, rate: int = 0) -> list[WaSenderSession]:
        """`count` sessions, created and scanned through the services. `rate` per minute, 0: no pacing."""
        account = gateways.ensure_sandbox_account(owner=self.user, url=self.sandbox.url, token=DEFAULT_TOKEN)
        account.rate_per_minute = rate
        account.save()
        linked = []
        for i in range(count):
            one = sessions.create_session(
                actor=self.user, account=account, phone_number=f"+1646555010{i}", account_protection=False
            )
            self.relink(one)
            linked.append(one)
        return linked

    def relink(self, one: WaSenderSession) -> None:
        sessions.connect(actor=self.user, wa_session=one)
        self.sandbox.scan(one.wasender_id or 0)
        self.until("the link", lambda: WaSenderSession.objects.get(pk=one.pk).status == "connected")

    def people(self, count: int, name: str = "People") -> ContactList:
        people = ContactList.objects.create(user=self.user, name=name)
        numbers = [f"+1{area}55501{i:02d}" for area in AREAS for i in range(100)][:count]
        rows = Contact.objects.bulk_create(
            Contact(user=self.user, phone=one, name=f"P{one[-6:]}", consent="granted") for one in numbers
        )
        people.contacts.add(*rows)
        return people

    def campaign(self, people: ContactList, linked: list[WaSenderSession], **fields: Any) -> Campaign:
        """A launched campaign."""
        campaign = campaigns.create_campaign(
            actor=self.user, name="Scene", contact_list=people, body="Hi {{ name|there }}", wa_sessions=linked, **fields
        )
        return campaigns.launch(actor=self.user, campaign=campaign)

    def counts(self, campaign: Campaign) -> dict[str, int]:
        return campaigns.progress(campaign).counts

    def sent(self, campaign: Campaign) -> int:
        counts = self.counts(campaign)
        return sum(counts.get(word, 0) for word in ("accepted", "sent", "delivered", "read"))

    def until(self, what: str, condition: Callable[[], Any], patience: float = 60.0) -> Any:
        """Waits for a condition; a database that is restarting counts as not yet."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            try:
                if value := condition():
                    return value
            except OperationalError:
                connection.close()
            time.sleep(0.05)
        raise AssertionError(f"waited {patience:.0f} s in vain: {what}")

    def completed(self, campaign: Campaign, patience: float = 90.0) -> None:
        def done() -> bool:
            campaign.refresh_from_db()
            return campaign.state == "completed"

        try:
            self.until("the campaign to complete", done, patience)
        except AssertionError:
            raise AssertionError(f"not completed after {patience:.0f} s: {self.counts(campaign)}") from None

    def ledger(self) -> dict[str, int]:
        """Recipient -> accepted messages."""
        return {"+" + to.lstrip("+"): n for to, n in self.sandbox.call("GET", "/sandbox/ledger/recipients").items()}

    def entries(self) -> list[dict[str, Any]]:
        return verdict.entries(self.sandbox)

    def check(self, campaign: Campaign) -> None:
        """What holds whenever nothing is queued: exactly once, counters equal rows, limits equal the ledger."""
        ledger = self.ledger()
        rows = dict(Message.objects.filter(campaign=campaign).values_list("phone", "state"))
        wanted = {phone for phone, state in rows.items() if state == "accepted"}
        assert {phone: n for phone, n in ledger.items() if n > 1} == {}
        assert ledger.keys() - rows.keys() == set()
        assert {phone for phone in rows if phone in ledger} == wanted
        self.check_counters(campaign)
        assert not Attempt.objects.filter(finished_at=None).exists()

    def check_counters(self, campaign: Campaign) -> None:
        assert verdict.drift(campaign.pk) == []
        assert verdict.usage(self.sandbox) == ([], [])


def test_database() -> str:
    """DATABASE_URL of the database that the tests use."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path="/" + connection.settings_dict["NAME"]))


test_database.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def scene(transactional_db: None, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A scene; parametrise with a dict of environment variables to change it."""
    restore()
    before = settings.LOCAL_URL
    made = Scene(getattr(request, "param", {}))
    try:
        yield made
    finally:
        settings.LOCAL_URL = before
        for name in ("send", "work"):
            if (child := made.group.children.get(name)) and child.poll() is None:
                child.send_signal(signal.SIGCONT)
        made.group.stop(20)
