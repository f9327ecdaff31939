"""The engine of one process: holds shards, ticks, sends what a committed tick allows, and reaps.

Shards only spread the work. Nothing here is needed for correctness that the rows do not say (ARCHITECTURE.md).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import psycopg
from cryptography.fernet import InvalidToken
from django.conf import settings

from phonebank.gateways.base import Deferred, MaybeSent, Outcome
from phonebank.gateways.errors import GatewayError
from phonebank.gateways.transport import When, open_http
from phonebank.gateways.wasender import WaSender
from phonebank.language import stored
from phonebank.whatsappapi.dispatch import arrays
from phonebank.whatsappapi.dispatch.claim import HORIZON, Bodies, Limits, Ticked, tick
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.settle import Claim
from phonebank.whatsappapi.dispatch.sql import between
from phonebank.whatsappapi.dispatch.sql import tick as sql
from phonebank.whatsappapi.dispatch.vitals import Vitals, process_name
from phonebank.whatsappapi.models import WorkerReport
from phonebank.whatsappapi.models.fields import ring

log = logging.getLogger(__name__)

TICK = 0.05  # seconds between ticks while there is work
LOOK = 0.25  # seconds between looks for work
REAP = 1.0  # seconds between reaps
MOST = (20, 2000)  # messages claimed in one tick: what turns out to be too many to send in time is halved
STRICT = 2.0  # seconds: gaps from here on are kept between first bytes; smaller ones the gateway counts by the minute
FULL = 5.0  # seconds between looks at a session that has reached its limit
UNSENT = Deferred("late", "The claim's commit was not confirmed", 0.0, None)
TEXTS = {
    "collision": stored("The gateway named two messages alike. Both are being looked up."),
    "late": stored("An answer came after a message had moved on. Its record was kept."),
    "slowed": stored("The gateway keeps saying that this number sends too fast. It rests for ten minutes."),
    "refused": stored(
        "A message of this number cannot be worked on; the number stands still. The worker's log says why."
    ),
}


@dataclass(slots=True)
class Door:
    """How to send for a session: its key under a version, at a gateway."""

    key: str
    version: int
    gateway: WaSender


class Engine:
    """Drives the sessions of the shards it holds. One per process, on the process's event loop."""

    def __init__(self, dsn: dict[str, Any]) -> None:
        if settings.SEND_LEASE < settings.SEND_DEADLINE + HORIZON + 2:
            raise ValueError(
                "SEND_LEASE must exceed SEND_DEADLINE by at least 2.5 s: a live request is not to be reaped."
            )
        self.dsn = dsn
        self.limits = Limits(
            held={},
            shards=settings.SEND_SHARDS,
            in_flight=settings.SEND_IN_FLIGHT,
            lease=settings.SEND_LEASE,
            worker=process_name(),
        )
        self.vitals = Vitals(WorkerReport.Kind.SEND, lambda: self.limits.held)
        self.bodies = Bodies()
        self.doors: dict[int, Door] = {}
        self.gateways: dict[str, WaSender] = {}
        self.due: dict[int, float] = {}
        self.full: dict[int, float] = {}  # sessions at their limit, and when to ask again
        self.apart: dict[int, float] = {}  # sessions with a strict gap, and when the next first byte may leave
        self.flying: dict[int, int] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.outcomes: list[tuple[Claim, Outcome]] = []
        self.wake = asyncio.Event()
        self.most = 500
        self.draining = False
        self.give_up: float | None = None
        self.conn: psycopg.AsyncConnection[Any] | None = None
        self.http: aiohttp.ClientSession | None = None

    # -- shards ------------------------------------------------------------------------------------------------

    async def hold(self, shard: int, job: int, seconds: float) -> None:
        """Drives `shard` for some seconds in the name of a job that must stay `doing`; returns early when draining."""
        self.limits.held[shard] = job
        self.wake.set()
        end = time.monotonic() + seconds
        try:
            while not self.draining and time.monotonic() < end:
                await asyncio.sleep(min(0.2, end - time.monotonic()))
        finally:
            if self.limits.held.get(shard) == job:
                del self.limits.held[shard]

    def drop_all(self) -> None:
        """Lets go of every shard: the job engine lost its place and starts anew."""
        self.limits.held.clear()

    # -- the loop ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until `drain` is called and everything in flight is settled. Database faults are waited out."""
        self.http = open_http(unheard=settings.SEND_DEADLINE)
        look = reap = 0.0
        try:
            while not (self.draining and not self.flying and not self.outcomes) and not self._gave_up():
                try:
                    now = time.monotonic()
                    conn = await self._connection()
                    if now >= reap:
                        await self._reap(conn)
                        reap = now + REAP
                    if now >= look and not self.draining:
                        await self._look(conn)
                        look = now + LOOK
                    await self._tick(conn)
                    await self.vitals.flush(conn)
                except (psycopg.Error, OSError) as error:
                    log.warning("The database is not there (%s); trying again", type(error).__name__)
                    await self._disconnect()
                    await asyncio.sleep(0.5)
                await self._rest(look)
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await self._disconnect()
            await self.http.close()

    def drain(self) -> None:
        """Stops claiming; `run` ends when what is in flight has an outcome and that is written, or a lease later."""
        self.draining = True
        self.give_up = time.monotonic() + settings.SEND_LEASE
        self.wake.set()

    def _gave_up(self) -> bool:
        # By then the reaper of whoever has the database sees to what is left.
        return self.give_up is not None and time.monotonic() > self.give_up

    async def _rest(self, look: float) -> None:
        started = time.monotonic()
        nearest = min([look, *(self._at(one) - HORIZON for one in self.due if self._room(one))])
        wait = max(TICK, min(nearest - started, LOOK))
        if not self.outcomes:
            self.wake.clear()
            try:
                await asyncio.wait_for(self.wake.wait(), wait)
            except TimeoutError:
                return
        # Outcomes are gathered for a tick; a full batch does not wait.
        while len(self.outcomes) < 250 and (left := started + TICK - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.01))

    async def _connection(self) -> psycopg.AsyncConnection[Any]:
        if self.conn is None or self.conn.closed:
            self.conn = await arrays.connect(self.dsn)
        return self.conn

    async def _disconnect(self) -> None:
        if self.conn is not None:
            await self.conn.close()
            self.conn = None

    # -- work --------------------------------------------------------------------------------------------------

    async def _look(self, conn: psycopg.AsyncConnection[Any]) -> None:
        if not self.limits.held:
            self.due.clear()
            return
        rows = await conn.execute(between.WORK, {"shards": self.limits.shards, "held": list(self.limits.held)})
        now = time.monotonic()
        self.full = {one: until for one, until in self.full.items() if until > now}
        self.apart = {one: until for one, until in self.apart.items() if until > now}
        self.due = {one: now + (after or 0) for one, after in await rows.fetchall() if one not in self.full}

    def _at(self, session: int) -> float:
        """When it may send next: what left late moves those behind it."""
        return max(self.due[session], self.apart.get(session, -math.inf))

    def _room(self, session: int) -> int:
        return self.limits.in_flight - self.flying.get(session, 0)

    async def _tick(self, conn: psycopg.AsyncConnection[Any]) -> None:
        now = time.monotonic()
        wants: dict[int, int] = {}
        if self.limits.held and not self.draining:
            wants = self._wants(now)
        if not wants and not self.outcomes:
            return
        outcomes, self.outcomes = self.outcomes, []
        ticked = Ticked()
        try:
            await self._open_doors(conn, wants)
            await self._settled(conn, outcomes, wants, now, ticked)
        except BaseException:
            # Whether this was committed is not known: outcomes are written again (a replay changes nothing), and
            # what may have been claimed was never sent.
            for claim in ticked.claims:
                self.flying[claim.session] = self.flying.get(claim.session, 0) + 1
            self.outcomes = outcomes + [(claim, UNSENT) for claim in ticked.claims] + self.outcomes
            raise
        self.vitals.tick(time.monotonic() - now, len(ticked.claims))
        for claim, outcome in outcomes:
            self.vitals.outcome(outcome)
            self._land(claim)
        self._adapt(outcomes, len(ticked.claims))
        self._launch(ticked, now)
        await self._alert(conn, ticked.alerts)

    def _wants(self, now: float) -> dict[int, int]:
        """Messages wanted by session, no more in all than can be sent before their claims are late.

        Where that is not enough for everybody, shares are equal and the longest due come first.
        """
        due = sorted((at, one) for one in self.due if (at := self._at(one)) <= now + HORIZON and self._room(one) > 0)
        share = max(1, self.most // max(1, len(due)))
        return {one: min(self._room(one), share) for _, one in due[: self.most]}

    def _adapt(self, outcomes: list[tuple[Claim, Outcome]], claimed: int) -> None:
        """Late ones were claimed for nothing: half as many next time. A full tick without any: some more."""
        if any(isinstance(outcome, Deferred) and outcome.code == "late" for _, outcome in outcomes):
            self.most = max(MOST[0], self.most // 2)
        elif claimed >= self.most * 0.8:
            self.most = min(MOST[1], int(self.most * 1.1) + 1)

    async def _settled(
        self,
        conn: psycopg.AsyncConnection[Any],
        outcomes: list[tuple[Claim, Outcome]],
        wants: dict[int, int],
        now: float,
        ticked: Ticked,
    ) -> None:
        """A tick that one poisoned row cannot stop: halved until that row stands alone, which the reaper then takes.

        What cannot be claimed is narrowed down to its session, and the others go on.
        """
        part = Ticked()
        try:
            await tick(conn, self.limits, outcomes, wants, self.bodies, now, part)
        except (psycopg.DataError, psycopg.IntegrityError, ValueError) as error:
            part.reset()
            log.error("A tick was refused (%s)", error)
            for some, few in _halves(outcomes, wants):
                await self._settled(conn, some, few, now, ticked)
            if not outcomes and len(wants) == 1:
                ticked.alerts.append((next(iter(wants)), "refused"))
                self.due.pop(next(iter(wants)), None)
        except psycopg.errors.DeadlockDetected:
            part.reset()
            await self._settled(conn, outcomes, wants, now, ticked)
        finally:
            ticked.add(part)

    def _land(self, claim: Claim) -> None:
        left = self.flying.get(claim.session, 0) - 1
        if left > 0:
            self.flying[claim.session] = left
        else:
            self.flying.pop(claim.session, None)

    def _launch(self, ticked: Ticked, now: float) -> None:
        for one, grant in ticked.grants.items():
            if (door := self.doors.get(one)) and door.version != grant.key_version:
                del self.doors[one]
            if grant.n == 0 and grant.room is not None and grant.room <= 0:
                self.full[one] = now + FULL
                self.due.pop(one, None)
            elif one in self.limits.dull:
                self.due[one] = now  # rows were held back or ended: what stands behind them is not to wait
            elif grant.is_ready and (grant.used or grant.n == 0):
                self.due[one] = now + max(grant.next, 0 if grant.used else LOOK)
            else:
                self.due.pop(one, None)  # nothing to send: the next look says when there is
        for claim in ticked.claims:
            self.flying[claim.session] = self.flying.get(claim.session, 0) + 1
            task = asyncio.create_task(self._send(claim))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _send(self, claim: Claim) -> None:
        outcome: Outcome = UNSENT
        try:
            while (wait := max(claim.due, self.apart.get(claim.session, 0.0)) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._leaves(claim)
            door = self.doors.get(claim.session)
            if door is not None and door.version == claim.key_version:
                outcome = MaybeSent("unexpected", "The worker stopped while the request was under way", None)
                gateway, when = door.gateway, When(send_before=claim.send_before, leaving=partial(self._leaves, claim))
                if claim.media is None:
                    outcome = await gateway.send_text(door.key, claim.phone, claim.body, **when)
                else:
                    outcome = await gateway.send(door.key, claim.media.payload(claim.phone, claim.body), **when)
        finally:
            self.outcomes.append((claim, outcome))
            self.wake.set()

    def _leaves(self, claim: Claim) -> None:
        """Now, so the next one of its session a whole gap later: to the gateway it is from arrival to arrival."""
        if claim.gap >= STRICT:
            self.apart[claim.session] = time.monotonic() + claim.gap

    async def _open_doors(self, conn: psycopg.AsyncConnection[Any], wants: dict[int, int]) -> None:
        """Keys of the sessions about to send. Read anew when a grant shows another key version."""
        missing = [one for one in wants if one not in self.doors]
        if not missing:
            return
        rows = await conn.execute(between.SESSIONS, {"ids": missing})
        for one, secret, version, base_url in await rows.fetchall():
            try:
                self.doors[one] = Door(ring().decrypt(secret.encode()).decode(), version, self._gateway(base_url))
                self.bodies.files.places[one] = base_url
            except (InvalidToken, GatewayError) as error:
                # The key does not fit FIELD_ENCRYPTION_KEYS, or the address is none. Only this session stands still.
                log.error("Session %s cannot send (%s)", one, type(error).__name__)
                wants.pop(one)
                self.due.pop(one, None)

    def _gateway(self, base_url: str) -> WaSender:
        if base_url not in self.gateways:
            assert self.http is not None
            self.gateways[base_url] = WaSender(
                base_url, self.http, deadline=settings.SEND_DEADLINE, connect_timeout=settings.SEND_CONNECT_TIMEOUT
            )
        return self.gateways[base_url]

    # -- reap and report ---------------------------------------------------------------------------------------

    async def _reap(self, conn: psycopg.AsyncConnection[Any]) -> None:
        async with conn.transaction():
            row = await (await conn.execute(between.REAP)).fetchone()
            deltas = Deltas()
            deltas.moves(row[0] if row else None)
            if deltas:
                await conn.execute(sql.COUNT, deltas.columns())

    async def _alert(self, conn: psycopg.AsyncConnection[Any], alerts: list[tuple[int, str]]) -> None:
        for session, what in alerts:
            await conn.execute(
                between.ALERT,
                [f"{what}:{session}", TEXTS[what], session],
            )


def _halves(
    outcomes: list[tuple[Claim, Outcome]], wants: dict[int, int]
) -> list[tuple[list[tuple[Claim, Outcome]], dict[int, int]]]:
    """Smaller ticks in place of a refused one; a single outcome is given up, a single session left out."""
    half = len(outcomes) // 2
    parts: list[tuple[list[tuple[Claim, Outcome]], dict[int, int]]] = []
    if half:
        parts = [(outcomes[:half], {}), (outcomes[half:], {})]
    if outcomes and wants:
        parts.append(([], wants))
    elif len(wants) > 1:
        items = list(wants.items())
        parts = [([], dict(items[: len(items) // 2])), ([], dict(items[len(items) // 2 :]))]
    return parts
