"""Which sessions a campaign is sent from: who may be chosen, and what a group stands for."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import Campaign, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services.capabilities import check, may, roles_of
from phonebank.whatsappapi.services.errors import ServiceError

Status = WaSenderSession.Status
MOST = 100
# No phone has scanned the code (any more): the session is nobody's number.
UNLINKED = {Status.NEED_SCAN, Status.NEED_PASSKEY, Status.LOGGED_OUT}
REFUSALS = {"not_found", "forbidden", "not_created", "surplus", "not_linked", "switched_off", "key_refused"}


@dataclass(frozen=True, slots=True)
class Senders:
    """Sessions in their order; the groups that brought some of them; who of a group was left out, in words."""

    sessions: list[WaSenderSession]
    groups: list[SessionGroup]
    left_out: list[str]


def unfit(one: WaSenderSession) -> tuple[str, str]:
    """Why a session cannot be chosen by whoever may send over it, as code and words; two empty texts when it can."""
    if one.deleted_at is not None:
        return "not_found", _("was deleted")
    if one.wasender_id is None:
        return "not_created", _("is still being created at the gateway")
    if one.is_surplus:
        return "surplus", _("is more than the plan allows, so it does not send")
    if one.status in UNLINKED:
        return "not_linked", _("is not linked to a phone. Scan its code first")
    if not one.is_active:
        return "switched_off", _("is switched off")
    if one.rejected_key_version == one.key_version:
        return "key_refused", _("was refused by the gateway. Give it a new key first, in its settings")
    return "", ""


def choose(*, actor: User, sessions: Iterable[uuid.UUID | str], groups: Iterable[uuid.UUID | str] = ()) -> Senders:
    """The sessions of these public ids in their order, then the groups' members. One that is not fit is refused, or
    left out where a group brought it; somebody else's does not exist (`not_found`)."""
    ids, group_ids = _ids(sessions), _ids(groups)
    rows = WaSenderSession.objects.visible_to(actor).select_related("account")
    usable = WaSenderSession.objects.usable_by(actor).select_related("account")
    known = {one.public_id: one for one in usable.filter(public_id__in=ids)}
    found = [known[one] for one in ids if one in known]
    if len(found) != len(ids):
        raise ServiceError(_("There is no such session. Nothing was changed."), code="not_found")
    check_sendable(actor, found)
    check_fit(found)
    chosen_groups = list(SessionGroup.objects.visible_to(actor).filter(public_id__in=group_ids))
    if len(chosen_groups) != len(group_ids):
        raise ServiceError(_("There is no such group. Nothing was changed."), code="not_found")
    left_out = []
    for one in rows.filter(groups__in=chosen_groups).distinct() if chosen_groups else ():
        if words := unfit(one)[1]:
            left_out.append(f"{one.session_name} {words}.")
        elif one not in found:
            found.append(one)
    if len(found) > MOST:
        raise ServiceError(
            _("A campaign runs over at most %(most)s sessions. Nothing was changed.") % {"most": MOST}, code="sessions"
        )
    return Senders(found, chosen_groups, left_out)


def find(*, actor: User, session: uuid.UUID | str) -> WaSenderSession:
    """One of the sessions that the actor may send over, fit or not."""
    found = WaSenderSession.objects.usable_by(actor).filter(public_id__in=_ids([session])).first()
    if found is None:
        raise ServiceError(_("There is no such session. Nothing was changed."), code="not_found")
    check_sendable(actor, [found])
    return found


def check_sendable(actor: User, sessions: Iterable[WaSenderSession]) -> None:
    """Refuses sessions over which the actor may not send: as `not_found` strangers', as `forbidden` those lent to
    look at."""
    rows = list(sessions)
    roles = roles_of(actor, rows)
    for one in rows:
        if not may(roles.get(one.pk), "send"):
            check(actor, one, "send")


def check_fit(sessions: Iterable[WaSenderSession]) -> None:
    """Refuses what `unfit` names."""
    for one in sessions:
        code, words = unfit(one)
        if code:
            raise ServiceError(
                _("%(session)s %(words)s. Choose another session.") % {"session": one.session_name, "words": words},
                code=code,
            )


@contextmanager
def noting_refusals(actor: User, campaign: Campaign | None = None) -> Iterator[None]:
    """Records when somebody is refused what they may not have. Around the transaction, not in it: that is undone."""
    try:
        yield
    except ServiceError as error:
        if error.code in REFUSALS:
            record(actor=actor, verb="campaign.refused", target=campaign, code=error.code, why=error.message)
        raise


def note_missing(actor: User, ids: Iterable[uuid.UUID | str], into: str) -> None:
    """Records that somebody named sessions or groups that are not theirs (any more), for `into`: "a group"."""
    record(actor=actor, verb="session.refused", code="not_found", into=into, ids=[str(one)[:40] for one in ids][:5])


def _ids(ids: Iterable[uuid.UUID | str]) -> list[uuid.UUID]:
    try:
        return list(dict.fromkeys(one if isinstance(one, uuid.UUID) else uuid.UUID(one) for one in ids))
    except ValueError:
        raise ServiceError(_("There is no such session or group. Nothing was changed."), code="not_found") from None
