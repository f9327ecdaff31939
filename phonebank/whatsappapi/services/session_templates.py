"""Session templates: saved settings, the sessions made with them, and which of these follow a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import (
    GatewayAccount,
    SessionGroup,
    SessionTemplate,
    TemplatedSession,
    WaSenderSession,
)
from phonebank.whatsappapi.services import groups as session_groups
from phonebank.whatsappapi.services import sessions
from phonebank.whatsappapi.services.creation import check_limit
from phonebank.whatsappapi.services.errors import ServiceError

MOST = 200  # templates of one user
AT_ONCE = 20  # sessions made in one request
INLINE = 3  # sessions that follow at once; more of them by a job
JOB = "follow_templates"
SETTINGS = ("daily_limit", "account_protection", "log_messages")
UNCHANGED: Any = object()


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one number."""

    number: str
    wa_session: WaSenderSession | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A session that is not as its template says: setting -> (as it is, as it would be)."""

    wa_session: WaSenderSession
    changes: dict[str, tuple[Any, Any]]
    is_wanted: bool
    note: str


def create(
    *,
    actor: User,
    name: str,
    naming: str = "",
    daily_limit: int | None = None,
    account_protection: bool = True,
    log_messages: bool = True,
    groups: Iterable[SessionGroup] = (),
) -> SessionTemplate:
    """A new template; names are unique per user, whatever their case."""
    check_limit(actor, daily_limit, _("Nothing was saved."))
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if SessionTemplate.objects.visible_to(owner).count() >= MOST:
            raise ServiceError(
                _("You have %(most)s templates, which is the most. Delete one first.") % {"most": MOST}, code="too_many"
            )
        made = SessionTemplate.objects.create(
            user=owner,
            name=_free(owner, name),
            naming=_naming(naming),
            daily_limit=daily_limit,
            account_protection=account_protection,
            log_messages=log_messages,
        )
        made.groups.set(_mine(owner, groups))
        record(actor=actor, verb="session_template.created", target=made)
    return made


def update(
    *,
    actor: User,
    template: SessionTemplate,
    name: str | None = None,
    naming: str | None = None,
    groups: Iterable[SessionGroup] | None = None,
    **settings: Any,
) -> SessionTemplate:
    """Changes what is given (settings: daily_limit, account_protection, log_messages). No session changes by it."""
    if unknown := settings.keys() - set(SETTINGS):
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    if settings.get("daily_limit") != template.daily_limit:  # one from before the plan was lowered may stay
        check_limit(actor, settings.get("daily_limit"), _("Nothing was saved."))
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        found = _owned(owner, template)
        before = _as_told(found)
        if name is not None:
            found.name = _free(owner, name, own=found.pk)
        if naming is not None:
            found.naming = _naming(naming)
        for key, value in settings.items():
            setattr(found, key, value)
        found.save()
        if groups is not None:
            found.groups.set(_mine(owner, groups))
        after = _as_told(found)
        if changes := {key: (old, after[key]) for key, old in before.items() if after[key] != old}:
            record(actor=actor, verb="session_template.changed", target=found, changes=changes)
    return found


def delete(*, actor: User, template: SessionTemplate) -> None:
    """Ends a template. The sessions made with it stay as they are."""
    with transaction.atomic():
        found = _owned(actor, template)
        record(actor=actor, verb="session_template.deleted", target=found)
        found.delete()


# --- sessions from it -------------------------------------------------------------------------------------------------


def create_sessions(
    *, actor: User, template: SessionTemplate, account: GatewayAccount, numbers: Sequence[str]
) -> list[Made]:
    """A session for each number, one after another, each under the plan's and the hour's limit; no error ends it."""
    found = _there(actor, template)
    wanted = list(dict.fromkeys(one.strip() for one in numbers if one.strip()))
    if not wanted:
        raise ServiceError(_("Write at least one phone number. Nothing was created."), code="phone_number")
    if len(wanted) > AT_ONCE:
        raise ServiceError(
            _("At most %(at_once)s numbers at once. Nothing was created.") % {"at_once": AT_ONCE}, code="too_many"
        )
    return [_create_one(actor, found, account, number) for number in wanted]


def _create_one(actor: User, template: SessionTemplate, account: GatewayAccount, number: str) -> Made:
    try:
        made = sessions.create_session(
            actor=actor,
            account=account,
            phone_number=number,
            name=next_name(template),
            daily_limit=template.daily_limit,
            account_protection=template.account_protection,
            log_messages=template.log_messages,
        )
        TemplatedSession.objects.create(session=made, template=template)
        if groups := list(template.groups.all()):
            session_groups.set_groups(actor=actor, wa_session=made, groups=groups)
    except ServiceError as error:
        return Made(number, None, error.message)
    return Made(number, made)


def next_name(template: SessionTemplate) -> str:
    """The first name of its pattern that no session has; empty (creation makes one up) where it has no pattern."""
    if "{n}" not in template.naming:  # nothing to count with: else it would go on for ever
        return ""
    mine = WaSenderSession.objects.visible_to(template.user).values_list("session_name", flat=True)
    taken = {one.casefold() for one in mine}
    number = 1
    while (name := template.naming.replace("{n}", str(number))).casefold() in taken:
        number += 1
    return name


# --- following a change -----------------------------------------------------------------------------------------------


def differences(template: SessionTemplate) -> list[Difference]:
    """The sessions made with it that are not as it says now, by name."""
    wanted_groups = set(template.groups.all())
    uses = template.uses.filter(session__deleted_at=None).select_related("session__account", "session__user")
    found = []
    for use in uses.prefetch_related("session__groups").order_by("session__session_name"):
        changes = _changes(use.session, template, wanted_groups, set(use.session.groups.all()))
        if changes:
            found.append(Difference(use.session, changes, use.wanted_at is not None, use.note))
    return found


def _changes(
    row: WaSenderSession, template: SessionTemplate, wanted: set[SessionGroup], inside: set[SessionGroup]
) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (getattr(row, name), getattr(template, name)) for name in SETTINGS}
    changes = {name: (old, new) for name, (old, new) in pairs.items() if old != new}
    if missing := wanted - inside:  # a session may be in more groups than its template says
        changes["groups"] = (sorted(one.name for one in inside), sorted(one.name for one in inside | missing))
    return changes


def follow(*, actor: User, template: SessionTemplate, wa_sessions: Iterable[WaSenderSession]) -> int:
    """Has these sessions made with it take its settings over: a few at once, more by a job. Returns how many."""
    found = _there(actor, template)
    ids = {one.pk for one in wa_sessions}
    mine = found.uses.filter(session__in=WaSenderSession.objects.visible_to(actor), session_id__in=ids)
    with transaction.atomic():
        if not ids or mine.count() != len(ids):
            raise ServiceError(_("Choose sessions made with this template. Nothing was changed."), code="not_found")
        mine.update(wanted_at=timezone.now(), note="")
        record(actor=actor, verb="session_template.followed", target=found, sessions=len(ids))
        if len(ids) > INLINE:
            jobs.defer(JOB)
    if len(ids) <= INLINE:
        for use in mine.select_related("session__user", "template"):
            _follow(use)
    return len(ids)


def follow_wanted(limit: int = 20) -> int:
    """Goes on with what people asked for; whoever died with it leaves it to the next. Returns how many it did."""
    uses = TemplatedSession.objects.filter(~Q(wanted_at=None)).select_related("session__user", "template")
    done = 0
    for use in uses.order_by("wanted_at", "pk")[:limit]:
        _follow(use)
        done += 1
    return done


def _follow(use: TemplatedSession) -> None:
    """Through the verbs of the settings page, so that gateway, history and audit agree."""
    row, template, note = use.session, use.template, ""
    try:
        changes = {name: getattr(template, name) for name in SETTINGS if getattr(template, name) != getattr(row, name)}
        if changes:
            sessions.change(actor=row.user, wa_session=row, **changes)
        inside = set(row.groups.all())
        if missing := set(template.groups.all()) - inside:
            session_groups.set_groups(actor=row.user, wa_session=row, groups=inside | missing)
    except ServiceError as error:
        note = error.message[:200]
    TemplatedSession.objects.filter(pk=use.pk, wanted_at=use.wanted_at).update(wanted_at=None, note=note)


# --- checks -----------------------------------------------------------------------------------------------------------


def _there(actor: User, template: SessionTemplate) -> SessionTemplate:
    found = SessionTemplate.objects.visible_to(actor).select_related("user").filter(pk=template.pk).first()
    if found is None:
        raise ServiceError(_("This template does not exist."), code="not_found")
    return found


def _owned(actor: User, template: SessionTemplate) -> SessionTemplate:
    found = SessionTemplate.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=template.pk).first()
    if found is None:
        raise ServiceError(_("This template does not exist."), code="not_found")
    return found


def _as_told(template: SessionTemplate) -> dict[str, Any]:
    told = {name: getattr(template, name) for name in ("name", "naming", *SETTINGS)}
    return told | {"groups": sorted(one.name for one in template.groups.all())}


def _mine(owner: User, groups: Iterable[SessionGroup]) -> list[SessionGroup]:
    wanted = {one.pk for one in groups}
    found = list(SessionGroup.objects.visible_to(owner).filter(pk__in=wanted))
    if len(found) != len(wanted):
        raise ServiceError(_("One of these groups does not exist. Nothing was saved."), code="not_found")
    return found


def _naming(pattern: str) -> str:
    pattern = " ".join(pattern.split())
    if not pattern:
        return ""
    if len(pattern) > 50 or not pattern.isprintable() or pattern.count("{n}") != 1:
        raise ServiceError(_("Write {n} once where the number goes, in at most 50 visible characters."), code="naming")
    return pattern


def _free(owner: User, name: str, own: int | None = None) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 60 or not name.isprintable():
        raise ServiceError(_("A template needs a name of at most 60 visible characters."), code="name")
    others = SessionTemplate.objects.visible_to(owner).exclude(pk=own).values_list("name", flat=True)
    if any(name.casefold() == one.casefold() or name.lower() == one.lower() for one in others):
        raise ServiceError(
            _("You already have a session template named “%(name)s”. Choose another.") % {"name": name},
            code="name_taken",
        )
    return name
