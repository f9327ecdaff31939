"""Brakes: a campaign that people do not want, that does not arrive, or that loses its numbers pauses and says so."""

from __future__ import annotations

import time
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from phonebank.whatsappapi.models import Alert, Campaign
from phonebank.whatsappapi.services.campaigns import pause
from phonebank.whatsappapi.services.errors import ServiceError

LAST = 200  # messages that the rates are taken over
LEAST = 50  # messages below which a rate says nothing
OPT_OUTS = 0.03
FAILURES = 0.10
LOST = 1  # sessions that may be lost within an hour before a campaign pauses
EVERY = 5.0  # seconds

# The last messages of a campaign since it was started or resumed: how many, refused or failed (numbers that are not on
# WhatsApp apart: they say something about the list, not about the sender), and answered by STOP.
RATES = """
SELECT count(*), count(*) FILTER (WHERE x.state = 'failed' AND x.reason <> 'This number is not on WhatsApp'),
  count(*) FILTER (WHERE EXISTS (
    SELECT 1 FROM whatsappapi_suppression p
    WHERE p.user_id = x.user_id AND p.phone = x.phone AND p.reason = 'stop' AND p.created_at > x.started_at))
FROM (
  SELECT m.state, m.reason, m.user_id, m.phone, a.started_at
  FROM whatsappapi_campaignsession l CROSS JOIN LATERAL (
    SELECT a.* FROM whatsappapi_attempt a JOIN whatsappapi_message m ON m.id = a.message_id AND m.attempt = a.id
    WHERE a.session_id = l.session_id AND a.started_at > %(since)s AND a.finished_at IS NOT NULL
      AND m.campaign_id = l.campaign_id
    ORDER BY a.started_at DESC LIMIT %(last)s
  ) a JOIN whatsappapi_message m ON m.id = a.message_id
  WHERE l.campaign_id = %(campaign)s ORDER BY a.started_at DESC LIMIT %(last)s
) x
"""
# Logged out, expired or refused by the gateway; not a link that dropped.
GONE = """
SELECT array_agg(s.session_name ORDER BY s.session_name) FROM whatsappapi_campaignsession l
JOIN whatsappapi_wasendersession s ON s.id = l.session_id
WHERE l.campaign_id = %(campaign)s AND l.is_active AND s.deleted_at IS NULL AND (
  s.status IN ('logged_out', 'expired') AND s.status_since > %(since)s
  OR s.rejected_key_version = s.key_version AND EXISTS (
    SELECT 1 FROM whatsappapi_attempt a
    WHERE a.session_id = s.id AND a.started_at > %(since)s AND a.http_status IN (401, 402, 403)))
"""

_next = 0.0


def look() -> int:
    """Checks the running campaigns, every 5 s at most. Returns how many it paused."""
    global _next
    if not settings.BRAKES or time.monotonic() < _next:
        return 0
    _next = time.monotonic() + EVERY
    return sum(check(campaign) for campaign in Campaign.objects.filter(state=Campaign.State.RUNNING))


def check(campaign: Campaign) -> bool:
    """Pauses the campaign where a brake says so."""
    reason = _reason(campaign)
    if reason is None:
        return False
    try:
        with transaction.atomic():
            pause(actor=None, campaign=campaign, reason=reason)
            Alert.objects.get_or_create(
                user=campaign.user,
                key=f"brake:{campaign.pk}",
                closed_at=None,
                defaults={"text": f"“{campaign.name}” is paused. {reason}"[:300]},
            )
    except ServiceError:
        return False
    return True


def _reason(campaign: Campaign) -> str | None:
    now = timezone.now()
    begun = campaign.resumed_at or campaign.started_at or campaign.created_at
    with connection.cursor() as cursor:
        cursor.execute(GONE, {"campaign": campaign.pk, "since": max(begun, now - timedelta(hours=1))})
        gone = cursor.fetchone()[0] or []
        if len(gone) > LOST:
            return f"{_names(gone)} were lost within an hour. See why before others follow."
        since = max(begun, now - timedelta(days=7))
        cursor.execute(RATES, {"campaign": campaign.pk, "since": since, "last": LAST})
        sent, failed, stopped = cursor.fetchone()
    if sent < LEAST:
        return None
    if stopped > OPT_OUTS * sent:
        return f"{stopped} of the last {sent} people asked not to be written to."
    if failed > FAILURES * sent:
        return f"{failed} of the last {sent} messages failed."
    return None


def _names(names: list[str]) -> str:
    return ", ".join(names[:-1][:4]) + (" and others" if len(names) > 5 else f" and {names[-1]}")
