"""`phonebank drill`: a campaign under a seeded plan of accidents, then every promise checked by the ledger."""

from __future__ import annotations

import os
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from rich.console import Console
from rich.table import Table

from phonebank.accounts.models import Plan as Tariff
from phonebank.accounts.models import User
from phonebank.processes import phonebank
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.management import journey, stage
from phonebank.whatsappapi.management.chaos import FAULTS, Chaos, Plan, patient
from phonebank.whatsappapi.management.verdict import Line, verdict
from phonebank.whatsappapi.models import Campaign, Contact, ContactList, Message, WaSenderSession
from phonebank.whatsappapi.services import campaigns, gateways, optout, sessions

# Scaled together. The floor of settle is the sum of what may delay an acceptance and its entry in the log.
CLOCKS = {"SEND_DEADLINE": 2.0, "SEND_LEASE": 4.6, "SEND_SETTLE": 4.0, "SEND_IN_FLIGHT": 6}
WORLD = {
    "latency": [0.01, 0.05],
    "log_lag": 0.5,
    "rate_limit": 0,
    "concurrency": 0,
    "protected_gap": 0,
    "webhook_loss": 0.2,
    "webhook_duplicate": 0.2,
    "webhook_reorder": 0.2,
}


class Command(BaseCommand):
    help = "Sends a campaign on a throw-away database while processes are killed, frozen and restarted; checks the end."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--people", type=int, default=20_000)
        parser.add_argument("--sessions", type=int, default=10)
        parser.add_argument("--kills", type=int, default=200)
        parser.add_argument("--freezes", type=int, default=20)
        parser.add_argument("--restarts", type=int, default=5)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--patience", type=float, default=600.0, help="seconds until it is called stuck")

    def handle(self, *args: Any, **options: Any) -> None:
        for name, value in CLOCKS.items():
            os.environ[name] = str(value)
        call_command("migrate", verbosity=0)
        console = Console(highlight=False)
        drill = Drill(console, options)
        try:
            lines = drill.run()
        finally:
            drill.close()
        table = Table(
            title=f"Drill, seed {options['seed']}, {time.monotonic() - drill.begun:.0f} s", title_justify="left"
        )
        for heading in ("Rule", "Found", ""):
            table.add_column(heading)
        for line in lines:
            table.add_row(line.name, line.found, "[green]holds[/]" if line.holds else "[red]BROKEN[/]")
        console.print(table)
        if broken := [line.name for line in lines if not line.holds]:
            raise CommandError("Broken: " + "; ".join(broken))


class Drill:
    """One run."""

    def __init__(self, console: Console, options: dict[str, Any]) -> None:
        self.console, self.options, self.begun = console, options, time.monotonic()
        self.place = stage.Stage(stage.free_port(), stage.free_port())
        self.sandbox = journey.Sandbox(self.place.sandbox)
        self.pauses: list[tuple[float, float]] = []
        self.opt_outs: dict[str, float] = {}
        self.chaos: Chaos | None = None

    def run(self) -> list[Line]:
        """Everything, to the verdict. Raises CommandError when the campaign does not end."""
        self.place.start()
        self.place.group.start("worker-2", phonebank("worker"))
        self.user = User.objects.create_user("drill@phonebank.example", plan="enterprise")
        Tariff.objects.filter(slug="enterprise").update(max_sessions=1000)
        self.linked = self._link()
        self.people = self._people()
        self.sandbox.call("PATCH", "/sandbox/knobs", WORLD)
        self.sandbox.call("PATCH", "/sandbox/knobs", {"unregistered": self.phones[7::200]})
        for fault in FAULTS:
            self.sandbox.call("POST", "/sandbox/faults", fault)
        self._announce()
        self.campaign = campaigns.create_campaign(
            actor=self.user, name="Drill", contact_list=self.people, body="Hi {{ name }}", wa_sessions=self.linked
        )
        campaigns.launch(actor=self.user, campaign=self.campaign)
        self._accidents()
        self._end()
        return verdict(self.sandbox, self.campaign, len(self.phones), self.pauses, self.opt_outs)

    def close(self) -> None:
        if self.chaos:
            self.chaos.thaw(everybody=True)
        self.place.group.stop(10)

    def _link(self) -> list[WaSenderSession]:
        account = gateways.ensure_sandbox_account(owner=self.user, url=self.sandbox.url, token=DEFAULT_TOKEN)
        account.rate_per_minute = 0
        account.save()
        count = self.options["sessions"]
        limit = int(self.options["people"] / count * 1.05) + 20
        linked = []
        for i in range(count):
            one = sessions.create_session(
                actor=self.user, account=account, phone_number=f"+1646555{100 + i:04d}", account_protection=False,
                daily_limit=limit,
            )  # fmt: skip
            sessions.connect(actor=self.user, wa_session=one)
            self.sandbox.scan(one.wasender_id or 0)
            linked.append(one)
        alive = WaSenderSession.objects.filter(user=self.user, status="connected")
        journey.until("the sessions to be linked", lambda: alive.count() == count)
        return linked

    def _people(self) -> ContactList:
        """People at numbers that exist nowhere but in the sandbox."""
        people = ContactList.objects.create(user=self.user, name="Drill")
        self.phones = [f"+1201{2_000_000 + i}" for i in range(self.options["people"])]
        for start in range(0, len(self.phones), 5000):
            rows = Contact.objects.bulk_create(
                Contact(user=self.user, phone=phone, name=phone[-4:], consent="granted")
                for phone in self.phones[start : start + 5000]
            )
            people.contacts.add(*rows)
        return people

    def _announce(self) -> None:
        o = self.options
        self.console.print(
            f"[bold]Drill[/]  {len(self.phones):,} people, {len(self.linked)} sessions, two workers; "
            f"{o['kills']} kills, {o['freezes']} freezes, {o['restarts']} database restarts,\n"
            f"  15 % faulty answers, 20 % of webhooks lost\n"
            f"  clocks {CLOCKS}; log lag {WORLD['log_lag']} s; limits on, brakes off (there are none yet)"
        )

    def _accidents(self) -> None:
        o = self.options
        plan = Plan(o["kills"], o["freezes"], o["restarts"], pauses=5, drops=5, opt_outs=30)
        self.chaos = Chaos(
            plan, o["seed"], self.place.group, settings.HOME.parent,
            {"pause": self._pause, "drop": self._drop, "opt_out": self._opt_out},
        )  # fmt: skip
        steps, shown = len(self.chaos.todo), 0.0
        while self.chaos.step():
            self.place.group.revive()
            # Acts follow the campaign's progress, so that all of them fall into it.
            part = 1 - len(self.chaos.todo) / steps
            self._wait_for_progress(part * 0.95)
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                self.console.print(f"  {shown - self.begun:4.0f} s  {self._sent():>6,} sent, {self.chaos.done}")
        self.chaos.thaw(everybody=True)

    def _wait_for_progress(self, part: float) -> None:
        end = time.monotonic() + 1.5  # a stalled run is harassed all the same
        while time.monotonic() < end and self._sent() < part * len(self.phones):
            self.place.group.revive()
            time.sleep(0.05)

    def _sent(self) -> int:
        counts = patient(lambda: campaigns.progress(self.campaign).counts)
        return sum(counts.get(word, 0) for word in ("accepted", "sent", "delivered", "read", "failed", "skipped"))

    def _end(self) -> None:
        end = time.monotonic() + self.options["patience"]
        while time.monotonic() < end:
            self.place.group.revive()
            patient(self.campaign.refresh_from_db)
            if self.campaign.state == Campaign.State.COMPLETED:
                break
            time.sleep(0.2)
        else:
            raise CommandError(f"Stuck: {campaigns.progress(self.campaign).counts}")
        # Failures that only a webhook told, and quota of what was proven unsent, settle within a moment.
        journey.until(
            "confirmations to be sent",
            lambda: not Message.objects.filter(state__in=["queued", "sending", "unknown"]).exists(),
        )

    def _pause(self) -> None:
        patient(lambda: campaigns.pause(actor=self.user, campaign=self.campaign))
        paused = time.time()
        time.sleep(2.0)  # what must not come is only shown by time passing
        resumed = time.time()
        patient(lambda: campaigns.resume(actor=self.user, campaign=self.campaign))
        self.pauses.append((paused, resumed))

    def _drop(self) -> None:
        one = self.chaos.chance.choice(self.linked) if self.chaos else self.linked[0]
        self.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/drop", {})
        time.sleep(0.5)
        self.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/restore", {})

    def _opt_out(self) -> None:
        phone = self.phones[int(len(self.phones) * 0.99) - len(self.opt_outs) * 3]
        patient(lambda: optout.opt_out(user=self.user, phone=phone, source="drill"))
        connection.close()
        self.opt_outs[phone] = time.time()
