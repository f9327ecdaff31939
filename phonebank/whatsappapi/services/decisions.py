"""What a person decides about messages that may or may not have been received. Nothing decides it by itself."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.sql.decide import ASSUMED, DECIDE
from phonebank.whatsappapi.dispatch.tend import reopen
from phonebank.whatsappapi.models import Attempt, Campaign, Kind, Message, SessionQuarter, State, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError

MOST = 10_000  # rows in one transaction
_MOVED = ("campaign_id", "session_id", "old", "new", "old_session", "n")
AGAIN = (Kind.REPLY, Kind.TRANSACTIONAL)  # a test is made anew, and an opt-out is confirmed once


def assume_sent(*, actor: User, campaign: Campaign, messages: Sequence[int] | None = None) -> int:
    """Counts uncertain messages (ids; None: all of the campaign's) as sent. Returns how many."""
    return _decide(actor, campaign, messages, again=False)


def send_again(*, actor: User, campaign: Campaign, messages: Sequence[int] | None = None) -> int:
    """Puts uncertain messages back into the queue: these people may get the message twice. Returns how many.

    A completed campaign opens again for them. Whatever a claim checks holds for them as for all others.
    """
    if campaign.state in (Campaign.State.CANCELLED, Campaign.State.EXPIRED):
        raise ServiceError(_("This campaign has ended for good; nothing more is sent in it."), code="wrong_state")
    return _decide(actor, campaign, messages, again=True)


def decide_single(*, actor: User, session: WaSenderSession, attempt: uuid.UUID, again: bool) -> Message:
    """The same of a single message, named by its attempt: counted as sent, or put into the queue once more.

    Again only what still means something a day later (`AGAIN`); the claim looks at the rules once more.
    """
    with transaction.atomic():
        mine = Message.objects.select_for_update(no_key=True).filter(user=actor, campaign=None, attempt=attempt)
        row = mine.filter(session=session).first()
        if row is None:
            raise ServiceError(_("There is no such message."), code="not_found")
        if row.state != State.UNCERTAIN or (again and row.kind not in AGAIN):
            raise ServiceError(_("This is decided already. Nothing was changed."), code="wrong_state")
        if again:
            row.state, row.reason, row.attempt, row.retry_at = State.QUEUED, "", None, timezone.now()
        else:
            row.state, row.reason = State.ACCEPTED, ASSUMED
        row.save(update_fields=["state", "reason", "attempt", "retry_at"])
        record(actor=actor, verb="message.send_again" if again else "message.assume_sent", target=row, kind=row.kind)
    SessionQuarter.objects.mark(Attempt.objects.filter(pk=attempt).values_list("session_id", "started_at"))
    return row


def _decide(actor: User, campaign: Campaign, messages: Sequence[int] | None, *, again: bool) -> int:
    if not Campaign.objects.visible_to(actor).filter(pk=campaign.pk).exists():
        raise ServiceError(_("There is no such campaign."), code="not_found")
    ids, total = None if messages is None else list(messages), 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            if again:
                reopen(campaign.pk)
            cursor.execute(DECIDE, {"campaign": campaign.pk, "ids": ids, "again": again, "most": MOST})
            rows = cursor.fetchall()
            deltas = Deltas()
            deltas.moves(dict(zip(_MOVED, row, strict=True)) for row in rows)
            deltas.write(cursor)
            n = sum(row[-1] for row in rows)
            if n:
                verb = "campaign.send_again" if again else "campaign.assume_sent"
                record(actor=actor, verb=verb, target=campaign, people=n)
        total += n
        if n < MOST:
            break
    SessionQuarter.objects.mark_unclear(campaign.pk)
    if again and not total and campaign.messages.filter(state=State.UNCERTAIN, session=None).exists():
        raise ServiceError(
            _(
                "The number that wrote to them is gone, and no other carries this campaign. Count them as sent, or "
                "write to them anew in a copy of it."
            ),
            code="no_session",
        )
    return total
