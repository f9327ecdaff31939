"""How often the gateway may be asked, kept in the database so that it holds over all workers (contract 5)."""

from __future__ import annotations

from django.db import connection

from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession

PAID_RATE = 256.0  # sends a minute and session, where the account says nothing
PROTECTED_GAP = 5.05  # seconds between two sends with account protection
SHARE = 0.1  # of a session's request rate may go into questions about messages
ACCOUNT_GAP = 2.0  # seconds between two log pages of an account: half of its 60 calls a minute, the rest is for people
ACCOUNT_BURST = 40.0  # seconds of it that may be saved up: 20 pages in a row
SESSION_BURST = 10.0

_TAKE = """
WITH b AS MATERIALIZED (
  SELECT key, greatest(next_at, clock_timestamp() - make_interval(secs => %(burst)s)) AS base,
    closed_until > clock_timestamp() IS TRUE AS is_closed
  FROM whatsappapi_callbudget WHERE key = %(key)s FOR NO KEY UPDATE
), n AS (
  SELECT b.*, CASE WHEN is_closed THEN 0 WHEN %(gap)s <= 0 THEN %(want)s
    ELSE greatest(0, least(%(want)s, floor(extract(epoch FROM clock_timestamp() - base) / %(gap)s) + 1)) END::int AS n
  FROM b
)
UPDATE whatsappapi_callbudget t SET next_at = n.base + make_interval(secs => n.n * %(gap)s)
FROM n WHERE t.key = n.key RETURNING n.n
"""
_CLOSE = """
INSERT INTO whatsappapi_callbudget (key, next_at, closed_until)
VALUES (%(key)s, clock_timestamp(), clock_timestamp() + make_interval(secs => %(secs)s))
ON CONFLICT (key) DO UPDATE SET closed_until = greatest(whatsappapi_callbudget.closed_until, excluded.closed_until)
"""


def take(key: str, want: int = 1, *, gap: float, burst: float = 0.0) -> int:
    """How many of `want` calls may be made now, `gap` seconds each (0: any number) with `burst` seconds saved up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO whatsappapi_callbudget (key, next_at) "
            "VALUES (%s, clock_timestamp() - make_interval(secs => %s)) ON CONFLICT DO NOTHING",
            [key, burst],
        )
        cursor.execute(_TAKE, {"key": key, "want": want, "gap": float(gap), "burst": float(burst)})
        return int(cursor.fetchone()[0])


def close(key: str, seconds: float) -> None:
    """No calls for so long: the gateway asked for it, or is not there."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, {"key": key, "secs": float(seconds)})


def may_ask(wa_session: WaSenderSession, want: int) -> int:
    """How many of `want` questions about its messages a session may ask now."""
    rate = wa_session.account.rate_per_minute
    gap = 0.0
    if rate != 0:
        gap = 60.0 / (rate or PAID_RATE)
        gap = (max(gap, PROTECTED_GAP) if wa_session.account_protection else gap) / SHARE
    return take(session_key(wa_session.pk), want, gap=gap, burst=max(SESSION_BURST, gap))


def may_read_log(account: GatewayAccount) -> bool:
    """Whether a page of a message log may be read. A sandbox says itself when it is too much (429)."""
    gap = 0.0 if account.is_sandbox else ACCOUNT_GAP
    return take(account_key(account.pk), gap=gap, burst=ACCOUNT_BURST) == 1


def session_key(session_id: int) -> str:
    return f"session:{session_id}"


def account_key(account_id: int) -> str:
    return f"account:{account_id}"
