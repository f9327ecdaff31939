"""The statements of the deal and the re-deal."""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.audience import people_of
from phonebank.whatsappapi.dispatch.sql.shares import own_or_lent

_LENT = own_or_lent("lc.user_id", "s.user_id", "s.id")

PLACE = """
SELECT user_id, contact_list_id, audience, parent_id, is_sticky, deal_cursor, deal_number FROM whatsappapi_campaign
WHERE id = %s AND state = 'dealing' FOR NO KEY UPDATE
"""

# Recipient i, numbered over sendable and non-sticky rows alone and across chunks, gets lane i mod k. People who already
# talk with one of the sessions stay there. The others are recorded as skipped, with the reason.
_DEAL = """
WITH lane AS (
  SELECT l.session_id, l.tail, row_number() OVER (ORDER BY l.position, l.id) AS i
  FROM whatsappapi_campaignsession l WHERE l.campaign_id = %(campaign)s AND l.is_active
), ring AS MATERIALIZED (
  -- Arrays, for the planner takes lanes to be one or two and would go through all of them for each person.
  SELECT array_agg(session_id ORDER BY i) AS sessions, array_agg(tail ORDER BY i) AS tails, nullif(count(*), 0) AS k
  FROM lane
), k AS (
  SELECT c.id, c.phone, c.name, c.attributes, c.time_zone, c.last_session_id,
    CASE WHEN EXISTS (SELECT 1 FROM whatsappapi_suppression x
                      WHERE x.user_id = c.user_id AND x.phone = c.phone AND x.lifted_at IS NULL
                        AND x.reason <> 'review') THEN 'opted_out'
         WHEN c.consent <> 'granted' THEN 'no_consent' END AS skip
  FROM whatsappapi_contact c @audience AND c.user_id = %(user)s
  ORDER BY c.id LIMIT %(chunk)s
), s AS (
  SELECT k.*,
    CASE WHEN k.skip IS NULL AND %(sticky)s THEN array_position(ring.sessions, k.last_session_id) END AS sticky
  FROM k CROSS JOIN ring
), n AS (
  SELECT s.*, row_number() OVER (PARTITION BY s.skip IS NULL AND s.sticky IS NULL ORDER BY s.id) - 1 + %(number)s AS i
  FROM s
), a AS (
  SELECT n.*, coalesce(n.sticky, CASE WHEN n.skip IS NULL THEN n.i %% ring.k + 1 END) AS lane
  FROM n CROSS JOIN ring
), p AS (
  SELECT a.*, ring.sessions[a.lane] AS session_id,
    CASE WHEN a.lane IS NOT NULL
      THEN ring.tails[a.lane] + row_number() OVER (PARTITION BY a.lane ORDER BY a.id) END AS position
  FROM a CROSS JOIN ring
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


def deal_of(people: str) -> str:
    """The statement that deals a chunk of the people that `people` (audience.people_of, with `after`) names."""
    return _DEAL.replace("@audience", people)


DEAL_LIST = deal_of(people_of({"lists": [0]}, None, after=0)[0])  # what most campaigns run: the people of one list

LOSE = """
UPDATE whatsappapi_campaign SET state = 'paused', pause_reason = %s WHERE id = %s AND state = 'dealing'
"""

# Larger than anybody allowed (services/approval.py): it stays shut, and the next resume asks for leave.
SEAL = """
UPDATE whatsappapi_campaign c SET sealed_at = now(), started_at = coalesce(started_at, now()),
  state = CASE WHEN x.n > c.people_limit THEN 'paused' ELSE 'running' END,
  pause_reason = CASE WHEN x.n > c.people_limit
    THEN 'More people joined its audience than may be written to without approval. Resume it to ask for that.'
    ELSE c.pause_reason END
FROM (SELECT coalesce(sum(n), 0) AS n FROM whatsappapi_campaigncount WHERE campaign_id = %s AND state = 'queued') x
WHERE c.id = %s AND c.state = 'dealing'
"""

# --- re-deal ------------------------------------------------------------------------------------------------------
UNSHARED = "is not shared any more"
LANES = f"""
SELECT l.id, l.session_id, s.session_name,
  l.is_active AND s.deleted_at IS NULL AND s.is_active AND NOT s.is_surplus AND s.status = 'connected'
    AND s.rejected_key_version <> s.key_version AND u.is_active AND {_LENT} AS is_up,
  CASE WHEN x.cap IS NULL THEN NULL ELSE greatest(0, x.cap - CASE
    WHEN s.usage_date < (now() AT TIME ZONE u.time_zone)::date AND s.usage_opened_at <= now() - interval '20 hours'
    THEN 0 ELSE s.messages_sent_today END) END AS room,
  coalesce((SELECT sum(n) FROM whatsappapi_campaigncount q
            WHERE q.campaign_id = l.campaign_id AND q.session_id = l.session_id AND q.state = 'queued'), 0) AS queued,
  s.id || ':' || s.key_version || ':' || s.connection_version AS mark,
  CASE WHEN NOT l.is_active THEN 'was taken out' WHEN s.deleted_at IS NOT NULL THEN 'was deleted'
       WHEN NOT {_LENT} THEN '{UNSHARED}' WHEN NOT u.is_active THEN 'belongs to a closed account'
       WHEN s.rejected_key_version = s.key_version THEN 'was refused by the gateway'
       WHEN s.is_surplus THEN 'is more than the plan allows'
       WHEN s.status <> 'connected' THEN CASE s.status WHEN 'need_scan' THEN 'needs a scan'
         WHEN 'need_passkey' THEN 'needs a passkey' WHEN 'disconnected' THEN 'is not connected'
         WHEN 'connecting' THEN 'is still connecting' WHEN 'unknown' THEN 'is in a state we do not know'
         ELSE 'is ' || replace(s.status, '_', ' ') END
       ELSE 'reached its limit for today' END AS why
FROM whatsappapi_campaignsession l
JOIN whatsappapi_campaign lc ON lc.id = l.campaign_id
JOIN whatsappapi_wasendersession s ON s.id = l.session_id
JOIN accounts_user u ON u.id = s.user_id
JOIN accounts_subscription b ON b.user_id = s.user_id
JOIN accounts_plan p ON p.id = b.plan_id
CROSS JOIN LATERAL (SELECT CASE WHEN p.daily_limit IS NULL THEN s.daily_limit
                                ELSE least(s.daily_limit, p.daily_limit) END AS cap) x
WHERE l.campaign_id = %s ORDER BY s.last_used_at NULLS FIRST, s.id
"""

# In the order in which a tick locks lanes: by session.
LOCK_LANES = "SELECT id, tail FROM whatsappapi_campaignsession WHERE id = ANY(%s) ORDER BY session_id FOR NO KEY UPDATE"

MOVABLE = """
SELECT m.id, m.tried FROM whatsappapi_message m
JOIN whatsappapi_campaignsession l ON l.campaign_id = m.campaign_id AND l.session_id = m.session_id
WHERE m.campaign_id = %(campaign)s AND m.session_id = %(session)s AND m.state = 'queued'
  AND (m.position > l.cursor OR m.retry_at IS NOT NULL)
  AND (NOT %(new_only)s OR NOT EXISTS (SELECT 1 FROM whatsappapi_contact k
       WHERE k.id = m.contact_id AND k.last_session_id = m.session_id))
  AND NOT m.tried @> %(marks)s::varchar[]
ORDER BY m.id LIMIT %(n)s FOR NO KEY UPDATE OF m SKIP LOCKED
"""

MOVE = """
WITH v AS (
  SELECT * FROM unnest(%(message)s::bigint[], %(session)s::bigint[], %(position)s::bigint[])
    AS v(message, session, position)
), kept AS (
  UPDATE whatsappapi_attempt a SET why = m.why FROM v JOIN whatsappapi_message m ON m.id = v.message
  WHERE a.message_id = m.id AND a.why = ''
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

# The tail of a lane, last first: what a session that joins is given.
TAIL = """
SELECT m.id, m.tried FROM whatsappapi_message m
JOIN whatsappapi_campaignsession l ON l.campaign_id = m.campaign_id AND l.session_id = m.session_id
WHERE m.campaign_id = %(campaign)s AND m.session_id = %(session)s AND m.state = 'queued' AND m.position > l.cursor
  AND NOT EXISTS (SELECT 1 FROM whatsappapi_contact k
                  WHERE k.id = m.contact_id AND k.last_session_id = m.session_id
                    AND (SELECT is_sticky FROM whatsappapi_campaign WHERE id = %(campaign)s))
ORDER BY m.position DESC LIMIT %(n)s FOR NO KEY UPDATE OF m SKIP LOCKED
"""
