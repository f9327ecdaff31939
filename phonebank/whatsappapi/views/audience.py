"""Who of a list can be written to, and why the others cannot."""

from __future__ import annotations

from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, When
from django.db.models.functions import Coalesce

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Contact, ContactList, Suppression


def lists_with_counts(user: User) -> QuerySet[ContactList]:
    """The user's lists with `people`, `sendable`, `stopped` and `without_consent`; the last three make up the first."""
    through = Contact.lists.through
    open_ones = Suppression.objects.filter(user=user, lifted_at=None)
    # As sets, not person by person: the database reads the opt-outs once, however many people there are.
    stopped = Case(
        When(
            Q(contact__phone__in=open_ones.values("phone"))
            | Q(contact__lid__in=open_ones.exclude(lid="").values("lid")),
            then=True,
        ),
        default=False,
    )
    counts = (
        through.objects.filter(contactlist=OuterRef("pk"))
        .annotate(is_stopped=stopped)
        .values("contactlist")
        .annotate(
            everybody=Count("pk"),
            off=Count("pk", filter=Q(is_stopped=True)),
            agreed=Count("pk", filter=Q(is_stopped=False, contact__consent=Contact.Consent.GRANTED)),
        )
    )
    rows = ContactList.objects.filter(user=user).annotate(
        people=Coalesce(counts.values("everybody"), 0),
        stopped=Coalesce(counts.values("off"), 0),
        sendable=Coalesce(counts.values("agreed"), 0),
    )
    return rows.annotate(without_consent=F("people") - F("stopped") - F("sendable"))
