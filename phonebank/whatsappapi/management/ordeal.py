"""The whole drill: one large campaign through every accident, and then the verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from rich.console import Console

from phonebank.whatsappapi.management import guards, hooks
from phonebank.whatsappapi.management.chaos import FAULTS, WEBHOOKS, WORDS, Chaos, Plan
from phonebank.whatsappapi.management.hooks import Points
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.management.verdict import Deeds, Line, replay, secrets, verdict
from phonebank.whatsappapi.management.world import World, children, ended, patient, sent, until_read
from phonebank.whatsappapi.models import Attempt, Campaign, WaSenderSession
from phonebank.whatsappapi.services import campaigns, optout, runs, sessions
from phonebank.whatsappapi.services.errors import ServiceError

TAKEOVER = 5.0  # seconds until a dead worker's sessions send again
PAUSE = 2.0  # seconds that a pause lasts


@dataclass(frozen=True, slots=True)
class Size:
    """How large a drill is. `kills` counts those at random and those at points."""

    people: int = 20_000
    sessions: int = 10
    kills: int = 200
    freezes: int = 20
    restarts: int = 5
    seed: int = 1
    freeze_most: float = 40.0  # seconds
    patience: float = 300.0  # seconds
    faults: float = 1.0  # times the usual share of faulty answers
    stall: float = 0.9  # seconds without progress after which the next accident comes all the same


@dataclass
class Ordeal:
    """One run."""

    size: Size
    console: Console
    world: World = field(init=False)
    deeds: Deeds = field(default_factory=Deeds)
    removed: list[WaSenderSession] = field(default_factory=list)
    takeover: float | None = None

    def __post_init__(self) -> None:
        self.world = World(workers=("worker-1", "worker-2", "worker-3"), rigged=("worker-3",))

    # -- the run ---------------------------------------------------------------------------------------------------

    def run(self) -> list[Line]:
        """Everything, to the verdict. Raises RuntimeError when something does not come to its end."""
        self._prepare()
        self._say("linked, dealt; now the accidents")
        self._end_of_a_machine()
        self._accidents()
        self._say(f"all done: {dict(self.chaos.done)}; what is left comes to its end")
        done = ended(self._all(), self.size.patience, self._meanwhile)
        self._say("ended")
        if not done:
            counts = [campaigns.progress(one).counts for one in self._all()]
            raise RuntimeError(f"Not ended within {self.size.patience:.0f} s more: {counts}")
        self._remove_at_gateway()
        until_read()
        lines = verdict(self.world.sandbox, self.deeds)
        took = self.takeover or 0.0
        lines.append(Line("    a dead machine's sessions send again after", f"{took:.1f} s", took < TAKEOVER))
        return [*lines, replay(), secrets(self.world.log)]

    def _faults(self) -> list[dict[str, Any]]:
        return [fault | {"probability": fault["probability"] * self.size.faults} for fault in FAULTS]

    def _prepare(self) -> None:
        world, size = self.world, self.size
        self.points = Points(world.home / "points")
        world.env = {hooks.FOLDER: str(self.points.folder)}
        world.start()
        guards.install(world.in_flight)
        self.user = world.owner()
        self.linked = world.link(self.user, size.sessions, limit=int(size.people / size.sessions * 1.1) + 50)
        people, self.phones = world.people(self.user, size.people)
        world.turn(
            latency=[0.01, 0.05], acceptance_delay=[0, 0.1], fail_fraction=0.003, unregistered=self.phones[7::200],
            **WEBHOOKS,
        )  # fmt: skip
        self.announce()
        self.campaign = world.campaign(self.user, people, self.linked)
        self.deeds.people[self.campaign.pk] = size.people
        self.others: list[Campaign] = []
        self.deeds.audited.update({"campaign.create": 1, "campaign.launch": 1})

    def announce(self) -> None:
        """What is about to happen, so that the figures can be judged."""
        size = self.size
        plan = ", ".join(f"{n} {WORDS.get(name, name)}" for name, n in self._plan().acts.items())
        self.console.print(
            f"[bold]Drill[/]  {size.people:,} people, {size.sessions} sessions, three workers (one with points), "
            f"seed {size.seed}\n  {plan}\n"
            f"  {sum(f['probability'] for f in self._faults()):.0%} of the requests go wrong, in {len(FAULTS)} ways; "
            f"webhooks: {WEBHOOKS['webhook_loss']:.0%} lost, {WEBHOOKS['webhook_duplicate']:.0%} twice, "
            f"{WEBHOOKS['webhook_reorder']:.0%} late, {WEBHOOKS['webhook_backwards']:.0%} backwards\n"
            f"  clocks: {self.world.clocks}\n  daily limits on; pace, caps, quiet hours and automatic brakes off"
        )  # fmt: skip

    def _plan(self) -> Plan:
        size = self.size
        at_points = size.kills // 4
        small = max(2, size.kills // 20)
        return Plan(
            {
                "kill": size.kills - at_points, "point": at_points, "freeze": size.freezes, "restart": size.restarts,
                "gateway": 1, "pause": small, "drop": small, "opt_out": 3 * small, "rotate": 2,
                "add": 2, "remove": 2,
                "cancel": 2,
            },
            size.freeze_most,
        )  # fmt: skip

    # -- accidents -------------------------------------------------------------------------------------------------

    def _end_of_a_machine(self) -> None:
        """One machine's end in quiet, to measure how soon its sessions send again; the faults begin after it."""
        until("the run to begin", lambda: sent(self.campaign) >= len(self.phones) // 50, 60)
        chaos = self.chaos = Chaos(
            self._plan(), self.size.seed, self.world, self.points,
            {
                "pause": self._pause, "drop": self._drop, "opt_out": self._opt_out, "rotate": self._rotate,
                "add": self._add, "remove": self._remove, "cancel": self._cancel,
            },
        )  # fmt: skip
        busiest = max(self.world.workers, key=lambda name: len(_driven_by(self._pids(name), time.time() - 1.0)))
        theirs = self._pids(busiest)
        lost = _driven_by(theirs, time.time() - 1.0)
        chaos.kill_machine(busiest)
        gone = time.time()
        back: dict[int, float] = {}

        def all_back() -> bool:
            back.update(_first_claims(lost, theirs, gone))
            return back.keys() >= lost

        if not lost:
            raise RuntimeError("No worker drove anything: the takeover cannot be measured.")
        until("the dead worker's sessions to send again", all_back, 30)
        self.takeover = max(back.values()) - gone
        self.world.spoil(*self._faults())

    def _pids(self, worker: str) -> list[str]:
        """How attempts name a worker's processes."""
        return [f":{pid}" for pid in children(self.world.group.children[worker].pid)]

    def _accidents(self) -> None:
        chaos, shown = self.chaos, time.monotonic()
        while chaos.step():
            self._wait_for_progress(chaos.part * 0.95)
            if time.monotonic() - shown > 15:
                shown = time.monotonic()
                self._say(f"{sent(self.campaign):>6,} ended, {dict(chaos.done)}")
        while chaos.later or chaos.frozen:
            self._meanwhile()
            time.sleep(0.1)

    def _wait_for_progress(self, part: float) -> None:
        """Acts follow the campaign's progress; a stalled run is harassed all the same."""
        end = time.monotonic() + self.size.stall
        while True:
            self._meanwhile()
            if time.monotonic() >= end or sent(self.campaign) >= part * len(self.phones):
                return
            time.sleep(0.1)

    def _meanwhile(self) -> None:
        self.chaos.turn()
        self.world.group.revive()

    # -- what people do --------------------------------------------------------------------------------------------

    def _do(self, verb: str, act: Any) -> bool:
        """A person's act, again while the database is away; one that is too late is none."""
        try:
            patient(act)
        except ServiceError:
            return False
        self.deeds.audited[verb] += 1
        return True

    def _pause(self) -> None:
        if not self._do("campaign.pause", lambda: campaigns.pause(actor=self.user, campaign=self.campaign)):
            return
        paused = time.time()

        def resume() -> None:
            before = time.time()
            if self._do("campaign.resume", lambda: campaigns.resume(actor=self.user, campaign=self.campaign)):
                self.deeds.pauses.append((self.campaign.pk, paused, before))

        self.chaos.after(PAUSE, resume)

    def _drop(self) -> None:
        one = self.chaos.chance.choice(self.linked)
        path = f"/sandbox/sessions/{one.wasender_id}"
        self.world.sandbox.call("POST", f"{path}/drop", {})
        self.chaos.after(0.5, lambda: self.world.sandbox.call("POST", f"{path}/restore", {}))

    def _opt_out(self) -> None:
        """Somebody late in the queue, or somebody whose message is being looked up."""
        unknown = patient(
            lambda: list(self.campaign.messages.filter(state="unknown").values_list("phone", flat=True)[:9])
        )
        late = self.phones[int(len(self.phones) * 0.99) - len(self.deeds.opt_outs) * 3]
        phone = self.chaos.chance.choice([late, *unknown])
        if phone not in self.deeds.opt_outs:
            patient(lambda: optout.opt_out(user=self.user, phone=phone, source="drill"))
            connection.close()
            self.deeds.opt_outs[phone] = time.time()

    def _rotate(self) -> None:
        """A session's key is changed at the gateway; the old one is worth nothing at once."""
        one = self.chaos.chance.choice(self.linked)
        self.world.new_key(one)
        self.chaos.after(1.0, lambda: self._refresh(one))

    def _refresh(self, one: WaSenderSession) -> None:
        try:
            patient(lambda: sessions.refresh_status(wa_session=one))
        except ServiceError:
            self.chaos.after(1.0, lambda: self._refresh(one))

    def _add(self) -> None:
        """A new session joins the running campaign."""
        limit = self.linked[0].daily_limit
        [one] = self.world.link(self.user, 1, limit=limit)
        if self._do(
            "campaign.add_session",
            lambda: runs.add_session(actor=self.user, campaign=self.campaign, wa_session=one),
        ):
            self.linked.append(one)

    def _remove(self) -> None:
        """A session leaves the running campaign; once its last request is decided it is deleted, too."""
        one = self.linked.pop(0)
        if self._do(
            "campaign.remove_session",
            lambda: runs.remove_session(actor=self.user, campaign=self.campaign, wa_session=one),
        ):
            self.deeds.shut[self.campaign.pk, one.wasender_id or 0] = time.time()
            self.removed.append(one)

    def _cancel(self) -> None:
        """A second, small campaign over the same sessions, and its end in mid-run."""
        people, _ = self.world.people(
            self.user, 500, f"Other {len(self.others)}", first=100_000 + 1000 * len(self.others)
        )
        other = self.world.campaign(self.user, people, self.linked, f"Other {len(self.others)}")
        self.others.append(other)
        self.deeds.audited.update({"campaign.create": 1, "campaign.launch": 1})

        def cancel() -> None:
            patient(other.refresh_from_db)
            if other.sealed_at is None:  # the deal goes on after its worker's death
                self.chaos.after(0.5, cancel)
                return
            if self._do("campaign.cancel", lambda: campaigns.cancel(actor=self.user, campaign=other)):
                self.deeds.cancelled[other.pk] = time.time()
            self.deeds.people[other.pk] = 500

        self.chaos.after(3.0, cancel)

    def _remove_at_gateway(self) -> None:
        for one in self.removed:
            if not Attempt.objects.filter(session=one, resolved_at=None).exists():
                self._do("session.deleted", lambda one=one: sessions.delete(actor=self.user, wa_session=one))

    def _all(self) -> list[Campaign]:
        return [self.campaign, *self.others]

    def _say(self, what: str) -> None:
        self.console.print(f"  {time.monotonic() - self.world.begun:4.0f} s  {what}")


def _driven_by(workers: list[str], since: float) -> set[int]:
    """Sessions for which these workers (":pid") claimed lately, and that have more to send."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT a.session_id FROM whatsappapi_attempt a WHERE a.started_at > to_timestamp(%s) "
            "AND substring(a.worker from ':[0-9]+$') = ANY(%s) AND EXISTS (SELECT 1 FROM whatsappapi_campaignsession l "
            "WHERE l.session_id = a.session_id AND l.cursor + 30 < l.tail)",
            [since, workers],
        )
        return {row[0] for row in cursor.fetchall()}


def _first_claims(lost: set[int], workers: list[str], since: float) -> dict[int, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT session_id, extract(epoch FROM min(started_at))::float8 FROM whatsappapi_attempt "
            "WHERE session_id = ANY(%s) AND started_at > to_timestamp(%s) "
            "AND substring(worker from ':[0-9]+$') <> ALL(%s) GROUP BY 1",
            [list(lost), since, workers],
        )
        return dict(cursor.fetchall())
