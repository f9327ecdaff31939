"""The statements of polling: what to watch, and what is due."""

from __future__ import annotations

# A claim that is still being committed (its worker may be frozen) will become visible with an older time than this.
OLDEST_WRITER = """
SELECT least(clock_timestamp() - make_interval(secs => %(after)s),
  (SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL
   AND pid <> pg_backend_pid()))
"""

# Each attempt is looked at once, in the order of its index; what was delivered by then costs nothing more.
SWEEP = """
WITH s AS (
  SELECT s.id, coalesce(w.until, clock_timestamp() - %(track)s::interval) AS since
  FROM whatsappapi_wasendersession s LEFT JOIN whatsappapi_sweep w ON w.session_id = s.id
  WHERE s.deleted_at IS NULL
), a AS MATERIALIZED (
  SELECT s.id AS session, a.id, a.started_at,
    a.outcome IN ('accepted', 'unknown', '') AND a.delivered_at IS NULL AND a.read_at IS NULL AS is_open
  FROM s CROSS JOIN LATERAL (
    SELECT a.* FROM whatsappapi_attempt a
    WHERE a.session_id = s.id AND a.started_at > s.since AND a.started_at <= %(until)s
    ORDER BY a.started_at FETCH FIRST 2000 ROWS WITH TIES
  ) a
), put AS (
  INSERT INTO whatsappapi_watch (attempt_id, session_id, started_at, due_at, asks, rank)
  SELECT id, session, started_at, started_at + make_interval(secs => %(after)s), 0, 0 FROM a WHERE is_open
  ON CONFLICT DO NOTHING
), mark AS (
  INSERT INTO whatsappapi_sweep (session_id, until) SELECT session, max(started_at) FROM a GROUP BY 1
  ON CONFLICT (session_id) DO UPDATE SET until = greatest(whatsappapi_sweep.until, excluded.until)
)
SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM a GROUP BY session) x
"""

# A webhook named a failure: ask now instead of in its turn.
HURRY = """
INSERT INTO whatsappapi_watch (attempt_id, session_id, started_at, due_at, asks, rank)
SELECT a.id, a.session_id, a.started_at, clock_timestamp() - interval '1 day', 0, 0
FROM unnest(%(session)s::bigint[], %(msg_id)s::bigint[]) AS u(session, msg_id)
JOIN whatsappapi_attempt a ON a.session_id = u.session AND a.msg_id = u.msg_id
ORDER BY a.id
ON CONFLICT (attempt_id) DO UPDATE SET due_at = excluded.due_at
RETURNING session_id, (SELECT msg_id FROM whatsappapi_attempt x WHERE x.id = attempt_id)
"""

# The oldest of each session, no more than a round can ask. Not of sessions that the gateway has slowed or refused.
DUE = """
SELECT w.attempt_id, w.session_id, w.asks, w.rank, a.msg_id, a.resolved_at IS NULL AS is_unknown,
  w.started_at < clock_timestamp() - %(track)s::interval OR a.outcome NOT IN ('accepted', 'unknown', '')
    OR a.read_at IS NOT NULL OR a.delivered_at IS NOT NULL AND w.rank < 3 AS is_over
FROM whatsappapi_wasendersession s CROSS JOIN LATERAL (
  SELECT w.* FROM whatsappapi_watch w WHERE w.session_id = s.id AND w.due_at <= clock_timestamp()
  ORDER BY w.due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
) w JOIN whatsappapi_attempt a ON a.id = w.attempt_id
WHERE s.deleted_at IS NULL AND s.api_key <> '' AND s.rejected_key_version <> s.key_version
  AND (s.paused_until IS NULL OR s.paused_until <= clock_timestamp())
ORDER BY w.session_id, w.due_at
"""

LATER = """
UPDATE whatsappapi_watch w SET asks = least(u.asks, 30), rank = greatest(w.rank, u.rank),
  due_at = clock_timestamp() + make_interval(secs => u.wait)
FROM unnest(%(attempt)s::uuid[], %(asks)s::int[], %(rank)s::int[], %(wait)s::float8[]) AS u(attempt, asks, rank, wait)
WHERE w.attempt_id = u.attempt
"""
