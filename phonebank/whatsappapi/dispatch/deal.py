"""Who goes to which session: the deal of a launched campaign, and the re-deal when a session cannot carry its part."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction

from phonebank.language import stored
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.sql.audience import KNOWN, named_things, people_of
from phonebank.whatsappapi.dispatch.sql.deal import (
    LANES,
    LOCK_LANES,
    LOSE,
    MOVABLE,
    MOVE,
    PLACE,
    SEAL,
    TAIL,
    UNSHARED,
    deal_of,
)
from phonebank.whatsappapi.dispatch.statuses import KEYS

CHUNK = 10_000
# Going on would write to the people of a left-out list, or to half of those who were meant.
LOST = stored("A list or tag of its audience was deleted. Nobody more is added: cancel it, or copy it and choose anew.")
JOINED = stored("Moved: %(name)s joined")


def deal_chunk(campaign: int) -> bool:
    """Deals the next chunk in one transaction. True: all of it is dealt and the campaign runs (or is not dealing)."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PLACE, [campaign])
        row = cursor.fetchone()
        if row is None:
            return True
        user, contact_list, stored, parent, sticky, place, number = row
        audience = json.loads(stored)
        if parent is None and not _is_whole(cursor, user, audience):
            cursor.execute(LOSE, [LOST, campaign])
            return True
        people, named = people_of(audience, contact_list, parent, after=place)
        place_now = {"campaign": campaign, "user": user, "sticky": sticky, "number": number}
        cursor.execute(deal_of(people), named | place_now | {"chunk": CHUNK})
        if cursor.fetchone()[0] == CHUNK:
            return False
        cursor.execute(SEAL, [campaign, campaign])
        return True


def _is_whole(cursor: Any, user: int, audience: dict[str, Any]) -> bool:
    """Whether every list and tag that the audience names is still there."""
    named = named_things(audience)
    wanted = sum(map(len, named.values()))
    if not wanted:
        return True
    cursor.execute(KNOWN, {"user": user, **named})
    return bool(cursor.fetchone()[0] == wanted)


GONE = ("was taken out", "was deleted", UNSHARED)  # sessions that nobody waits for


@dataclass(slots=True)
class Lane:
    """A session's part of a campaign as the re-deal sees it; `room`: messages it may still send today (None: any)."""

    id: int
    session: int
    name: str
    is_up: bool
    room: int | None
    queued: int
    mark: str
    why: str

    @property
    def is_stuck(self) -> bool:
        return self.queued > 0 and (not self.is_up or self.room == 0)

    @property
    def is_gone(self) -> bool:
        """It will not come back: nobody waits for it, and whoever talked with it has to take another."""
        return self.why in GONE

    @property
    def spare(self) -> int:
        """How many more it may be given today."""
        return 0 if not self.is_up else CHUNK if self.room is None else max(0, self.room - self.queued)


def redeal(campaign: int, policy: str) -> int:
    """Moves one chunk of rows that their session cannot send to those that can; least recently used first.

    Returns how many moved. Rows under an open or unresolved attempt never move: only `queued` ones do.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LANES, [campaign])
        lanes = [Lane(*row) for row in cursor.fetchall()]
        targets = [lane for lane in lanes if lane.spare > 0]
        stuck = [lane for lane in lanes if lane.is_stuck and (policy != "wait" or lane.is_gone)]
        if not stuck or not targets:
            return 0
        cursor.execute(LOCK_LANES, [[lane.id for lane in stuck + targets]])
        tails = dict(cursor.fetchall())
        # One whose rows all stay must not hide the next.
        return next((n for lane in stuck if (n := _move(cursor, campaign, policy, lane, targets, tails))), 0)


def hand_over(campaign: int, sessions: Collection[int]) -> int:
    """Moves one chunk of what waits for sessions that are about to vanish to the campaign's others.

    Those need not be up nor have room today: their rows wait as any do. Returns how many moved.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LANES, [campaign])
        lanes = [Lane(*row) for row in cursor.fetchall()]
        leaving = [lane for lane in lanes if lane.session in sessions and lane.queued > 0]
        staying = [lane for lane in lanes if lane.session not in sessions and not lane.is_gone]
        if not leaving or not staying:
            return 0
        cursor.execute(LOCK_LANES, [[lane.id for lane in leaving + staying]])
        tails = dict(cursor.fetchall())
        targets = [replace(lane, is_up=True, room=None) for lane in staying]
        return next((n for lane in leaving if (n := _move(cursor, campaign, "next", lane, targets, tails))), 0)


def share(campaign: int, session: int) -> int:
    """Gives a session that joined its part of what the others have not yet reached: one chunk. Returns how many rows.

    From each lane that holds more than the mean, its last rows, at most what the newcomer may still send today.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LANES, [campaign])
        lanes = [Lane(*row) for row in cursor.fetchall()]
        target = next((lane for lane in lanes if lane.session == session), None)
        givers = [lane for lane in lanes if lane.session != session and lane.queued > 0]
        if target is None or not target.spare or not givers:
            return 0
        mean = sum(lane.queued for lane in [*givers, target]) // (sum(lane.is_up for lane in givers) + 1)
        cursor.execute(LOCK_LANES, [[lane.id for lane in [*givers, target]]])
        tails = dict(cursor.fetchall())
        left, moved = min(target.spare, mean - target.queued), 0
        for lane in givers:
            n = min(CHUNK - moved, left - moved, lane.queued - mean)
            if n > 0:
                moved += _give(cursor, campaign, lane, target, tails, n)
        return moved


def _give(cursor: Any, campaign: int, giver: Lane, target: Lane, tails: dict[int, int], n: int) -> int:
    cursor.execute(TAIL, {"campaign": campaign, "session": giver.session, "n": n})
    # Taken from the end, kept in their order.
    moves = _assign(cursor.fetchall()[::-1], [target], tails)
    return _write(cursor, campaign, giver, moves, JOINED % {"name": target.name}) if moves else 0


def _move(cursor: Any, campaign: int, policy: str, stuck: Lane, targets: list[Lane], tails: dict[int, int]) -> int:
    movable = {
        "campaign": campaign,
        "session": stuck.session,
        "new_only": policy == "next_new" and not stuck.is_gone,
        "marks": [lane.mark for lane in targets],
        "n": min(CHUNK, sum(lane.spare for lane in targets)),
    }
    cursor.execute(MOVABLE, movable)
    moves = _assign(cursor.fetchall(), targets, tails)
    return _write(cursor, campaign, stuck, moves, f"Moved: {stuck.name} {stuck.why}") if moves else 0


def _write(cursor: Any, campaign: int, giver: Lane, moves: list[tuple[int, int, int]], why: str) -> int:
    columns: dict[str, Any] = {k: [m[i] for m in moves] for i, k in enumerate(("message", "session", "position"))}
    cursor.execute(MOVE, columns | {"campaign": campaign, "why": why[:60]})
    deltas = Deltas()
    deltas.moves(dict(zip(KEYS, row, strict=True)) | {"old_session": giver.session} for row in cursor.fetchall())
    deltas.write(cursor)
    return len(moves)


def _assign(
    rows: list[tuple[int, list[str]]], targets: list[Lane], tails: dict[int, int]
) -> list[tuple[int, int, int]]:
    """Round robin over the targets in their order, at most each one's spare, none to a session that refused the row."""
    spare = {lane.id: lane.spare for lane in targets}
    ring, moves = list(targets), []
    for message, tried in rows:
        for _ in range(len(ring)):
            lane = ring.pop(0)
            if spare[lane.id] <= 0:
                continue
            ring.append(lane)
            if lane.mark in tried:
                continue
            spare[lane.id] -= 1
            tails[lane.id] += 1
            moves.append((message, lane.session, tails[lane.id]))
            break
        if not ring:
            break
    return moves
