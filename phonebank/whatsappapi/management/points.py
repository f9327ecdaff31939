"""A process dies at every point of the send path, with every kind of answer under way (reliability by enumeration)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from phonebank.whatsappapi.management import guards, hooks
from phonebank.whatsappapi.management.hooks import Points
from phonebank.whatsappapi.management.verdict import Deeds, Line, verdict
from phonebank.whatsappapi.management.world import Clocks, World, ended, patient, until_read
from phonebank.whatsappapi.models import Campaign, WebhookEvent
from phonebank.whatsappapi.services import campaigns
from phonebank.whatsappapi.services.errors import ServiceError

PEOPLE = 12  # of a run
AT_ONCE = 4  # runs side by side, each with a point of its own
PATIENCE = 25.0  # seconds until a point counts as never reached
# What the gateway does meanwhile, to half of the requests; the other half keeps things going.
OUTCOMES: dict[str, list[dict[str, Any]]] = {
    "accepted": [],
    "refused": [
        {"kind": "answer", "probability": 0.25, "accept": False, "status": 422,
         "body": '{"success": false, "message": "The provided JID does not exist on WhatsApp."}'},
        {"kind": "429", "probability": 0.25, "hint": "body", "retry_after": 1},
    ],
    "timeout": [
        {"kind": "silence", "probability": 0.25, "accept": False},
        {"kind": "silence", "probability": 0.25},
    ],
    "reset after acceptance": [{"kind": "drop", "probability": 0.5}],
}  # fmt: skip
# Points that nobody passes unless something is unclear, moved or cancelled: (the way there, the points).
UNCLEAR = ("reap", "commit reap", "resolve", "commit resolve", "log")
MOVED = ("move", "commit move")
CANCELLED = ("cancel", "commit cancel")


def name_of(point: str) -> str:
    return point.rstrip("+-")


@dataclass(slots=True)
class Run:
    """One point, one campaign."""

    point: str
    campaign: Campaign
    until: float
    dropped: int = 0  # the gateway's number of a session that was dropped for it


@dataclass
class Everywhere:
    """All points with all outcomes, over one world."""

    console: Console
    names: Sequence[str] = tuple(hooks.NAMES)
    outcomes: Sequence[str] = tuple(OUTCOMES)
    world: World = field(init=False)
    deeds: Deeds = field(default_factory=Deeds)
    hit: int = 0
    missed: list[str] = field(default_factory=list)
    serial: int = 0

    def __post_init__(self) -> None:
        workers = ("worker-1", "worker-2", "worker-3")
        clocks = Clocks(deadline=0.8, lease=3.4, acceptance=0.3, lag=0.2, settle=0.6)
        self.world = World(clocks=clocks, workers=workers, rigged=(*workers, "web"))

    def run(self) -> list[Line]:
        world = self.world
        self.points = Points(world.home / "points")
        world.env = {hooks.FOLDER: str(self.points.folder)}
        world.start()
        guards.install(world.in_flight)
        world.turn(latency=[0.02, 0.06], acceptance_delay=[0, 0.2])
        self.user = world.owner()
        self.linked = world.link(self.user, 12)
        for outcome in self.outcomes:
            self._phase(outcome)
        until_read()
        lines = verdict(world.sandbox, self.deeds)
        total = len(self.names) * len(self.outcomes)
        found = f"{self.hit} of {total}" + (f", not {', '.join(self.missed[:5])}" if self.missed else "")
        # Nothing is posted twice in this world, so that every 200 must have a row of its own.
        acknowledged = world.sandbox.call("GET", "/sandbox/stats")["webhooks"].get("ok", 0)
        stored = WebhookEvent.objects.count()
        kept = Line("I9  events answered 200, events stored", f"{acknowledged}, {stored}", acknowledged <= stored)
        return [Line("R3  points at which a process died", found, self.hit == total), *lines, kept]

    def _phase(self, outcome: str) -> None:
        """All points while the gateway answers in one way."""
        self.world.heal()
        self.world.spoil(*OUTCOMES[outcome])
        todo, running, made = list(self.names), [], []
        while todo or running:
            while todo and len(running) < AT_ONCE:
                running.append(self._begin(todo.pop(0)))
                made.append(running[-1].campaign)
            for run in list(running):
                if self._over(run, outcome):
                    running.remove(run)
            self.world.group.revive()
            time.sleep(0.05)
        self.world.heal()
        if not ended(made, 90, self.world.group.revive):
            raise RuntimeError(f"With {outcome}: not ended, {[campaigns.progress(one).counts for one in made]}")
        self.console.print(f"  {time.monotonic() - self.world.begun:4.0f} s  {outcome}: {self.hit} points so far")

    def _begin(self, point: str) -> Run:
        """A campaign of its own, and the point armed."""
        self.serial += 1
        linked = [self.linked[(self.serial * 5 + i) % len(self.linked)] for i in range(4)]
        people, _ = self.world.people(self.user, PEOPLE, f"Run {self.serial}", first=1000 * self.serial)
        name, dropped = name_of(point), 0
        if name in UNCLEAR and "commit claim+" not in self.points.waiting():
            self.points.set("commit claim+")  # somebody dies with claims in hand: their end is what is looked up
        if name in MOVED:
            dropped = linked[0].wasender_id or 0
            self.world.sandbox.call("POST", f"/sandbox/sessions/{dropped}/drop", {})
        campaign = patient(lambda: self.world.campaign(self.user, people, linked, f"Run {self.serial}"))
        self.deeds.people[campaign.pk] = PEOPLE
        self.points.set(point)
        return Run(point, campaign, time.monotonic() + PATIENCE, dropped)

    def _over(self, run: Run, outcome: str) -> bool:
        """Whether somebody died at the run's point (or nobody came by in time)."""
        self._cancel(run)
        if run.point not in self.points.waiting():
            self.hit += 1
        elif time.monotonic() > run.until and self.points.unset(run.point):
            self.missed.append(f"{run.point} ({outcome})")
        else:
            return False
        if run.dropped:
            self.world.sandbox.call("POST", f"/sandbox/sessions/{run.dropped}/restore", {})
        return True

    def _cancel(self, run: Run) -> None:
        """For the points of a cancel, as soon as the campaign is dealt."""
        one = run.campaign
        if name_of(run.point) not in CANCELLED or one.pk in self.deeds.cancelled:
            return
        patient(one.refresh_from_db)
        if one.sealed_at is None:
            return
        try:
            patient(lambda: campaigns.cancel(actor=self.user, campaign=one))
            self.deeds.cancelled[one.pk] = time.time()
        except ServiceError:  # completed already
            run.until = 0.0
