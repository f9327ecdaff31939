"""A session as pages show it: its light, its day, and the one action that fits its state."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, CampaignCount, WaSenderSession
from phonebank.whatsappapi.services.gateways import accounts_for, can_receive_webhooks
from phonebank.whatsappapi.services.health import Health, health

Status = WaSenderSession.Status
LINKING = {Status.NEED_SCAN, Status.CONNECTING, Status.NEED_PASSKEY}


@dataclass(frozen=True)
class Card:
    """`limit` None is unlimited; `room` is what can still be sent today (None: no limit, 0 while not connected)."""

    wa_session: WaSenderSession
    health: Health
    used: int
    limit: int | None
    resets_at: datetime
    queued: int

    @property
    def room(self) -> int | None:
        if not self.is_connected:
            return 0
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def is_linking(self) -> bool:
        return self.wa_session.status in LINKING

    @property
    def is_connected(self) -> bool:
        return self.wa_session.status == Status.CONNECTED


def cards(wa_sessions: Iterable[WaSenderSession], user: User) -> list[Card]:
    """One card a session (as loaded by access.sessions_of); one query for what waits in all their queues."""
    rows = list(wa_sessions)
    now = timezone.now()
    today, midnight = _day(user, now)
    for row in rows:
        if row.usage_date != today:
            row.messages_sent_today = 0  # yesterday's; the next claim resets it for good
    waiting = dict(
        CampaignCount.objects.filter(
            session__in=rows, state="queued", campaign__state__in=[Campaign.State.RUNNING, Campaign.State.PAUSED]
        )
        .values_list("session")
        .annotate(Sum("n"))
        .values_list("session", "n__sum")
    )
    return [
        Card(
            wa_session=row,
            health=health(row, now),
            used=row.messages_sent_today,
            limit=row.effective_limit,
            resets_at=midnight,
            queued=waiting.get(row.pk, 0),
        )
        for row in rows
    ]


def _day(user: User, now: datetime) -> tuple[object, datetime]:
    """The owner's local date, and when it ends."""
    local = now.astimezone(zoneinfo.ZoneInfo(user.time_zone))
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return local.date(), midnight


def deaf_accounts(user: User) -> list[str]:
    """Names of the user's gateway accounts whose webhooks cannot reach us: replies and STOP are lost there."""
    return [account.name for account in accounts_for(user) if not can_receive_webhooks(account)]
