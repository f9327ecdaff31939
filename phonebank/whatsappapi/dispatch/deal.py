"""Who goes to which session: the deal of a launched campaign, and the re-deal when a session cannot carry its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.statuses import KEYS

CHUNK = 10_000

PLACE = """
SELECT user_id, contact_list_id, deal_cursor, deal_number FROM whatsappapi_campaign
WHERE id = %s AND state = 'dealing' FOR UPDATE
"""

# Recipient i, numbered over sendable and non-sticky rows alone and across chunks, gets lane i mod k. People who already
# talk with one of the sessions stay there. The others are recorded as skipped, with the reason.
DEAL = """
WITH lane AS (
  SELECT l.id, l.session_id, l.tail, row_number() OVER (ORDER BY l.position, l.id) - 1 AS i, count(*) OVER () AS k
  FROM whatsappapi_campaignsession l WHERE l.campaign_id = %(campaign)s AND l.is_active
), k AS (
  SELECT c.id, c.phone, c.name, c.attributes, c.time_zone, c.last_session_id,
    CASE WHEN EXISTS (SELECT 1 FROM whatsappapi_suppression x
                      WHERE x.user_id = c.user_id AND x.phone = c.phone AND x.lifted_at IS NULL) THEN 'opted_out'
         WHEN c.consent <> 'granted' THEN 'no_consent' END AS skip
  FROM whatsappapi_contact c JOIN whatsappapi_contact_lists t ON t.contact_id = c.id
  WHERE t.contactlist_id = %(list)s AND c.user_id = %(user)s AND c.id > %(cursor)s
  ORDER BY c.id LIMIT %(chunk)s
), s AS (
  SELECT k.*, CASE WHEN k.skip IS NULL THEN (SELECT l.id FROM lane l WHERE l.session_id = k.last_session_id) END AS sticky
  FROM k
), n AS (
  SELECT s.*, row_number() OVER (PARTITION BY s.skip IS NULL AND s.sticky IS NULL ORDER BY s.id) - 1 + %(number)s AS i
  FROM s
), a AS (
  SELECT n.*, coalesce(n.sticky, CASE WHEN n.skip IS NULL
    THEN (SELECT l.id FROM lane l WHERE l.i = n.i %% l.k) END) AS lane FROM n
), p AS (
  SELECT a.*, l.session_id,
    CASE WHEN a.lane IS NOT NULL THEN l.tail + row_number() OVER (PARTITION BY a.lane ORDER BY a.id) END AS position
  FROM a LEFT JOIN lane l ON l.id = a.lane
), ins AS (
  INSERT INTO whatsappapi_message (user_id, campaign_id, contact_id, session_id, phone, kind, state, position, reason,
    why, variables, time_zone)
  SELECT %(user)s, %(campaign)s, p.id, p.session_id, p.phone, 'campaign',
    CASE WHEN p.skip IS NULL THEN 'queued' ELSE 'skipped' END, p.position,
    CASE p.skip WHEN 'opted_out' THEN 'Asked not to be written to' WHEN 'no_consent' THEN 'No consent on record'
                ELSE '' END,
    CASE WHEN p.skip IS NOT NULL THEN '' WHEN p.sticky IS NOT NULL THEN 'They already talk with this number'
         ELSE 'Dealt in turn' END,
    p.attributes || jsonb_build_object('name', p.name), p.time_zone
  FROM p ORDER BY p.id
  ON CONFLICT (campaign_id, phone) DO NOTHING
  RETURNING session_id, state, position
), tail AS (
  UPDATE whatsappapi_campaignsession l SET tail = x.tail
  FROM (SELECT session_id, max(position) AS tail FROM ins WHERE position IS NOT NULL GROUP BY 1) x
  WHERE l.campaign_id = %(campaign)s AND l.session_id = x.session_id
), place AS (
  UPDATE whatsappapi_campaign SET deal_cursor = x.id, deal_number = deal_number + x.n
  FROM (SELECT max(id) AS id, count(*) FILTER (WHERE skip IS NULL AND sticky IS NULL) AS n FROM p) x
  WHERE whatsappapi_campaign.id = %(campaign)s AND x.id IS NOT NULL
), counted AS (
  INSERT INTO whatsappapi_campaigncount (campaign_id, session_id, state, n)
  SELECT %(campaign)s, session_id, state, count(*) FROM ins GROUP BY session_id, state ORDER BY session_id, state
  ON CONFLICT (campaign_id, session_id, state) DO UPDATE SET n = whatsappapi_campaigncount.n + excluded.n
)
SELECT count(*) FROM k
"""

SEAL = """
UPDATE whatsappapi_campaign SET sealed_at = now(), started_at = coalesce(started_at, now()), state = 'running'
WHERE id = %s AND state = 'dealing'
"""


def deal_chunk(campaign: int) -> bool:
    """Deals the next chunk in one transaction. True: all of it is dealt and the campaign runs (or is not dealing)."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PLACE, [campaign])
        row = cursor.fetchone()
        if row is None:
            return True
        user, contact_list, place, number = row
        cursor.execute(
            DEAL,
            {
                "campaign": campaign, "user": user, "list": contact_list, "cursor": place, "number": number,
                "chunk": CHUNK,
            },
        )  # fmt: skip
        if cursor.fetchone()[0] == CHUNK:
            return False
        cursor.execute(SEAL, [campaign])
        return True


# --- re-deal ------------------------------------------------------------------------------------------------------
LANES = """
SELECT l.id, l.session_id, s.session_name,
  l.is_active AND s.deleted_at IS NULL AND s.is_active AND s.status = 'connected'
    AND s.rejected_key_version <> s.key_version AS is_up,
  CASE WHEN x.cap IS NULL THEN NULL ELSE greatest(0, x.cap - CASE
    WHEN s.usage_date < (now() AT TIME ZONE u.time_zone)::date AND s.usage_opened_at <= now() - interval '20 hours'
    THEN 0 ELSE s.messages_sent_today END) END AS room,
  coalesce((SELECT sum(n) FROM whatsappapi_campaigncount c
            WHERE c.campaign_id = l.campaign_id AND c.session_id = l.session_id AND c.state = 'queued'), 0) AS queued,
  s.id || ':' || s.key_version || ':' || s.connection_version AS mark,
  CASE WHEN NOT l.is_active THEN 'was taken out' WHEN s.deleted_at IS NOT NULL THEN 'was deleted'
       WHEN s.rejected_key_version = s.key_version THEN 'was refused by the gateway'
       WHEN s.status <> 'connected' THEN 'is ' || replace(s.status, '_', ' ')
       ELSE 'reached its limit for today' END AS why
FROM whatsappapi_campaignsession l
JOIN whatsappapi_wasendersession s ON s.id = l.session_id
JOIN accounts_user u ON u.id = s.user_id
JOIN accounts_subscription b ON b.user_id = s.user_id
JOIN accounts_plan p ON p.id = b.plan_id
CROSS JOIN LATERAL (SELECT CASE WHEN p.daily_limit IS NULL THEN s.daily_limit
                                ELSE least(s.daily_limit, p.daily_limit) END AS cap) x
WHERE l.campaign_id = %s ORDER BY s.last_used_at NULLS FIRST, s.id
"""

LOCK_LANES = "SELECT id, tail FROM whatsappapi_campaignsession WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

MOVABLE = """
SELECT m.id, m.tried FROM whatsappapi_message m
JOIN whatsappapi_campaignsession l ON l.campaign_id = m.campaign_id AND l.session_id = m.session_id
WHERE m.campaign_id = %(campaign)s AND m.session_id = %(session)s AND m.state = 'queued'
  AND (m.position > l.cursor OR m.retry_at IS NOT NULL)
  AND (NOT %(new_only)s OR NOT EXISTS (SELECT 1 FROM whatsappapi_contact k
       WHERE k.id = m.contact_id AND k.last_session_id = m.session_id))
ORDER BY m.id LIMIT %(n)s FOR UPDATE OF m SKIP LOCKED
"""

MOVE = """
WITH v AS (
  SELECT * FROM unnest(%(message)s::bigint[], %(session)s::bigint[], %(position)s::bigint[]) AS v(message, session, position)
), moved AS (
  UPDATE whatsappapi_message t SET session_id = v.session, position = v.position, retry_at = NULL, why = %(why)s,
    reason = ''
  FROM v WHERE t.id = v.message AND t.state = 'queued' RETURNING v.session
), tail AS (
  UPDATE whatsappapi_campaignsession l SET tail = x.tail
  FROM (SELECT session, max(position) AS tail FROM v GROUP BY 1) x
  WHERE l.campaign_id = %(campaign)s AND l.session_id = x.session
)
SELECT %(campaign)s, session, 'queued', 'queued', count(*) FROM moved GROUP BY session
"""


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
        stuck = next((lane for lane in lanes if lane.is_stuck), None)
        targets = [lane for lane in lanes if lane.spare > 0]
        if stuck is None or not targets or (policy == "wait" and stuck.why != "was taken out"):
            return 0
        cursor.execute(LOCK_LANES, [[stuck.id, *(lane.id for lane in targets)]])
        tails = dict(cursor.fetchall())
        n = min(CHUNK, sum(lane.spare for lane in targets))
        new_only = policy == "next_new"
        cursor.execute(MOVABLE, {"campaign": campaign, "session": stuck.session, "new_only": new_only, "n": n})
        moves = _assign(cursor.fetchall(), targets, tails)
        if not moves:
            return 0
        columns: dict[str, Any] = {k: [m[i] for m in moves] for i, k in enumerate(("message", "session", "position"))}
        why = f"Moved: {stuck.name} {stuck.why}"[:60]
        cursor.execute(MOVE, columns | {"campaign": campaign, "why": why})
        deltas = Deltas()
        deltas.moves(dict(zip(KEYS, row, strict=True)) | {"old_session": stuck.session} for row in cursor.fetchall())
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
