"""Verbs on sessions: create, link, unlink, rename, delete. What a session's status is: session_status.py."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from phonebank.accounts.models import Subscription, User
from phonebank.audit.models import record
from phonebank.gateways.base import ConnectResult, SessionInfo
from phonebank.gateways.errors import GatewayError, NotConnected, NotFound, OutcomeUnknown, Refused, UnexpectedAnswer
from phonebank.whatsappapi.models import Alert, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import accounts_for, client_call, explain, webhook_url
from phonebank.whatsappapi.services.phones import to_e164
from phonebank.whatsappapi.services.session_status import (
    apply_status,
    poll_statuses,
    read_details,
    recheck_refused,
    refresh_status,
    store_details,
)

__all__ = [
    "apply_status",
    "can_create_session",
    "connect",
    "create_session",
    "current_qr",
    "delete",
    "disconnect",
    "poll_statuses",
    "recheck_refused",
    "reconcile_intents",
    "refresh_status",
    "rename",
    "set_default",
    "slots",
]

logger = logging.getLogger(__name__)

ADOPT_AFTER = timedelta(seconds=60)  # longer than a create call may last
REMOVE_AFTER = timedelta(minutes=5)  # by then the gateway lists what it created
_IN_DOUBT = "The gateway gave no clear answer when this session was created. Phonebank is finding out."
_OTHER_NAME = "The gateway has a session with this number under another name. Rename that one there, or delete it."


def can_create_session(user: User) -> bool:
    """Whether the user's plan has a free place."""
    used, most = slots(user)
    return user.is_active and used < most


def slots(user: User) -> tuple[int, int]:
    """Places taken (sessions being created included) and places in the plan."""
    most = Subscription.objects.select_related("plan").get(user=user).max_sessions
    return WaSenderSession.objects.visible_to(user).count(), most


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
        raise ServiceError("This gateway account does not exist. Nothing was created.", code="not_found")
    try:
        phone = to_e164(phone_number)
    except ValueError as error:
        raise ServiceError(f"{error} Nothing was created.", code="phone_number") from None
    if daily_limit is not None and not 1 <= daily_limit <= 2_147_483_647:
        raise ServiceError("The daily limit must be 1 or more. Nothing was created.", code="daily_limit")
    wa_session = WaSenderSession(
        user=actor,
        account=usable,
        session_name=name,
        phone_number=phone,
        daily_limit=daily_limit,
        account_protection=account_protection,
        log_messages=log_messages,
        status_reason="Being created at the gateway.",
    )
    _commit_intent(wa_session)
    info = _create_at_gateway(wa_session)
    return _complete(wa_session, info, actor=actor, is_default=is_default)


def _commit_intent(wa_session: WaSenderSession) -> None:
    """Checks the plan and inserts the row under one lock on the owner, and commits: no caller may wrap this."""
    with transaction.atomic(durable=True):
        owner = User.objects.select_for_update(no_key=True).get(pk=wa_session.user_id)
        used, most = slots(owner)
        if not owner.is_active or used >= most:
            raise ServiceError(
                f"Your plan allows {most} session{'s' if most != 1 else ''} and {used} "
                f"{'are' if used != 1 else 'is'} in use. Delete one or change the plan.",
                code="plan_limit",
            )
        others = WaSenderSession.objects.visible_to(owner)
        if others.filter(account=wa_session.account, phone_number=wa_session.phone_number).exists():
            raise ServiceError("You already have a session with this number.", code="phone_taken")
        wa_session.session_name = _free_name(owner, wa_session.session_name, used)
        wa_session.save(force_insert=True)


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
            f"The gateway gave no clear answer. “{wa_session.session_name}” was kept; within a few minutes it is "
            "either completed or removed. Do not create it again before.",
            code="outcome_unknown",
        ) from error
    except GatewayError as error:
        wa_session.delete()
        if isinstance(error, Refused) and "taken" in error.detail:
            message = "Another WaSender session already has this number. Nothing was created."
            raise ServiceError(message, code="phone_taken") from error
        raise explain(error, "Nothing was created.") from error


def _complete(
    wa_session: WaSenderSession, info: SessionInfo, *, actor: User | None, is_default: bool
) -> WaSenderSession:
    """Stores what the gateway gave us; the owner's first session becomes the default."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=wa_session.user_id)
        row = WaSenderSession.objects.visible_to(owner).select_for_update(no_key=True).filter(pk=wa_session.pk).first()
        if row is None:
            raise ServiceError("The session was deleted meanwhile.", code="not_found")
        row.wasender_id = info.id
        store_details(row, info)
        row.status_reason = ""
        row.save()
        if is_default or not WaSenderSession.objects.visible_to(owner).filter(is_default=True).exists():
            _make_default(row)
        record(actor=actor, verb="session.created", target=row)
    if not row.api_key or not row.webhook_secret:
        refresh_status(wa_session=row)
    row.refresh_from_db()
    return row


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


def _list(account: GatewayAccount) -> list[SessionInfo] | None:
    try:
        return client_call(account, lambda gateway: gateway.list_sessions(account.token))
    except GatewayError as error:
        logger.warning("sessions of account %s could not be listed (%s)", account.pk, error.code)
        return None


def _reconcile(intent: WaSenderSession, theirs: list[SessionInfo]) -> bool:
    taken = set(intent.account.wa_sessions.alive().exclude(wasender_id=None).values_list("wasender_id", flat=True))
    same_phone = [one for one in theirs if one.id not in taken and _digits(one.phone_number) == intent.phone_number[1:]]
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
        removed, _ = WaSenderSession.objects.filter(pk=intent.pk, wasender_id=None).delete()
        if removed:
            record(actor=None, verb="session.intent_removed", target=intent)
    return bool(removed)


def _report(intent: WaSenderSession) -> bool:
    WaSenderSession.objects.filter(pk=intent.pk).update(status_reason=_OTHER_NAME)
    key = f"intent:{intent.pk}"
    if not Alert.objects.filter(user=intent.user, key=key, closed_at=None).exists():
        text = f"“{intent.session_name}”: {_OTHER_NAME}"
        Alert.objects.create(user=intent.user, session=intent, key=key, text=text[:300])
    return False


def connect(*, actor: User, wa_session: WaSenderSession) -> ConnectResult:
    """Starts linking. The result holds the QR text to draw, a passkey token, or neither when already linked."""
    row = _created(actor, wa_session)
    token, number = row.account.token, row.wasender_id

    async def work(gateway: Any) -> ConnectResult:
        await read_details(gateway, row)  # registers our address first, so that linking proves it
        return await gateway.connect(token, number)

    result = _ask(row, work, "The session was not changed.")
    record(actor=actor, verb="session.connect", target=row)
    if result.status == WaSenderSession.Status.CONNECTED:  # also said while still connecting (contract 2.2)
        refresh_status(wa_session=row)
    else:
        apply_status(wa_session_id=row.pk, status=result.status, source="gateway")
    return result


def current_qr(*, actor: User, wa_session: WaSenderSession) -> str | None:
    """The present QR text, None once nothing is left to scan. An expired code starts linking anew, once."""
    row = _created(actor, wa_session)
    token, number = row.account.token, row.wasender_id

    async def work(gateway: Any) -> str | None:
        try:
            return (await gateway.qrcode(token, number)).qr
        except (NotConnected, Refused):
            return (await gateway.connect(token, number)).qr

    text = _ask(row, work, "Try again.")
    if text is None:
        refresh_status(wa_session=row)
    return text


def disconnect(*, actor: User, wa_session: WaSenderSession) -> None:
    """Ends the session's connection; what is queued for it waits or goes to others."""
    row = _created(actor, wa_session)
    token, number = row.account.token, row.wasender_id
    status = _ask(row, lambda gateway: gateway.disconnect(token, number), "The session may still be connected.")
    record(actor=actor, verb="session.disconnect", target=row)
    if status == WaSenderSession.Status.CONNECTED:
        status = WaSenderSession.Status.UNKNOWN
    apply_status(wa_session_id=row.pk, status=status, source="gateway", reason="Disconnected by you.")


def delete(*, actor: User, wa_session: WaSenderSession, at_gateway: bool = True) -> None:
    """Removes the session, at the gateway too unless told otherwise. Its history stays; its key is wiped."""
    row = _owned(actor, wa_session)
    if row.wasender_id is None:
        _settle_before_deletion(row)
    if at_gateway and row.wasender_id is not None:
        token, number = row.account.token, row.wasender_id
        try:
            client_call(row.account, lambda gateway: gateway.delete_session(token, number))
        except GatewayError as error:
            raise explain(error, "The session was not deleted. Try again.") from error
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=row.user_id)
        mine = WaSenderSession.objects.visible_to(owner).select_for_update(no_key=True, of=("self",))
        gone = mine.filter(pk=row.pk).first()
        if gone is None:
            return
        was_default, gone.is_default = gone.is_default, False
        gone.deleted_at, gone.is_active = timezone.now(), False
        gone.status, gone.status_since = WaSenderSession.Status.DISCONNECTED, gone.deleted_at
        gone.api_key = gone.api_key_digest = gone.previous_key_digest = ""
        gone.webhook_secret = ""  # its digest stays: late webhooks are answered 410
        gone.save()
        heir = WaSenderSession.objects.visible_to(owner).order_by("created_at", "pk").first()
        if was_default and heir is not None:
            _make_default(heir)
        record(actor=actor, verb="session.deleted", target=gone, at_gateway=at_gateway)


def _settle_before_deletion(row: WaSenderSession) -> None:
    """An intent may have a session at the gateway that nothing here would know any more."""
    if row.created_at > timezone.now() - ADOPT_AFTER:
        raise ServiceError("This session is still being created. Wait a minute, then delete it.", code="not_created")
    theirs = _list(row.account)
    if theirs is None:
        raise ServiceError("The gateway cannot be reached. The session was not deleted. Try again.", code="unreachable")
    _reconcile(row, theirs)
    row.refresh_from_db()


def rename(*, actor: User, wa_session: WaSenderSession, name: str) -> WaSenderSession:
    """Gives the session another name; names are unique per user, whatever their case."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        row = _owned(owner, wa_session)
        if not name.strip():
            raise ServiceError("A session needs a name. The old one was kept.", code="name")
        row.session_name = _free_name(owner, name, 0, own=row.pk)
        row.save(update_fields=["session_name", "updated_at"])
        record(actor=actor, verb="session.renamed", target=row)
    return row


def set_default(*, actor: User, wa_session: WaSenderSession) -> WaSenderSession:
    """Makes this the session that is preselected."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        row = _owned(owner, wa_session)
        _make_default(row)
        record(actor=actor, verb="session.set_default", target=row)
    return row


def _make_default(row: WaSenderSession) -> None:
    """Inside a transaction that holds the owner's lock."""
    WaSenderSession.objects.filter(user_id=row.user_id, is_default=True).exclude(pk=row.pk).update(is_default=False)
    WaSenderSession.objects.filter(pk=row.pk).update(is_default=True)
    row.is_default = True


def _free_name(owner: User, name: str, used: int, own: int | None = None) -> str:
    name = " ".join(name.split())
    others = WaSenderSession.objects.visible_to(owner).exclude(pk=own).values_list("session_name", flat=True)
    taken = {one.casefold() for one in others}
    if not name:
        number = used + 1
        while f"session {number}" in taken:
            number += 1
        return f"Session {number}"
    if len(name) > 60 or not name.isprintable():
        raise ServiceError("A name has at most 60 characters, none of them invisible.", code="name")
    if name.casefold() in taken or name.lower() in {one.lower() for one in others}:
        raise ServiceError(f"You already have a session named “{name}”. Choose another name.", code="name_taken")
    return name


def _owned(actor: User, wa_session: WaSenderSession) -> WaSenderSession:
    row = WaSenderSession.objects.visible_to(actor).select_related("account", "user").filter(pk=wa_session.pk).first()
    if row is None:
        raise ServiceError("This session does not exist.", code="not_found")
    return row


def _created(actor: User, wa_session: WaSenderSession) -> WaSenderSession:
    row = _owned(actor, wa_session)
    if row.wasender_id is None:
        raise ServiceError(
            "This session is still being created at the gateway. Wait a few minutes.", code="not_created"
        )
    return row


def _ask(row: WaSenderSession, work: Any, kept: str) -> Any:
    try:
        return client_call(row.account, work)
    except NotFound as error:
        apply_status(
            wa_session_id=row.pk, status=WaSenderSession.Status.UNKNOWN, source="gateway", reason=error.user_message
        )
        raise explain(error, "It was marked so. Delete it here, or create it anew.") from error
    except GatewayError as error:
        raise explain(error, kept) from error


def _digits(phone: str) -> str:
    return "".join(char for char in phone if char.isascii() and char.isdigit())
