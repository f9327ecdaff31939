"""The statement behind a person's decision about messages of which nothing could be proven."""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.words import word

ASSUMED = "Assumed sent by a person"

DECIDE = f"""
WITH m AS MATERIALIZED (
  SELECT m.id, m.why, {word("m")} AS old FROM whatsappapi_message m
  WHERE m.campaign_id = %(campaign)s AND m.state = 'uncertain' AND (%(ids)s::bigint[] IS NULL OR m.id = ANY(%(ids)s))
  ORDER BY m.id LIMIT %(most)s FOR NO KEY UPDATE
), kept AS (
  UPDATE whatsappapi_attempt a SET why = m.why FROM m WHERE %(again)s AND a.message_id = m.id AND a.why = ''
), moved AS (
  UPDATE whatsappapi_message t SET
    state = CASE WHEN %(again)s THEN 'queued' ELSE 'accepted' END,
    reason = CASE WHEN %(again)s THEN '' ELSE '{ASSUMED}' END,
    why = CASE WHEN %(again)s THEN 'Sent again by a person''s decision' ELSE t.why END,
    retry_at = CASE WHEN %(again)s THEN clock_timestamp() END,
    attempt = CASE WHEN %(again)s THEN NULL ELSE t.attempt END
  FROM m WHERE t.id = m.id RETURNING t.campaign_id, t.session_id, m.old, {word("t")} AS new
)
SELECT campaign_id, session_id, old, new, count(*) FROM moved GROUP BY 1, 2, 3, 4
"""
