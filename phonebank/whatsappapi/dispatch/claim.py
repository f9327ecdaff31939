"""The tick: settle, grant, find, claim, finish - five statements, one transaction (docs/send-path.md 4)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from phonebank.gateways.base import Outcome, boot_clock
from phonebank.whatsappapi.dispatch import settle
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.kinds import kinds_with
from phonebank.whatsappapi.dispatch.render import body_hash, render
from phonebank.whatsappapi.dispatch.settle import Claim, Effect
from phonebank.whatsappapi.dispatch.sql import tick as sql

HORIZON = 0.5  # seconds ahead that rows are claimed for
SEND_BEFORE = 0.8  # seconds after the tick began that a first byte may still leave

ENDED = {
    "opted_out": ("skipped", "Asked not to be written to"),
    "no_consent": ("skipped", "No consent on record"),
    "expired": ("expired", "The campaign's end date has passed"),
}
HELD = {
    "busy": (3.0, "Waits for an open message to this person"),
    "refused": (1.0, "Waits for another session"),
    "cap": (3600.0, "Waits: this person was written to recently"),
    "quiet": (0.0, "Waits for the end of quiet hours"),
}
RULES = {name: kinds_with(name) for name in ("consent", "suppression", "window", "cap")}


@dataclass(slots=True)
class Limits:
    """What a tick works with: the shards held (shard -> job id), the clocks in seconds."""

    held: dict[int, int]
    shards: int
    in_flight: int
    lease: float
    worker: str


@dataclass(slots=True)
class Granted:
    """A session's answer: `n` messages, the first in `first` seconds, each `gap` apart, the one after in `next`."""

    n: int
    gap: float
    first: float
    next: float
    usage_date: Any
    key_version: int
    connection: int
    strikes: int
    is_ready: bool
    used: int = 0


@dataclass(slots=True)
class Ticked:
    """A tick's result: what may be sent once it is committed."""

    claims: list[Claim] = field(default_factory=list)
    grants: dict[int, Granted] = field(default_factory=dict)
    alerts: list[tuple[int, str]] = field(default_factory=list)

    def reset(self) -> None:
        """Forgets a transaction that was surely rolled back."""
        self.claims.clear()
        self.grants.clear()


class Bodies(dict[int, str]):
    """Message texts of campaigns, by id. A launched campaign's text never changes."""

    async def load(self, conn: AsyncConnection[Any], ids: set[int]) -> None:
        missing = [one for one in ids if one not in self]
        if missing:
            rows = await conn.execute("SELECT id, body FROM whatsappapi_campaign WHERE id = ANY(%s)", [missing])
            self.update(await rows.fetchall())


async def tick(
    conn: AsyncConnection[Any],
    limits: Limits,
    outcomes: list[tuple[Claim, Outcome]],
    wants: dict[int, int],
    bodies: Bodies,
    now: float,
    result: Ticked,
) -> None:
    """One transaction. `wants`: messages wanted by session; `now`: the loop's clock, for the claims' due times.

    Fills `result`. Nothing in it may be sent before this returns; where it raises, its claims may be committed or not.
    """
    send_before = boot_clock() + SEND_BEFORE
    deltas, refunds = Deltas(), []
    effects: dict[int, Effect] = {}
    async with conn.transaction():
        if outcomes:
            effects, refunds = await _settle(conn, outcomes, result, deltas)
        # A session is locked for what changed on it, not for an ordinary success.
        ids = wants.keys() | {one for one, e in effects.items() if e.matters} | {one["session_id"] for one in refunds}
        if ids:
            await _grant(conn, limits, (sorted(ids), wants, effects), refunds, result)
        granted = {one: grant for one, grant in result.grants.items() if grant.n}
        lanes: dict[int, int | None] = {}
        if granted:
            lanes = await _claim(conn, limits, granted, bodies, result, deltas, (now, send_before))
        back = [(one, g.n - g.used, g.usage_date, g.gap) for one, g in granted.items() if g.n > g.used]
        columns = deltas.columns()
        if back or columns["c"]:
            names = ("b_session", "b_n", "b_date", "b_gap")
            columns |= {name: [one[i] for one in back] for i, name in enumerate(names)}
            await conn.execute(sql.FINISH, columns | {"dry": [one for one, seen in lanes.items() if seen is None]})


async def _settle(
    conn: AsyncConnection[Any], outcomes: list[tuple[Claim, Outcome]], result: Ticked, deltas: Deltas
) -> tuple[dict[int, Effect], list[dict[str, Any]]]:
    batch = settle.batch(outcomes)
    row = await (await conn.execute(sql.SETTLE, batch.columns)).fetchone()
    assert row is not None
    moves, refunds, alerts = row
    deltas.moves(moves)
    result.alerts += [(one["session_id"], one["what"]) for one in alerts or ()]
    for campaign, reason in batch.pause.items():
        await conn.execute(
            "UPDATE whatsappapi_campaign SET state = 'paused', pause_reason = %s WHERE id = %s AND state = 'running'",
            [reason, campaign],
        )
    return batch.effects, refunds or []


async def _grant(
    conn: AsyncConnection[Any],
    limits: Limits,
    asked: tuple[list[int], dict[int, int], dict[int, Effect]],
    refunds: list[dict[str, Any]],
    result: Ticked,
) -> None:
    ids, wants, effects = asked
    of = [effects.get(one) or Effect() for one in ids]
    rows = await conn.execute(
        sql.GRANT,
        {
            "session": ids,
            "want": [wants.get(one, 0) for one in ids],
            "paused": [one.paused for one in of],
            "strike": [one.strike for one in of],
            "rejected": [one.rejected for one in of],
            "lost": [one.lost for one in of],
            "r_session": [one["session_id"] for one in refunds],
            "r_date": [one["usage_date"] for one in refunds],
            "r_n": [one["n"] for one in refunds],
            "shard": list(limits.held),
            "job": list(limits.held.values()),
            "shards": limits.shards,
            "in_flight": limits.in_flight,
            "horizon": HORIZON,
        },
    )
    for one, *rest in await rows.fetchall():
        result.grants[one] = Granted(*rest[:9])


async def _claim(
    conn: AsyncConnection[Any],
    limits: Limits,
    granted: dict[int, Granted],
    bodies: Bodies,
    result: Ticked,
    deltas: Deltas,
    clocks: tuple[float, float],
) -> dict[int, int | None]:
    """Finds rows, claims them, fills `result.claims`. Returns each lane's last position seen (None: no row)."""
    rows = await conn.execute(
        sql.CANDIDATES,
        RULES
        | {
            "session": list(granted),
            "n": [g.n for g in granted.values()],
            "mark": [f"{one}:{g.key_version}:{g.connection}" for one, g in granted.items()],
        },
    )
    found = await rows.fetchall()
    lanes: dict[int, int | None] = {}
    taken, held, ended = [], [], []
    for lane, message, campaign, session, _user, phone, _kind, position, body, variables, verdict, quiet in found:
        if verdict == "lane":
            lanes.setdefault(lane, None)
            continue
        if lane is not None:
            lanes[lane] = max(lanes.get(lane) or 0, position)
        if verdict == "send":
            taken.append((message, campaign, session, phone, body, variables))
        elif verdict in ENDED:
            ended.append((message, *ENDED[verdict]))
        elif verdict in HELD:
            secs, reason = HELD[verdict]
            held.append((message, quiet if verdict == "quiet" else secs, reason))
    if not found:
        return lanes
    await bodies.load(conn, {row[1] for row in taken if row[1] is not None})
    claims = _claims(taken, granted, bodies, clocks)
    row = await (await conn.execute(sql.CLAIM, _columns(limits, claims, granted, held, ended, lanes))).fetchone()
    assert row is not None
    deltas.moves(row[1])
    won = set(row[0])
    result.claims = [claim for claim in claims if claim.attempt in won]
    for claim in result.claims:
        granted[claim.session].used += 1
    return lanes


def _claims(
    taken: list[tuple[Any, ...]], granted: dict[int, Granted], bodies: Bodies, clocks: tuple[float, float]
) -> list[Claim]:
    now, send_before = clocks
    claims: list[Claim] = []
    place: dict[int, int] = {}
    for message, campaign, session, phone, body, variables in taken:
        grant = granted[session]
        k = place[session] = place.get(session, -1) + 1
        text = body if body is not None else render(bodies[campaign], variables)
        due = now + max(0.0, grant.first + k * grant.gap)
        claims.append(
            Claim(
                message,
                uuid.uuid4(),
                session,
                campaign,
                phone,
                text,
                grant.key_version,
                grant.connection,
                due,
                send_before,
            )
        )
    return claims


def _columns(
    limits: Limits,
    claims: list[Claim],
    granted: dict[int, Granted],
    held: list[tuple[int, float, str]],
    ended: list[tuple[int, str, str]],
    lanes: dict[int, int | None],
) -> dict[str, Any]:
    moved = [(one, seen) for one, seen in lanes.items() if seen is not None]
    return {
        "message": [c.message for c in claims],
        "attempt": [c.attempt for c in claims],
        "session": [c.session for c in claims],
        "phone": [c.phone for c in claims],
        "key_version": [c.key_version for c in claims],
        "connection": [c.connection for c in claims],
        "usage_date": [granted[c.session].usage_date for c in claims],
        "hash": [body_hash(c.body) for c in claims],
        "worker": limits.worker,
        "lease": limits.lease,
        "held": [one[0] for one in held],
        "held_secs": [float(one[1]) for one in held],
        "held_reason": [one[2] for one in held],
        "ended": [one[0] for one in ended],
        "ended_state": [one[1] for one in ended],
        "ended_reason": [one[2] for one in ended],
        "lane": [one[0] for one in moved],
        "cursor": [one[1] for one in moved],
    }
