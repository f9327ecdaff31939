"""The statements between ticks: what there is to do, what outlived its lease, what a person should know."""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.shares import own_or_lent
from phonebank.whatsappapi.dispatch.sql.tick import IN_PACE, OPEN_NOW

_LENT = own_or_lent("c.user_id", "s.user_id", "s.id")

# --- work to be found ---------------------------------------------------------------------------------------------
WORK = f"""
SELECT s.id, extract(epoch FROM s.next_send_at - clock_timestamp())::float8 AS next
FROM whatsappapi_wasendersession s
WHERE s.id %% %(shards)s = ANY(%(held)s) AND s.deleted_at IS NULL AND s.status = 'connected' AND s.is_active
  AND NOT s.is_surplus AND s.rejected_key_version <> s.key_version
  AND (s.paused_until IS NULL OR s.paused_until <= clock_timestamp())
  AND (
    EXISTS (SELECT 1 FROM whatsappapi_campaignsession l JOIN whatsappapi_campaign c ON c.id = l.campaign_id
            WHERE l.session_id = s.id AND l.is_active AND l.cursor < l.tail AND c.state = 'running'
              AND {OPEN_NOW} AND {IN_PACE} AND {_LENT})
    OR EXISTS (SELECT 1 FROM whatsappapi_message m LEFT JOIN whatsappapi_campaign c ON c.id = m.campaign_id
               LEFT JOIN whatsappapi_campaignsession l ON l.campaign_id = c.id AND l.session_id = s.id
               WHERE m.session_id = s.id AND m.retry_at <= clock_timestamp() + interval '0.5 s'
                 AND m.state = 'queued'
                 AND (c.id IS NULL OR c.state = 'running' AND l.is_active AND {OPEN_NOW} AND {_LENT})))
"""

SESSIONS = """
SELECT s.id, s.api_key, s.key_version, g.base_url
FROM whatsappapi_wasendersession s JOIN whatsappapi_gatewayaccount g ON g.id = s.account_id WHERE s.id = ANY(%(ids)s)
"""

# --- reap ---------------------------------------------------------------------------------------------------------
# The only way from sending to unknown but the request's own outcome. It may do nothing else.
REAP = """
WITH x AS MATERIALIZED (
  SELECT id, message_id FROM whatsappapi_attempt
  WHERE finished_at IS NULL AND lease_until < clock_timestamp() LIMIT 500
), m AS MATERIALIZED (
  SELECT m.id, x.id AS attempt FROM whatsappapi_message m JOIN x ON x.message_id = m.id AND x.id = m.attempt
  WHERE m.state = 'sending' ORDER BY m.id FOR NO KEY UPDATE OF m
), moved AS (
  UPDATE whatsappapi_message t SET state = 'unknown', reason = 'No answer came back; being looked up'
  FROM m WHERE t.id = m.id RETURNING t.id, t.campaign_id, t.session_id
), fin AS (
  UPDATE whatsappapi_attempt a SET finished_at = clock_timestamp(), outcome = 'unknown',
    detail = 'No outcome was recorded before the lease ended'
  FROM m WHERE a.id = m.attempt AND a.finished_at IS NULL
), orphan AS (
  UPDATE whatsappapi_attempt a SET finished_at = clock_timestamp(), resolved_at = clock_timestamp()
  FROM x WHERE a.id = x.id AND a.finished_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM whatsappapi_message m WHERE m.id = x.message_id AND m.attempt = x.id)
)
SELECT json_agg(c) AS moves FROM (
  SELECT campaign_id, session_id, 'sending' AS old, 'unknown' AS new, count(*) AS n FROM moved
  WHERE campaign_id IS NOT NULL GROUP BY 1, 2) c
"""

# Sessions that the plan has room for: the default first, then the oldest. The others rest until there is room again.
SURPLUS = """
WITH x AS (
  SELECT s.id, row_number() OVER (PARTITION BY s.user_id ORDER BY s.is_default DESC, s.created_at, s.id)
    > p.max_sessions AS beyond
  FROM whatsappapi_wasendersession s
  JOIN accounts_subscription b ON b.user_id = s.user_id JOIN accounts_plan p ON p.id = b.plan_id
  WHERE s.deleted_at IS NULL
), s AS MATERIALIZED (
  SELECT s.id, x.beyond FROM whatsappapi_wasendersession s JOIN x ON x.id = s.id
  WHERE s.is_surplus <> x.beyond ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE whatsappapi_wasendersession t SET is_surplus = s.beyond FROM s WHERE t.id = s.id
"""

# One open alert for one cause.
ALERT = """
INSERT INTO whatsappapi_alert (user_id, session_id, key, text, times, created_at)
SELECT user_id, id, %s, %s, 1, now() FROM whatsappapi_wasendersession WHERE id = %s
ON CONFLICT (user_id, key) WHERE closed_at IS NULL DO UPDATE SET times = whatsappapi_alert.times + 1
"""
