"""The consent ledger by hand: evidence is added, the contact's own word follows its last entry."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import ConsentRecord, Contact, Suppression
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.optout import opt_out

Consent = Contact.Consent


def grant(
    *, actor: User, contact: Contact, source: str, wording: str = "", agreed_at: datetime | None = None
) -> ConsentRecord:
    """Writes down how a person agreed. Whoever is suppressed stays so: only their own START lifts that."""
    source = " ".join(source.split())[:200]
    if not source:
        raise ServiceError(_("Say how they agreed: it is the evidence. Nothing was changed."), code="source")
    with transaction.atomic():
        mine = Contact.objects.select_for_update(no_key=True).get(pk=contact.pk)
        open_ones = Suppression.objects.filter(user=contact.user, phone=contact.phone, lifted_at=None)
        if mine.consent == Consent.WITHDRAWN or open_ones.exclude(reason=Suppression.Reason.REVIEW).exists():
            raise ServiceError(
                _("This person asked not to be written to. Only they can change that, by writing START."),
                code="withdrawn",
            )
        entry = ConsentRecord.objects.create(
            user=contact.user,
            contact=contact,
            status=Consent.GRANTED,
            source=source,
            wording=wording.strip()[:5000],
            agreed_at=agreed_at,
            recorded_by=actor,
        )
        mine.consent = Consent.GRANTED
        mine.save(update_fields=["consent"])
        record(actor=actor, verb="contact.consent_granted", target=contact, source=source)
    contact.consent = Consent.GRANTED
    return entry


def withdraw(*, actor: User, contact: Contact, source: str, is_complaint: bool = False) -> None:
    """Writes down that a person took it back, by phone or at the counter: an opt-out like their own STOP."""
    source = " ".join(source.split())[:200]
    if not source:
        raise ServiceError(_("Say how they told you: it is the evidence. Nothing was changed."), code="source")
    reason = Suppression.Reason.COMPLAINT if is_complaint else Suppression.Reason.MANUAL
    opt_out(user=contact.user, phone=contact.phone, lid=contact.lid, source=source, actor=actor, reason=reason)
    contact.refresh_from_db()
