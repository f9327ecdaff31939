"""What a drill does to the processes: kills, freezes, restarts, pauses, drops, opt-outs - seeded, so repeatable."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.db import Error, connection

from phonebank.embedded import Cluster
from phonebank.processes import Group

T = TypeVar("T")

# About 15 in 100 requests go wrong, in every way of the contract's list; half of them after the gateway accepted.
FAULTS: list[dict[str, Any]] = [
    {"kind": "reset_headers", "probability": 0.01},
    {"kind": "drop", "probability": 0.01, "accept": False},
    {"kind": "drop", "probability": 0.02},
    {"kind": "silence", "probability": 0.005, "accept": False},
    {"kind": "silence", "probability": 0.01},
    {"kind": "late", "probability": 0.01, "seconds": 2.0},
    {"kind": "error", "probability": 0.01, "accept": False},
    {"kind": "error", "probability": 0.01},
    {"kind": "html", "probability": 0.01},
    {"kind": "answer", "probability": 0.01},
    {"kind": "cut", "probability": 0.01},
    {"kind": "drip", "probability": 0.005, "seconds": 0.3},
    {"kind": "429", "probability": 0.006, "hint": "body", "retry_after": 1},
    {"kind": "429", "probability": 0.006, "hint": "delta", "retry_after": 1},
    {"kind": "429", "probability": 0.006, "hint": "epoch", "retry_after": 1},
    {"kind": "429", "probability": 0.006, "hint": "bad"},
    {"kind": "not_connected", "probability": 0.001},
]


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


@dataclass(slots=True)
class Plan:
    """How much of what. Every act is spread evenly over the run."""

    kills: int
    freezes: int
    restarts: int
    pauses: int
    drops: int
    opt_outs: int
    freeze_most: float = 40.0


@dataclass(slots=True)
class Chaos:
    """Does a plan's acts in a shuffled order, each when its turn comes; remembers what it did."""

    plan: Plan
    seed: int
    group: Group
    home: Path
    acts: dict[str, Callable[[], None]]
    todo: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    frozen: list[tuple[float, int]] = field(default_factory=list)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 repeatable on purpose
        plan = self.plan
        counts = {"kill": plan.kills, "freeze": plan.freezes, "restart": plan.restarts}
        counts |= {"pause": plan.pauses, "drop": plan.drops, "opt_out": plan.opt_outs}
        self.todo = [name for name, n in counts.items() for _ in range(n)]
        self.chance.shuffle(self.todo)
        self.acts |= {"kill": self.kill, "freeze": self.freeze, "restart": self.restart}

    def step(self) -> str | None:
        """The next act; None when all are done."""
        self.thaw()
        if not self.todo:
            return None
        name = self.todo.pop()
        self.acts[name]()
        self.done[name] = self.done.get(name, 0) + 1
        return name

    def victims(self) -> list[int]:
        """Processes that may be killed: the parts of the workers most often, now and then a supervisor or the web."""
        supervisors = [child.pid for name, child in self.group.children.items() if name.startswith("worker")]
        parts = [pid for one in supervisors for pid in children(one)]
        return parts * 4 + supervisors + [self.group.children["web"].pid]

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.chance.choice(self.victims()), signal.SIGKILL)

    def freeze(self) -> None:
        supervisors = [child.pid for name, child in self.group.children.items() if name.startswith("worker")]
        parts = [pid for one in supervisors for pid in children(one)]
        if not parts:
            return
        victim = self.chance.choice(parts)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
            self.frozen.append((time.monotonic() + self.chance.uniform(1, self.plan.freeze_most), victim))

    def thaw(self, *, everybody: bool = False) -> None:
        """Wakes those whose time has come."""
        now = time.monotonic()
        for until, pid in list(self.frozen):
            if everybody or until <= now:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                self.frozen.remove((until, pid))

    def restart(self) -> None:
        """The database, immediately: no goodbye to anybody, then recovery."""
        cluster = Cluster(self.home)
        pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
        connection.close()
        os.kill(pid, signal.SIGQUIT)
        cluster.start()
