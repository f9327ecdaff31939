"""A session as pages show it: its light, its day, and the one action that fits its state."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, CampaignCount, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services.capabilities import CAPABILITIES, As, may, roles_of
from phonebank.whatsappapi.services.gateways import accounts_for, can_receive_webhooks
from phonebank.whatsappapi.services.health import RATE_LIMITED, Health, health, resets_at, used_today

Status = WaSenderSession.Status
ENDED = Health("red", _("Shared access ended"), _("Its owner does not share it with you any more."))
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
    groups: list[SessionGroup]
    role: str | None = As.OWNER

    @property
    def may(self) -> dict[str, bool]:
        """What the viewer may do with it, by the names of services/capabilities.py."""
        return {action: may(self.role, action) for action in CAPABILITIES}

    @property
    def is_lent(self) -> bool:
        return self.role != As.OWNER

    @property
    def shared_by(self) -> str:
        """Whose it is, where it is not the viewer's own."""
        return (self.wa_session.user.name or self.wa_session.user.email) if self.is_lent else ""

    @property
    def room(self) -> int | None:
        if not self.is_connected:
            return 0
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def is_linking(self) -> bool:
        return self.wa_session.status in LINKING

    @property
    def is_being_created(self) -> bool:
        """Asked of the gateway, not there yet: nothing can be done with it but wait."""
        return self.wa_session.wasender_id is None

    @property
    def closed_until(self) -> datetime | None:
        """Until when the gateway asked to wait, where that is what stops it."""
        return self.wa_session.paused_until if self.health.word == RATE_LIMITED else None

    @property
    def number(self) -> str:
        """Who really writes: the number that scanned the code, else the one entered."""
        return self.wa_session.linked_number or self.wa_session.phone_number

    @property
    def expected_number(self) -> str:
        """The number that was entered, where another one scanned the code."""
        one = self.wa_session
        return one.phone_number if one.linked_number and one.linked_number != one.phone_number else ""

    @property
    def is_connected(self) -> bool:
        return self.wa_session.status == Status.CONNECTED


def cards(wa_sessions: Iterable[WaSenderSession], user: User) -> list[Card]:
    """One card a session (as loaded by access.sessions_of); a query for all their queues, one for their groups."""
    rows = list(wa_sessions)
    prefetch_related_objects(rows, "groups")
    now, roles = timezone.now(), roles_of(user, rows)
    for row in rows:
        # For this page; the next claim resets it for good.
        row.messages_sent_today = used_today(row, now, zoneinfo.ZoneInfo(row.user.time_zone))
        if roles.get(row.pk) != As.OWNER:
            row.is_default = False  # that is its owner's
        if row.pk not in roles:
            _mask(row)
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
            health=health(row, now) if row.pk in roles else ENDED,
            used=row.messages_sent_today,
            limit=row.effective_limit,
            resets_at=resets_at(row, now, zoneinfo.ZoneInfo(row.user.time_zone)),
            queued=waiting.get(row.pk, 0) if row.pk in roles else 0,
            groups=[one for one in row.groups.all() if one.user_id == user.pk],
            role=roles.get(row.pk),
        )
        for row in rows
    ]


def _mask(row: WaSenderSession) -> None:
    """Of a session that is no longer lent only the name is left, for the campaigns that it carried."""
    row.phone_number = row.linked_number = row.status_reason = ""
    row.status, row.messages_sent_today, row.effective_limit = Status.UNKNOWN, 0, None


def deaf_accounts(user: User) -> list[str]:
    """Names of the user's gateway accounts whose webhooks cannot reach us: replies and STOP are lost there."""
    return [account.name for account in accounts_for(user) if not can_receive_webhooks(account)]


def deaf_account(card: Card) -> list[str]:
    """The same of one session's account; its name is the owner's."""
    account = card.wa_session.account
    if can_receive_webhooks(account):
        return []
    return [str(_("Its gateway account")) if card.is_lent else account.name]
