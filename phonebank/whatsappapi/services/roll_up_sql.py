"""The statements that count sessions' quarters and make days of them."""

from __future__ import annotations

from phonebank.whatsappapi.models.analytics import AGAIN, BUCKETS, COUNTS

_START = "date_bin('15 minutes', {0}, '2000-01-01 00:00+00')"

# Who sent since the last look, and all once an hour. Whether a quarter has attempts is one look at the index on session
# and start: a busy session makes thousands within the minutes that are looked at again.
SWEEP = f"""
WITH s AS MATERIALIZED (
  SELECT s.id, s.user_id, coalesce(r.until, '-infinity') - interval '3 minutes' AS since, clock_timestamp() AS until
  FROM whatsappapi_wasendersession s LEFT JOIN whatsappapi_rollup r ON r.session_id = s.id
  WHERE r.until IS NULL OR s.last_used_at > r.until - interval '3 minutes'
    OR r.until < clock_timestamp() - interval '1 h'
  ORDER BY r.until NULLS FIRST LIMIT %(limit)s
), found AS (
  SELECT s.id, g.start FROM s CROSS JOIN LATERAL (
    SELECT nullif(greatest(s.since, min(a.started_at)), '-infinity') AS since FROM whatsappapi_attempt a
    WHERE a.session_id = s.id
  ) f CROSS JOIN LATERAL generate_series({_START.format("f.since")}, s.until, '15 minutes') AS g(start)
  WHERE EXISTS (
    SELECT 1 FROM whatsappapi_attempt a WHERE a.session_id = s.id AND a.started_at > s.since
      AND a.started_at >= g.start AND a.started_at < g.start + interval '15 minutes')
  UNION
  SELECT s.id, {_START.format("i.received_at")}
  FROM s JOIN whatsappapi_inboundmessage i ON i.user_id = s.user_id AND i.session_id = s.id
    AND i.received_at > s.since
  UNION
  SELECT s.id, {_START.format("x.created_at")}
  FROM s JOIN whatsappapi_suppression x ON x.session_id = s.id AND x.created_at > s.since
), marked AS (
  INSERT INTO whatsappapi_sessionquarter AS q (session_id, start, due_at)
  SELECT id, start, clock_timestamp() FROM found ORDER BY 1, 2
  ON CONFLICT (session_id, start) DO UPDATE SET due_at = least(q.due_at, greatest(clock_timestamp(), {AGAIN}))
), noted AS (
  INSERT INTO whatsappapi_rollup AS r (session_id, until) SELECT id, until FROM s ORDER BY 1
  ON CONFLICT (session_id) DO UPDATE SET until = greatest(r.until, excluded.until)
)
SELECT count(*) FROM s
"""

CLAIM = """
WITH q AS (
  SELECT id FROM whatsappapi_sessionquarter WHERE due_at <= clock_timestamp()
  ORDER BY due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE whatsappapi_sessionquarter t SET due_at = %(lease)s FROM q WHERE t.id = q.id RETURNING t.session_id, t.start
"""

# A message counts for the session and the moment of its last attempt; a self-check does not count. One that the gateway
# took and WhatsApp could not deliver counts as sent and as failed.
_BUCKETS = ", ".join(f"count(*) FILTER (WHERE y.bucket = {i})" for i in range(BUCKETS))
COUNT = f"""
SELECT q.session, q.start, a.unclear,
  ARRAY[a.sent, a.delivered, a.read, a.replied, a.failed, a.unclear, i.n, o.n]::text AS counts,
  a.times::text AS times, coalesce(r.reasons, '{{}}')::text AS reasons
FROM unnest(%(session)s::bigint[], %(start)s::timestamptz[]) AS q(session, start)
JOIN whatsappapi_wasendersession s ON s.id = q.session
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE y.sent) AS sent, count(*) FILTER (WHERE y.delivered) AS delivered,
    count(*) FILTER (WHERE y.read) AS read, count(*) FILTER (WHERE y.sent AND y.replied) AS replied,
    count(*) FILTER (WHERE y.failed) AS failed,
    count(*) FILTER (WHERE y.unclear AND NOT y.sent) AS unclear,
    CASE WHEN bool_or(y.bucket IS NOT NULL) THEN ARRAY[{_BUCKETS}] ELSE '{{}}' END AS times
  FROM (
    SELECT a.outcome = 'accepted' OR a.msg_id IS NOT NULL OR m.state = 'accepted' AS sent,
      coalesce(a.delivered_at, a.read_at) IS NOT NULL AS delivered, a.read_at IS NOT NULL AS read,
      coalesce(m.state = 'failed', false) AS failed,
      coalesce(m.state IN ('unknown', 'uncertain'), false) AS unclear,
      width_bucket(extract(epoch FROM a.delivered_at - a.started_at)::float8, %(bounds)s::float8[]) AS bucket,
      EXISTS (
        SELECT 1 FROM whatsappapi_inboundmessage w
        WHERE w.user_id = s.user_id AND w.phone = a.phone AND w.session_id = a.session_id
          AND w.received_at > a.started_at AND w.received_at <= a.started_at + interval '7 days') AS replied
    FROM whatsappapi_attempt a LEFT JOIN LATERAL (
      SELECT x.kind, CASE WHEN x.attempt = a.id THEN x.state END AS state FROM whatsappapi_message x
      WHERE x.id = a.message_id) m ON true
    WHERE a.session_id = q.session AND a.started_at >= q.start AND a.started_at < q.start + interval '15 minutes'
      AND m.kind IS DISTINCT FROM 'probe'
  ) y
) a
CROSS JOIN LATERAL (
  SELECT count(*) AS n FROM whatsappapi_inboundmessage w
  WHERE w.user_id = s.user_id AND w.session_id = q.session
    AND w.received_at >= q.start AND w.received_at < q.start + interval '15 minutes'
) i
CROSS JOIN LATERAL (
  SELECT count(*) AS n FROM whatsappapi_suppression x
  WHERE x.session_id = q.session AND x.created_at >= q.start AND x.created_at < q.start + interval '15 minutes'
    AND x.reason <> 'review' AND x.user_id = s.user_id  -- once, whomever else it binds
) o
LEFT JOIN LATERAL (
  SELECT jsonb_object_agg(why, n) AS reasons FROM (
    SELECT split_part(m.reason, ':', 1) AS why, count(*) AS n
    FROM whatsappapi_attempt a CROSS JOIN LATERAL (
      SELECT x.reason FROM whatsappapi_message x
      WHERE x.id = a.message_id AND x.attempt = a.id AND x.state = 'failed' AND x.kind <> 'probe' OFFSET 0) m
    WHERE a.session_id = q.session AND a.started_at >= q.start AND a.started_at < q.start + interval '15 minutes'
    GROUP BY 1) f
) r ON a.failed > 0
ORDER BY 1, 2
"""

# What was counted later stands. A mark that came meanwhile keeps its quarter due.
_TAKEN = ", ".join(f"{name} = (u.counts::int[])[{i}]" for i, name in enumerate(COUNTS, 1))
STORE = f"""
WITH u AS (
  SELECT * FROM unnest(%(session)s::bigint[], %(start)s::timestamptz[], %(next)s::timestamptz[], %(counts)s::text[],
    %(times)s::text[], %(reasons)s::text[]) AS u(session, start, next, counts, times, reasons)
), q AS MATERIALIZED (
  SELECT q.id, u.* FROM whatsappapi_sessionquarter q JOIN u ON u.session = q.session_id AND u.start = q.start
  WHERE q.counted_at IS NULL OR q.counted_at < %(at)s
  ORDER BY q.session_id, q.start FOR NO KEY UPDATE OF q
)
UPDATE whatsappapi_sessionquarter t SET {_TAKEN}, times = u.times::int[], reasons = u.reasons::jsonb,
  counted_at = %(at)s, due_at = CASE WHEN t.due_at = %(lease)s THEN u.next ELSE t.due_at END
FROM q AS u WHERE t.id = u.id
"""

_SUMS = ", ".join(f"coalesce(sum(q.{name}), 0)::int AS {name}" for name in COUNTS)


def _array(column: str, length: int, when: str) -> str:
    items = ", ".join(f"coalesce(sum(q.{column}[{i}]), 0)::int" for i in range(1, length + 1))
    return f"CASE WHEN sum({when}) > 0 THEN ARRAY[{items}] ELSE '{{}}'::int[] END"


def _by_hour(what: str) -> str:
    items = ", ".join(f"coalesce(sum(q.{what}) FILTER (WHERE h.hour = {i}), 0)::int" for i in range(24))
    return f"CASE WHEN sum(q.{what}) > 0 THEN ARRAY[{items}] ELSE '{{}}'::int[] END"


def _reasons(table: str, where: str) -> str:
    return f"""CASE WHEN c.failed > 0 THEN coalesce((SELECT jsonb_object_agg(k, n) FROM (
    SELECT e.key AS k, sum(e.value::int) AS n FROM {table} q, jsonb_each_text(q.reasons) e
    WHERE q.failed > 0 AND {where} GROUP BY 1) w), '{{}}') ELSE '{{}}' END"""


_OF_QUARTERS = _reasons(
    "whatsappapi_sessionquarter", "q.session_id = d.session AND q.start >= d.low AND q.start < d.high"
)
_OF_MONTHS = _reasons(
    "whatsappapi_sessionday",
    "q.session_id = d.session AND q.date >= d.date AND q.date < d.date + interval '1 month'",
)
_OF_DAYS = _reasons("whatsappapi_sessionday", "q.user_id = d.user_id AND q.date = d.date")
_COUNTED = ", ".join(f"c.{name}" for name in COUNTS)
_MADE = (*COUNTS, "times", "hours", "hours_read", "reasons", "up", "known")
_COLUMNS = ", ".join(_MADE)
_TAKE = ", ".join(f"{name} = excluded.{name}" for name in _MADE)
_REST = ("up", "known", "allowed", "at_limit")
_OF_A_DAY = f"""{_SUMS}, {_array("times", BUCKETS, "q.delivered")} AS times, {_array("hours", 24, "q.sent")} AS hours,
    {_array("hours_read", 24, "q.read")} AS hours_read,
    {", ".join(f"coalesce(sum(q.{name}), 0)::int AS {name}" for name in _REST)}"""

# The status of a session over a day: what it was when the day began, and each change in it. Where no history was kept,
# its row knows since when it is as it is.
DAYS = f"""
WITH d AS (
  SELECT * FROM unnest(%(session)s::bigint[], %(date)s::date[], %(zone)s::text[], %(low)s::timestamptz[],
    %(high)s::timestamptz[]) AS d(session, date, zone, low, high)
)
INSERT INTO whatsappapi_sessionday AS t (session_id, user_id, date, {_COLUMNS}, allowed, at_limit)
SELECT d.session, s.user_id, d.date, {_COUNTED}, c.times, c.hours, c.hours_read,
  {_OF_QUARTERS},
  coalesce(e.up, 0), coalesce(e.known, 0),
  z.allowed, (z.allowed > 0 AND c.sent >= z.allowed)::int
FROM d JOIN whatsappapi_wasendersession s ON s.id = d.session
LEFT JOIN accounts_subscription b ON b.user_id = s.user_id LEFT JOIN accounts_plan p ON p.id = b.plan_id
CROSS JOIN LATERAL (
  SELECT {_SUMS}, {_array("times", BUCKETS, "q.delivered")} AS times, {_by_hour("sent")} AS hours,
    {_by_hour("read")} AS hours_read
  FROM whatsappapi_sessionquarter q
  CROSS JOIN LATERAL (SELECT extract(hour FROM q.start AT TIME ZONE d.zone)::int AS hour) h
  WHERE q.session_id = d.session AND q.start >= d.low AND q.start < d.high
) c
CROSS JOIN LATERAL (SELECT least(d.high, now(), s.deleted_at) AS until,
  CASE WHEN now() >= d.low AND now() < d.high THEN coalesce(least(s.daily_limit, p.daily_limit), 0)
    ELSE 0 END AS allowed
) z
CROSS JOIN LATERAL (
  SELECT sum(extract(epoch FROM y.next - y.at)) FILTER (WHERE y.status = 'connected')::int AS up,
    sum(extract(epoch FROM y.next - y.at))::int AS known
  FROM (
    SELECT x.status, greatest(x.at, d.low) AS at, lead(x.at, 1, z.until) OVER (ORDER BY x.at, x.id) AS next
    FROM (
      (SELECT v.id, v.at, v.status FROM whatsappapi_sessionevent v
       WHERE v.session_id = d.session AND v.kind = 'status' AND v.at <= d.low ORDER BY v.at DESC LIMIT 1)
      UNION ALL
      SELECT v.id, v.at, v.status FROM whatsappapi_sessionevent v
      WHERE v.session_id = d.session AND v.kind = 'status' AND v.at > d.low AND v.at < z.until
      UNION ALL
      SELECT 0, s.status_since, s.status WHERE s.status_since < z.until AND s.deleted_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM whatsappapi_sessionevent v WHERE v.session_id = d.session AND v.kind = 'status')
    ) x
  ) y WHERE y.next > y.at
) e
ORDER BY d.session, d.date
ON CONFLICT (session_id, date) DO UPDATE SET {_TAKE}, allowed = coalesce(nullif(excluded.allowed, 0), t.allowed),
  at_limit = (coalesce(nullif(excluded.allowed, 0), t.allowed) > 0
    AND excluded.sent >= coalesce(nullif(excluded.allowed, 0), t.allowed))::int
"""

MONTHS = f"""
WITH d AS (
  SELECT DISTINCT d.session, date_trunc('month', d.date)::date AS date
  FROM unnest(%(session)s::bigint[], %(date)s::date[]) AS d(session, date)
)
INSERT INTO whatsappapi_sessionmonth (session_id, user_id, date, {_COLUMNS}, allowed, at_limit)
SELECT d.session, s.user_id, d.date, {_COUNTED}, c.times, c.hours, c.hours_read,
  {_OF_MONTHS},
  c.up, c.known, c.allowed, c.at_limit
FROM d JOIN whatsappapi_wasendersession s ON s.id = d.session CROSS JOIN LATERAL (
  SELECT {_OF_A_DAY} FROM whatsappapi_sessionday q
  WHERE q.session_id = d.session AND q.date >= d.date AND q.date < d.date + interval '1 month'
) c
ORDER BY 1, 3
ON CONFLICT (session_id, date) DO UPDATE SET {_TAKE}, allowed = excluded.allowed, at_limit = excluded.at_limit
"""

OWNER_DAYS = f"""
WITH d AS (
  SELECT DISTINCT s.user_id, d.date FROM unnest(%(session)s::bigint[], %(date)s::date[]) AS d(session, date)
  JOIN whatsappapi_wasendersession s ON s.id = d.session
)
INSERT INTO whatsappapi_ownerday (user_id, date, {_COLUMNS}, allowed, at_limit)
SELECT d.user_id, d.date, {_COUNTED}, c.times, c.hours, c.hours_read,
  {_OF_DAYS},
  c.up, c.known, c.allowed, c.at_limit
FROM d CROSS JOIN LATERAL (
  SELECT {_OF_A_DAY} FROM whatsappapi_sessionday q WHERE q.user_id = d.user_id AND q.date = d.date
) c
ORDER BY 1, 2
ON CONFLICT (user_id, date) DO UPDATE SET {_TAKE}, allowed = excluded.allowed, at_limit = excluded.at_limit
"""
