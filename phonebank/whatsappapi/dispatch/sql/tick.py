"""The statements of the tick.

Times are the database's clock. Lock order: messages, attempts, sessions (each by id), lanes, then counts in key order.
Rows are locked FOR NO KEY UPDATE: a plain FOR UPDATE waits for, and deadlocks with, the foreign key checks that every
insert about a session or message does at its commit (seen: 4 deadlocks in 20 s of a run with webhooks coming in).
"""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.shares import may_send, own_or_lent
from phonebank.whatsappapi.dispatch.sql.words import word

# Whether campaign `c` may send at this moment. Its present window is kept up to date by the chores (tend.open_windows):
# where they are late, it stays closed.
OPEN_NOW = "(c.windows IS NULL OR clock_timestamp() >= c.open_from AND clock_timestamp() < c.open_until)"
# Whether the campaign's own pace lets lane `l` send within half a second.
IN_PACE = "(c.pace IS NULL OR l.next_at IS NULL OR l.next_at <= clock_timestamp() + interval '0.5 s')"
# Whether campaign `c` may use the session of grant `g`: its owner's, or lent to its owner.
LENT = own_or_lent("c.user_id", "g.owner", "g.session")


def _suppressed(user: str, more: str = "") -> str:
    """Whether the person of row `b` must not be written to by `user`."""
    return f"""EXISTS (SELECT 1 FROM whatsappapi_suppression x
        WHERE x.user_id = {user} AND x.phone = b.phone AND x.lifted_at IS NULL{more})"""


_SURE = " AND x.reason <> 'review'"

# Seconds between two messages of session `s` of account `g`, before the gateway's refusals double them.
BASE_GAP = """CASE WHEN g.rate_per_minute = 0 THEN 0
         WHEN s.account_protection THEN greatest(5.05, 60.0 / coalesce(g.rate_per_minute, 256))
         ELSE 60.3 / coalesce(g.rate_per_minute, 256) END"""

# --- settle -------------------------------------------------------------------------------------------------------
# Counters and refunds come from RETURNING alone, so a replay after a lost COMMIT counts nothing twice.
SETTLE = f"""
WITH o AS MATERIALIZED (
  SELECT o.*, EXISTS (
      SELECT 1 FROM whatsappapi_attempt x
      WHERE x.session_id = o.session AND x.msg_id = o.msg_id AND x.id <> o.attempt) AS clash
  FROM unnest(%(attempt)s::uuid[], %(message)s::bigint[], %(session)s::bigint[], %(outcome)s::text[], %(state)s::text[],
              %(msg_id)s::bigint[], %(http)s::int[], %(detail)s::text[], %(retry)s::float8[], %(mark)s::text[],
              %(refund)s::bool[], %(reason)s::text[])
    AS o(attempt, message, session, outcome, state, msg_id, http, detail, retry, mark, refund, reason)
), m AS MATERIALIZED (
  -- One look by id for each, locked in that order. As a join it was read whole where few rows were known as sending.
  SELECT m.id, m.old, o.* FROM (SELECT * FROM o ORDER BY message) o CROSS JOIN LATERAL (
    SELECT m.id, {word("m")} AS old FROM whatsappapi_message m
    WHERE m.id = o.message AND m.attempt = o.attempt AND m.state IN ('sending', 'unknown')
      AND NOT (m.state = 'unknown' AND (o.state = 'unknown' OR o.clash))
    FOR NO KEY UPDATE
  ) m
), moved AS (
  UPDATE whatsappapi_message t SET
    state = CASE WHEN m.clash THEN 'unknown' ELSE m.state END,
    reason = m.reason,
    -- Each further refusal waits twice as long: nothing pauses for a single message.
    retry_at = CASE WHEN m.state = 'queued' THEN clock_timestamp() + make_interval(secs =>
      m.retry * CASE WHEN m.outcome = 'not_sent' THEN power(2, least(t.tries, 8)) ELSE 1 END) END,
    attempt = CASE WHEN m.state = 'queued' THEN NULL ELSE t.attempt END,
    tries = least(t.tries + (m.outcome <> 'deferred')::int, 32000),
    tried = CASE WHEN m.mark = '' OR t.tried @> ARRAY[m.mark]::varchar[] THEN t.tried
                 ELSE array_append(t.tried, m.mark::varchar) END
  FROM m WHERE t.id = m.id AND t.attempt = m.attempt
  RETURNING t.campaign_id, t.session_id, m.old, {word("t")} AS new, m.attempt, m.outcome, m.msg_id, m.http, m.detail,
    m.refund, m.clash
), fin AS (
  UPDATE whatsappapi_attempt a SET
    finished_at = coalesce(a.finished_at, clock_timestamp()),
    resolved_at = CASE WHEN o.outcome = 'unknown' OR o.clash THEN NULL ELSE clock_timestamp() END,
    outcome = CASE WHEN o.clash THEN 'unknown' ELSE o.outcome END,
    http_status = o.http, detail = o.detail, msg_id = CASE WHEN o.clash THEN NULL ELSE o.msg_id END
  FROM moved o WHERE a.id = o.attempt
  RETURNING a.session_id, a.usage_date, a.msg_id, o.refund AND NOT o.clash AS refund, o.clash
), stale AS (
  UPDATE whatsappapi_attempt a SET
    finished_at = coalesce(a.finished_at, clock_timestamp()), msg_id = coalesce(a.msg_id, o.msg_id),
    http_status = o.http, detail = 'late: ' || o.detail
  FROM o WHERE a.id = o.attempt AND o.msg_id IS NOT NULL AND a.msg_id IS NULL AND NOT o.clash
    AND o.attempt NOT IN (SELECT attempt FROM moved)
  RETURNING a.id, a.session_id
), wake AS (
  UPDATE whatsappapi_webhookevent e SET due_at = clock_timestamp()
  FROM fin WHERE e.state = 'unmatched' AND e.session_id = fin.session_id AND e.msg_id = fin.msg_id
)
SELECT
  (SELECT json_agg(c) FROM (
     SELECT campaign_id, session_id, old, new, count(*) AS n FROM moved
     WHERE campaign_id IS NOT NULL AND old <> new GROUP BY 1, 2, 3, 4) c) AS moves,
  (SELECT json_agg(r) FROM (
     SELECT session_id, usage_date, count(*) AS n FROM fin WHERE refund GROUP BY 1, 2) r) AS refunds,
  (SELECT json_agg(x) FROM (
     SELECT session_id, 'collision' AS what FROM fin WHERE clash
     UNION ALL SELECT session_id, 'late' FROM stale) x) AS alerts
"""

# --- grant --------------------------------------------------------------------------------------------------------
# One row per session that wants to send or whose state the last outcomes changed. The lazy day change, the refund and
# the grant are one update: the count can neither be lost nor overrun.
GRANT = """
WITH w AS (
  SELECT * FROM unnest(%(session)s::bigint[], %(want)s::int[], %(paused)s::float8[], %(strike)s::int[],
                       %(rejected)s::int[], %(lost)s::int[]) AS w(id, want, paused, strike, rejected, lost)
), r AS (
  SELECT * FROM unnest(%(r_session)s::bigint[], %(r_date)s::date[], %(r_n)s::int[]) AS r(id, date, n)
), h AS (
  SELECT h.shard FROM unnest(%(shard)s::int[], %(job)s::bigint[]) AS h(shard, job)
  JOIN procrastinate_jobs j ON j.id = h.job AND j.status = 'doing'
), s AS MATERIALIZED (
  SELECT s.*, w.want, w.paused, w.rejected, w.lost,
    -- Refusals of requests that were under way when the first one came are the same refusal.
    CASE WHEN w.strike > 0 AND s.paused_until > clock_timestamp() THEN 0 ELSE w.strike END AS strike,
    (clock_timestamp() AT TIME ZONE u.time_zone)::date AS today, u.time_zone,
    CASE WHEN p.daily_limit IS NULL THEN s.daily_limit ELSE least(s.daily_limit, p.daily_limit) END AS cap,
    @base_gap AS base_gap,
    (SELECT coalesce(sum(r.n), 0) FROM r WHERE r.id = s.id AND r.date = s.usage_date) AS refund,
    u.is_active AND s.is_active AND NOT s.is_surplus AND s.deleted_at IS NULL AND s.status = 'connected'
      AND s.rejected_key_version <> s.key_version AND s.api_key <> '' AND w.lost = 0 AND w.rejected = 0
      AND w.paused <= 0 AND (s.paused_until IS NULL OR s.paused_until <= clock_timestamp())
      AND s.id %% %(shards)s IN (SELECT shard FROM h)
      AND NOT EXISTS (SELECT 1 FROM whatsappapi_installation i WHERE i.is_stopped OR i.held_at IS NOT NULL) AS ready
  FROM whatsappapi_wasendersession s
  JOIN w ON w.id = s.id
  JOIN accounts_user u ON u.id = s.user_id
  JOIN accounts_subscription b ON b.user_id = s.user_id
  JOIN accounts_plan p ON p.id = b.plan_id
  JOIN whatsappapi_gatewayaccount g ON g.id = s.account_id
  ORDER BY s.id FOR NO KEY UPDATE OF s
), d AS (
  SELECT s.*, base_gap * power(2, least(greatest(strikes + strike, 0), 6)) AS gap,
    coalesce(usage_date < today AND usage_opened_at <= clock_timestamp() - interval '20 hours', true) AS new_day
  FROM s
), u AS (
  SELECT d.*,
    CASE WHEN new_day THEN 0 ELSE greatest(messages_sent_today - refund, 0) END AS used,
    greatest(next_send_at, clock_timestamp()
      - make_interval(secs => CASE WHEN account_protection THEN 0 ELSE least(gap, 1) END)) AS first
  FROM d
), g AS (
  SELECT u.*, CASE WHEN NOT ready THEN 0 ELSE greatest(0, least(
      want,
      coalesce(cap - used, want),
      CASE WHEN gap = 0 THEN want
           ELSE floor((extract(epoch FROM clock_timestamp() - first) + %(horizon)s) / gap) + 1 END
    )) END::int AS n
  FROM u
)
UPDATE whatsappapi_wasendersession t SET
  messages_sent_today = g.used + g.n,
  usage_date = CASE WHEN g.new_day THEN g.today ELSE t.usage_date END,
  -- The very first day counts from its midnight: else a number first used at noon would get its second day at 8 a.m.
  usage_opened_at = CASE WHEN t.usage_date IS NULL THEN g.today::timestamp AT TIME ZONE g.time_zone
    WHEN g.new_day THEN clock_timestamp() ELSE t.usage_opened_at END,
  next_send_at = CASE WHEN g.n > 0 THEN g.first + make_interval(secs => g.n * g.gap) ELSE t.next_send_at END,
  last_used_at = CASE WHEN g.n > 0 THEN clock_timestamp() ELSE t.last_used_at END,
  paused_until = CASE WHEN g.paused > 0
    THEN greatest(t.paused_until, clock_timestamp() + make_interval(secs =>
      CASE WHEN g.strike > 0 AND t.strikes + g.strike >= %(strikes)s THEN greatest(g.paused, %(rest)s)
           ELSE g.paused END)) ELSE t.paused_until END,
  strikes = greatest(0, t.strikes + g.strike),
  rejected_key_version = greatest(t.rejected_key_version, g.rejected),
  status = CASE WHEN g.lost > 0 AND g.lost - 1 = t.connection_version AND t.status = 'connected'
    THEN 'disconnected' ELSE t.status END,
  status_since = CASE WHEN g.lost > 0 AND g.lost - 1 = t.connection_version AND t.status = 'connected'
    THEN clock_timestamp() ELSE t.status_since END,
  status_reason = CASE WHEN g.lost > 0 AND g.lost - 1 = t.connection_version AND t.status = 'connected'
    THEN 'The gateway said that this number is not connected.'
    WHEN g.rejected > 0 THEN 'The gateway refused this session''s key.' ELSE t.status_reason END,
  -- A look at the gateway is due at once: what it refused may be back in a moment.
  updated_at = CASE WHEN g.lost > 0 THEN t.updated_at - interval '1 day' ELSE t.updated_at END
FROM g WHERE t.id = g.id
RETURNING t.id, g.n, g.gap, extract(epoch FROM g.first - clock_timestamp())::float8 AS first,
  extract(epoch FROM t.next_send_at - clock_timestamp())::float8 AS next, t.usage_date, t.key_version,
  t.connection_version, t.strikes, g.ready,
  CASE WHEN g.cap IS NULL THEN NULL ELSE g.cap - g.used - g.n END AS room, t.user_id
""".replace("@base_gap", BASE_GAP)

# --- claim --------------------------------------------------------------------------------------------------------
# First what waits for its time (singles before campaigns), then the lane served longest ago, by range: no dead index
# entries to walk over. A lane's cursor is moved to the last row *seen*, whatever its state.
CANDIDATES = f"""
WITH g AS (
  -- Counted here, after the session was locked: a worker that held it a moment ago may have requests open.
  SELECT g.session, greatest(0, least(g.n, %(in_flight)s - (
    SELECT count(*) FROM whatsappapi_attempt a WHERE a.session_id = g.session AND a.finished_at IS NULL))) AS n,
    g.ahead, g.mark, g.owner
  FROM unnest(%(session)s::bigint[], %(n)s::int[], %(ahead)s::int[], %(mark)s::text[], %(owner)s::bigint[])
    AS g(session, n, ahead, mark, owner)
), single AS MATERIALIZED (
  SELECT g.session AS gs, m.* FROM g CROSS JOIN LATERAL (
    SELECT m.* FROM whatsappapi_message m
    WHERE m.session_id = g.session AND m.campaign_id IS NULL AND m.retry_at <= clock_timestamp() AND m.state = 'queued'
    ORDER BY m.retry_at LIMIT g.n + g.ahead FOR NO KEY UPDATE SKIP LOCKED
  ) m
), retry AS MATERIALIZED (
  SELECT g.session AS gs, m.* FROM (
    SELECT g.session, g.owner, g.n + g.ahead - (SELECT count(*) FROM single WHERE single.gs = g.session) AS left_n
    FROM g
  ) g CROSS JOIN LATERAL (
    SELECT m.* FROM whatsappapi_message m
    WHERE m.session_id = g.session AND m.campaign_id IS NOT NULL AND m.retry_at <= clock_timestamp()
      AND m.state = 'queued' AND EXISTS (
        SELECT 1 FROM whatsappapi_campaign c JOIN whatsappapi_campaignsession l ON l.campaign_id = c.id
        WHERE c.id = m.campaign_id AND c.state = 'running' AND l.session_id = m.session_id AND l.is_active
          AND {OPEN_NOW} AND {LENT})
    ORDER BY m.retry_at LIMIT g.left_n FOR NO KEY UPDATE SKIP LOCKED
  ) m
), lane AS MATERIALIZED (
  SELECT l.id, l.campaign_id, l.session_id, l.cursor, l.tail,
    CASE WHEN l.pace IS NULL THEN g.left_n ELSE least(g.left_n, floor(l.pace / 60.0 * (0.5 + extract(epoch FROM
      clock_timestamp() - greatest(l.next_at, clock_timestamp() - interval '1 s')))) + 1) END::int AS left_n
  FROM (
    SELECT g.session, g.owner, g.n + g.ahead - (SELECT count(*) FROM single WHERE single.gs = g.session)
      - (SELECT count(*) FROM retry WHERE retry.gs = g.session) AS left_n FROM g
  ) g CROSS JOIN LATERAL (
    SELECT l.id, l.campaign_id, l.session_id, l.cursor, l.tail, l.next_at, c.pace FROM whatsappapi_campaignsession l
    JOIN whatsappapi_campaign c ON c.id = l.campaign_id
    WHERE l.session_id = g.session AND l.is_active AND l.cursor < l.tail AND c.state = 'running'
      AND {OPEN_NOW} AND {IN_PACE} AND {LENT}
    ORDER BY l.served_at NULLS FIRST, l.id LIMIT 1 FOR NO KEY UPDATE OF l
  ) l WHERE g.left_n > 0
), fresh AS MATERIALIZED (
  SELECT lane.id AS lane, m.* FROM lane CROSS JOIN LATERAL (
    SELECT m.* FROM whatsappapi_message m
    WHERE m.campaign_id = lane.campaign_id AND m.session_id = lane.session_id AND m.position > lane.cursor
    ORDER BY m.position LIMIT lane.left_n FOR NO KEY UPDATE
  ) m
), both_ AS (
  SELECT NULL::bigint AS lane, id, campaign_id, session_id, user_id, contact_id, phone, kind, state, position, tried,
    body, media, variables, time_zone FROM (TABLE single UNION ALL TABLE retry) x
  UNION ALL
  SELECT lane, id, campaign_id, session_id, user_id, contact_id, phone, kind, state, position, tried,
    body, media, variables, time_zone FROM fresh
), judged AS (
  SELECT b.*, g.n, c.quiet_start, c.quiet_end,
    b.kind = ANY(%(cap)s) AND (c.cap_day IS NOT NULL OR c.cap_month IS NOT NULL) AS capped,
    clock_timestamp() AT TIME ZONE coalesce(nullif(b.time_zone, ''), u.time_zone) AS local,
    CASE
      WHEN b.state <> 'queued' THEN 'pass'
      WHEN NOT {own_or_lent("b.user_id", "g.owner", "b.session_id")} THEN 'unshared'
      WHEN b.kind = ANY(%(suppression)s) AND {_suppressed("b.user_id", _SURE)} THEN 'opted_out'
      WHEN b.kind = ANY(%(suppression)s) AND b.user_id <> g.owner AND {_suppressed("g.owner", _SURE)} THEN 'opted_out'
      WHEN b.kind = ANY(%(suppression)s) AND {_suppressed("b.user_id")} THEN 'review'
      WHEN b.kind = ANY(%(suppression)s) AND b.user_id <> g.owner AND {_suppressed("g.owner")} THEN 'review'
      WHEN b.kind = ANY(%(consent)s) AND coalesce(k.consent, '') <> 'granted' THEN 'no_consent'
      WHEN b.kind = ANY(%(own)s) AND NOT EXISTS (
        SELECT 1 FROM whatsappapi_wasendersession x
        WHERE (x.user_id = b.user_id OR {may_send("b.user_id", "x.id")}) AND x.linked_number = b.phone
          AND x.deleted_at IS NULL)
        THEN 'not_own'
      -- What people write to a lent session is its owner's.
      WHEN b.kind = ANY(%(answer)s) AND NOT EXISTS (
        SELECT 1 FROM whatsappapi_inboundmessage x WHERE x.user_id = g.owner AND x.phone = b.phone
          AND (b.user_id = g.owner OR x.session_id = b.session_id)) THEN 'unasked'
      WHEN c.expires_at <= clock_timestamp() THEN 'expired'
      WHEN EXISTS (SELECT 1 FROM whatsappapi_attempt a
        WHERE a.session_id = b.session_id AND a.phone = b.phone AND a.resolved_at IS NULL) THEN 'busy'
      WHEN b.tried @> ARRAY[g.mark]::varchar[] THEN 'refused'
      WHEN b.kind = ANY(%(cap)s) AND (
        (c.cap_day IS NOT NULL AND c.cap_day <= (
          SELECT count(*) FROM whatsappapi_message y JOIN whatsappapi_attempt a ON a.id = y.attempt
          WHERE y.user_id = b.user_id AND y.phone = b.phone AND y.id <> b.id AND y.kind = ANY(%(counted)s)
            AND a.started_at > clock_timestamp() - interval '1 day'))
        OR (c.cap_month IS NOT NULL AND c.cap_month <= (
          SELECT count(*) FROM whatsappapi_message y JOIN whatsappapi_attempt a ON a.id = y.attempt
          WHERE y.user_id = b.user_id AND y.phone = b.phone AND y.id <> b.id AND y.kind = ANY(%(counted)s)
            AND a.started_at > clock_timestamp() - interval '30 days'))) THEN 'cap'
      ELSE 'send' END AS verdict
  FROM both_ b JOIN g ON g.session = b.session_id
  JOIN accounts_user u ON u.id = b.user_id
  LEFT JOIN whatsappapi_campaign c ON c.id = b.campaign_id
  LEFT JOIN whatsappapi_contact k ON k.id = b.contact_id
), timed AS (
  SELECT j.*, CASE WHEN j.verdict = 'send' AND j.kind = ANY(%(window)s) AND j.quiet_start IS NOT NULL AND (
      CASE WHEN j.quiet_start > j.quiet_end THEN j.local::time >= j.quiet_start OR j.local::time < j.quiet_end
           ELSE j.local::time >= j.quiet_start AND j.local::time < j.quiet_end END)
    THEN extract(epoch FROM (j.local::date + j.quiet_end
      + CASE WHEN j.local::time < j.quiet_end THEN interval '0' ELSE interval '1 day' END) - j.local) END AS quiet
  FROM judged j
)
SELECT lane, id, campaign_id, session_id, user_id, phone, kind, position, body, variables,
  CASE WHEN quiet IS NOT NULL THEN 'quiet' ELSE verdict END AS verdict, quiet::float8 AS quiet, n, capped,
  -- Two workers must not both find one person below the cap: the claim counts again, under this lock.
  CASE WHEN capped AND verdict = 'send' THEN pg_advisory_xact_lock(person)::text END, media
FROM (
  SELECT *, hashtextextended(user_id || ':' || phone, 0) AS person FROM timed ORDER BY person
) t
UNION ALL
SELECT id, NULL, campaign_id, session_id, NULL, NULL, NULL, cursor, NULL, NULL, 'lane', NULL, NULL, NULL, NULL, NULL
FROM lane
ORDER BY 4, 1 NULLS FIRST, 8 NULLS FIRST
"""

# Attempts first, then the rows they belong to. A person who meanwhile has another open attempt at this session is
# held back for a moment instead (one open attempt per session and person).
CLAIM = """
WITH o AS (
  SELECT * FROM unnest(%(message)s::bigint[], %(attempt)s::uuid[], %(session)s::bigint[], %(phone)s::text[],
    %(key_version)s::int[], %(connection)s::int[], %(usage_date)s::date[], %(hash)s::bytea[], %(capped)s::bool[])
    AS o(message, attempt, session, phone, key_version, connection, usage_date, hash, capped)
), a AS (
  INSERT INTO whatsappapi_attempt (id, message_id, session_id, phone, worker, key_version, connection_version,
    usage_date, body_hash, started_at, lease_until)
  SELECT attempt, message, session, phone, %(worker)s, key_version, connection, usage_date, hash,
    clock_timestamp(), clock_timestamp() + make_interval(secs => %(lease)s)
  FROM o WHERE NOT o.capped OR NOT EXISTS (
    SELECT 1 FROM whatsappapi_message b JOIN whatsappapi_campaign c ON c.id = b.campaign_id
    CROSS JOIN LATERAL (
      SELECT count(*) FILTER (WHERE a.started_at > clock_timestamp() - interval '1 day') AS today, count(*) AS lately
      FROM whatsappapi_message y JOIN whatsappapi_attempt a ON a.id = y.attempt
      WHERE y.user_id = b.user_id AND y.phone = b.phone AND y.id <> b.id AND y.kind = ANY(%(counted)s)
        AND a.started_at > clock_timestamp() - interval '30 days') n
    WHERE b.id = o.message AND (c.cap_day <= n.today OR c.cap_month <= n.lately))
  ORDER BY session, phone
  ON CONFLICT DO NOTHING
  RETURNING id, message_id
), m AS (
  UPDATE whatsappapi_message t SET state = 'sending', attempt = a.id, retry_at = NULL, reason = ''
  FROM a WHERE t.id = a.message_id
  RETURNING t.campaign_id, t.session_id, t.id
), held AS (
  UPDATE whatsappapi_message t SET retry_at = clock_timestamp() + make_interval(secs => h.secs), reason = h.reason
  FROM (
    SELECT message, 3::float8 AS secs, 'Waits for an open message to this person' AS reason
      FROM o WHERE message NOT IN (SELECT message_id FROM a)
    UNION ALL
    SELECT * FROM unnest(%(held)s::bigint[], %(held_secs)s::float8[], %(held_reason)s::text[])
  ) h WHERE t.id = h.message
  RETURNING t.id
), ended AS (
  UPDATE whatsappapi_message t SET state = e.state, reason = e.reason, retry_at = NULL
  FROM unnest(%(ended)s::bigint[], %(ended_state)s::text[], %(ended_reason)s::text[]) AS e(message, state, reason)
  WHERE t.id = e.message AND t.state = 'queued'
  RETURNING t.campaign_id, t.session_id, t.state
), l AS (
  UPDATE whatsappapi_campaignsession t SET cursor = l.cursor, served_at = clock_timestamp(),
    next_at = CASE WHEN c.pace IS NOT NULL THEN greatest(t.next_at, clock_timestamp() - interval '1 s')
      + make_interval(secs => l.sent * 60.0 / c.pace) END
  FROM unnest(%(lane)s::bigint[], %(cursor)s::bigint[], %(sent)s::int[]) AS l(id, cursor, sent), whatsappapi_campaign c
  WHERE t.id = l.id AND c.id = t.campaign_id
  RETURNING t.id
)
SELECT
  (SELECT coalesce(array_agg(id), '{}') FROM a) AS claimed,
  (SELECT json_agg(c) FROM (
     SELECT campaign_id, session_id, 'queued' AS old, 'sending' AS new, count(*) AS n FROM m
     WHERE campaign_id IS NOT NULL GROUP BY 1, 2
     UNION ALL
     SELECT campaign_id, session_id, 'queued', state, count(*) FROM ended
     WHERE campaign_id IS NOT NULL GROUP BY 1, 2, 4) c) AS moves
"""

# Quota that found no row goes back; lanes that turned out empty are closed by a fresh look under their lock; then the
# counters, last and in key order.
FINISH = """
WITH back AS (
  UPDATE whatsappapi_wasendersession s
  SET messages_sent_today = greatest(0, messages_sent_today - b.n),
      next_send_at = next_send_at - make_interval(secs => b.n * b.gap)
  FROM unnest(%(b_session)s::bigint[], %(b_n)s::int[], %(b_date)s::date[], %(b_gap)s::float8[]) AS b(id, n, date, gap)
  WHERE s.id = b.id AND s.usage_date = b.date
), dry AS (
  UPDATE whatsappapi_campaignsession l SET cursor = l.tail
  WHERE l.id = ANY(%(dry)s::bigint[]) AND NOT EXISTS (
    SELECT 1 FROM whatsappapi_message m
    WHERE m.campaign_id = l.campaign_id AND m.session_id = l.session_id AND m.position > l.cursor)
)
INSERT INTO whatsappapi_campaigncount (campaign_id, session_id, state, n)
SELECT c, s, w, n FROM unnest(%(c)s::bigint[], %(s)s::bigint[], %(w)s::text[], %(d)s::bigint[]) AS d(c, s, w, n)
ORDER BY c, s, w
ON CONFLICT (campaign_id, session_id, state) DO UPDATE SET n = whatsappapi_campaigncount.n + excluded.n
"""

# The counters alone, for every other writer of messages.
COUNT = """
INSERT INTO whatsappapi_campaigncount (campaign_id, session_id, state, n)
SELECT c, s, w, n FROM unnest(%(c)s::bigint[], %(s)s::bigint[], %(w)s::text[], %(d)s::bigint[]) AS d(c, s, w, n)
ORDER BY c, s, w
ON CONFLICT (campaign_id, session_id, state) DO UPDATE SET n = whatsappapi_campaigncount.n + excluded.n
"""
