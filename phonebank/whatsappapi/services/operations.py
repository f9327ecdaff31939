"""What an administrator does to the whole installation."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.dispatch.sql.reports import DRIFT
from phonebank.whatsappapi.models import Campaign, Installation
from phonebank.whatsappapi.services.capabilities import check_administrator
from phonebank.whatsappapi.services.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter that is not what the rows say."""

    session: int | None
    state: str
    counted: int
    rows: int


def stop_everything(*, actor: User, reason: str) -> Installation:
    """No session of anybody sends from now on (within a second); what is queued stays queued."""
    reason = " ".join(reason.split())
    if not reason:
        raise ServiceError(_("Say why, for everybody will read it. Nothing was stopped."), code="reason")
    return _switch(actor, is_stopped=True, reason=reason[:200])


def resume_everything(*, actor: User) -> Installation:
    """Sending goes on where it was."""
    return _switch(actor, is_stopped=False, reason="")


def _switch(actor: User, *, is_stopped: bool, reason: str) -> Installation:
    check_administrator(actor)
    with transaction.atomic():
        row = Installation.lock()
        if row.is_stopped == is_stopped:
            return row
        row.is_stopped, row.stop_reason = is_stopped, reason
        row.stopped_at, row.stopped_by = (timezone.now(), actor) if is_stopped else (None, None)
        row.save(update_fields=["is_stopped", "stop_reason", "stopped_at", "stopped_by"])
        verb = "installation.stopped" if is_stopped else "installation.resumed"
        record(actor=actor, verb=verb, target=row, reason=reason)
    return row


def stopped() -> Installation | None:
    """The installation while all sending is stopped, or held after a restore (`held_at`); else None."""
    halted = Q(is_stopped=True) | Q(held_at__isnull=False)
    return Installation.objects.filter(halted, pk=1).select_related("stopped_by").first()


def drift(campaign: Campaign) -> list[Drift]:
    """Counters that differ from a count of the campaign's rows, in one statement and so one moment. Reads all rows."""
    with connection.cursor() as cursor:
        cursor.execute(DRIFT, {"campaign": campaign.pk})
        return [Drift(*row) for row in cursor.fetchall()]
