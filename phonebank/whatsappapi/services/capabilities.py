"""What an owner, an operator and a viewer may do with a session: the one table (docs/sharing.md shows the same)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.administrators import is_administrator
from phonebank.accounts.models import User
from phonebank.whatsappapi.models import SessionShare, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError


class As(StrEnum):
    """What somebody is to a session. An administrator is nothing more to it than anybody else."""

    OWNER = "owner"
    OPERATOR = SessionShare.Role.OPERATOR.value
    VIEWER = SessionShare.Role.VIEWER.value
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class Rule:
    """`what` as the docs say it; `refusal` as somebody hears it who may not: “You may not ...”."""

    what: str
    refusal: str
    roles: frozenset[As]


def _rule(what: str, refusal: str, *roles: As) -> Rule:
    return Rule(what, refusal, frozenset({As.OWNER, *roles}))


CAPABILITIES: dict[str, Rule] = {
    "see": _rule(
        gettext_lazy("See its card, status, health, counts and history"),
        gettext_lazy("see this session"),
        As.OPERATOR,
        As.VIEWER,
    ),
    "analytics": _rule(
        gettext_lazy("See and export its analytics"),
        gettext_lazy("see the figures of this session"),
        As.OPERATOR,
        As.VIEWER,
    ),
    "connect": _rule(
        gettext_lazy("Connect it and show its code to scan"), gettext_lazy("connect this session"), As.OPERATOR
    ),
    "send": _rule(
        gettext_lazy("Send campaigns and single messages over it"), gettext_lazy("send over this session"), As.OPERATOR
    ),
    "test": _rule(gettext_lazy("Send test messages over it"), gettext_lazy("send over this session"), As.OPERATOR),
    "reply": _rule(
        gettext_lazy("Read and answer replies of people they wrote to over it"),
        gettext_lazy("see these replies"),
        As.OPERATOR,
    ),
    "inbox": _rule(gettext_lazy("Read and answer all replies"), gettext_lazy("see these replies")),
    "disconnect": _rule(
        gettext_lazy("Disconnect, restart or link it anew"), gettext_lazy("disconnect or restart this session")
    ),
    "settings": _rule(
        gettext_lazy("See and change its settings, limits, groups, alerts and templates"),
        gettext_lazy("change this session"),
    ),
    "key": _rule(
        gettext_lazy("Change its key and its webhook, see events and logs of the gateway"),
        gettext_lazy("see or change keys and logs"),
    ),
    "link": _rule(
        gettext_lazy("Make one-time links for its phone"), gettext_lazy("make links for this session's phone")
    ),
    "share": _rule(
        gettext_lazy("Share it, change or end shares, see who did what"), gettext_lazy("share this session")
    ),
    "delete": _rule(
        gettext_lazy("Delete it, take bulk actions on it"),
        gettext_lazy("delete this session or act on several at once"),
    ),
}
LENT_TO = {name: [one.value for one in (As.OPERATOR, As.VIEWER) if one in rule.roles] for name, rule in
           CAPABILITIES.items()}  # fmt: skip
_KNOWN = "_role_of"  # where `remember` leaves what it was told


def check_administrator(actor: User) -> None:
    """As the database has it at this moment, not as the caller last saw it."""
    if not is_administrator(actor):
        raise ServiceError(_("Only an administrator can do this. Nothing was changed."), code="not_allowed")


def may(role: str | None, action: str) -> bool:
    """Whether somebody who is `role` (None: a stranger) to a session may do `action`, a key of CAPABILITIES."""
    return role in CAPABILITIES[action].roles


def remember(user: User, wa_session: WaSenderSession, role: str) -> None:
    """Leaves the user's role on this row, for as long as a request has it: who loads the session anew asks anew."""
    setattr(wa_session, _KNOWN, (user.pk, role))


def roles_of(user: User, wa_sessions: Iterable[WaSenderSession]) -> dict[int, str]:
    """What the user is to each of these sessions, by id, in at most one query; strangers' are not in it."""
    rows = list(wa_sessions)
    found: dict[int, str] = {one.pk: As.OWNER for one in rows if one.user_id == user.pk}
    known = {one.pk: getattr(one, _KNOWN, (None, "")) for one in rows}
    found |= {pk: role for pk, (who, role) in known.items() if who == user.pk}
    if others := [one.pk for one in rows if one.pk not in found]:
        live = SessionShare.objects.live().filter(user=user, session__in=others)
        found |= dict(live.values_list("session", "role"))
    return found


def role_of(user: User, wa_session: WaSenderSession) -> str | None:
    return roles_of(user, [wa_session]).get(wa_session.pk)


def check(user: User, wa_session: WaSenderSession, action: str) -> str:
    """The user's role. Raises `not_found` for a stranger, and for a member who may not do `action` `forbidden`."""
    role = role_of(user, wa_session) if wa_session.deleted_at is None else None
    if role is None:
        raise ServiceError(_("This session does not exist."), code="not_found")
    if not may(role, action):
        raise ServiceError(
            (
                _(
                    "%(session)s is shared with you as an operator: you may not %(what)s. Ask its owner. "
                    "Nothing was changed."
                )
                if role == As.OPERATOR
                else _(
                    "%(session)s is shared with you as a viewer: you may not %(what)s. Ask its owner. "
                    "Nothing was changed."
                )
            )
            % {"session": wa_session.session_name, "what": CAPABILITIES[action].refusal},
            code="forbidden",
        )
    return role


def reach(user: User, wa_session: WaSenderSession, action: str) -> WaSenderSession:
    """The session as it is now, with account and owner, if the user may do `action` with it; else as `check`."""
    row = WaSenderSession.objects.alive().select_related("account", "user").filter(pk=wa_session.pk).first()
    if row is None:
        raise ServiceError(_("This session does not exist."), code="not_found")
    check(user, row, action)
    return row


def lent(user: User) -> set[int]:
    """Ids of other people's sessions that the user may send over at this moment."""
    live = SessionShare.objects.live().filter(user=user, role__in=LENT_TO["send"])
    return set(live.values_list("session", flat=True))
