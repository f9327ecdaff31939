"""Creating sessions: the plan's places, the hourly limit, and creations that ended without a clear answer."""

from __future__ import annotations

import logging
import zoneinfo
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank.accounts.models import Subscription, User
from phonebank.audit.models import record
from phonebank.gateways.base import SessionInfo
from phonebank.gateways.errors import GatewayError, OutcomeUnknown, Refused, UnexpectedAnswer
from phonebank.language import grouped, stored
from phonebank.whatsappapi.models import Alert, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import accounts_for, client_call, explain, webhook_url
from phonebank.whatsappapi.services.phones import to_e164
from phonebank.whatsappapi.services.session_history import note_status, source_now
from phonebank.whatsappapi.services.session_status import refresh_status, store_details

logger = logging.getLogger(__name__)

ADOPT_AFTER = timedelta(seconds=60)  # longer than a create call may last
REMOVE_AFTER = timedelta(minutes=5)  # by then the gateway lists what it created
HOUR = timedelta(hours=1)
_BEGUN = stored("Being created at the gateway.")
_CREATED = stored("Created.")
_IN_DOUBT = stored("The gateway gave no clear answer when this session was created. Phonebank is finding out.")
_OTHER_NAME = stored(
    "The gateway has a session with this number under another name. Rename that one there, or delete it."
)


def can_create_session(user: User) -> bool:
    """Whether the user may create a session now: a free place in the plan, and not too many within an hour."""
    used, most = slots(user)
    return user.is_active and used < most and next_creation_at(user) is None


def slots(user: User) -> tuple[int, int]:
    """Places taken (sessions being created included) and places in the plan."""
    most = Subscription.objects.select_related("plan").get(user=user).max_sessions
    return WaSenderSession.objects.visible_to(user).count(), most


def next_creation_at(user: User) -> datetime | None:
    """When the user may create a session again; None: now. Deleted ones count, adopted ones do not.

    The administrator's limit is SESSIONS_PER_HOUR; 0 is none.
    """
    most, since = settings.SESSIONS_PER_HOUR, timezone.now() - HOUR
    if not most:
        return None
    made = WaSenderSession.objects.filter(user=user, adopted_at=None, created_at__gt=since).order_by("-created_at")
    last = made.values_list("created_at", flat=True)[most - 1 : most].first()
    return last + HOUR if last else None


def create_session(
    *,
    actor: User,
    account: GatewayAccount,
    phone_number: str,
    name: str = "",
    is_default: bool = False,
    daily_limit: int | None = None,
    account_protection: bool = True,
    log_messages: bool = True,
) -> WaSenderSession:
    """A new session, here and at the gateway. `daily_limit` None: the plan's.

    The row is committed before the gateway is asked, so that a crash leaves an intent for `reconcile_intents`. A proven
    refusal takes it away again; an unclear answer keeps it (code "outcome_unknown").
    """
    usable = accounts_for(actor).filter(pk=account.pk).first()
    if usable is None:
        raise ServiceError(_("This gateway account does not exist. Nothing was created."), code="not_found")
    try:
        phone = to_e164(phone_number)
    except ValueError as error:
        raise ServiceError(_("%(error)s Nothing was created.") % {"error": error}, code="phone_number") from None
    check_limit(actor, daily_limit, _("Nothing was created."))
    wa_session = WaSenderSession(
        user=actor,
        account=usable,
        session_name=name,
        phone_number=phone,
        daily_limit=daily_limit,
        account_protection=account_protection,
        log_messages=log_messages,
        status_reason=_BEGUN,
    )
    _commit_intent(wa_session)
    info = _create_at_gateway(wa_session)
    return _complete(wa_session, info, actor=actor, is_default=is_default)


def check_limit(owner: User, daily_limit: int | None, kept: str) -> None:
    """Refuses a daily limit that is none, or more than the owner's plan allows a session."""
    if daily_limit is None:
        return
    most = Subscription.objects.select_related("plan").get(user=owner).daily_limit
    if daily_limit < 1:
        raise ServiceError(_("The daily limit must be 1 or more. %(kept)s") % {"kept": kept}, code="daily_limit")
    if daily_limit > (2_147_483_647 if most is None else most):
        text = (
            _("That daily limit is too large.")
            if most is None
            else _("Your plan allows %(most)s messages a day.") % {"most": grouped(most)}
        )
        raise ServiceError(f"{text} {kept}", code="daily_limit")


def check_place(owner: User) -> int:
    """Refuses when the plan is full, and returns the places taken. The caller holds the owner's lock."""
    used, most = slots(owner)
    if not owner.is_active or used >= most:
        raise ServiceError(
            "{} {}".format(
                ngettext("Your plan allows %(n)s session", "Your plan allows %(n)s sessions", most) % {"n": most},
                ngettext(
                    "and %(n)s is in use. Delete one or change the plan.",
                    "and %(n)s are in use. Delete one or change the plan.",
                    used,
                )
                % {"n": used},
            ),
            code="plan_limit",
        )
    return used


def _commit_intent(wa_session: WaSenderSession) -> None:
    """Checks the plan and inserts the row under one lock on the owner, and commits: no caller may wrap this."""
    with transaction.atomic(durable=True):
        owner = User.objects.select_for_update(no_key=True).get(pk=wa_session.user_id)
        used = check_place(owner)
        if (free_at := next_creation_at(owner)) is not None:
            raise ServiceError(_too_many(owner, free_at), code="creation_rate")
        others = WaSenderSession.objects.visible_to(owner)
        if others.filter(account=wa_session.account, phone_number=wa_session.phone_number).exists():
            raise ServiceError(_("You already have a session with this number."), code="phone_taken")
        wa_session.session_name = free_name(owner, wa_session.session_name, used)
        # Where any session exists one is the default, though the gateway has not answered yet.
        wa_session.is_default = not others.filter(is_default=True).exists()
        wa_session.save(force_insert=True)


def _take_back(intent: WaSenderSession) -> bool:
    """Removes a session that was never created; the oldest other one becomes the default in its place."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=intent.user_id)
        mine = WaSenderSession.objects.visible_to(owner)
        removed, __ = mine.filter(pk=intent.pk, wasender_id=None).delete()
        heir = mine.order_by("created_at", "pk").first()
        if heir is not None and not mine.filter(is_default=True).exists():
            make_default(heir)
    return bool(removed)


def _too_many(owner: User, free_at: datetime) -> str:
    most = settings.SESSIONS_PER_HOUR
    at = date_format(free_at.astimezone(zoneinfo.ZoneInfo(owner.time_zone)) + timedelta(minutes=1), "TIME_FORMAT")
    return ngettext(
        "You created %(n)s session within an hour, which is the most. Nothing was created. "
        "The next one is possible at %(at)s.",
        "You created %(n)s sessions within an hour, which is the most. Nothing was created. "
        "The next one is possible at %(at)s.",
        most,
    ) % {"n": most, "at": at}


def _create_at_gateway(wa_session: WaSenderSession) -> SessionInfo:
    token, url = wa_session.account.token, webhook_url(wa_session)
    try:
        return client_call(
            wa_session.account,
            lambda gateway: gateway.create_session(
                token,
                name=wa_session.session_name,
                phone_number=wa_session.phone_number,
                account_protection=wa_session.account_protection,
                log_messages=wa_session.log_messages,
                webhook_url=url,
            ),
        )
    except (OutcomeUnknown, UnexpectedAnswer) as error:
        WaSenderSession.objects.filter(pk=wa_session.pk).update(status_reason=_IN_DOUBT)
        raise ServiceError(
            _(
                "The gateway gave no clear answer. “%(session)s” was kept; within a few minutes it is "
                "either completed or removed. Do not create it again before."
            )
            % {"session": wa_session.session_name},
            code="outcome_unknown",
        ) from error
    except GatewayError as error:
        _take_back(wa_session)
        if isinstance(error, Refused) and "taken" in error.detail:
            message = _("Another WaSender session already has this number. Nothing was created.")
            raise ServiceError(message, code="phone_taken") from error
        raise explain(error, _("Nothing was created.")) from error


def _complete(
    wa_session: WaSenderSession, info: SessionInfo, *, actor: User | None, is_default: bool
) -> WaSenderSession:
    """Stores what the gateway gave us; the owner's first session becomes the default."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=wa_session.user_id)
        row = WaSenderSession.objects.visible_to(owner).select_for_update(no_key=True).filter(pk=wa_session.pk).first()
        if row is None:
            raise ServiceError(_("The session was deleted meanwhile."), code="not_found")
        row.wasender_id = info.id
        store_details(row, info)
        row.status_reason = ""
        row.save()
        note_status(row.pk, row.status, row.status_since, _CREATED, source_now(), actor)
        if is_default or not WaSenderSession.objects.visible_to(owner).filter(is_default=True).exists():
            make_default(row)
        record(actor=actor, verb="session.created", target=row)
    if not row.api_key or not row.webhook_secret:
        refresh_status(wa_session=row)
    row.refresh_from_db()
    return row


# --- without a clear end ----------------------------------------------------------------------------------------------


def reconcile_intents(limit: int = 20) -> int:
    """Finds out what became of creations without a clear end, and returns how many it settled.

    An intent whose session the gateway lists (same number, same name) is completed; one that the gateway does not list
    after five minutes is removed.
    """
    intents = (
        WaSenderSession.objects.alive()
        .filter(wasender_id=None, created_at__lt=timezone.now() - ADOPT_AFTER)
        .select_related("account", "user")
        .order_by("pk")[:limit]
    )
    listed: dict[int, list[SessionInfo] | None] = {}
    settled = 0
    for intent in intents:
        if intent.account_id not in listed:
            listed[intent.account_id] = _list(intent.account)
        theirs = listed[intent.account_id]
        settled += theirs is not None and _reconcile(intent, theirs)
    return settled


def settle_before_deletion(row: WaSenderSession) -> None:
    """An intent may have a session at the gateway that nothing here would know any more."""
    if row.created_at > timezone.now() - ADOPT_AFTER:
        raise ServiceError(_("This session is still being created. Wait a minute, then delete it."), code="not_created")
    theirs = _list(row.account)
    if theirs is None:
        raise ServiceError(
            _("The gateway cannot be reached. The session was not deleted. Try again."), code="unreachable"
        )
    _reconcile(row, theirs)


def _list(account: GatewayAccount) -> list[SessionInfo] | None:
    try:
        return client_call(account, lambda gateway: gateway.list_sessions(account.token))
    except GatewayError as error:
        logger.warning("sessions of account %s could not be listed (%s)", account.pk, error.code)
        return None


def _reconcile(intent: WaSenderSession, theirs: list[SessionInfo]) -> bool:
    taken = set(intent.account.wa_sessions.alive().exclude(wasender_id=None).values_list("wasender_id", flat=True))
    same_phone = [one for one in theirs if one.id not in taken and digits(one.phone_number) == intent.phone_number[1:]]
    name = intent.session_name.casefold()
    found = next((one for one in same_phone if one.name.strip().casefold() == name), None)
    if found is not None:
        try:
            info = client_call(intent.account, lambda gateway: gateway.get_session(intent.account.token, found.id))
            _complete(intent, info, actor=None, is_default=False)
        except (GatewayError, ServiceError, IntegrityError) as error:
            logger.warning("intent %s could not be completed (%s)", intent.public_id, type(error).__name__)
            return False
        return True
    if same_phone:
        return _report(intent)
    if intent.created_at > timezone.now() - REMOVE_AFTER:
        return False
    with transaction.atomic():
        removed = _take_back(intent)
        if removed:
            record(actor=None, verb="session.intent_removed", target=intent)
    return removed


def _report(intent: WaSenderSession) -> bool:
    WaSenderSession.objects.filter(pk=intent.pk).update(status_reason=_OTHER_NAME)
    key = f"intent:{intent.pk}"
    if not Alert.objects.filter(user=intent.user, key=key, closed_at=None).exists():
        text = f"“{intent.session_name}”: {_OTHER_NAME}"
        Alert.objects.create(user=intent.user, session=intent, key=key, text=text[:300])
    return False


# --- names and the default --------------------------------------------------------------------------------------------


def free_name(owner: User, name: str, used: int, own: int | None = None) -> str:
    """`name` tidied and found free, or the next "Session n" when it is empty. The caller holds the owner's lock."""
    name = " ".join(name.split())
    others = WaSenderSession.objects.visible_to(owner).exclude(pk=own).values_list("session_name", flat=True)
    taken = {one.casefold() for one in others}
    if not name:
        number = used + 1
        while f"session {number}" in taken:
            number += 1
        return _("Session %(number)s") % {"number": number}
    if len(name) > 60 or not name.isprintable():
        raise ServiceError(_("A name has at most 60 characters, none of them invisible."), code="name")
    if name.casefold() in taken or name.lower() in {one.lower() for one in others}:
        raise ServiceError(
            _("You already have a session named “%(name)s”. Choose another name.") % {"name": name}, code="name_taken"
        )
    return name


def make_default(row: WaSenderSession) -> None:
    """Inside a transaction that holds the owner's lock."""
    WaSenderSession.objects.filter(user_id=row.user_id, is_default=True).exclude(pk=row.pk).update(is_default=False)
    WaSenderSession.objects.filter(pk=row.pk).update(is_default=True)
    row.is_default = True


def digits(phone: str) -> str:
    """The ASCII digits in it: how the gateway writes numbers varies (contract 2.1)."""
    return "".join(char for char in phone if char.isascii() and char.isdigit())
