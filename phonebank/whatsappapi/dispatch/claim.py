"""The tick: settle, grant, find, claim, finish - five statements, one transaction (docs/send-path.md 4)."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from phonebank.gateways.base import Outcome, boot_clock
from phonebank.language import stored
from phonebank.whatsappapi.dispatch import settle
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.kinds import kinds_with
from phonebank.whatsappapi.dispatch.media import Files, Media
from phonebank.whatsappapi.dispatch.render import body_hash, render
from phonebank.whatsappapi.dispatch.settle import Claim, Effect
from phonebank.whatsappapi.dispatch.sql import tick as sql

log = logging.getLogger(__name__)

HORIZON = 0.5  # seconds ahead that rows are claimed for
SEND_BEFORE = 0.8  # seconds after the tick began that a first byte may still leave
STRIKES = 6  # rate-limit answers in a row (each halves the pace) after which a session rests and a person is told
REST = 600.0  # seconds
AHEAD = 100  # rows more to look at where the last ones of a session were all held back or ended
KNOWN = 500  # campaigns whose texts a process keeps at most: it may live for a year

ENDED = {
    "opted_out": ("skipped", stored("Asked not to be written to")),
    "unshared": ("failed", stored("Shared access to its session ended")),
    "no_consent": ("skipped", stored("No consent on record")),
    "not_own": ("failed", stored("Goes to your own linked numbers only")),
    "unasked": ("failed", stored("This person has not written to you")),
    "expired": ("expired", stored("The campaign's end date has passed")),
    "broken": ("failed", stored("The text could not be put together for this person")),
}
HELD = {
    "busy": (3.0, stored("Waits for an open message to this person")),
    "review": (600.0, stored("Waits: something they wrote may be a refusal; please read it")),
    "refused": (1.0, stored("Waits for another session")),
    "cap": (3600.0, stored("Waits: this person was written to recently")),
    "quiet": (0.0, stored("Waits for the end of quiet hours")),
    "file": (10.0, stored("Waits: the gateway does not have its file yet")),
}
RULES = {name: kinds_with(name) for name in ("consent", "suppression", "window", "cap", "counted", "own", "answer")}


@dataclass(slots=True)
class Limits:
    """What a tick works with: the shards held (shard -> job id), the clocks in seconds."""

    held: dict[int, int]
    shards: int
    in_flight: int
    lease: float
    worker: str
    dull: set[int] = field(default_factory=set)  # sessions that saw rows last time, and none to send
    slow: set[int] = field(default_factory=set)  # sessions with strikes: an ordinary success takes one away


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
    room: int | None = None  # what the daily limit still leaves; None: any
    owner: int = 0  # whose session it is
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
        self.alerts.clear()

    def add(self, other: Ticked) -> None:
        """Takes over what another tick allowed."""
        self.claims += other.claims
        self.grants |= other.grants
        self.alerts += other.alerts


class Bodies(dict[int, str]):
    """Message texts of campaigns, by id, and what they carry. A launched campaign's text never changes."""

    def __init__(self) -> None:
        super().__init__()
        self.media: dict[int, Media] = {}
        self.files = Files()

    async def load(self, conn: AsyncConnection[Any], ids: set[int]) -> None:
        missing = [one for one in ids if one not in self]
        if missing:
            if len(self) + len(missing) > KNOWN:  # those that run are asked for again
                self.clear()
                self.media.clear()
                missing = list(ids)
            rows = await conn.execute(
                "SELECT id, body, media_kind, media_url, media_name FROM whatsappapi_campaign WHERE id = ANY(%s)",
                [missing],
            )
            for one, body, *media in await rows.fetchall():
                self[one] = body
                if media[0]:
                    self.media[one] = Media(*media)

    def carried(self, campaign: int | None, media: Any) -> Media | None:
        """What a message carries: its own, or its campaign's."""
        return self.media.get(campaign) if campaign is not None else media and Media(**media)


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
        # A session is locked for what changed on it, not for an ordinary success (but where that quickens its pace).
        changed = {one for one, e in effects.items() if e.matters or (e.strike and one in limits.slow)}
        ids = wants.keys() | changed | {one["session_id"] for one in refunds}
        if ids:
            await _grant(conn, limits, (sorted(ids), wants, effects), refunds, result)
        granted = {one: grant for one, grant in sorted(result.grants.items()) if grant.n}  # lanes are locked so
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
    result.alerts += batch.alerts + [(one["session_id"], one["what"]) for one in alerts or ()]
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
            "horizon": HORIZON,
            "strikes": STRIKES,
            "rest": REST,
        },
    )
    for one, *rest in await rows.fetchall():
        grant = result.grants[one] = Granted(*rest)
        (limits.slow.add if grant.strikes else limits.slow.discard)(one)
        if one in effects and effects[one].strike > 0 and grant.strikes >= STRIKES:
            result.alerts.append((one, "slowed"))


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
            "owner": [g.owner for g in granted.values()],
            "ahead": [AHEAD if one in limits.dull else 0 for one in granted],
            "in_flight": limits.in_flight,
        },
    )
    found = await rows.fetchall()
    if not found:
        limits.dull -= granted.keys()
        return {}
    seen = _Seen()
    for row in found:
        seen.take(row)
    await bodies.load(conn, {row[1] for row in seen.taken if row[1] is not None})
    if bodies.media or any(row[6] for row in seen.taken):
        await bodies.files.load(conn, [(bodies.carried(row[1], row[6]), row[2]) for row in seen.taken])
    claims = _claims(seen, granted, bodies, clocks)
    row = await (await conn.execute(sql.CLAIM, _columns(limits, claims, granted, seen))).fetchone()
    assert row is not None
    deltas.moves(row[1])
    won = set(row[0])
    result.claims = [claim for claim in claims if claim.attempt in won]
    for claim in result.claims:
        granted[claim.session].used += 1
    limits.dull -= granted.keys()
    limits.dull |= {one for one in seen.sessions if not granted[one].used}
    return seen.lanes


@dataclass(slots=True)
class _Seen:
    """Rows found, by what is to become of them; `lanes`: each one's last position seen (None: no row)."""

    lanes: dict[int, int | None] = field(default_factory=dict)
    taken: list[tuple[Any, ...]] = field(default_factory=list)
    held: list[tuple[int, float, str]] = field(default_factory=list)
    ended: list[tuple[int, str, str]] = field(default_factory=list)
    people: set[tuple[int, str]] = field(default_factory=set)
    capped: set[int] = field(default_factory=set)  # messages whose cap the claim must look at again
    sent: Counter[int] = field(default_factory=Counter)  # rows to send, by lane
    sessions: Counter[int] = field(default_factory=Counter)  # rows to send, by session that saw any
    full: set[int] = field(default_factory=set)  # sessions that have their number: what follows is left as it is

    def take(self, row: tuple[Any, ...]) -> None:
        lane, message, campaign, session, user, phone, kind, position, body, variables, verdict, quiet, n = row[:13]
        capped, media = row[13], row[15]
        if verdict == "lane":
            self.lanes.setdefault(lane, None)
            return
        if session in self.full or (verdict == "send" and self.sessions[session] >= n):
            self.full.add(session)
            return
        self.sessions[session] += 0
        if lane is not None:
            self.lanes[lane] = max(self.lanes.get(lane) or 0, position)
        if verdict == "send" and kind in RULES["cap"]:
            # Two campaigns at two sessions see the same person in one tick: the second meets the cap a moment later.
            if (user, phone) in self.people:
                verdict = "busy"
            self.people.add((user, phone))
        if verdict == "send":
            self.sessions[session] += 1
            if lane is not None:
                self.sent[lane] += 1
            if capped:
                self.capped.add(message)
            self.taken.append((message, campaign, session, phone, body, variables, media))
        elif verdict in ENDED:
            self.ended.append((message, *ENDED[verdict]))
        elif verdict in HELD:
            secs, reason = HELD[verdict]
            self.held.append((message, quiet if verdict == "quiet" else secs, reason))


def _claims(seen: _Seen, granted: dict[int, Granted], bodies: Bodies, clocks: tuple[float, float]) -> list[Claim]:
    now, send_before = clocks
    claims: list[Claim] = []
    place: dict[int, int] = {}
    for message, campaign, session, phone, body, variables, own in seen.taken:
        grant = granted[session]
        media = bodies.carried(campaign, own) if own or bodies.media else None
        if media is not None and (media := bodies.files.at(media, session)) is None:
            seen.held.append((message, *HELD["file"]))
            continue
        try:
            text = body if body is not None else render(bodies[campaign], variables)
            if media is not None and not media.has_caption:
                text = ""  # and its hash is to say so
        except Exception:
            # One row that cannot be rendered must not stop all others, whatever is wrong with it.
            log.exception("Message %s cannot be rendered", message)
            seen.ended.append((message, *ENDED["broken"]))
            continue
        k = place[session] = place.get(session, -1) + 1
        due = now + max(0.0, grant.first + k * grant.gap)
        key = (grant.key_version, grant.connection)
        claims.append(
            Claim(message, uuid.uuid4(), session, campaign, phone, text, *key, due, send_before, media, grant.gap)
        )
    return claims


def _columns(
    limits: Limits,
    claims: list[Claim],
    granted: dict[int, Granted],
    seen: _Seen,
) -> dict[str, Any]:
    moved = [(one, last) for one, last in seen.lanes.items() if last is not None]
    return {
        "message": [c.message for c in claims],
        "attempt": [c.attempt for c in claims],
        "session": [c.session for c in claims],
        "phone": [c.phone for c in claims],
        "key_version": [c.key_version for c in claims],
        "connection": [c.connection for c in claims],
        "usage_date": [granted[c.session].usage_date for c in claims],
        "hash": [body_hash(c.body) for c in claims],
        "capped": [c.message in seen.capped for c in claims],
        "counted": RULES["counted"],
        "worker": limits.worker,
        "lease": limits.lease,
        "held": [one[0] for one in seen.held],
        "held_secs": [float(one[1]) for one in seen.held],
        "held_reason": [one[2] for one in seen.held],
        "ended": [one[0] for one in seen.ended],
        "ended_state": [one[1] for one in seen.ended],
        "ended_reason": [one[2] for one in seen.ended],
        "lane": [one[0] for one in moved],
        "cursor": [one[1] for one in moved],
        "sent": [seen.sent[one[0]] for one in moved],
    }
