"""Brakes: a campaign that people do not want, that does not arrive, or that loses its numbers pauses and says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from phonebank.language import grouped, stored
from phonebank.whatsappapi.models import Alert, Campaign
from phonebank.whatsappapi.models.messages import RANKS
from phonebank.whatsappapi.services.campaigns import pause
from phonebank.whatsappapi.services.errors import ServiceError

LAST = 200  # messages that the rates are taken over
LEAST = 50  # messages below which a rate says nothing
OPT_OUTS = 0.03
FAILURES = 0.10
LOST = 1  # sessions that may be lost within an hour before a campaign pauses
COUNTED = 20_000  # messages since a resume that are counted one by one

# An attempt whose message stands as it left it. OFFSET 0: each message is looked up by its id. The planner takes a join
# to find one in all, and would read everybody of the campaign for each of its sessions.
_STANDING = """whatsappapi_attempt a CROSS JOIN LATERAL (
      SELECT x.state, x.reason FROM whatsappapi_message x
      WHERE x.id = a.message_id AND x.attempt = a.id AND x.campaign_id = l.campaign_id OFFSET 0) m"""
# The last messages of a campaign since it was started or resumed: how many, how many failed, and of these how many
# numbers are not on WhatsApp (they say something about the list, not about the sender). Of many sessions a few each.
LATEST = """
SELECT count(*), count(*) FILTER (WHERE x.state = 'failed'),
  count(*) FILTER (WHERE x.state = 'failed' AND x.reason = 'This number is not on WhatsApp')
FROM (
  SELECT a.state, a.reason FROM (
    SELECT session_id, campaign_id, count(*) OVER () AS k FROM whatsappapi_campaignsession
    WHERE campaign_id = %(campaign)s
  ) l CROSS JOIN LATERAL (
    SELECT a.started_at, m.state, m.reason
    FROM @standing
    WHERE a.session_id = l.session_id AND a.started_at > %(since)s AND a.finished_at IS NOT NULL
    ORDER BY a.started_at DESC LIMIT greatest(10, least(%(last)s, 25 * %(last)s / l.k))
  ) a ORDER BY a.started_at DESC LIMIT %(last)s
) x
""".replace("@standing", _STANDING)
# Who answered STOP to a message that left since then.
STOPPED = """
SELECT count(*) FROM whatsappapi_suppression p
JOIN whatsappapi_message m ON m.campaign_id = %(campaign)s AND m.phone = p.phone
JOIN whatsappapi_attempt a ON a.id = m.attempt AND a.started_at > %(since)s
WHERE p.user_id = %(user)s AND p.reason = 'stop' AND p.created_at > %(since)s AND p.created_at > a.started_at
"""
SENT = """
SELECT count(*) FROM (
  SELECT 1 FROM whatsappapi_campaignsession l CROSS JOIN LATERAL (
    SELECT 1 FROM @standing
    WHERE a.session_id = l.session_id AND a.started_at > %(since)s AND a.outcome = 'accepted' LIMIT %(most)s
  ) a WHERE l.campaign_id = %(campaign)s LIMIT %(most)s
) x
""".replace("@standing", _STANDING)
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

# Why it paused a campaign, as the campaign keeps it (`pulled` knows them again).
PAUSED = stored("“%(name)s” is paused.")
WHY_LOST = stored("%(names)s were lost within an hour. See why before others follow.")
WHY_STOPPED = stored("%(stopped)s of %(sent)s people asked not to be written to.")
WHY_FAILED = stored("%(failed)s of the last %(last)s messages failed.")
# What it is about, and what to do when it has paused a campaign.
LABELS = {
    "lost": (
        gettext_lazy("Sessions lost within an hour"),
        gettext_lazy("Open these sessions and see what they say; link them, or take them out and add others."),
    ),
    "stopped": (
        gettext_lazy("Asked not to be written to"),
        gettext_lazy("Look at whom you write to, and at what the message says. Who asked stays out in any case."),
    ),
    "failed": (gettext_lazy("Failed for good"), gettext_lazy("Look at the failed ones and what they say.")),
}
AGAIN = gettext_lazy("When you resume it, the count begins anew.")


@dataclass(frozen=True, slots=True)
class Gauge:
    """A brake: `n` of `of` against `limit`, a share; or `n` alone against a number. `reason`: why it stops, if so."""

    key: str
    n: int
    of: int
    limit: float
    words: str
    reason: str

    @property
    def label(self) -> str:
        return LABELS[self.key][0]

    @property
    def advice(self) -> str:
        return f"{LABELS[self.key][1]} {AGAIN}"

    @property
    def bound(self) -> str:
        """Where it stops the campaign."""
        return (
            _("pauses over %(limit)s %%") % {"limit": f"{100 * self.limit:.0f}"}
            if self.limit < 1
            else _("pauses at %(limit)s") % {"limit": f"{self.limit:.0f}"}
        )

    @property
    def width(self) -> str:
        """Of its bar, in per cent; the limit is in the middle."""
        share = self.n / self.of if self.of else 0 if self.limit < 1 else self.n
        return f"{min(100.0, 50 * share / self.limit):.2f}"

    @property
    def fill(self) -> str:
        return "fill-red" if self.reason else "fill-yellow" if float(self.width) > 25 else "fill-accent"


def look() -> int:
    """Checks the running campaigns. Returns how many it paused."""
    if not settings.BRAKES:
        return 0
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
                defaults={"text": f"{PAUSED % {'name': campaign.name}} {reason}"[:300]},
            )
    except ServiceError:
        return False
    return True


def gauges(campaign: Campaign) -> list[Gauge]:
    """How near each brake is, from the start or the last resume on. Paused, as it stood then and came to stand."""
    now = timezone.now()
    begun = campaign.resumed_at or campaign.started_at or campaign.created_at
    # What paused it stays in sight.
    hour = begun if campaign.state == Campaign.State.PAUSED else max(begun, now - timedelta(hours=1))
    named = {"campaign": campaign.pk, "user": campaign.user_id, "since": begun, "last": LAST, "most": COUNTED}
    with connection.cursor() as cursor:
        cursor.execute(GONE, {"campaign": campaign.pk, "since": hour})
        gone = cursor.fetchone()[0] or []
        cursor.execute(LATEST, named | {"since": max(begun, now - timedelta(days=7))})
        last, failed, unknown = cursor.fetchone()
        cursor.execute(STOPPED, named)
        [stopped] = cursor.fetchone()
        sent = _sent(campaign, cursor, named)
    return [_lost(gone), _stopped(stopped, sent), _failed(failed - unknown, last, unknown)]


def _lost(gone: list[str]) -> Gauge:
    why = WHY_LOST % {"names": _names(gone)} if len(gone) > LOST else ""
    return Gauge("lost", len(gone), 0, LOST + 1, ", ".join(gone[:5]) or pgettext("sessions", "none"), why)


def _stopped(stopped: int, sent: int) -> Gauge:
    words = _("%(stopped)s of %(sent)s") % {"stopped": grouped(stopped), "sent": grouped(sent)}
    is_over = sent >= LEAST and stopped > OPT_OUTS * sent
    why = WHY_STOPPED % {"stopped": f"{stopped:,}", "sent": f"{sent:,}"} if is_over else ""
    return Gauge("stopped", stopped, sent, OPT_OUTS, words, why)


def _failed(failed: int, last: int, unknown: int) -> Gauge:
    words = _("%(failed)s of the last %(last)s") % {"failed": grouped(failed), "last": grouped(last)}
    if unknown:
        words = _("%(words)s; %(unknown)s more not on WhatsApp") % {"words": words, "unknown": grouped(unknown)}
    is_over = last >= LEAST and failed > FAILURES * last
    why = WHY_FAILED % {"failed": f"{failed:,}", "last": f"{last:,}"} if is_over else ""
    return Gauge("failed", failed, last, FAILURES, words, why)


def _sent(campaign: Campaign, cursor: Any, named: dict[str, Any]) -> int:
    """Messages since the start, or since it was resumed where these are few enough to be counted."""
    words = ("accepted", *dict.fromkeys(RANKS.values()))
    total = campaign.counts.filter(state__in=words).aggregate(n=Sum("n"))["n"] or 0
    if campaign.resumed_at is None:
        return total
    cursor.execute(SENT, named)
    [since] = cursor.fetchone()
    return since if since < COUNTED else total


def pulled(campaign: Campaign) -> Gauge | None:
    """The brake that paused it, by the reason that it gave; its numbers are not looked up."""
    if campaign.state != Campaign.State.PAUSED:
        return None
    marks = {"were lost within an hour": "lost", "people asked not to be": "stopped", "messages failed": "failed"}
    key = next((key for words, key in marks.items() if words in campaign.pause_reason), None)
    return Gauge(key, 0, 0, 1, "", campaign.pause_reason) if key else None


def _reason(campaign: Campaign) -> str | None:
    return next((one.reason for one in gauges(campaign) if one.reason), None)


def _names(names: list[str]) -> str:
    return ", ".join(names[:-1][:4]) + (" and others" if len(names) > 5 else f" and {names[-1]}")
