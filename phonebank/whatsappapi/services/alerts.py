"""Notices what a person should know of and writes it down as alerts; closes those that are over.

The engine, the brakes and the webhooks write alerts of their own; theirs are closed here too where it can be seen that
they are over.
"""

from __future__ import annotations

from django.db import connection

from phonebank.language import stored

# What is to be said of each session's link now: NULL is nothing, 'wait' leaves an open alert as it is. Whoever begins
# to link a number anew by hand is given ten minutes.
_LINKS = """
SELECT s.id, s.user_id, s.session_name, s.status_reason, CASE
    WHEN s.deleted_at IS NOT NULL OR NOT s.is_active OR s.status = 'connected' OR r.ended_by_person_at IS NOT NULL
      OR NOT u.is_active THEN NULL
    WHEN s.status = 'connecting' THEN 'wait'
    WHEN e.actor_id IS NOT NULL AND s.status_since > now() - interval '10 minutes' THEN 'wait'
    WHEN s.status IN ('logged_out', 'expired', 'need_scan', 'need_passkey') THEN 'scan'
    WHEN s.status = 'disconnected' AND o.status <> 'connected' THEN 'scan'
    ELSE 'lost' END AS kind
FROM whatsappapi_wasendersession s JOIN accounts_user u ON u.id = s.user_id
LEFT JOIN whatsappapi_reconnection r ON r.session_id = s.id
LEFT JOIN LATERAL (SELECT e.actor_id FROM whatsappapi_sessionevent e
  WHERE e.session_id = s.id AND e.kind = 'status' AND e.at = s.status_since LIMIT 1) e ON true
LEFT JOIN LATERAL (SELECT e.status FROM whatsappapi_sessionevent e
  WHERE e.session_id = s.id AND e.kind = 'status'
    AND e.status IN ('connected', 'need_scan', 'need_passkey', 'logged_out', 'expired')
  ORDER BY e.at DESC, e.id DESC LIMIT 1) o ON true
"""
_LINK_NOTICES = f"""
SELECT k.user_id, k.id AS session_id, k.kind || ':' || k.id AS key,
  CASE k.kind WHEN 'lost' THEN 'Its link is down.' ELSE 'Somebody has to scan its code with the phone.' END AS text
FROM ({_LINKS} WHERE s.status <> 'connected' AND s.deleted_at IS NULL AND s.wasender_id IS NOT NULL
  AND s.last_active_at IS NOT NULL AND NOT s.is_surplus) k WHERE k.kind IN ('lost', 'scan')
"""  # noqa: S608  (constants)
_LIMIT_NOTICES = """
SELECT s.user_id, s.id AS session_id, 'limit:' || s.id AS key,
  format('All %%s of today''s messages are used.', least(s.daily_limit, p.daily_limit)) AS text
FROM whatsappapi_wasendersession s JOIN accounts_user u ON u.id = s.user_id
JOIN accounts_subscription b ON b.user_id = u.id JOIN accounts_plan p ON p.id = b.plan_id
WHERE s.deleted_at IS NULL AND s.is_active AND s.status = 'connected' AND s.messages_sent_today > 0
  AND s.usage_date = (now() AT TIME ZONE u.time_zone)::date
  AND s.messages_sent_today >= least(s.daily_limit, p.daily_limit)
"""
_DOUBT_NOTICES = """
SELECT s.user_id, s.id AS session_id, d.kind || ':' || s.id AS key, d.reason AS text
FROM whatsappapi_sessiondoubt d JOIN whatsappapi_wasendersession s ON s.id = d.session_id
WHERE d.kind <> '' AND s.deleted_at IS NULL AND s.is_active AND s.status = 'connected'
"""
_UNCERTAIN_NOTICES = """
SELECT c.user_id, NULL::bigint AS session_id, 'uncertain:' || c.id AS key,
  left(format('“%%s”: nobody can tell whether %%s got it. Look, and decide.', c.name,
    CASE n.n WHEN 1 THEN 'one person' ELSE n.n || ' people' END), 300) AS text
FROM (SELECT campaign_id, sum(n) AS n FROM whatsappapi_campaigncount WHERE state = 'uncertain' AND n > 0 GROUP BY 1) n
JOIN whatsappapi_campaign c ON c.id = n.campaign_id
"""
_WRITE = """
INSERT INTO whatsappapi_alert (user_id, session_id, key, text, times, created_at)
SELECT x.user_id, x.session_id, x.key, x.text, 1, now() FROM ({notices}) x
WHERE NOT EXISTS (
  SELECT 1 FROM whatsappapi_alert a WHERE a.user_id = x.user_id AND a.key = x.key AND a.closed_at IS NULL)
ORDER BY x.session_id
ON CONFLICT (user_id, key) WHERE closed_at IS NULL DO NOTHING
"""
_END = """
UPDATE whatsappapi_alert a SET closed_at = now()
WHERE a.closed_at IS NULL AND split_part(a.key, ':', 1) = ANY(%(kinds)s)
  AND NOT EXISTS (SELECT 1 FROM ({notices}) x WHERE x.user_id = a.user_id AND x.key = a.key)
"""
_END_LINKS = f"""
UPDATE whatsappapi_alert a SET closed_at = now() FROM ({_LINKS}) k
WHERE a.closed_at IS NULL AND k.id = a.session_id AND split_part(a.key, ':', 1) IN ('lost', 'scan')
  AND (k.kind IS NULL OR k.kind <> 'wait' AND k.kind <> split_part(a.key, ':', 1))
"""  # noqa: S608  (constants)
_END_BRAKES = """
UPDATE whatsappapi_alert a SET closed_at = now() FROM whatsappapi_campaign c
WHERE a.closed_at IS NULL AND a.key = 'brake:' || c.id AND c.state <> 'paused'
"""
# The sentences above, for the reader's language; those about doubts are theirs who judge them.
stored("Its link is down.")
stored("Somebody has to scan its code with the phone.")
stored("All %(limit)s of today's messages are used.")
stored("“%(name)s”: nobody can tell whether one person got it. Look, and decide.")
stored("“%(name)s”: nobody can tell whether %(n)s people got it. Look, and decide.")
_QUICK = [_WRITE.format(notices=_LINK_NOTICES), _END_LINKS]
_SLOW = [
    (["limit"], _LIMIT_NOTICES),
    (["failures", "acks"], _DOUBT_NOTICES),
    (["uncertain"], _UNCERTAIN_NOTICES),
]


def notice_links() -> int:
    """Links that are down or back. Returns how many alerts began or ended."""
    return _run([(one, {}) for one in _QUICK])


def notice_the_rest() -> int:
    """Limits, doubts about a session, uncertain messages, and brakes that were let go: what does not hurry."""
    statements: list[tuple[str, dict[str, object]]] = [(_END_BRAKES, {})]
    for kinds, notices in _SLOW:
        statements += [(_WRITE.format(notices=notices), {}), (_END.format(notices=notices), {"kinds": kinds})]
    return _run(statements)


def _run(statements: list[tuple[str, dict[str, object]]]) -> int:
    changed = 0
    with connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
            changed += cursor.rowcount
    return changed
