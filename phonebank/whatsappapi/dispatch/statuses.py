"""What the world reports about messages, merged: ranks only rise, whatever order and however often reports come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.kinds import kinds_with
from phonebank.whatsappapi.dispatch.render import body_hash
from phonebank.whatsappapi.dispatch.sql.reports import EVIDENCE, FAIL, MATCH, MERGE, SKIP_PERSON
from phonebank.whatsappapi.models import Attempt, SessionQuarter


@dataclass(slots=True)
class Status:
    """One report: `rank` 1..5 (contract 7.4) for a message named by msgId or WhatsApp key id.

    `phone` and `text`, where the report carries them, are evidence for an attempt whose own answer was lost.
    """

    session_id: int
    rank: int
    msg_id: int | None
    key_id: str
    at: datetime
    phone: str = ""
    text: str | None = None


KEYS = ("campaign_id", "session_id", "old", "new", "n")


def merge(cursor: Any, updates: Sequence[Status]) -> set[int]:
    """Applies reports inside the caller's transaction. Returns the indexes that matched no attempt (yet)."""
    if not updates:
        return set()
    deltas = Deltas()
    found = _match(cursor, updates)
    lost = [i for i in range(len(updates)) if i not in found]
    if evidence := [updates[i] for i in lost if updates[i].msg_id and updates[i].phone and updates[i].text]:
        cursor.execute(
            EVIDENCE,
            {
                "session": [u.session_id for u in evidence],
                "phone": [u.phone for u in evidence],
                "hash": [body_hash(u.text or "") for u in evidence],
                "msg_id": [u.msg_id for u in evidence],
                "at": [u.at for u in evidence],
            },
        )
        moves = [dict(zip(KEYS, row, strict=True)) for row in cursor.fetchall()]
        deltas.moves(moves)
        found |= {lost[i]: hit for i, hit in _match(cursor, [updates[i] for i in lost]).items()}
    hits = [(updates[i], *hit) for i, hit in found.items()]
    if hits:
        cursor.execute(
            MERGE,
            {
                "attempt": [hit[1] for hit in hits],
                "message": [hit[2] for hit in hits],
                "rank": [hit[0].rank for hit in hits],
                "key_id": [hit[0].key_id for hit in hits],
                "at": [hit[0].at for hit in hits],
            },
        )
        deltas.moves([dict(zip(KEYS, row, strict=True)) for row in cursor.fetchall()])
        recount([(hit[0].session_id, hit[3]) for hit in hits])
    deltas.write(cursor)
    return set(range(len(updates))) - found.keys()


def _match(cursor: Any, updates: Sequence[Status]) -> dict[int, tuple[Any, int, datetime]]:
    by_id = [(i, u.session_id, u.msg_id) for i, u in enumerate(updates) if u.msg_id is not None]
    by_key = [(i, u.session_id, u.key_id) for i, u in enumerate(updates) if u.msg_id is None and u.key_id]
    columns = {name: [row[i] for row in by_id] for i, name in enumerate(("idx", "session", "msg_id"))}
    columns |= {name: [row[i] for row in by_key] for i, name in enumerate(("k_idx", "k_session", "key_id"))}
    cursor.execute(MATCH, columns)
    return {i: tuple(hit) for i, *hit in cursor.fetchall()}


def recount(changes: Sequence[tuple[int, datetime]]) -> None:
    """Has what these (session id, moment of sending) count for counted again, once the caller has committed.

    Not sooner: a mark before the change could be served before it. One that gets lost is made up for by a later look.
    """
    transaction.on_commit(lambda: SessionQuarter.objects.mark(changes), robust=True)


def skip_person(cursor: Any, user_id: int, phone: str, reason: str) -> int:
    """Skips the owner's queued rows for a person who asked to stop, of every kind that obeys. Returns how many."""

    cursor.execute(SKIP_PERSON, {"user": user_id, "phone": phone, "reason": reason, "kinds": kinds_with("suppression")})
    rows = cursor.fetchall()
    deltas = Deltas()
    deltas.moves(dict(zip(KEYS, row, strict=True)) for row in rows if row[0] is not None)
    deltas.write(cursor)
    return sum(row[-1] for row in rows)


def fail(cursor: Any, session_id: int, msg_id: int, reason: str) -> None:
    """An accepted message that the gateway says it could not deliver. Its unit of quota stays used."""
    cursor.execute(FAIL, {"session": session_id, "msg_id": msg_id, "reason": reason})
    deltas = Deltas()
    deltas.moves(dict(zip(KEYS, row, strict=True)) for row in cursor.fetchall())
    recount(list(Attempt.objects.filter(session=session_id, msg_id=msg_id).values_list("session_id", "started_at")))
    deltas.write(cursor)
