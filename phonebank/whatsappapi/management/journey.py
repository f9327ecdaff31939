"""The main job, done once before the user's eyes: three numbers, three hundred people, one campaign.

Everything goes through the services that the pages use, real HTTP and real processes.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from phonebank.accounts.models import User
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Campaign, ContactList, WaSenderSession
from phonebank.whatsappapi.services import campaigns, contacts, gateways, sessions

NUMBERS = [("Sales", "+16465550101"), ("Support", "+16465550102"), ("Shop", "+16465550103")]
AREAS = (212, 312, 415)  # real area codes; 555 0100-0199 are kept for fiction
NAMES = [
    "Ana",
    "Ben",
    "Chloe",
    "Dario",
    "Elif",
    "Femi",
    "Grace",
    "Hana",
    "Ivan",
    "Jamila",
    "Kofi",
    "Leila",
    "Mateo",
    "Nadia",
    "Omar",
    "Priya",
    "Quinn",
    "Rosa",
    "Sami",
    "Tomas",
]
BODY = "Hi {{ name|there }}, our spring opening is on Saturday from 10. Reply STOP and we will not write again."
PATIENCE = 120.0


@dataclass(slots=True)
class Sandbox:
    """The sandbox's levers and ledger, outside its API."""

    url: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = json.loads(answer.read() or b"null")
            if answer.status >= 400:
                raise RuntimeError(f"The sandbox answered {answer.status} to {path}: {data}")
            return data
        finally:
            connection.close()

    def scan(self, session: int) -> None:
        self.call("POST", f"/sandbox/sessions/{session}/scan", {})


def audience(areas: tuple[int, ...] = AREAS) -> bytes:
    """A CSV of a hundred people an area code, with the source of their consent."""
    lines = ["name,phone,consent source"]
    for area in areas:
        for i in range(100):
            name = NAMES[(i + area) % len(NAMES)]
            lines.append(f"{name},+1{area}55501{i:02d},Sign-up form at the counter")
    return ("\n".join(lines) + "\n").encode()


def until(what: str, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The condition's first true value. Raises RuntimeError with `what` when patience ends."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise RuntimeError(f"Waited {patience:.0f} s in vain: {what}.")


def connect_numbers(user: User, sandbox: Sandbox, say: Callable[[str], None]) -> list[WaSenderSession]:
    """Creates and links the three sessions, as a person with three phones would."""
    account = gateways.ensure_sandbox_account(owner=user, url=sandbox.url, token=DEFAULT_TOKEN)
    linked = []
    for name, number in NUMBERS:
        wa_session = WaSenderSession.objects.visible_to(user).filter(phone_number=number).first()
        if wa_session is None:
            wa_session = sessions.create_session(
                actor=user, account=account, name=name, phone_number=number, account_protection=False
            )
        if wa_session.status != WaSenderSession.Status.CONNECTED:
            sessions.connect(actor=user, wa_session=wa_session)
            sandbox.scan(wa_session.wasender_id or 0)
            until(f"{name} to be connected", lambda s=wa_session: _is_connected(s))
        say(f"{name} {number} is linked")
        linked.append(wa_session)
    return linked


def _is_connected(wa_session: WaSenderSession) -> bool:
    wa_session.refresh_from_db()
    return wa_session.status == WaSenderSession.Status.CONNECTED


def main_job(console: Console, user: User, sandbox: Sandbox) -> tuple[Campaign, list[WaSenderSession]]:
    """All of it, with a progress bar. Returns when every message is delivered, or raises RuntimeError."""
    linked = connect_numbers(user, sandbox, lambda text: console.print(f"  [green]●[/] {text}"))
    report = contacts.import_csv(
        actor=user, list_name="Spring opening", filename="spring.csv", data=audience(), consent_source=""
    )
    console.print(f"  [green]●[/] {report.valid} people imported, each with the source of their consent")
    people = ContactList.objects.get(user=user, name="Spring opening")
    campaign = campaigns.create_campaign(
        actor=user, name="Spring opening", contact_list=people, body=BODY, wa_sessions=linked
    )
    campaigns.launch(actor=user, campaign=campaign)
    watch(console, campaign, report.valid)
    return campaign, linked


def watch(console: Console, campaign: Campaign, total: int, patience: float = 300.0) -> None:
    """Shows a campaign's progress until everybody's message is on their phone (or ended otherwise)."""
    columns = [TextColumn("  {task.description}"), BarColumn(40), MofNCompleteColumn(), TimeRemainingColumn()]
    live = sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not live) as bars:
        sent = bars.add_task("Sent     ", total=total)
        delivered = bars.add_task("Delivered", total=total)
        end, shown = time.monotonic() + patience, -1
        while time.monotonic() < end:
            counts = Counter(campaigns.progress(campaign).counts)
            on_phones = counts["delivered"] + counts["read"]
            gone = on_phones + counts["sent"] + counts["accepted"]
            over = on_phones + sum(counts[word] for word in ("failed", "skipped", "uncertain", "cancelled", "expired"))
            bars.update(sent, completed=gone)
            bars.update(delivered, completed=on_phones)
            if not live and gone * 10 // total > shown:
                shown = gone * 10 // total
                console.print(f"  sent {gone:>4} of {total}, delivered {on_phones}")
            if over >= total:
                return
            time.sleep(0.1)
    raise RuntimeError(f"Not everybody was reached within {patience:.0f} s: {dict(counts)}.")


def closing_table(campaign: Campaign) -> Table:
    """Per session: sent, delivered, read, failed."""
    table = Table(title=campaign.name, title_justify="left")
    table.add_column("Session")
    for heading in ("Sent", "Delivered", "Read", "Failed"):
        table.add_column(heading, justify="right")
    totals: Counter[str] = Counter()
    for lane in campaigns.progress(campaign).sessions:
        counts = Counter(lane.counts)
        read = counts["read"]
        delivered = read + counts["delivered"]
        sent = delivered + counts["sent"] + counts["accepted"]
        row = {"sent": sent, "delivered": delivered, "read": read, "failed": counts["failed"]}
        totals.update(row)
        name = f"{lane.wa_session.session_name}  {lane.wa_session.phone_number}"
        table.add_row(name, *(str(n) for n in row.values()))
    table.add_section()
    table.add_row("All", *(str(totals[word]) for word in ("sent", "delivered", "read", "failed")))
    return table


def check_ledger(sandbox: Sandbox, people: set[str], linked: list[WaSenderSession]) -> list[str]:
    """What the sandbox's own ledger says against exactly-once: an empty list when nothing does."""
    faults = []
    counts = {("+" + to.lstrip("+")): n for to, n in sandbox.call("GET", "/sandbox/ledger/recipients").items()}
    if missing := people - counts.keys():
        faults.append(f"{len(missing)} people got nothing")
    if strangers := counts.keys() - people:
        faults.append(f"{len(strangers)} strangers got something")
    if twice := [to for to, n in counts.items() if n > 1]:
        faults.append(f"{len(twice)} people got more than one message")
    for wa_session in linked:
        summary = sandbox.call("GET", f"/sandbox/ledger?session={wa_session.wasender_id}")
        share = len(people) // len(linked)
        if summary["delivered"] != share:
            faults.append(f"{wa_session.session_name} delivered {summary['delivered']}, not {share}")
    return faults
