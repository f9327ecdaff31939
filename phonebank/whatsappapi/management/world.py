"""A Phonebank of its own for drills: real processes, an owner, sessions and people, and everything over the wire."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error, connection
from django.urls import reverse

from phonebank.accounts.models import Plan, User
from phonebank.embedded import Cluster
from phonebank.processes import Group, phonebank
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.management.journey import Sandbox, until
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import Campaign, Contact, ContactList, WaSenderSession
from phonebank.whatsappapi.services import campaigns, gateways, reconnect, sessions

T = TypeVar("T")
RIG = "phonebank.whatsappapi.management.rig"
# What a process writes goes to a file, to be read by whoever looks for secrets in it, or for the reason of a failure.
TO_FILE = ["/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1']
FAST = {"rate_limit": 0, "concurrency": 0, "protected_gap": 0, "connecting_seconds": 0.1}


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds, scaled together. `acceptance` and `lag` are the world's, the others are ours."""

    deadline: float = 1.5
    lease: float = 4.1
    acceptance: float = 2.0
    lag: float = 0.5
    settle: float = 3.0

    @property
    def env(self) -> dict[str, str]:
        return {
            "SEND_DEADLINE": str(self.deadline),
            "SEND_CONNECT_TIMEOUT": str(min(1.0, self.deadline)),
            "SEND_LEASE": str(self.lease),
            "SEND_SETTLE": str(self.settle),
        }

    def __str__(self) -> str:
        return (
            f"deadline {self.deadline} s, lease {self.lease} s, acceptance delay up to {self.acceptance} s, log lag "
            f"{self.lag} s, settle {self.settle} s (its floor: {self.acceptance + self.lag} s);\n  an attempt without "
            f"an answer is decided no sooner than lease + settle = {self.lease + self.settle:.1f} s after its claim"
        )


def patient(act: Callable[[], T], patience: float = 60.0) -> T:
    """`act` again and again while the database is away."""
    end = time.monotonic() + patience
    while True:
        try:
            return act()
        except Error:
            connection.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def children(pid: int) -> list[int]:
    """Ids of the children of a process (Linux)."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals a process; one that is gone is not missed."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def restart_database() -> None:
    """Ends the throw-away server at once, without a goodbye to anybody, and starts it: recovery follows."""
    cluster = Cluster(settings.HOME.parent)
    pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
    connection.close()
    os.kill(pid, signal.SIGQUIT)
    cluster.start()


@dataclass(slots=True)
class World:
    """The processes: sandbox, web and workers, those of `rigged` with points and mutants (rig.py)."""

    clocks: Clocks = field(default_factory=Clocks)
    workers: Sequence[str] = ("worker-1", "worker-2")
    rigged: Sequence[str] = ()
    in_flight: int = 6
    env: dict[str, str] = field(default_factory=dict)
    group: Group = field(default_factory=Group)
    knobs: dict[str, Any] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    web_port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)
    gateway: str = ""  # how workers reach the sandbox, where that is another way than ours
    numbers: int = 0

    @property
    def home(self) -> Path:
        return Path(settings.HOME)

    @property
    def log(self) -> Path:
        """What all processes of the product wrote."""
        return self.home / "drill.log"

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(f"http://127.0.0.1:{self.sandbox_port}")

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts everything; returns when web and sandbox answer."""
        web = f"http://127.0.0.1:{self.web_port}"
        os.environ["LOCAL_URL"] = settings.LOCAL_URL = web
        os.environ.update(self.clocks.env | {"SEND_IN_FLIGHT": str(self.in_flight), "BRAKES": "off"})
        settings.SESSIONS_PER_HOUR = 0  # many sessions in a minute are this world's business
        self.home.mkdir(parents=True, exist_ok=True)
        self.run("sandbox", phonebank("sandbox", "--port", str(self.sandbox_port), "--journal", str(self.journal)))
        self.run("web", self.command("web", "--port", str(self.web_port)))
        for name in self.workers:
            self.start_worker(name)
        for url in (self.sandbox.url + "/", web + reverse("account_login")):
            wait_for(url, self.group)
        self.turn(**FAST, log_lag=self.clocks.lag)

    @property
    def journal(self) -> Path:
        return self.home / "sandbox.journal"

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", RIG, *args] if args[0] in self.rigged else phonebank(*args)

    def run(self, name: str, command: Sequence[str]) -> None:
        log = self.log if name != "sandbox" else self.home / "sandbox.log"
        self.group.start(name, [*TO_FILE, str(log), *command], self.env)

    def start_worker(self, name: str) -> None:
        rigged = name in self.rigged
        self.run(name, [sys.executable, "-m", RIG, "worker"] if rigged else phonebank("worker"))

    def renew_workers(self, env: Mapping[str, str]) -> None:
        """Ends the workers and starts others, with another environment."""
        self.stop("worker")
        self.env = dict(env)
        for name in self.workers:
            self.start_worker(name)

    def stop(self, prefix: str) -> None:
        """Ends processes by the beginning of their name, at once."""
        for name in [name for name in self.group.children if name.startswith(prefix)]:
            child = self.group.children.pop(name)
            for pid in [*children(child.pid), child.pid]:
                kill(pid, signal.SIGKILL)
            child.wait()

    def supervisors(self) -> list[int]:
        return [child.pid for name, child in self.group.children.items() if name.startswith("worker")]

    def parts(self) -> list[int]:
        """The working processes of all workers."""
        return [pid for one in self.supervisors() for pid in children(one)]

    def restart_gateway(self) -> None:
        """The sandbox ends in good order and comes back with its journal: open requests are reset."""
        child = self.group.children["sandbox"]
        child.terminate()
        child.wait()
        self.group.starters["sandbox"]()
        wait_for(self.sandbox.url + "/", Group())
        self.turn(**self.knobs)
        faults, self.faults = self.faults, []
        self.spoil(*faults)

    def close(self) -> None:
        everybody = [child.pid for child in self.group.children.values()]
        for pid in [*everybody, *self.parts()]:
            kill(pid, signal.SIGCONT)
        self.group.stop(10)

    # -- the gateway -----------------------------------------------------------------------------------------------

    def turn(self, **knobs: Any) -> None:
        self.knobs |= knobs
        self.sandbox.call("PATCH", "/sandbox/knobs", knobs)

    def spoil(self, *faults: Mapping[str, Any]) -> None:
        for fault in faults:
            self.faults.append(dict(fault))
            self.sandbox.call("POST", "/sandbox/faults", dict(fault))

    def new_key(self, one: WaSenderSession) -> None:
        """Another API key for a session, made at the gateway by somebody else."""
        parts = urlsplit(self.sandbox.url)
        http = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
        http.request("POST", f"/api/whatsapp-sessions/{one.wasender_id}/regenerate-key", "{}", headers)
        if (status := http.getresponse().status) >= 300:
            raise RuntimeError(f"The sandbox made no new key ({status}).")
        http.close()

    def heal(self) -> None:
        self.faults.clear()
        self.sandbox.call("DELETE", "/sandbox/faults")

    # -- people ----------------------------------------------------------------------------------------------------

    def owner(self, name: str = "drill") -> User:
        Plan.objects.filter(slug="enterprise").update(max_sessions=1000)
        return User.objects.create_user(f"{name}@phonebank.example", plan="enterprise")

    def link(self, user: User, count: int, *, limit: int | None = None, rate: int = 0) -> list[WaSenderSession]:
        """`count` linked sessions. `rate` a minute, 0: no pace."""
        account = gateways.ensure_sandbox_account(owner=user, url=self.gateway or self.sandbox.url, token=DEFAULT_TOKEN)
        account.rate_per_minute = rate
        account.save()
        linked = []
        for _ in range(count):
            self.numbers += 1
            one = sessions.create_session(
                actor=user, account=account, phone_number=f"+1646555{self.numbers:04d}", account_protection=False,
                daily_limit=limit,
            )  # fmt: skip
            sessions.connect(actor=user, wa_session=one)
            self.sandbox.scan(one.wasender_id or 0)
            linked.append(one)
        ids = [one.pk for one in linked]
        up = WaSenderSession.objects.filter(pk__in=ids, status="connected")
        until("the sessions to be linked", lambda: patient(up.count) == count)
        for one in linked:  # a drill ends links and brings them back itself
            reconnect.switch(actor=user, wa_session=one, is_on=False)
        return list(WaSenderSession.objects.filter(pk__in=ids).order_by("pk"))

    def people(self, user: User, count: int, name: str = "Drill", first: int = 0) -> tuple[ContactList, list[str]]:
        """People at numbers that exist nowhere but in the sandbox."""
        people = ContactList.objects.create(user=user, name=name)
        phones = [f"+1201{2_000_000 + first + i}" for i in range(count)]
        for start in range(0, count, 5000):
            rows = Contact.objects.bulk_create(
                Contact(user=user, phone=phone, name=phone[-4:], consent="granted")
                for phone in phones[start : start + 5000]
            )
            people.contacts.add(*rows)
        return people, phones

    def campaign(
        self, user: User, people: ContactList, linked: Sequence[WaSenderSession], name: str = "Drill"
    ) -> Campaign:
        """A launched campaign; its text names it, so that the ledger tells campaigns apart."""
        made = campaigns.create_campaign(
            actor=user, name=name, contact_list=people, body="Hi {{ name }}, " + name, wa_sessions=linked
        )
        return campaigns.launch(actor=user, campaign=made)


def sent(campaign: Campaign) -> int:
    """How many rows of a campaign have come to an end, by its counters."""
    counts = patient(lambda: campaigns.progress(campaign).counts)
    return sum(counts.get(word, 0) for word in ("accepted", "sent", "delivered", "read", "failed", "skipped"))


def ended(ones: Sequence[Campaign], patience: float, revive: Callable[[], object] = lambda: None) -> bool:
    """Waits until campaigns are completed or cancelled and nothing of theirs is open. False: patience ended first."""
    ids = [one.pk for one in ones]
    end = time.monotonic() + patience
    live = Campaign.objects.filter(pk__in=ids).exclude(state__in=["completed", "cancelled"])
    while time.monotonic() < end:
        revive()
        if not patient(live.exists) and not patient(lambda: _open(ids)):
            return True
        time.sleep(0.2)
    return False


def until_read(patience: float = 60.0) -> None:
    """Returns when every stored event has been processed. Raises RuntimeError when patience ends."""

    def all_read() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT NOT EXISTS (SELECT 1 FROM whatsappapi_webhookevent WHERE state = 'new')")
            return bool(cursor.fetchone()[0])

    until("stored events to be processed", lambda: patient(all_read), patience)


def _open(ids: Sequence[int]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM whatsappapi_message WHERE state IN ('queued', 'sending', 'unknown') "
            "AND (campaign_id = ANY(%s) OR campaign_id IS NULL))",
            [list(ids)],
        )
        return bool(cursor.fetchone()[0])
