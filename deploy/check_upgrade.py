"""`make upgrade`: a campaign that an earlier commit began and this one ends. Nobody lost, nobody twice.

    python deploy/check_upgrade.py [commit] [people]

The old code runs from a worktree of its own with this environment's packages: its tables, its workers, its campaign
over the sandbox. In mid-campaign its database is migrated by the new code **while the old workers go on sending** (a
rolling upgrade); then new workers start beside them, the old ones are stopped, and the new ones end the campaign.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402

from phonebank.embedded import ephemeral  # noqa: E402
from phonebank.processes import Group, phonebank  # noqa: E402

DEFAULT = "8298d7d5"
BEGIN = """
import sys, time, urllib.request, json
from phonebank.accounts.models import User
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Contact, ContactList, WaSenderSession
from phonebank.whatsappapi.services import campaigns, gateways, sessions
url, people = "{sandbox}", {people}
user = User.objects.create_user("owner@phonebank.example", plan="enterprise")
box = gateways.ensure_sandbox_account(owner=user, url=url, token=DEFAULT_TOKEN)
box.rate_per_minute = 0
box.save()
linked = []
for i in range(3):
    one = sessions.create_session(actor=user, account=box, phone_number=f"+1646555010{{i}}", account_protection=False)
    sessions.connect(actor=user, wa_session=one)
    request = urllib.request.Request(f"{{url}}/sandbox/sessions/{{one.wasender_id}}/scan", b"{{}}", method="POST")
    urllib.request.urlopen(request).read()
    while WaSenderSession.objects.get(pk=one.pk).status != "connected":
        time.sleep(0.1)
    linked.append(one)
listed = ContactList.objects.create(user=user, name="People")
rows = [Contact(user=user, phone=f"+1{{201 + n // 10000}}555{{n % 10000:04d}}", name="P", consent="granted")
        for n in range(people)]
listed.contacts.add(*Contact.objects.bulk_create(rows))
campaign = campaigns.create_campaign(actor=user, name="Upgrade", contact_list=listed, body="Hi", wa_sessions=linked)
campaigns.launch(actor=user, campaign=campaign)
"""
LEFT = "SELECT count(*) FROM whatsappapi_message WHERE state IN ('queued', 'sending', 'unknown')"


def main(commit: str = DEFAULT, people: int = 6000) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="phonebank-upgrade-")))
        old = folder / "old"
        git("worktree", "add", "--quiet", "--detach", str(old), commit)
        stack.callback(git, "worktree", "remove", "--force", str(old))
        cluster = stack.enter_context(ephemeral(fsync=False))
        group = Group()
        stack.callback(group.stop)
        Upgrade(group, cluster.url, old, folder, people).run()


class Upgrade:
    """One upgrade; `old` is the earlier commit's tree."""

    def __init__(self, group: Group, url: str, old: Path, folder: Path, people: int) -> None:
        self.group, self.url, self.old, self.people = group, url, old, people
        self.web, self.sandbox = free_port(), free_port()
        self.env = {
            "DATABASE_URL": url, "PHONEBANK_DATA": str(folder / "home"), "LOCAL_URL": f"http://127.0.0.1:{self.web}",
            "SEND_DEADLINE": "3", "SEND_LEASE": "6", "SEND_SETTLE": "2", "BRAKES": "off",
        }  # fmt: skip

    def run(self) -> None:
        self.command("migrate", "-v0", tree=self.old)
        self.start("sandbox", "sandbox", "--port", str(self.sandbox), tree=self.old)
        self.start("web", "web", "--port", str(self.web), tree=self.old)
        self.start("old-1", "worker", tree=self.old)
        self.start("old-2", "worker", tree=self.old)
        for port, path in ((self.sandbox, "/"), (self.web, "/accounts/login/")):
            self.until(f"port {port} to answer", lambda port=port, path=path: answers(port, path))
        knobs = {"rate_limit": 0, "concurrency": 0, "protected_gap": 0, "latency": 0.1}
        self.ask("PATCH", "/sandbox/knobs", knobs)
        script = BEGIN.format(sandbox=f"http://127.0.0.1:{self.sandbox}", people=self.people)
        self.command("shell", "-c", script, tree=self.old)
        self.until("a sixth is sent", lambda: len(self.ledger()) >= self.people // 6)

        at = self.one(LEFT)
        print(f"  the campaign runs with the old code; {at} messages wait")
        begun = time.monotonic()
        self.command("migrate", "-v0", tree=ROOT)
        took, now = time.monotonic() - begun, len(self.ledger())
        print(f"  migrated in {took:.1f} s beside two old workers")
        self.until("the old workers go on over new tables", lambda: len(self.ledger()) > now)
        self.start("new-1", "worker", tree=ROOT)
        self.start("new-2", "worker", tree=ROOT)
        self.until("the new workers are there", lambda: self.one("SELECT beats FROM whatsappapi_installation") > 0)
        for name in ("old-1", "old-2", "web"):
            child = self.group.children.pop(name)
            child.terminate()
            child.wait(60)
        self.start("web", "web", "--port", str(self.web), tree=ROOT)
        left = self.one(LEFT)
        print(f"  the old workers have ended; {left} messages wait for the new ones")
        assert left, "the campaign was over before: more people are needed"
        self.until(
            "the campaign is completed", lambda: self.one("SELECT state FROM whatsappapi_campaign") == "completed"
        )
        self.verdict()

    def verdict(self) -> None:
        ledger = self.ledger()
        with psycopg.connect(self.url) as asked:
            query = "SELECT state, count(*) FROM whatsappapi_message GROUP BY 1"
            states = dict(asked.execute(query).fetchall())
            drift = asked.execute(
                "SELECT count(*) FROM (SELECT sum(n) n FROM whatsappapi_campaigncount) c WHERE c.n <> %s", [self.people]
            ).fetchone()
        lost = self.people - len(ledger)
        twice = sum(n > 1 for n in ledger.values())
        print(f"  {self.people} people: {lost} lost, {twice} written to twice; rows {states}")
        assert not lost and not twice and states == {"accepted": self.people} and drift == (0,)

    def command(self, *args: str, tree: Path) -> None:
        subprocess.run(phonebank(*args), env=self._env(tree), cwd=tree, check=True, stdout=subprocess.DEVNULL)  # noqa: S603

    def start(self, name: str, *args: str, tree: Path) -> None:
        """One of our processes, with the code of `tree`: that folder is where Python looks first."""
        command = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(tree), *phonebank(*args)]
        self.group.start(name, command, self._env(tree))

    def _env(self, tree: Path) -> dict[str, str]:
        return os.environ | self.env | {"PYTHONPATH": str(tree), "WASENDER_URL": f"http://127.0.0.1:{self.sandbox}/api"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.sandbox}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def ledger(self) -> Counter[str]:
        return Counter(self.ask("GET", "/sandbox/ledger/recipients"))

    def one(self, query: str) -> Any:
        with psycopg.connect(self.url) as asked:
            row = asked.execute(query).fetchone()
        return row and row[0]

    def until(self, what: str, condition: Any, patience: float = 600.0) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"waited {patience:.0f} s in vain: {what}"
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).close()
    except OSError:
        return False
    return True


def git(*args: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *args], check=True)  # noqa: S603, S607


if __name__ == "__main__":
    main(*[int(one) if one.isdigit() and len(one) < 7 else one for one in sys.argv[1:]])  # type: ignore[arg-type]
