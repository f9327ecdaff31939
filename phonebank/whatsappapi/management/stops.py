"""A hundred stops of six kinds, each while its messages are leaving: how late may the last first byte be?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from phonebank.accounts.models import User
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.management.verdict import LATE, Line
from phonebank.whatsappapi.management.world import World
from phonebank.whatsappapi.models import Campaign, Installation, Message, WaSenderSession
from phonebank.whatsappapi.services import campaigns, optout

PACE = 200  # a minute and session: claims look half a second ahead, which is what a stop has to catch
PEOPLE = 900
LANES = 10  # sessions with a campaign each, in each of two groups
OWNERS = 5  # people of their own, to be shut out
ROUNDS = 2
SWITCHES = 10


@dataclass(slots=True)
class Lane:
    """A session with a campaign of its own."""

    owner: User
    one: WaSenderSession
    campaign: Campaign

    @property
    def number(self) -> int:
        return self.one.wasender_id or 0


@dataclass(slots=True)
class Stop:
    """One stop: when it was committed, when it was lifted, and which ledger entries it forbids meanwhile."""

    kind: str
    at: float
    forbids: Callable[[dict[str, Any]], bool]
    undo: Callable[[], object] | None = None
    lifted: float = float("inf")

    def lift(self) -> None:
        if self.undo:
            self.lifted = time.time()
            self.undo()


@dataclass(slots=True)
class Stops:
    """Runs them over one world."""

    world: World
    stops: list[Stop] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> list[Line]:
        """All of them. Returns a line per kind."""
        self.world.start()
        self.world.turn(latency=[0.02, 0.05], webhook_loss=1)
        paused, shut = self._lanes(LANES, "first"), self._lanes(LANES, "second")
        own = [lane for i in range(OWNERS) for lane in self._lanes(1, f"own{i}")]
        everybody = [*paused, *shut, *own]
        self._until_sending(everybody)
        for _ in range(SWITCHES):
            self._switch()
            self._until_sending(paused[:3])
        for _ in range(ROUNDS):
            self._round(paused, shut, own)
            self._until_sending(everybody)
        for lane in [*paused, *shut]:
            self._cancel(lane)
        time.sleep(1.5 * LATE)
        return self._verdict()

    def _round(self, paused: list[Lane], shut: list[Lane], own: list[Lane]) -> None:
        """Stops every lane in its way, waits, lets all go on."""
        began = len(self.stops)
        for a, b in zip(paused, shut, strict=True):
            self._opt_out(a)
            self._pause(a)
            self._shut(b)
        for lane in own:
            self._shut_out(lane)
        time.sleep(1.4 * LATE)  # what must not come is only shown by time passing
        for stop in self.stops[began:]:
            stop.lift()

    # -- lanes -----------------------------------------------------------------------------------------------------

    def _lanes(self, count: int, name: str) -> list[Lane]:
        owner = self.world.owner(name)
        people, _ = self.world.people(owner, PEOPLE, first=10_000 * owner.pk)
        linked = self.world.link(owner, count, rate=PACE)
        return [
            Lane(owner, one, self.world.campaign(owner, people, [one], f"{name} {i}")) for i, one in enumerate(linked)
        ]

    def _until_sending(self, lanes: Sequence[Lane]) -> None:
        """Returns when each of them has just sent."""

        def sending() -> bool:
            self._read()
            now = time.time()
            latest = {entry["session"]: entry["first_byte"] for entry in self.ledger}
            return all(now - latest.get(lane.number, 0.0) < 1.0 for lane in lanes)

        until("every session to send", sending, 60)

    def _read(self) -> None:
        """What the ledger has more by now."""
        last = self.ledger[-1]["msgId"] if self.ledger else 0
        page = self.world.sandbox.call("GET", f"/sandbox/ledger/entries?limit=100000&after={last}")
        self.ledger += page["entries"]

    # -- stops -----------------------------------------------------------------------------------------------------

    def _stop(
        self,
        kind: str,
        act: Callable[[], object],
        forbids: Callable[[dict[str, Any]], bool],
        undo: Callable[[], object] | None = None,
    ) -> Stop:
        act()
        stop = Stop(kind, time.time(), forbids, undo)
        self.stops.append(stop)
        return stop

    def _of_session(self, lane: Lane) -> Callable[[dict[str, Any]], bool]:
        return lambda entry: entry["session"] == lane.number

    def _pause(self, lane: Lane) -> None:
        self._stop(
            "pause",
            lambda: campaigns.pause(actor=lane.owner, campaign=lane.campaign),
            self._of_session(lane),
            lambda: campaigns.resume(actor=lane.owner, campaign=lane.campaign),
        )

    def _cancel(self, lane: Lane) -> None:
        act = lambda: campaigns.cancel(actor=lane.owner, campaign=lane.campaign)  # noqa: E731
        self._stop("cancel", act, self._of_session(lane))

    def _shut(self, lane: Lane) -> None:
        rows = WaSenderSession.objects.filter(pk=lane.one.pk)
        self._flag("session inactive", lane, lambda on: rows.update(is_active=on))

    def _shut_out(self, lane: Lane) -> None:
        rows = User.objects.filter(pk=lane.owner.pk)
        self._flag("user inactive", lane, lambda on: rows.update(is_active=on))

    def _flag(self, kind: str, lane: Lane, turn: Callable[[bool], object]) -> None:
        self._stop(kind, lambda: turn(False), self._of_session(lane), lambda: turn(True))

    def _opt_out(self, lane: Lane) -> None:
        """One who would be next but a few. All sessions of the owner are forbidden to write to them."""
        row = Message.objects.filter(campaign=lane.campaign, state="queued").order_by("position")[2]
        act = lambda: optout.opt_out(user=lane.owner, phone=row.phone, source="drill")  # noqa: E731
        self._stop("opt-out", act, lambda entry: str(entry["to"]).lstrip("+") == row.phone.lstrip("+"))

    def _switch(self) -> None:
        """The kill switch, on and off again."""
        row, _ = Installation.objects.get_or_create(pk=1)
        rows = Installation.objects.filter(pk=row.pk)
        stop = self._stop(
            "kill switch",
            lambda: rows.update(is_stopped=True),
            lambda entry: True,
            lambda: rows.update(is_stopped=False),
        )
        time.sleep(1.4 * LATE)
        stop.lift()

    # -- the verdict -----------------------------------------------------------------------------------------------

    def _verdict(self) -> list[Line]:
        self._read()
        lines, good, total = [], 0, 0
        for kind in dict.fromkeys(stop.kind for stop in self.stops):
            late = [self._lateness(stop) for stop in self.stops if stop.kind == kind]
            held = sum(1 for one in late if one <= LATE)
            good, total = good + held, total + len(late)
            found = f"{held} of {len(late)}; the last first byte {max(late):.2f} s after the commit"
            lines.append(Line(f"R8  {kind}", found, held == len(late)))
        return [*lines, Line(f"R8  stops within {LATE} s", f"{good} of {total}", good == total == 100)]

    def _lateness(self, stop: Stop) -> float:
        """Seconds from the commit to the last first byte that it forbids; below 0 where none came after it."""
        after = [e["first_byte"] for e in self.ledger if stop.at < e["first_byte"] < stop.lifted and stop.forbids(e)]
        return max(after, default=stop.at) - stop.at
