"""Groups of sessions: who makes, changes and ends them."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import SessionGroup, WaSenderSession
from phonebank.whatsappapi.models.groups import SessionGroupQuerySet
from phonebank.whatsappapi.services.errors import ServiceError

MOST = 200  # groups of one user


def groups_of(user: User) -> SessionGroupQuerySet:
    """The user's groups by name, each with `size`: how many of its sessions are still there."""
    there = Q(sessions__deleted_at=None, sessions__user=user)
    return SessionGroup.objects.visible_to(user).annotate(size=Count("sessions", filter=there, distinct=True))


def create_group(
    *, actor: User, name: str, colour: str = SessionGroup.Colour.BLUE, wa_sessions: Iterable[WaSenderSession] = ()
) -> SessionGroup:
    """A new group; names are unique per user, whatever their case."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if SessionGroup.objects.visible_to(owner).count() >= MOST:
            raise ServiceError(
                _("You have %(most)s groups, which is the most. Delete one first.") % {"most": MOST}, code="too_many"
            )
        group = SessionGroup(user=owner, name=_free(owner, name), colour=_colour(colour))
        group.save()
        members = _mine(owner, wa_sessions)
        group.sessions.set(members)
        record(actor=actor, verb="group.created", target=group, sessions=len(members))
    return group


def update_group(
    *,
    actor: User,
    group: SessionGroup,
    name: str | None = None,
    colour: str | None = None,
    wa_sessions: Iterable[WaSenderSession] | None = None,
) -> SessionGroup:
    """Renames, recolours or refills a group; None leaves a thing as it is. Members are all of one's own, or none."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        found = _owned(owner, group)
        before = {"name": found.name, "colour": found.colour}
        if name is not None:
            found.name = _free(owner, name, own=found.pk)
        if colour is not None:
            found.colour = _colour(colour)
        changes = {key: (old, getattr(found, key)) for key, old in before.items() if getattr(found, key) != old}
        found.save()
        if wa_sessions is not None:
            old = set(found.sessions.filter(deleted_at=None).values_list("public_id", flat=True))
            members = _mine(owner, wa_sessions)
            found.sessions.set(members)
            new = {one.public_id for one in members}
            if new != old:
                changes["sessions"] = (sorted(map(str, old)), sorted(map(str, new)))
        if changes:
            record(actor=actor, verb="group.changed", target=found, changes=changes)
    return found


def delete_group(*, actor: User, group: SessionGroup) -> None:
    """Ends a group. Its sessions stay."""
    with transaction.atomic():
        found = _owned(actor, group)
        record(actor=actor, verb="group.deleted", target=found)
        found.delete()


def set_groups(*, actor: User, wa_session: WaSenderSession, groups: Iterable[SessionGroup]) -> None:
    """Puts a session into exactly these groups."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        [row] = _mine(owner, [wa_session])
        wanted = {one.pk for one in groups}
        found = list(SessionGroup.objects.visible_to(owner).filter(pk__in=wanted))
        if len(found) != len(wanted):
            raise ServiceError(_("One of these groups does not exist. Nothing was changed."), code="not_found")
        before = sorted(row.groups.values_list("name", flat=True))
        row.groups.set(found)
        after = sorted(one.name for one in found)
        if before != after:
            record(actor=actor, verb="session.grouped", target=row, changes={"groups": (before, after)})


def _owned(actor: User, group: SessionGroup) -> SessionGroup:
    found = SessionGroup.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=group.pk).first()
    if found is None:
        raise ServiceError(_("This group does not exist."), code="not_found")
    return found


def _mine(owner: User, wa_sessions: Iterable[WaSenderSession]) -> list[WaSenderSession]:
    wanted = {one.pk for one in wa_sessions}
    found = list(WaSenderSession.objects.visible_to(owner).filter(pk__in=wanted))
    if len(found) != len(wanted):
        raise ServiceError(_("One of these sessions does not exist. Nothing was changed."), code="not_found")
    return found


def _free(owner: User, name: str, own: int | None = None) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 60 or not name.isprintable():
        raise ServiceError(_("A group needs a name of at most 60 visible characters."), code="name")
    others = SessionGroup.objects.visible_to(owner).exclude(pk=own).values_list("name", flat=True)
    if any(name.casefold() == one.casefold() or name.lower() == one.lower() for one in others):
        raise ServiceError(
            _("You already have a group named “%(name)s”. Choose another name.") % {"name": name}, code="name_taken"
        )
    return name


def _colour(colour: str) -> str:
    if colour not in SessionGroup.Colour.values:
        raise ServiceError(
            _("There is no such colour. Choose one of %(names)s.") % {"names": ", ".join(SessionGroup.Colour.values)}
        )
    return colour
