"""The statement behind a person's decision about messages of which nothing could be proven."""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.words import word

ASSUMED = "Assumed sent by a person"

# Whose session is gone with its owner's account goes out again over another one of the campaign, if it has any.
DECIDE = f"""
WITH lane AS MATERIALIZED (
  SELECT l.session_id FROM whatsappapi_campaignsession l JOIN whatsappapi_wasendersession s ON s.id = l.session_id
  WHERE l.campaign_id = %(campaign)s AND l.is_active AND s.deleted_at IS NULL
  ORDER BY s.last_used_at NULLS FIRST, s.id LIMIT 1
), m AS MATERIALIZED (
  SELECT m.id, m.why, m.session_id, {word("m")} AS old FROM whatsappapi_message m
  WHERE m.campaign_id = %(campaign)s AND m.state = 'uncertain' AND (%(ids)s::bigint[] IS NULL OR m.id = ANY(%(ids)s))
    AND (NOT %(again)s OR m.session_id IS NOT NULL OR EXISTS (SELECT 1 FROM lane))
  ORDER BY m.id LIMIT %(most)s FOR NO KEY UPDATE
), kept AS (
  UPDATE whatsappapi_attempt a SET why = m.why FROM m WHERE %(again)s AND a.message_id = m.id AND a.why = ''
), moved AS (
  UPDATE whatsappapi_message t SET
    state = CASE WHEN %(again)s THEN 'queued' ELSE 'accepted' END,
    session_id = CASE WHEN %(again)s THEN coalesce(t.session_id, (SELECT session_id FROM lane)) ELSE t.session_id END,
    reason = CASE WHEN %(again)s THEN '' ELSE '{ASSUMED}' END,
    why = CASE WHEN %(again)s THEN 'Sent again by a person''s decision' ELSE t.why END,
    retry_at = CASE WHEN %(again)s THEN clock_timestamp() END,
    attempt = CASE WHEN %(again)s THEN NULL ELSE t.attempt END
  FROM m WHERE t.id = m.id RETURNING t.campaign_id, t.session_id, m.old, {word("t")} AS new, m.session_id AS old_session
)
SELECT campaign_id, session_id, old, new, old_session, count(*) FROM moved GROUP BY 1, 2, 3, 4, 5
"""
