"""The statements that merge reports, apply findings, and end rows by a person's word."""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.words import word

MATCH = """
SELECT u.idx, a.id, a.message_id, a.started_at
FROM unnest(%(idx)s::int[], %(session)s::bigint[], %(msg_id)s::bigint[]) AS u(idx, s, m)
JOIN whatsappapi_attempt a ON a.session_id = u.s AND a.msg_id = u.m
UNION ALL
SELECT u.idx, a.id, a.message_id, a.started_at
FROM unnest(%(k_idx)s::int[], %(k_session)s::bigint[], %(key_id)s::text[]) AS u(idx, s, k)
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
  ORDER BY m.id FOR NO KEY UPDATE OF m
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
  SELECT a.id, a.message_id, min(u.msg_id) AS msg_id FROM u JOIN whatsappapi_attempt a
    ON a.session_id = u.session AND a.phone = u.phone AND a.body_hash = u.hash AND a.resolved_at IS NULL
    AND a.outcome = 'unknown' AND a.started_at <= u.at + interval '5 seconds'
  WHERE NOT EXISTS (SELECT 1 FROM whatsappapi_attempt x WHERE x.session_id = u.session AND x.msg_id = u.msg_id)
    -- One that was given up on could own it as well.
    AND NOT EXISTS (
      SELECT 1 FROM whatsappapi_attempt y
      WHERE y.session_id = u.session AND y.started_at > a.started_at - interval '3 days' AND y.id <> a.id
        AND y.phone = a.phone AND y.body_hash = a.body_hash AND y.msg_id IS NULL AND y.outcome = 'unknown')
  GROUP BY a.id, a.message_id HAVING count(DISTINCT u.msg_id) = 1
), m AS MATERIALIZED (
  SELECT m.id, a.id AS attempt, a.msg_id, {word("m")} AS old FROM whatsappapi_message m
  JOIN a ON a.message_id = m.id AND m.attempt = a.id
  WHERE m.state IN ('unknown', 'uncertain') ORDER BY m.id FOR NO KEY UPDATE OF m
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
  ORDER BY m.id FOR NO KEY UPDATE
), moved AS (
  UPDATE whatsappapi_message t SET state = 'skipped', reason = %(reason)s, retry_at = NULL
  FROM m WHERE t.id = m.id AND t.state = 'queued'
  RETURNING t.campaign_id, t.session_id, {word("t")} AS new
)
SELECT campaign_id, session_id, 'queued', new, count(*) FROM moved GROUP BY 1, 2, 4
"""

RESOLVE = f"""
WITH o AS (
  SELECT * FROM unnest(%(attempt)s::uuid[], %(message)s::bigint[], %(state)s::text[], %(reason)s::text[],
                       %(msg_id)s::bigint[], %(rank)s::int[]) AS o(attempt, message, state, reason, msg_id, rank)
), m AS MATERIALIZED (
  SELECT m.id, {word("m")} AS old FROM whatsappapi_message m JOIN o ON o.message = m.id AND o.attempt = m.attempt
  WHERE m.state = 'unknown' ORDER BY m.id FOR NO KEY UPDATE OF m
), moved AS (
  UPDATE whatsappapi_message t SET state = o.state, reason = o.reason, rank = greatest(t.rank, o.rank),
    retry_at = CASE WHEN o.state = 'queued' THEN clock_timestamp() END,
    attempt = CASE WHEN o.state = 'queued' THEN NULL ELSE t.attempt END
  FROM m JOIN o ON o.message = m.id WHERE t.id = m.id
  RETURNING t.id, t.campaign_id, t.session_id, m.old, {word("t")} AS new, o.attempt
), fin AS (
  UPDATE whatsappapi_attempt a SET resolved_at = clock_timestamp(), msg_id = coalesce(a.msg_id, o.msg_id),
    outcome = CASE o.state WHEN 'queued' THEN 'not_sent' WHEN 'uncertain' THEN 'unknown' WHEN 'failed' THEN 'rejected'
                           ELSE 'accepted' END,
    detail = a.detail || ' ' || o.reason
  FROM moved JOIN o ON o.attempt = moved.attempt WHERE a.id = o.attempt
  RETURNING a.session_id, a.usage_date, o.state
), s AS MATERIALIZED (
  SELECT s.id FROM whatsappapi_wasendersession s WHERE s.id IN (SELECT session_id FROM fin WHERE state = 'queued')
  ORDER BY s.id FOR NO KEY UPDATE
), refund AS (
  UPDATE whatsappapi_wasendersession t SET messages_sent_today = greatest(0, t.messages_sent_today - f.n)
  FROM s JOIN (SELECT session_id, usage_date, count(*) AS n FROM fin WHERE state = 'queued' GROUP BY 1, 2) f
    ON f.session_id = s.id
  WHERE t.id = s.id AND t.usage_date = f.usage_date
)
SELECT campaign_id, session_id, old, new, count(*) FROM moved WHERE campaign_id IS NOT NULL GROUP BY 1, 2, 3, 4
"""

# A log is read when an attempt has settled since the last look, else after half as long again as it has been waited.
TO_LOOK_UP = """
SELECT x.session_id FROM (
  SELECT a.session_id, max(a.lease_until + make_interval(secs =>
      CASE WHEN g.is_sandbox THEN %(settle)s ELSE %(floor)s END)) AS ready
  FROM whatsappapi_attempt a JOIN whatsappapi_wasendersession s ON s.id = a.session_id
  JOIN whatsappapi_gatewayaccount g ON g.id = s.account_id
  WHERE a.outcome = 'unknown' AND a.resolved_at IS NULL
    AND a.lease_until < clock_timestamp() - make_interval(secs =>
      CASE WHEN g.is_sandbox THEN %(settle)s ELSE %(floor)s END)
  GROUP BY 1
) x LEFT JOIN whatsappapi_callbudget b ON b.key = 'log:' || x.session_id
WHERE b.key IS NULL OR x.ready > b.next_at
  OR clock_timestamp() >= b.next_at
    + least(interval '10 minutes', greatest(interval '1 second', (b.next_at - x.ready) / 2))
ORDER BY 1
"""

LOOKED = """
INSERT INTO whatsappapi_callbudget (key, next_at) VALUES (%s, clock_timestamp())
ON CONFLICT (key) DO UPDATE SET next_at = excluded.next_at
"""

# Accepted in the time that was read, long enough ago to be in the log, and not in it.
HOLES = """
SELECT EXISTS (
  SELECT 1 FROM whatsappapi_attempt a
  WHERE a.session_id = %(session)s AND a.started_at >= %(since)s AND a.started_at <= %(by)s
    AND a.outcome = 'accepted' AND a.msg_id IS NOT NULL AND a.finished_at <= %(by)s
    AND a.msg_id <> ALL(%(known)s::bigint[]))
"""

OPEN = """
SELECT coalesce(sum(n), 0) FROM whatsappapi_campaigncount
WHERE campaign_id = %s AND state IN ('queued', 'sending', 'unknown')
"""

# The claim resets a session's day itself; this is for the pages, and keeps the same rules: a date never goes back and
# opens at most once in 20 hours.
RESET = """
WITH s AS MATERIALIZED (
  SELECT s.id, (now() AT TIME ZONE u.time_zone)::date AS today FROM whatsappapi_wasendersession s
  JOIN accounts_user u ON u.id = s.user_id
  WHERE s.usage_date < (now() AT TIME ZONE u.time_zone)::date AND s.usage_opened_at <= now() - interval '20 hours'
  ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE whatsappapi_wasendersession t SET messages_sent_today = 0, usage_date = s.today, usage_opened_at = now()
FROM s WHERE t.id = s.id AND t.usage_date < s.today
"""

CANCEL = """
WITH m AS MATERIALIZED (
  SELECT m.id FROM whatsappapi_message m WHERE m.campaign_id = %(campaign)s AND m.id > %(after)s AND m.state = 'queued'
  ORDER BY m.id LIMIT 10000 FOR NO KEY UPDATE
), moved AS (
  UPDATE whatsappapi_message t SET state = 'cancelled', retry_at = NULL, reason = 'The campaign was cancelled'
  FROM m WHERE t.id = m.id RETURNING t.id, t.session_id
)
SELECT max(id), %(campaign)s, session_id, 'queued', 'cancelled', count(*) FROM moved GROUP BY session_id
"""

# Counters against rows, in one snapshot.
DRIFT = f"""
SELECT coalesce(c.session_id, m.session_id), coalesce(c.state, m.word), coalesce(c.n, 0), coalesce(m.n, 0)
FROM (SELECT session_id, state, n FROM whatsappapi_campaigncount WHERE campaign_id = %(campaign)s AND n <> 0) c
FULL JOIN (SELECT session_id, {word("m")} AS word, count(*) AS n FROM whatsappapi_message m
           WHERE campaign_id = %(campaign)s GROUP BY 1, 2) m
  ON m.session_id IS NOT DISTINCT FROM c.session_id AND m.word = c.state
WHERE c.n IS DISTINCT FROM m.n
"""

# A failure that the gateway itself confirmed; delivered and read win over it.
FAIL = f"""
WITH m AS MATERIALIZED (
  SELECT m.id, {word("m")} AS old FROM whatsappapi_attempt a JOIN whatsappapi_message m ON m.attempt = a.id
  WHERE a.session_id = %(session)s AND a.msg_id = %(msg_id)s AND m.state = 'accepted' AND m.rank < 3
  FOR NO KEY UPDATE OF m
), moved AS (
  UPDATE whatsappapi_message t SET state = 'failed', reason = %(reason)s FROM m WHERE t.id = m.id
  RETURNING t.campaign_id, t.session_id, m.old, {word("t")} AS new
)
SELECT campaign_id, session_id, old, new, count(*) FROM moved WHERE campaign_id IS NOT NULL GROUP BY 1, 2, 3, 4
"""
