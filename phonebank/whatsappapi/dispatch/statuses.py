"""What the world reports about messages, merged: ranks only rise, whatever order and however often reports come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.kinds import kinds_with
from phonebank.whatsappapi.dispatch.render import body_hash
from phonebank.whatsappapi.dispatch.sql import word


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


MATCH = """
SELECT u.idx, a.id, a.message_id FROM unnest(%(idx)s::int[], %(session)s::bigint[], %(msg_id)s::bigint[]) AS u(idx, s, m)
JOIN whatsappapi_attempt a ON a.session_id = u.s AND a.msg_id = u.m
UNION ALL
SELECT u.idx, a.id, a.message_id FROM unnest(%(k_idx)s::int[], %(k_session)s::bigint[], %(key_id)s::text[]) AS u(idx, s, k)
JOIN whatsappapi_attempt a ON a.session_id = u.s AND a.key_id = u.k AND a.key_id <> ''
"""

MERGE = f"""
WITH u AS (
  SELECT message, attempt, max(rank) AS rank, max(key_id) AS key_id,
    min(at) FILTER (WHERE rank = 2) AS sent, min(at) FILTER (WHERE rank = 3) AS delivered,
    min(at) FILTER (WHERE rank >= 4) AS read
  FROM unnest(%(message)s::bigint[], %(attempt)s::uuid[], %(rank)s::int[], %(key_id)s::text[], %(at)s::timestamptz[])
    AS u(message, attempt, rank, key_id, at)
  GROUP BY 1, 2
), m AS MATERIALIZED (
  SELECT m.id, {word("m")} AS old FROM whatsappapi_message m JOIN u ON u.message = m.id AND u.attempt = m.attempt
  ORDER BY m.id FOR UPDATE OF m
), moved AS (
  UPDATE whatsappapi_message t SET
    rank = greatest(t.rank, u.rank),
    state = CASE WHEN t.state IN ('unknown', 'uncertain') OR t.state = 'failed' AND u.rank >= 3
                 THEN 'accepted' ELSE t.state END,
    reason = CASE WHEN t.state IN ('unknown', 'uncertain', 'failed') AND u.rank >= 3 THEN '' ELSE t.reason END
  FROM m JOIN u ON u.message = m.id
  WHERE t.id = m.id AND t.attempt = u.attempt AND (t.rank < u.rank OR t.state IN ('unknown', 'uncertain'))
  RETURNING t.campaign_id, t.session_id, m.old, {word("t")} AS new
), att AS (
  UPDATE whatsappapi_attempt a SET
    key_id = CASE WHEN a.key_id = '' THEN u.key_id ELSE a.key_id END,
    resolved_at = coalesce(a.resolved_at, clock_timestamp()),
    sent_at = least(a.sent_at, u.sent), delivered_at = least(a.delivered_at, u.delivered),
    read_at = least(a.read_at, u.read)
  FROM u WHERE a.id = u.attempt
    AND (a.key_id = '' AND u.key_id <> '' OR u.sent < coalesce(a.sent_at, 'infinity')
      OR u.delivered < coalesce(a.delivered_at, 'infinity') OR u.read < coalesce(a.read_at, 'infinity'))
)
SELECT campaign_id, session_id, old, new, count(*) FROM moved
WHERE campaign_id IS NOT NULL AND old <> new GROUP BY 1, 2, 3, 4
"""

# An attempt without an answer whose message the gateway now names: same session, person and text, and no other.
EVIDENCE = f"""
WITH u AS (
  SELECT * FROM unnest(%(session)s::bigint[], %(phone)s::text[], %(hash)s::bytea[], %(msg_id)s::bigint[],
                       %(at)s::timestamptz[]) AS u(session, phone, hash, msg_id, at)
), a AS (
  SELECT DISTINCT ON (a.id) a.id, a.message_id, u.msg_id FROM u JOIN whatsappapi_attempt a
    ON a.session_id = u.session AND a.phone = u.phone AND a.body_hash = u.hash AND a.resolved_at IS NULL
    AND a.outcome = 'unknown' AND a.started_at <= u.at + interval '5 seconds'
  WHERE NOT EXISTS (SELECT 1 FROM whatsappapi_attempt x WHERE x.session_id = u.session AND x.msg_id = u.msg_id)
  ORDER BY a.id, u.at
), m AS MATERIALIZED (
  SELECT m.id, a.id AS attempt, a.msg_id, {word("m")} AS old FROM whatsappapi_message m
  JOIN a ON a.message_id = m.id AND m.attempt = a.id
  WHERE m.state IN ('unknown', 'uncertain') ORDER BY m.id FOR UPDATE OF m
), moved AS (
  UPDATE whatsappapi_message t SET state = 'accepted', reason = '' FROM m WHERE t.id = m.id
  RETURNING t.campaign_id, t.session_id, m.old, {word("t")} AS new
), att AS (
  UPDATE whatsappapi_attempt a SET msg_id = m.msg_id, outcome = 'accepted', resolved_at = clock_timestamp(),
    detail = a.detail || ' Found by the gateway''s own report.'
  FROM m WHERE a.id = m.attempt
)
SELECT campaign_id, session_id, old, new, count(*) FROM moved WHERE campaign_id IS NOT NULL GROUP BY 1, 2, 3, 4
"""

SKIP_PERSON = f"""
WITH m AS MATERIALIZED (
  SELECT m.id FROM whatsappapi_message m
  WHERE m.user_id = %(user)s AND m.phone = %(phone)s AND m.state = 'queued' AND m.kind = ANY(%(kinds)s)
  ORDER BY m.id FOR UPDATE
), moved AS (
  UPDATE whatsappapi_message t SET state = 'skipped', reason = %(reason)s, retry_at = NULL
  FROM m WHERE t.id = m.id AND t.state = 'queued'
  RETURNING t.campaign_id, t.session_id, {word("t")} AS new
)
SELECT campaign_id, session_id, 'queued', new, count(*) FROM moved GROUP BY 1, 2, 4
"""

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
    deltas.write(cursor)
    return set(range(len(updates))) - found.keys()


def _match(cursor: Any, updates: Sequence[Status]) -> dict[int, tuple[Any, int]]:
    by_id = [(i, u.session_id, u.msg_id) for i, u in enumerate(updates) if u.msg_id is not None]
    by_key = [(i, u.session_id, u.key_id) for i, u in enumerate(updates) if u.msg_id is None and u.key_id]
    columns = {name: [row[i] for row in by_id] for i, name in enumerate(("idx", "session", "msg_id"))}
    columns |= {name: [row[i] for row in by_key] for i, name in enumerate(("k_idx", "k_session", "key_id"))}
    cursor.execute(MATCH, columns)
    return {i: (attempt, message) for i, attempt, message in cursor.fetchall()}


def skip_person(cursor: Any, user_id: int, phone: str, reason: str) -> int:
    """Skips the owner's queued rows for a person who asked to stop, of every kind that obeys. Returns how many."""
    from phonebank.whatsappapi.dispatch.kinds import kinds_with

    cursor.execute(SKIP_PERSON, {"user": user_id, "phone": phone, "reason": reason, "kinds": kinds_with("suppression")})
    rows = cursor.fetchall()
    deltas = Deltas()
    deltas.moves(dict(zip(KEYS, row, strict=True)) for row in rows if row[0] is not None)
    deltas.write(cursor)
    return sum(row[-1] for row in rows)
