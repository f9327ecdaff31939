"""The benchmark's surroundings: database, sandbox, our processes, sessions and people - set up fast and by the rows."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count

from phonebank.accounts.models import Plan, User
from phonebank.embedded import Cluster
from phonebank.embedded.cluster import SUPERUSER
from phonebank.processes import Group, phonebank
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.management.bench import machine
from phonebank.whatsappapi.management.journey import Sandbox, until
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignSession,
    Contact,
    ContactList,
    GatewayAccount,
    Message,
    WaSenderSession,
)

TEXT = "Hi {{ name|there }}, our spring opening is on Saturday from 10. Reply STOP and we will not write again."
PLAIN = TEXT.replace("{{ name|there }}", "there")
OPEN = {"rate_limit": 0, "concurrency": 0, "protected_gap": 0, "read_fraction": 0, "delivered_fraction": 0}

LIST = """
INSERT INTO whatsappapi_contact_lists (contact_id, contactlist_id)
SELECT id, %(list)s FROM whatsappapi_contact WHERE user_id = %(user)s ORDER BY id LIMIT %(n)s
"""
FORGET = """
TRUNCATE whatsappapi_message, whatsappapi_campaign, whatsappapi_webhookevent, whatsappapi_alert CASCADE;
UPDATE whatsappapi_wasendersession SET messages_sent_today = 0, next_send_at = now(), paused_until = NULL, strikes = 0
"""


@dataclass(slots=True)
class Snapshot:
    """Clocks at one moment: CPU of our processes and of the database, its commits, wall time."""

    ours: float
    database: float
    commits: int
    at: float


@dataclass(slots=True)
class Stand:
    """Everything that runs for a benchmark. Use as a context manager; `close` ends all of it."""

    group: Group = field(default_factory=Group)
    cluster: Cluster = field(default_factory=lambda: Cluster(settings.HOME.parent))
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(f"http://127.0.0.1:{free_port()}"))
    user: User = field(init=False)
    account: GatewayAccount = field(init=False)
    linked: list[WaSenderSession] = field(default_factory=list)
    sut: set[int] = field(default_factory=set)  # cores of the system under test
    gateway: set[int] = field(default_factory=set)

    def __enter__(self) -> Stand:
        self.sut, self.gateway = machine.split_cores()
        port = str(urlsplit(self.sandbox.url).port)
        box = self.group.start("sandbox", phonebank("sandbox", "--port", port))
        machine.pin([box.pid], self.gateway)
        wait_for(self.sandbox.url + "/", self.group)
        self.user = User.objects.create_user("bench@phonebank.example", plan="enterprise", name="Bench")
        Plan.objects.filter(slug="enterprise").update(max_sessions=100_000, daily_limit=None)
        self.account = GatewayAccount.objects.create(
            user=self.user, name="Sandbox", base_url=self.sandbox.url + "/api", token=DEFAULT_TOKEN, is_sandbox=True,
            rate_per_minute=0,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.group.stop(15)

    # -- processes ---------------------------------------------------------------------------------------------

    @property
    def postmaster(self) -> int:
        return int((self.cluster.data / "postmaster.pid").read_text().splitlines()[0])

    def start(self, name: str, *args: str, pinned: bool = True, **env: object) -> int:
        """Starts one of our commands on the cores of what is measured; returns its process id."""
        child = self.group.start(name, phonebank(*args), {key: str(value) for key, value in env.items()})
        self.spread(pinned)
        machine.pin([child.pid], self.sut if pinned else self.sut | self.gateway)
        return child.pid

    def spread(self, pinned: bool) -> None:
        """The database, and the sandbox, on cores of their own; or everything everywhere."""
        everywhere = self.sut | self.gateway
        machine.pin(machine.tree(self.postmaster), self.sut if pinned else everywhere)
        machine.pin([self.group.children["sandbox"].pid], self.gateway if pinned else everywhere)

    def stop(self, *names: str) -> None:
        for name in names:
            child = self.group.children.pop(name, None)
            if child is not None:
                child.terminate()
                try:
                    child.wait(30)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def workers(self, *, in_flight: int, pinned: bool = True, only: tuple[str, ...] = ("send", "work")) -> list[int]:
        """The worker's two processes, new ones; returns when every shard is held."""
        self.stop("send", "work")
        pids = [self.start(name, "worker", "--only", name, pinned=pinned, SEND_IN_FLIGHT=in_flight) for name in only]
        if "send" in only:
            until("all shards to be held", lambda: self.doing("drive_shard") == settings.SEND_SHARDS or self._dead())
        return pids

    def _dead(self) -> bool:
        """Raises RuntimeError when one of our processes ended by itself."""
        if gone := [name for name, child in self.group.children.items() if child.poll() is not None]:
            raise RuntimeError(f"The {gone[0]} process ended; see its message above.")
        return False

    def doing(self, task: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s AND status = 'doing'", [task])
            return int(cursor.fetchone()[0])

    def look(self, *pids: int) -> Snapshot:
        """The clocks now. `pids`: roots of our processes."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(xact_commit) FROM pg_stat_database")
            commits = int(cursor.fetchone()[0])
        return Snapshot(machine.cpu(*pids), machine.cpu(self.postmaster), commits, time.time())

    def superuser(self, dbname: str = "postgres") -> psycopg.Connection[Any]:
        """For settings of the throw-away server and further databases on it."""
        where = Cluster.location(self.cluster.home)
        return psycopg.connect(host=where["HOST"], port=where["PORT"], user=SUPERUSER, dbname=dbname, autocommit=True)

    # -- rows --------------------------------------------------------------------------------------------------

    def sessions(self, count: int, **fields: Any) -> list[WaSenderSession]:
        """`count` linked sessions without webhooks, `fields` set on all of them; made once, then used again."""
        if missing := count - len(self.linked):
            made = self._link(missing) if missing > 0 else []
            self.linked += WaSenderSession.objects.bulk_create(made)
        chosen = self.linked[:count]
        values = {"account_protection": False, "status": "connected", "is_active": True} | fields
        if any(one.account_protection != values["account_protection"] for one in chosen):
            self._protect(chosen, values["account_protection"])
        WaSenderSession.objects.filter(pk__in=[one.pk for one in chosen]).update(**values)
        return chosen

    def _protect(self, chosen: list[WaSenderSession], protected: bool) -> None:
        self.sandbox.call("PATCH", "/sandbox/knobs", {"latency": 0})  # of one session after the other
        with _Calls(self.sandbox.url) as api:
            for one in chosen:
                api.call("PUT", f"/api/whatsapp-sessions/{one.wasender_id}", {"account_protection": protected})
                one.account_protection = protected

    def _link(self, count: int) -> list[WaSenderSession]:
        self.sandbox.call("PATCH", "/sandbox/knobs", {"latency": 0, "connecting_seconds": 0})
        with _Calls(self.sandbox.url) as api:
            rows = []
            for i in range(len(self.linked), len(self.linked) + count):
                about = {
                    "name": f"Desk {i}", "phone_number": f"+1646{5_000_000 + i}", "account_protection": False,
                    "log_messages": True,
                }  # fmt: skip
                made = api.call("POST", "/api/whatsapp-sessions", about)["data"]
                api.call("POST", f"/api/whatsapp-sessions/{made['id']}/connect", {})
                api.call("POST", f"/sandbox/sessions/{made['id']}/scan", {})
                row = WaSenderSession(
                    user=self.user, account=self.account, wasender_id=made["id"], session_name=f"Desk {i}",
                    phone_number=about["phone_number"], linked_number=about["phone_number"], status="connected",
                    account_protection=False,
                )  # fmt: skip
                row.set_api_key(made["api_key"])
                row.set_webhook_secret(made["webhook_secret"])
                rows.append(row)
            last = rows[-1].wasender_id
            until("the sessions to be linked",
                  lambda: api.call("GET", f"/sandbox/sessions/{last}")["status"] == "connected")  # fmt: skip
        return rows

    def people(self, count: int) -> ContactList:
        """A list of `count` people who agreed."""
        made, is_new = ContactList.objects.get_or_create(user=self.user, name=f"{count} people")
        if is_new:
            for first in range(Contact.objects.filter(user=self.user).count(), count, 10_000):
                numbers = range(first, min(count, first + 10_000))
                Contact.objects.bulk_create(
                    Contact(user=self.user, phone=f"+1201{2_000_000 + i}", name=f"P{i}", consent="granted")
                    for i in numbers
                )
            with connection.cursor() as cursor:
                cursor.execute(LIST, {"list": made.pk, "user": self.user.pk, "n": count})
                cursor.execute("ANALYZE whatsappapi_contact, whatsappapi_contact_lists")
        return made

    def campaign(self, people: ContactList, linked: list[WaSenderSession], *, dealt: bool = True) -> Campaign:
        """A campaign over the sessions: dealt and paused, or a draft to be launched."""
        made = Campaign.objects.create(user=self.user, name="Bench", body=TEXT, contact_list=people)
        CampaignSession.objects.bulk_create(
            CampaignSession(campaign=made, session=one, position=i) for i, one in enumerate(linked)
        )
        if dealt:
            with transaction.atomic():
                Campaign.objects.filter(pk=made.pk).update(state=Campaign.State.DEALING)
                while not deal.deal_chunk(made.pk):
                    pass
                Campaign.objects.filter(pk=made.pk).update(state=Campaign.State.PAUSED)
            made.refresh_from_db()
            self.settle()
        return made

    def settle(self) -> None:
        """What a set-up leaves behind is not for the next measurement to pay: statistics and dirty pages."""
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        with self.superuser() as su:
            su.execute("CHECKPOINT")

    def forget(self, **knobs: Any) -> None:
        """Empties what a run filled, here and at the gateway, and sets the gateway's knobs."""
        with connection.cursor() as cursor:
            cursor.execute(FORGET)
        self.sandbox.call("POST", "/sandbox/reset", {})
        self.sandbox.call("PATCH", "/sandbox/knobs", OPEN | knobs)

    # -- the gateway's side ------------------------------------------------------------------------------------

    def accepted(self) -> int:
        return int(self.sandbox.call("GET", "/sandbox/ledger")["accepted"])

    def wait_for_ledger(self, count: int, patience: float) -> None:
        """Until the gateway accepted `count`. Raises RuntimeError when nothing has moved for `patience` seconds."""
        seen, since = -1, time.monotonic()
        while (now := self.accepted()) < count:
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > patience:
                raise RuntimeError(f"Nothing has moved for {patience:.0f} s: {now:,} of {count:,} sent; {_standing()}.")
            time.sleep(0.1)

    def span(self) -> tuple[float, float]:
        """When the first and the last message were accepted (epoch seconds)."""
        first = self.sandbox.call("GET", "/sandbox/ledger/entries?limit=1")["entries"][0]
        after = first["msgId"] + self.accepted() - 2
        last = self.sandbox.call("GET", f"/sandbox/ledger/entries?after={after}&limit=10")["entries"][-1]
        return float(first["accepted"]), float(last["accepted"])

    def refused(self) -> int:
        """How often the gateway answered 429 to a send."""
        asked = self.sandbox.call("GET", "/sandbox/stats")["requests"]
        return int(asked.get("send-message", {}).get("429", 0))


def _standing() -> str:
    """How messages and attempts stand, for whoever has to find out why nothing moves."""
    messages = Message.objects.order_by().values_list("state", "reason").annotate(n=Count("pk"))
    attempts = Attempt.objects.order_by().values_list("outcome", "detail").annotate(n=Count("pk"))
    return f"messages {list(messages[:9])}, attempts {list(attempts[:9])}"


class _Calls:
    """Many calls over one connection, with the account's token."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def __enter__(self) -> _Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {DEFAULT_TOKEN}"}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        data = json.loads(answer.read() or b"null")
        if answer.status >= 400:
            raise RuntimeError(f"The sandbox answered {answer.status} to {path}: {data}")
        return data


@contextmanager
def statements_logged(stand: Stand) -> Iterator[list[str]]:
    """What the server runs meanwhile, as lines "pid database text": pg_stat_statements is not there."""
    lines: list[str] = []
    log: Path = stand.cluster.log
    with stand.superuser() as su:
        for setting in ("log_statement = 'all'", "log_line_prefix = '@%p %d '"):
            su.execute(f"ALTER SYSTEM SET {setting}")
        su.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)  # backends read it when they are next idle
        begun = log.stat().st_size
        yield lines
        for name in ("log_statement", "log_line_prefix"):
            su.execute(f"ALTER SYSTEM RESET {name}")
        su.execute("SELECT pg_reload_conf()")
    with log.open(errors="replace") as text:
        text.seek(begun)
        lines += [line[1:].rstrip("\n") for line in text if line.startswith("@")]


def core_note(stand: Stand) -> str:
    """How the cores were shared out, for the report."""
    if stand.sut == stand.gateway:
        return "one core for everything"
    return f"gateway alone on core {min(stand.gateway)}, what is measured on {len(stand.sut)} other(s)"
