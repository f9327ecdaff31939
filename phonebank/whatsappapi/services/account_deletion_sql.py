"""The statements that take an account's rows away. Those run again and again until nothing is left for them."""

from __future__ import annotations

from phonebank.whatsappapi.dispatch.sql.words import word

CHUNK = 5000
TAKEN_AWAY = "The account that its number belonged to is closed"

# Messages of others over these sessions, by the campaigns' lanes; (campaign, session, old word, new word, how many).
# Nobody can look up any more what became of the unresolved ones: their people may have received them.
HAND_BACK = f"""
WITH m AS MATERIALIZED (
  SELECT id, campaign_id, session_id, {word("whatsappapi_message")} AS old FROM whatsappapi_message
  WHERE campaign_id = ANY(%(campaigns)s) AND session_id = ANY(%(sessions)s) AND user_id <> %(user)s
  ORDER BY id LIMIT 5000 FOR NO KEY UPDATE
), gone AS (
  UPDATE whatsappapi_message t SET session_id = NULL, position = NULL, retry_at = NULL,
    state = CASE t.state WHEN 'queued' THEN 'failed' WHEN 'unknown' THEN 'uncertain' ELSE t.state END,
    reason = CASE WHEN t.state IN ('queued', 'unknown') THEN '{TAKEN_AWAY}' ELSE t.reason END
  FROM m WHERE t.id = m.id RETURNING m.campaign_id, m.session_id, m.old, {word("t")} AS new
)
SELECT campaign_id, session_id, old, new, count(*) FROM gone GROUP BY 1, 2, 3, 4
"""


def _of_sessions(table: str) -> str:
    return f"""
    DELETE FROM whatsappapi_{table} WHERE id IN (
      SELECT x.id FROM whatsappapi_wasendersession s
      CROSS JOIN LATERAL (SELECT id FROM whatsappapi_{table} WHERE session_id = s.id LIMIT %(chunk)s) x
      WHERE s.user_id = %(user)s LIMIT %(chunk)s)
    """


def _of_user(table: str, key: str = "id") -> str:
    return f"""
    DELETE FROM whatsappapi_{table} WHERE {key} IN (
      SELECT {key} FROM whatsappapi_{table} WHERE user_id = %(user)s LIMIT %(chunk)s)
    """


def _of_contacts(table: str) -> str:
    return f"""
    DELETE FROM whatsappapi_contact_{table} WHERE id IN (
      SELECT x.id FROM whatsappapi_contact c JOIN whatsappapi_contact_{table} x ON x.contact_id = c.id
      WHERE c.user_id = %(user)s LIMIT %(chunk)s)
    """


# Before the rows that they point to.
CHUNKS = (
    _of_sessions("webhookevent"),
    _of_user("inboundmessage"),
    _of_user("conversation"),
    _of_user("apimessage", "public_id"),
    """
    DELETE FROM whatsappapi_watch WHERE attempt_id IN (
      SELECT w.attempt_id FROM whatsappapi_message m JOIN whatsappapi_attempt a ON a.message_id = m.id
      JOIN whatsappapi_watch w ON w.attempt_id = a.id WHERE m.user_id = %(user)s LIMIT %(chunk)s)
    """,
    """
    DELETE FROM whatsappapi_watch w USING whatsappapi_wasendersession s
    WHERE s.id = w.session_id AND s.user_id = %(user)s
    """,
    """
    DELETE FROM whatsappapi_attempt WHERE id IN (
      SELECT a.id FROM whatsappapi_message m JOIN whatsappapi_attempt a ON a.message_id = m.id
      WHERE m.user_id = %(user)s LIMIT %(chunk)s)
    """,
    _of_user("message"),
    _of_sessions("attempt"),
    _of_sessions("sessionquarter"),
    _of_sessions("sessionevent"),
    _of_sessions("healthnote"),
    _of_user("sessionday"),
    _of_user("sessionmonth"),
    _of_user("ownerday"),
    """
    DELETE FROM whatsappapi_importrow WHERE id IN (
      SELECT r.id FROM whatsappapi_contactimport i JOIN whatsappapi_importrow r ON r.upload_id = i.id
      WHERE i.user_id = %(user)s LIMIT %(chunk)s)
    """,
    _of_user("suppression"),
)
PEOPLE = (
    _of_contacts("lists"),
    _of_contacts("tags"),
    _of_user("consentrecord"),
    _of_user("contact"),
)
# Each contact that goes is looked for in all messages (of everybody): without an index, by reading them all.
DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS whatsappapi_message_leaving"
MAKE_INDEX = """
CREATE INDEX CONCURRENTLY whatsappapi_message_leaving ON whatsappapi_message (contact_id) WHERE contact_id IS NOT NULL
"""
