"""Four small worlds, each with the accidents in which some of the mutants show. The real thing must hold in all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection, transaction

from phonebank.embedded import Cluster
from phonebank.whatsappapi.management import guards, hooks, mutants
from phonebank.whatsappapi.management.hooks import Points
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.management.verdict import Deeds, Line, verdict
from phonebank.whatsappapi.management.world import (
    FAST,
    Clocks,
    World,
    ended,
    kill,
    patient,
    restart_database,
    sent,
    until_read,
)
from phonebank.whatsappapi.models import Attempt, Campaign, Message, WaSenderSession
from phonebank.whatsappapi.services import optout

WORKERS = ("worker-1", "worker-2")
PATIENCE = 90.0  # seconds until a run is called stuck


@dataclass(slots=True)
class Scene:
    """One run: a fresh owner over a fresh database and ledger."""

    world: World
    clocks: Clocks
    deeds: Deeds = field(default_factory=Deeds)
    campaign: Campaign = field(init=False)

    def launch(self, people: int, sessions: int, *, rate: int = 0) -> None:
        owner = self.world.owner()
        linked = self.world.link(owner, sessions, limit=int(people / sessions * 1.5) + 20, rate=rate)
        # Asked with a session's own key once it is linked, so it would count among the requests of its messages.
        unknown = WaSenderSession.objects.filter(pk__in=[one.pk for one in linked], linked_number="")
        until("the gateway to say whose numbers were linked", lambda: not patient(unknown.count))
        listed, _ = self.world.people(owner, people)
        self.campaign = self.world.campaign(owner, listed, linked)
        self.deeds.people[self.campaign.pk] = people

    def until_sent(self, n: int) -> None:
        until(f"{n} to be sent", lambda: sent(self.campaign) >= n, PATIENCE)

    def in_state(self, *states: str) -> list[Message]:
        found = Message.objects.filter(campaign=self.campaign, state__in=states).order_by("pk")
        return patient(lambda: list(found))


@dataclass(frozen=True, slots=True)
class Kind:
    """A world: its clocks, what happens in it, and the mutants that must show."""

    name: str
    clocks: Clocks
    script: Callable[[Scene], None]
    mutants: tuple[str, ...]
    in_flight: int = 4
    env: Mapping[str, str] = field(default_factory=dict)
    more: Callable[[World], list[Line]] = lambda _: []


# -- lost answers ------------------------------------------------------------------------------------------------------


def lost_answers(scene: Scene) -> None:
    """Every way not to get an answer, late acceptance most of all; people ask to be left alone meanwhile."""
    scene.world.turn(latency=[0.01, 0.03])
    scene.world.spoil(
        {"kind": "late", "probability": 0.08, "seconds": scene.clocks.acceptance},
        {"kind": "silence", "probability": 0.12, "accept": False},
        {"kind": "silence", "probability": 0.04},
        {"kind": "drop", "probability": 0.05},
        {"kind": "drop", "probability": 0.05, "accept": False},
    )
    scene.launch(500, 4, rate=480)
    for part in (100, 150, 200, 250, 300):
        scene.until_sent(part)
        for row in scene.in_state("unknown")[-8:]:
            if row.phone not in scene.deeds.opt_outs:
                optout.opt_out(user=row.user, phone=row.phone, source="drill")
                scene.deeds.opt_outs[row.phone] = time.time()
    scene.until_sent(360)
    scene.world.heal()


# -- power cuts --------------------------------------------------------------------------------------------------------


def power_cuts(scene: Scene) -> None:
    """The database ends at once, five times, with a log writer that takes its time."""
    scene.world.turn(latency=[0.1, 0.2], webhook_loss=1)
    _log_writer("ALTER SYSTEM SET wal_writer_delay = '10s'", "ALTER SYSTEM SET wal_writer_flush_after = '1GB'")
    try:
        scene.launch(700, 6)
        for part in (80, 180, 280, 380, 480):
            scene.until_sent(part)
            restart_database()
    finally:
        _log_writer("ALTER SYSTEM RESET wal_writer_delay", "ALTER SYSTEM RESET wal_writer_flush_after")


def _log_writer(*statements: str) -> None:
    cluster = Cluster(settings.HOME.parent)
    where = {"host": str(cluster.socket_folder), "port": "5432", "user": "postgres", "dbname": "postgres"}
    with psycopg.connect(**where, autocommit=True) as conn:
        for one in (*statements, "SELECT pg_reload_conf()"):
            conn.execute(one)


# -- zombies -----------------------------------------------------------------------------------------------------------


def zombies(scene: Scene) -> None:
    """A worker freezes with claims in its hands and wakes when others have sent them and wait for the answer."""
    world = scene.world
    world.turn(latency=[0.02, 0.04])
    scene.launch(300, 8, rate=180)
    points = Points(_points())
    for part in (20, 80, 140):
        scene.until_sent(part)
        points.set("commit claim+", "stop")
        until("somebody to freeze", lambda: not points.waiting(), 20)
        pid = until("the frozen process", lambda: next((one for one in world.parts() if _stopped(one)), 0), 20)
        try:
            _until_others_sent(scene, pid)
        finally:
            kill(pid, 18)
    world.heal()


def _stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"
    except FileNotFoundError:
        return False


def _until_others_sent(scene: Scene, pid: int) -> None:
    """Their answers never come: while the zombie wakes, a second attempt is being looked up."""
    held = dict(
        Attempt.objects.filter(worker__endswith=f":{pid}", finished_at=None, message__campaign=scene.campaign)
        .values_list("message_id", "phone")
    )  # fmt: skip
    for phone in held.values():
        scene.world.spoil({"kind": "silence", "to": phone})

    def again() -> bool:
        """Somebody else has sent one of them, and waits."""
        rows = Message.objects.filter(pk__in=held, state="unknown").exclude(attempt=None)
        other = Attempt.objects.filter(id__in=rows.values("attempt")).exclude(worker__endswith=f":{pid}")
        return other.exists()

    if held:
        until("others to send what the zombie holds", again, 30)


# -- hand-overs --------------------------------------------------------------------------------------------------------


def hand_overs(scene: Scene) -> None:
    """Shards change hands all the time between healthy workers, while requests take their time."""
    scene.world.turn(latency=[0.5, 0.9], concurrency=2)
    scene.launch(200, 8)


def _cap(world: World) -> list[Line]:
    over = world.sandbox.call("GET", "/sandbox/stats")["429"]
    return [Line("I11 requests above the gateway's cap of simultaneous ones", str(over), not over)]


KINDS = [
    Kind(
        "lost answers", Clocks(deadline=1.0, lease=3.6, acceptance=4.4, lag=0.0, settle=5.0), lost_answers,
        ("requeue on timeout", "no settle time", "counter without lock", "opt-out outside the claim"),
    ),
    Kind(
        "power cuts", Clocks(deadline=1.0, lease=3.6, acceptance=0.3, lag=0.0, settle=1.0), power_cuts,
        ("asynchronous commit",), in_flight=6,
    ),
    Kind(
        "zombies", Clocks(deadline=1.0, lease=3.6, acceptance=0.3, lag=0.0, settle=1.0), zombies,
        ("no send_before check", "settle by message"),
    ),
    Kind(
        "hand-overs", Clocks(deadline=3.0, lease=5.6, acceptance=0.3, lag=0.0, settle=1.0), hand_overs,
        ("reaper at takeover",), in_flight=2, env={mutants.HOLD: "0.5"}, more=_cap,
    ),
]  # fmt: skip


def _points() -> Any:
    return settings.HOME / "points"


class Trials:
    """Runs worlds one after another over the same web, sandbox and database."""

    def __init__(self) -> None:
        self.world = World(workers=(), rigged=WORKERS)

    def start(self) -> None:
        self.world.start()
        guards.install(1000)

    def run(self, kind: Kind, mutant: str) -> list[Line]:
        """One world with (or, "", without) a mutant. Returns the verdict."""
        self._fresh()
        world = self.world
        world.clocks, world.workers = kind.clocks, WORKERS
        world.turn(**FAST, log_lag=kind.clocks.lag)
        env = kind.clocks.env | {"SEND_IN_FLIGHT": str(kind.in_flight), "BRAKES": "off", hooks.FOLDER: str(_points())}
        world.renew_workers(env | kind.env | {mutants.MUTANT: mutant})
        scene = Scene(world, kind.clocks)
        try:
            kind.script(scene)
            done = ended([scene.campaign], 40.0 if mutant else PATIENCE, world.group.revive)
            until_read()
        except RuntimeError as error:
            return [Line("the script", str(error)[:200], False)]
        finally:
            for one in world.parts():
                kill(one, 18)
        lines = verdict(world.sandbox, scene.deeds) + kind.more(world)
        return lines if done else [*lines, Line("the campaign ended in time", "no", False)]

    def _fresh(self) -> None:
        """Workers gone, people and their things gone, ledger empty."""
        self.world.stop("worker")
        self.world.workers = ()
        self.world.knobs.clear()
        self.world.faults.clear()
        self.world.sandbox.call("POST", "/sandbox/reset", {"sessions": True})
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL phonebank.maintenance = 'on'")
            cursor.execute("TRUNCATE accounts_user, whatsappapi_callbudget CASCADE")
            cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")
        guards.forget()
