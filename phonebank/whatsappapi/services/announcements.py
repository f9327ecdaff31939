"""A few words of an administrator's on everybody's pages, until they are over or somebody puts them away."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import Announcement, Dismissal
from phonebank.whatsappapi.services.capabilities import check_administrator
from phonebank.whatsappapi.services.errors import ServiceError, check_reach

SHOWN = 3  # at once: who has more to say says it in fewer words


def showing(user: User) -> list[Announcement]:
    """What this person's pages say now, the latest first. One query."""
    now = timezone.now()
    rows = Announcement.objects.filter(Q(ends_at=None) | Q(ends_at__gt=now), starts_at__lte=now)
    put_away = Dismissal.objects.filter(announcement=OuterRef("pk"), user=user)
    return list(rows.filter(~Exists(put_away))[:SHOWN])


def announce(
    *, actor: User, text: str, level: str, starts_at: datetime | None, ends_at: datetime | None
) -> Announcement:
    """`starts_at` None: now; `ends_at` None: until it is taken back."""
    check_administrator(actor)
    text, begin = " ".join(text.split())[:300], starts_at or timezone.now()
    if not text:
        raise ServiceError(_("Write what everybody should read."), code="text")
    if level not in Announcement.Level.values:
        raise ServiceError(_("There is no such level."), code="level")
    if ends_at is not None and ends_at <= max(begin, timezone.now()):
        raise ServiceError(_("It would end before anybody could read it. Choose a later end."), code="ends_at")
    check_reach(begin, code="starts_at")
    check_reach(ends_at, code="ends_at")
    with transaction.atomic():
        row = Announcement.objects.create(text=text, level=level, starts_at=begin, ends_at=ends_at, made_by=actor)
        record(actor=actor, verb="announcement.made", target=row, level=level)
    return row


def take_back(*, actor: User, public_id: uuid.UUID) -> None:
    """Nobody sees it any more."""
    check_administrator(actor)
    with transaction.atomic():
        row = Announcement.objects.select_for_update().filter(public_id=public_id).first()
        if row is None:
            raise ServiceError(_("It was taken back already."), code="not_found")
        record(actor=actor, verb="announcement.taken_back", target=row)
        row.delete()


def dismiss(*, actor: User, public_id: uuid.UUID) -> None:
    """This person has read it."""
    row = Announcement.objects.filter(public_id=public_id).first()
    if row is not None:
        Dismissal.objects.get_or_create(announcement=row, user=actor)
