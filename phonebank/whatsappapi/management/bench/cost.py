"""What a message costs, ours and the opponents', over the same gateway and the same database server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import phonebank
from phonebank.whatsappapi.management.bench import machine
from phonebank.whatsappapi.management.bench.stand import PLAIN, Snapshot, Stand
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.management.stage import free_port
from phonebank.whatsappapi.models import Attempt, Campaign, WaSenderSession
from phonebank.whatsappapi.services import campaigns

CHECKOUT = Path(phonebank.__file__).resolve().parents[1]
PEERS = CHECKOUT / "bench" / "peers"
PYTHON = CHECKOUT / ".venv-bench" / "bin" / "python"
PATIENCE = 60.0  # seconds without any progress after which a run is given up


class Unavailable(Exception):
    """An opponent cannot run here; the text says what it lacks."""


@dataclass(slots=True)
class Cost:
    """One run. CPU in milliseconds a message, rate in messages a second by the gateway's ledger."""

    messages: int
    rate: float
    ours: float
    database: float
    commits: float
    broker: float = 0.0

    @property
    def cpu(self) -> float:
        return self.ours + self.database + self.broker

    @classmethod
    def between(cls, one: Snapshot, two: Snapshot, messages: int, seconds: float, broker: float = 0.0) -> Cost:
        def each(total: float) -> float:
            return total * 1000 / messages

        return cls(
            messages, (messages - 1) / max(seconds, 1e-9), each(two.ours - one.ours),
            each(two.database - one.database), (two.commits - one.commits) / messages, each(broker),
        )  # fmt: skip

    def as_json(self) -> dict[str, float]:
        return {
            "messages": self.messages, "rate": round(self.rate, 2), "cpu_ms": round(self.cpu, 4),
            "worker_ms": round(self.ours, 4), "database_ms": round(self.database, 4),
            "broker_ms": round(self.broker, 4), "commits": round(self.commits, 4),
        }  # fmt: skip


def medians(costs: list[Cost]) -> dict[str, Any]:
    """The median of every figure, and all runs."""
    rows = [cost.as_json() for cost in costs]
    return {name: median(row[name] for row in rows) for name in rows[0]} | {"runs": rows}


def exactly_once(stand: Stand, count: int) -> None:
    """Raises RuntimeError unless the gateway's ledger has every recipient once: a fast wrong run is no run."""
    ledger = stand.sandbox.call("GET", "/sandbox/ledger")
    if ledger["accepted"] != count or ledger["recipients"] != count:
        raise RuntimeError(f"{count:,} messages were to be sent once each; the ledger says {ledger}.")


# -- ours --------------------------------------------------------------------------------------------------------------


def prepare(stand: Stand, linked: list[WaSenderSession], count: int, **knobs: Any) -> Campaign:
    """A campaign for `count` people, dealt and paused, over a gateway with these knobs."""
    stand.forget(**knobs)
    return stand.campaign(stand.people(count), linked)


def settled() -> bool:
    return not Attempt.objects.filter(finished_at=None).exists()


def engine(stand: Stand, linked: list[WaSenderSession], count: int, latency: float, workers: list[int]) -> Cost:
    """Our engine over a campaign that is ready to go: from resume to the last outcome written."""
    campaign = prepare(stand, linked, count, latency=latency)
    before = stand.look(*workers)
    campaigns.resume(actor=stand.user, campaign=campaign)
    stand.wait_for_ledger(count, PATIENCE)
    until("the outcomes to be written", settled)
    after = stand.look(*workers)
    exactly_once(stand, count)
    first, last = stand.span()
    return Cost.between(before, after, count, last - first)


# -- opponents ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """A runner of bench/peers, and how much of it is run at a gateway latency (seconds): {latency: messages}."""

    script: str
    counts: dict[float, int]
    concurrency: dict[float, int]
    own_python: bool = True
    redis: bool = False

    def run(self, stand: Stand, linked: list[WaSenderSession], latency: float) -> Cost:
        """One run. Raises Unavailable."""
        python = self._python()
        count = self.counts[latency]
        stand.forget(latency=latency)
        with _redis(self.redis, stand) as (url, broker), tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "task.json"
            work.write_text(json.dumps(self._task(stand, linked, count, latency) | {"redis": url}))
            with _runner([python, self.script + ".py", str(work)], stand) as tell:
                before, spent = stand.look(tell.pid), machine.cpu(*broker)
                tell.go()
                after, spent = stand.look(tell.pid), machine.cpu(*broker) - spent
        exactly_once(stand, count)
        first, last = stand.span()
        return Cost.between(before, after, count, last - first, spent)

    def _python(self) -> str:
        if not (PEERS / f"{self.script}.py").exists():
            raise Unavailable("the opponents are part of a checkout, not of an installed package")
        if not self.own_python:
            return sys.executable
        if not PYTHON.exists():
            raise Unavailable(f"{PYTHON} is missing; `make bench` installs it")
        if self.redis and not shutil.which("redis-server"):
            raise Unavailable("redis-server is not installed (Debian, Ubuntu: apt-get install redis-server)")
        return str(PYTHON)

    def _task(self, stand: Stand, linked: list[WaSenderSession], count: int, latency: float) -> dict[str, Any]:
        return {
            "url": stand.sandbox.url + "/api/send-message",
            "keys": [one.api_key for one in linked],
            "phones": [f"+1201{2_000_000 + i}" for i in range(count)],
            "text": PLAIN,
            "concurrency": self.concurrency[latency],
            "pool": ["prefork", len(stand.sut | stand.gateway)] if latency < 0.1 else ["threads", 16],
            "database": stand.cluster.location(stand.cluster.home) | {"NAME": "peers"},
        }


PEER_RUNS = {
    "loop": Peer("loop", {0: 3000, 0.2: 200}, {0: 1, 0.2: 1}),
    "celery": Peer("per_task", {0: 3000, 0.2: 200}, {0: 1, 0.2: 1}, redis=True),
    "post_office": Peer("mailer", {0: 3000, 0.2: 200}, {0: 8, 0.2: 8}),
    "bare": Peer("bare", {0: 20_000, 0.2: 20_000}, {0: 64, 0.2: 1000}, own_python=False),
}


@dataclass(slots=True)
class _Runner:
    pid: int
    go: Callable[[], None]


@contextmanager
def _runner(command: list[str], stand: Stand) -> Iterator[_Runner]:
    """An opponent that is ready; `go` lets it work and returns when it is done."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "DATABASE", "SEND_"))}
    # Not our virtualenv's path, and a process group of its own: all of it is ended with it.
    with tempfile.TemporaryFile("w+") as words:  # Celery has many; they matter only when it fails
        child = subprocess.Popen(  # noqa: S603
            command, cwd=PEERS, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True,
            start_new_session=True,
        )  # fmt: skip
        yield from _drive(child, words, stand)


def _drive(child: subprocess.Popen[str], words: Any, stand: Stand) -> Iterator[_Runner]:
    machine.pin([child.pid], stand.sut)
    watchdog = threading.Timer(600, os.killpg, [child.pid, signal.SIGKILL])
    watchdog.daemon = True
    watchdog.start()
    assert child.stdin and child.stdout

    def hear(event: str) -> None:
        line = child.stdout.readline()
        if not line or json.loads(line)["event"] != event:
            words.seek(0)
            raise RuntimeError(f"{child.args} ended instead of being {event}:\n{words.read()[-2000:]}")

    def go() -> None:
        child.stdin.write("go\n")
        child.stdin.flush()
        hear("done")

    try:
        hear("ready")
        yield _Runner(child.pid, go)
        child.stdin.close()
        child.wait(60)
    finally:
        watchdog.cancel()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


@contextmanager
def _redis(wanted: bool, stand: Stand) -> Iterator[tuple[str, list[int]]]:
    """A Redis of our own, in memory alone: (address, process ids)."""
    if not wanted:
        yield "", []
        return
    port = free_port()
    command = [shutil.which("redis-server") or "redis-server", "--port", str(port), "--bind", "127.0.0.1"]
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(  # noqa: S603
            [*command, "--save", "", "--appendonly", "no", "--dir", folder], stdout=subprocess.DEVNULL
        )
        machine.pin([child.pid], stand.sut)
        try:
            yield f"redis://127.0.0.1:{port}/0", [child.pid]
        finally:
            child.terminate()
            child.wait(20)


def make_peers_database(stand: Stand) -> None:
    """The opponents' own database on the same server."""
    with stand.superuser() as su:
        if not su.execute("SELECT 1 FROM pg_database WHERE datname = 'peers'").fetchone():
            su.execute("CREATE DATABASE peers OWNER phonebank")
