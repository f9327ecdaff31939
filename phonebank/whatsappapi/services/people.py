"""Finding people, and all that is known about one of them."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    Attempt,
    ConsentRecord,
    Contact,
    ContactList,
    ContactTag,
    InboundMessage,
    Message,
    Suppression,
)

COUNTED = 10_000  # beyond that a page says "more than"
RECENT = 50


def find_people(
    user: User,
    *,
    q: str = "",
    contact_list: ContactList | None = None,
    tag: ContactTag | None = None,
    consent: str = "",
) -> QuerySet[Contact]:
    """The user's contacts that match, newest first. `q` is part of a name, or of a number in any spelling."""
    rows = Contact.objects.visible_to(user)
    q = q.strip()
    digits = "".join(char for char in q if char.isdecimal() and char.isascii())
    if digits and not any(char.isalpha() for char in q):
        rows = rows.filter(phone__contains=digits.lstrip("0") or digits)
    elif q:
        rows = rows.filter(name__icontains=q)
    if contact_list is not None:
        rows = rows.filter(pk__in=Contact.lists.through.objects.filter(contactlist=contact_list).values("contact"))
    if tag is not None:
        rows = rows.filter(pk__in=Contact.tags.through.objects.filter(contacttag=tag).values("contact"))
    if consent:
        rows = rows.filter(consent=consent)
    return rows.order_by("-pk")


def with_stops(rows: QuerySet[Contact], user: User) -> QuerySet[Contact]:
    """Adds `is_stopped`: suppressed, whatever else is said."""
    open_ones = Suppression.objects.filter(user=user, lifted_at=None)
    return rows.annotate(
        is_stopped=Exists(open_ones.filter(phone=OuterRef("phone")))
        | Exists(open_ones.exclude(lid="").filter(lid=OuterRef("lid")))
    )


def at_most(rows: QuerySet, limit: int = COUNTED) -> int:
    """How many there are, counted up to one more than `limit`: what nobody reads should cost nothing."""
    return rows.order_by()[: limit + 1].count()


@dataclass(frozen=True, slots=True)
class Record:
    """One person's page: what a complaint would ask for."""

    consents: list[ConsentRecord]
    messages: list[Message]
    inbound: list[InboundMessage]
    suppressions: list[Suppression]

    @property
    def is_stopped(self) -> bool:
        return any(one.lifted_at is None for one in self.suppressions)

    @property
    def under_review(self) -> Suppression | None:
        return next((one for one in self.suppressions if one.lifted_at is None and one.reason == "review"), None)


def record_of(contact: Contact) -> Record:
    """The newest fifty of each kind; the ledger as a whole. The same number of queries for anybody."""
    attempts = Attempt.objects.select_related("session").order_by("started_at")
    sent = (
        Message.objects.filter(user=contact.user_id, phone=contact.phone)
        .select_related("campaign", "session")
        .prefetch_related(Prefetch("attempts", attempts))
    )
    theirs = Q(contact=contact) | Q(phone=contact.phone)
    who = Q(phone=contact.phone) | (Q(lid=contact.lid) if contact.lid else Q(pk=None))
    return Record(
        consents=list(contact.consent_records.select_related("recorded_by").order_by("-id")),
        messages=list(sent.order_by("-id")[:RECENT]),
        inbound=list(
            InboundMessage.objects.filter(theirs, user=contact.user_id)
            .select_related("session")
            .order_by("-received_at")[:RECENT]
        ),
        suppressions=list(Suppression.objects.filter(who, user=contact.user_id).order_by("-id")),
    )
