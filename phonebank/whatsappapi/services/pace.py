"""WaSender's limits as a person sees them: how fast a session may send, and what the gateway said about it today."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import datetime, time

from django.db.models import Count, Max
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.whatsappapi.dispatch.budget import PAID_RATE, PROTECTED_GAP
from phonebank.whatsappapi.models import Attempt, WaSenderSession, WebhookEvent


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_minute` None: no pacing. `refused`: answers 429 today. `closed_until`: no send before, None when open."""

    per_minute: float | None
    reason: str
    refused: int
    last_refused_at: datetime | None
    closed_until: datetime | None


@dataclass(frozen=True, slots=True)
class Sign:
    """The last proof that a session lives, and what it was."""

    at: datetime
    what: str


def pace(wa_session: WaSenderSession) -> Pace:
    """How fast the session sends at present, as the engine's grant reckons it (dispatch/sql/tick.py)."""
    now = timezone.now()
    rate = wa_session.account.rate_per_minute
    gap = 60.0 / (rate or PAID_RATE) if rate != 0 else 0.0
    reason = _("WaSender's own limit")
    if wa_session.account_protection and rate != 0 and gap < PROTECTED_GAP:
        gap, reason = PROTECTED_GAP, _("Account protection")
    if wa_session.strikes and gap:
        gap, reason = gap * 2 ** min(wa_session.strikes, 6), _("Slowed down, as WaSender refused some")
    today = datetime.combine(
        now.astimezone(zone := zoneinfo.ZoneInfo(wa_session.user.time_zone)).date(), time(), tzinfo=zone
    )
    refused = Attempt.objects.filter(session=wa_session, started_at__gte=today, http_status=429).aggregate(
        n=Count("pk"), last=Max("started_at")
    )
    closed = wa_session.paused_until
    return Pace(
        per_minute=60.0 / gap if gap else None,
        reason=reason if gap else _("The account says that there is none"),
        refused=refused["n"],
        last_refused_at=refused["last"],
        closed_until=closed if closed and closed > now else None,
    )


def last_sign(wa_session: WaSenderSession) -> Sign | None:
    """The newest of: WaSender said that it is connected, told of a message, accepted one. A lost link is no sign."""
    signs = []
    if wa_session.last_active_at:
        signs.append(Sign(wa_session.last_active_at, _("WaSender says that it is connected")))
    hooks = WebhookEvent.objects.filter(session=wa_session).order_by("-received_at").values_list("received_at", "event")
    told = next((at for at, event in hooks[:20] if event.startswith("message")), None)
    if told:
        signs.append(Sign(told, _("an event about a message arrived")))
    recent = Attempt.objects.filter(session=wa_session).order_by("-started_at").values_list("started_at", "outcome")
    sent = next((at for at, outcome in recent[:20] if outcome == Attempt.Outcome.ACCEPTED), None)
    if sent:
        signs.append(Sign(sent, _("a message was accepted")))
    return max(signs, key=lambda one: one.at, default=None)
