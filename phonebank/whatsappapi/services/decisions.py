"""What a person decides about messages that may or may not have been received. Nothing decides it by itself."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.sql.decide import DECIDE
from phonebank.whatsappapi.dispatch.statuses import KEYS
from phonebank.whatsappapi.dispatch.tend import reopen
from phonebank.whatsappapi.models import Campaign
from phonebank.whatsappapi.services.errors import ServiceError

MOST = 10_000  # rows in one transaction


def assume_sent(*, actor: User, campaign: Campaign, messages: Sequence[int] | None = None) -> int:
    """Counts uncertain messages (ids; None: all of the campaign's) as sent. Returns how many."""
    return _decide(actor, campaign, messages, again=False)


def send_again(*, actor: User, campaign: Campaign, messages: Sequence[int] | None = None) -> int:
    """Puts uncertain messages back into the queue: these people may get the message twice. Returns how many.

    A completed campaign opens again for them. Whatever a claim checks holds for them as for all others.
    """
    if campaign.state in (Campaign.State.CANCELLED, Campaign.State.EXPIRED):
        raise ServiceError("This campaign has ended for good; nothing more is sent in it.", code="wrong_state")
    return _decide(actor, campaign, messages, again=True)


def _decide(actor: User, campaign: Campaign, messages: Sequence[int] | None, *, again: bool) -> int:
    if not Campaign.objects.visible_to(actor).filter(pk=campaign.pk).exists():
        raise ServiceError("There is no such campaign.", code="not_found")
    ids, total = None if messages is None else list(messages), 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            if again:
                reopen(campaign.pk)
            cursor.execute(DECIDE, {"campaign": campaign.pk, "ids": ids, "again": again, "most": MOST})
            rows = cursor.fetchall()
            deltas = Deltas()
            deltas.moves(dict(zip(KEYS, row, strict=True)) for row in rows)
            deltas.write(cursor)
            n = sum(row[-1] for row in rows)
            if n:
                verb = "campaign.send_again" if again else "campaign.assume_sent"
                record(actor=actor, verb=verb, target=campaign, people=n)
        total += n
        if n < MOST:
            return total
