"""What a drill does to the processes and to the campaign: seeded acts, spread over its progress, none waiting."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from phonebank.whatsappapi.management.hooks import Points
from phonebank.whatsappapi.management.world import World, children, kill, restart_database

# About 15 in 100 requests go wrong, in every way of the contract's list (9); most after the gateway accepted.
FAULTS: list[dict[str, Any]] = [
    {"kind": "reset_headers", "probability": 0.01},
    {"kind": "drop", "probability": 0.01, "accept": False},
    {"kind": "drop", "probability": 0.02},
    {"kind": "silence", "probability": 0.005, "accept": False},
    {"kind": "silence", "probability": 0.01},
    {"kind": "late", "probability": 0.01, "seconds": 2.0},
    {"kind": "error", "probability": 0.01, "accept": False},
    {"kind": "error", "probability": 0.01},
    {"kind": "html", "probability": 0.005, "accept": False},
    {"kind": "html", "probability": 0.01},
    {"kind": "answer", "probability": 0.005, "accept": False},
    {"kind": "answer", "probability": 0.01},
    {"kind": "cut", "probability": 0.01},
    {"kind": "drip", "probability": 0.005, "seconds": 0.3},
    *({"kind": "429", "probability": 0.003, "hint": hint, "retry_after": 1}
      for hint in ("body", "header", "delta", "epoch", "bad", "all", "none")),
    {"kind": "not_connected", "probability": 0.0005},
    {"kind": "not_connected", "probability": 0.0005, "status": 200},
]  # fmt: skip
WEBHOOKS = {
    "webhook_loss": 0.2,
    "webhook_duplicate": 0.2,
    "webhook_reorder": 0.2,
    "webhook_backwards": 0.1,
    "webhook_delay": [0, 0.5],
}
WORDS = {  # for the summary
    "kill": "kill -9", "point": "kill -9 at a point", "freeze": "freezes", "restart": "database restarts",
    "gateway": "gateway restarts",
}  # fmt: skip


@dataclass(slots=True)
class Plan:
    """How much of what: number by name of act. Every act is spread evenly over the run."""

    acts: dict[str, int]
    freeze_most: float = 40.0


@dataclass(slots=True)
class Chaos:
    """Does a plan's acts in a shuffled order; what an act leaves to do later is done when its time comes."""

    plan: Plan
    seed: int
    world: World
    points: Points
    acts: dict[str, Callable[[], None]]
    todo: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    frozen: set[int] = field(default_factory=set)
    chance: random.Random = field(init=False)
    total: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 repeatable on purpose
        self.todo = [name for name, n in self.plan.acts.items() for _ in range(n)]
        self.chance.shuffle(self.todo)
        self.total = len(self.todo)
        self.acts = {
            "kill": self.kill, "point": self.point, "freeze": self.freeze, "restart": restart_database,
            "gateway": self.world.restart_gateway,
        } | self.acts  # fmt: skip

    @property
    def part(self) -> float:
        """How much of it is done, 0 to 1."""
        return 1 - len(self.todo) / max(1, self.total)

    def step(self) -> bool:
        """The next act. False when all are done."""
        if not self.todo:
            return False
        name = self.todo.pop()
        self.acts[name]()
        self.done[name] += 1
        return True

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Does `act` in some seconds."""
        self.later.append((time.monotonic() + seconds, act))

    def turn(self, *, everything: bool = False) -> None:
        """Does what has become due."""
        now = time.monotonic()
        due = [one for one in self.later if everything or one[0] <= now]
        self.later = [one for one in self.later if one not in due]
        for _, act in sorted(due, key=lambda one: one[0]):
            act()

    # -- accidents -------------------------------------------------------------------------------------------------

    def victims(self) -> list[int]:
        """Processes that may die: the parts of the workers most often, now and then a supervisor or the web."""
        world = self.world
        return world.parts() * 4 + world.supervisors() + [world.group.children["web"].pid]

    def kill(self) -> None:
        kill(self.chance.choice(self.victims()))

    def point(self) -> None:
        """Somebody dies at a point of the send path; when nobody comes by in time, somebody dies anywhere."""
        name = self.chance.choice(self.points.names)
        if name in self.points.waiting():
            self.kill()
            return
        self.points.set(name)
        self.after(3.0, lambda: self.kill() if self.points.unset(name) else None)

    def freeze(self) -> None:
        """A process stands still, up to the longest time; what it held in its hands is old when it wakes."""
        world = self.world
        web = world.group.children["web"].pid
        pid = self.chance.choice([one for one in world.parts() * 3 + [web] if one not in self.frozen] or [web])
        most = 8.0 if pid == web else self.plan.freeze_most
        kill(pid, signal.SIGSTOP)
        self.frozen.add(pid)
        # A frozen process may hold a lock that we wait for: its end must not wait for us.
        timer = threading.Timer(self.chance.uniform(1.0, most), self.thaw, [pid])
        timer.daemon = True
        timer.start()

    def thaw(self, pid: int) -> None:
        kill(pid, signal.SIGCONT)
        self.frozen.discard(pid)

    def kill_machine(self, name: str) -> None:
        """A worker and its parts, all at once: what a machine's end looks like."""
        boss = self.world.group.children[name].pid
        for pid in [boss, *children(boss)]:
            kill(pid)
