"""Doubtful refusals: a person of ours reads what they wrote and decides. Until then nothing is sent to them."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.models import InboundMessage, Suppression
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.optout import opt_out, stop_language

READ_BY = stored("what they wrote, read by %(name)s")

Reason = Suppression.Reason


def confirm(*, actor: User, suppression: Suppression) -> None:
    """They did ask to stop: suppressed like anybody who wrote STOP, with the one confirmation."""
    _still_open(suppression)
    last = (
        InboundMessage.objects.filter(user=suppression.user, phone=suppression.phone, session__deleted_at=None)
        .exclude(phone="")
        .select_related("session")
        .order_by("-received_at")
        .first()
    )
    opt_out(
        user=suppression.user,
        phone=suppression.phone,
        lid=suppression.lid,
        source=READ_BY % {"name": actor.name or actor.email},
        session=last.session if last else None,
        actor=actor,
        language=stop_language(suppression.words) or "",
        reason=Reason.STOP,
    )


def release(*, actor: User, suppression: Suppression) -> None:
    """They did not ask to stop: they are written to again. What waited for this leaves within ten minutes."""
    with transaction.atomic():
        changed = Suppression.objects.filter(pk=suppression.pk, reason=Reason.REVIEW, lifted_at=None).update(
            lifted_at=timezone.now(), lifted_by=actor
        )
        if not changed:
            _still_open(Suppression.objects.get(pk=suppression.pk))
        record(actor=actor, verb="contact.released", target=suppression)


def _still_open(suppression: Suppression) -> None:
    if suppression.lifted_at is not None or suppression.reason != Reason.REVIEW:
        raise ServiceError(_("Somebody has decided about this person meanwhile; nothing was changed."), code="decided")
