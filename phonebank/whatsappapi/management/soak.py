"""`phonebank drill soak`: a long, even day of work, and whether any of our processes keeps growing in it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from signal import SIGCONT, SIGSTOP

from django.conf import settings
from rich.console import Console

from phonebank.whatsappapi.management import gauges, guards
from phonebank.whatsappapi.management.chaos import FAULTS
from phonebank.whatsappapi.management.day import Day
from phonebank.whatsappapi.management.gauges import Reading
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.management.trend import MOST, SLACK, WARM_UP, Trend, trend
from phonebank.whatsappapi.management.verdict import Deeds, Line, replay, secrets, verdict
from phonebank.whatsappapi.management.world import TO_FILE, World, children, ended, kill, until_read
from phonebank.whatsappapi.models import WorkerReport
from phonebank.whatsappapi.services import campaigns

SAMPLE = 10.0  # seconds
FEW = 120  # looks at least, however short the run
MINUTES = 30.0
PATIENCE = 180.0  # seconds that what is left may take
NOT_OURS = {"sandbox"}  # its ledger is its purpose: it keeps every message
# Webhooks are lost, doubled and late as on a bad day; polling for the lost begins early, so that the run has all of it.
WEBHOOKS = {"webhook_loss": 0.05, "webhook_duplicate": 0.05, "webhook_reorder": 0.05}
FROZEN = 8.0  # seconds; after three without a sign of life the other worker has everything
FAULTY = 0.1  # times the drill's share of faulty answers
ENV = {"ALERT_ALLOW_PRIVATE": "on", "SEND_POLL_AFTER": "20"}
# Tables that keep a row for each thing that people, numbers and programs do, some of them for a time only
# (docs/operations.md). All others must come to rest.
KEPT = {
    "whatsappapi_message": "one a person and campaign",
    "whatsappapi_attempt": "one a request that may have left",
    "whatsappapi_webhookevent": "one an event, for 30 days",
    "whatsappapi_watch": "one a report that was lost, until it is known or no longer asked for",
    "whatsappapi_campaign": "one a campaign",
    "whatsappapi_campaignsession": "one a campaign and session",
    "whatsappapi_campaigncount": "one a campaign, session and state",
    "whatsappapi_contact": "one a person",
    "whatsappapi_contact_lists": "one a person and list",
    "whatsappapi_contactlist": "one a list",
    "whatsappapi_contactimport": "one a file, for 30 days",
    "whatsappapi_consentrecord": "one a person's word",
    "whatsappapi_suppression": "one an opt-out",
    "whatsappapi_conversation": "one a person who wrote",
    "whatsappapi_inboundmessage": "one a reply",
    "whatsappapi_apimessage": "one a program's message",
    "whatsappapi_sessionevent": "one a change of a link",
    "whatsappapi_alert": "one a thing to tell",
    "whatsappapi_incident": "one a cause, for 90 days",
    "whatsappapi_healthnote": "one a change of health, for 90 days",
    "audit_event": "one an act",
    "audit_seal": "one an act",
}
QUEUES = 50  # rows that other tables may have more at one time than at another


class Named(World):
    """Its processes tell the database their names."""

    def run(self, name: str, command: Sequence[str]) -> None:
        log = self.log if name != "sandbox" else self.home / "sandbox.log"
        self.group.start(name, [*TO_FILE, str(log), *command], self.env | {"PGAPPNAME": name})


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything, so many seconds after the first."""

    at: float
    processes: Mapping[str, Reading]
    connections: Mapping[str, int]
    tables: Mapping[str, tuple[int, int]]  # rows, bytes


@dataclass(slots=True)
class Soak:
    """One run."""

    minutes: float
    console: Console
    world: Named = field(default_factory=lambda: Named(env=dict(ENV)))
    deeds: Deeds = field(default_factory=Deeds)
    samples: list[Sample] = field(default_factory=list)
    pids: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    day: Day = field(init=False)

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def warm(self) -> float:
        return self.seconds * WARM_UP

    @property
    def is_whole(self) -> bool:
        """Whether there are samples to the end."""
        return bool(self.samples) and self.samples[-1].at >= self.seconds * (1 - (1 - WARM_UP) / 4) and not self.gone

    def run(self) -> list[Line]:
        """The day, its end, and the verdict. Raises RuntimeError when something does not come to its end."""
        self._prepare()
        self._go()
        self.day.end()
        self._say(f"what is left comes to its end; {dict(self.day.done)}, {self.day.listener.heard} webhooks heard")
        if not ended(self.day.campaigns, PATIENCE):
            counts = [campaigns.progress(one).counts for one in self.day.campaigns]
            raise RuntimeError(f"Not ended within {PATIENCE:.0f} s more: {counts}")
        until_read()
        lines = [*self.growth(), *verdict(self.world.sandbox, self.deeds)]
        return [*lines, replay(), secrets(self.world.log)]

    def _prepare(self) -> None:
        settings.ALERT_ALLOW_PRIVATE = True
        self.world.start()
        guards.install(self.world.in_flight)
        self.world.turn(latency=[0.02, 0.06], fail_fraction=0.003, **WEBHOOKS)
        self.day = Day(self.world, self.deeds)
        self.day.open()
        self.world.spoil(*(one | {"probability": one["probability"] * FAULTY} for one in FAULTS))
        self._find()
        self.console.print(
            f"[bold]Soak[/]  {self.minutes:g} minutes, two workers; the first {WARM_UP:.0%} are warm-up\n"
            f"  {sum(one['probability'] for one in FAULTS) * FAULTY:.1%} of the requests go wrong; clocks: "
            f"{self.world.clocks}"
        )

    def _find(self) -> None:
        """Who is looked at. The parts of a worker are known by what they report."""
        parts = until("the workers to report", lambda: len(found := WorkerReport.objects.all()) >= 4 and list(found))
        kinds = {one.worker: one.kind for one in parts}
        part_of = {int(name.rpartition(":")[2]): kind for name, kind in kinds.items()}
        for name, child in self.world.group.children.items():
            self.pids[name] = child.pid
            if name.startswith("worker"):
                self.pids |= {f"{name} {part_of[pid]}": pid for pid in children(child.pid)}

    # -- the day ---------------------------------------------------------------------------------------------------

    def _let_each_drive_alone(self) -> None:
        """In the warm-up each worker once does all chores: who does how many is chance, and each takes a thread and a
        connection that stay. Without this a run would see them come one by one."""
        for i, name in enumerate(self.world.workers):
            self.day.after(self.warm * (0.15 + 0.4 * i), lambda pid=self.pids[f"{name} send"]: self._freeze(pid))

    def _freeze(self, pid: int) -> None:
        kill(pid, SIGSTOP)
        self.day.after(FROZEN, lambda: kill(pid, SIGCONT))

    def _go(self) -> None:
        self._let_each_drive_alone()
        begun, every = time.monotonic(), min(SAMPLE, self.seconds / FEW)
        look = said = 0.0
        while (at := time.monotonic() - begun) < self.seconds and not self.gone:
            self.day.turn()
            if at >= look:
                self._look(at)
                look = at + every
            if at >= said:
                said += max(60.0, self.seconds / 10)
                self._say(", ".join(f"{name} {one.private >> 20}" for name, one in self.samples[-1].processes.items()))
            time.sleep(0.02)

    def _look(self, at: float) -> None:
        found = {name: gauges.read(pid) for name, pid in self.pids.items()}
        self.gone = [name for name, one in found.items() if one is None]
        here = {name: one for name, one in found.items() if one is not None}
        self.samples.append(Sample(at, here, gauges.connections(), gauges.tables()))

    def _say(self, what: str) -> None:
        self.console.print(f"  {time.monotonic() - self.world.begun:4.0f} s  {what}", soft_wrap=True)

    # -- the verdict -----------------------------------------------------------------------------------------------

    def trend_of(self, process: str, figure: str) -> Trend:
        series = [(one.at, float(getattr(one.processes[process], figure))) for one in self.samples]
        return trend(series, self.seconds)

    def rows_of(self, table: str) -> Trend:
        return trend([(one.at, float(one.tables.get(table, (0, 0))[0])) for one in self.samples], self.seconds)

    def growth(self) -> list[Line]:
        """What R19 asks for."""
        if self.gone:
            return [Line("R19 processes that ended by themselves", ", ".join(self.gone), False)]
        ours = [name for name in self.pids if name not in NOT_OURS]
        lines = []
        for figure, name in (("private", "memory of its own"), ("resident", "resident memory")):
            grown = {one: self.trend_of(one, figure) for one in ours}
            worst = max(grown, key=lambda one: grown[one].part)
            over = [f"{one} {grown[one].part:+.1%}" for one in ours if grown[one].leaks_memory]
            found = ", ".join(over) or f"at most {grown[worst].part:+.1%} ({worst})"
            lines.append(Line(f"R19 {name} grows by {MOST:.0%} at most", found, not over))
        for figure in ("handles", "threads"):
            rising = {one: self.trend_of(one, figure) for one in ours}
            over = [f"{one} {t.first:g} to {t.least:g} and more" for one, t in rising.items() if t.leaks_handles]
            lines.append(Line(f"R19 {figure} do not grow (by over {SLACK})", ", ".join(over) or "none", not over))
        full = {one: self.rows_of(one) for one in self.samples[-1].tables if one not in KEPT}
        over = [f"{one} {t.first:.0f} to {t.last:.0f}" for one, t in full.items() if t.gathers_rows(QUEUES)]
        return [*lines, Line("R19 rows only where they are kept by design", ", ".join(over) or "yes", not over)]
