"""Verbs on sessions: link, unlink, change, delete. Creating is creation.py, what a status is: session_status.py."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.base import ConnectResult, Passkey
from phonebank.gateways.errors import GatewayError, NotConnected, NotFound, OutcomeUnknown, Refused, UnexpectedAnswer
from phonebank.language import stored
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.services import reconnect
from phonebank.whatsappapi.services.capabilities import check, reach
from phonebank.whatsappapi.services.creation import (
    can_create_session,
    check_limit,
    create_session,
    free_name,
    make_default,
    next_creation_at,
    reconcile_intents,
    settle_before_deletion,
    slots,
)
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, explain, give_back_webhook
from phonebank.whatsappapi.services.session_history import note_action
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
    "change",
    "connect",
    "create_session",
    "current_qr",
    "delete",
    "disconnect",
    "next_creation_at",
    "passkey_token",
    "poll_statuses",
    "recheck_refused",
    "reconcile_intents",
    "refresh_status",
    "regenerate_key",
    "relink",
    "rename",
    "restart",
    "set_default",
    "slots",
]

logger = logging.getLogger(__name__)

DISCONNECTED = stored("Disconnected by you.")
RESTARTED = stored("Restarted.")
KEY_CHANGED = stored("The session key was changed.")
CHANGED = stored("Changed: %(names)s.")
SETTINGS = ("name", "daily_limit", "account_protection", "log_messages")


def connect(*, actor: User, wa_session: WaSenderSession) -> ConnectResult:
    """Starts linking. The result holds the QR text to draw, a passkey token, or neither when already linked."""
    row = _created(actor, wa_session, "connect")
    token, number = row.account.token, row.wasender_id

    async def work(gateway: Any) -> ConnectResult:
        await read_details(gateway, row)  # registers our address first, so that linking proves it
        return await gateway.connect(token, number)

    reconnect.wanted(row)
    result = _ask(row, work, _("The session was not changed."))
    record(actor=actor, verb="session.connect", target=row)
    if result.status == WaSenderSession.Status.CONNECTED:  # also said while still connecting (contract 2.2)
        refresh_status(wa_session=row)
    else:
        apply_status(wa_session_id=row.pk, status=result.status, source="gateway", actor=actor)
    return result


def current_qr(*, actor: User, wa_session: WaSenderSession) -> str | None:
    """The present QR text, None once nothing is left to scan. An expired code starts linking anew, once."""
    row = _created(actor, wa_session, "connect")
    token, number = row.account.token, row.wasender_id

    async def work(gateway: Any) -> str | None:
        try:
            return (await gateway.qrcode(token, number)).qr
        except (NotConnected, Refused):
            return (await gateway.connect(token, number)).qr

    text = _ask(row, work, _("Try again."))
    if text is None:
        refresh_status(wa_session=row)
    return text


def passkey_token(*, actor: User, wa_session: WaSenderSession) -> Passkey | None:
    """The token for WaSender's passkey helper, None once no passkey is asked for. Never stored."""
    row = _created(actor, wa_session, "connect")
    token, number = row.account.token, row.wasender_id

    async def work(gateway: Any) -> Passkey | None:
        try:
            return await gateway.passkey_token(token, number)
        except (NotConnected, Refused):
            return None

    found = _ask(row, work, _("Try again."))
    if found is None:
        refresh_status(wa_session=row)
    return found


def disconnect(*, actor: User, wa_session: WaSenderSession) -> None:
    """Ends the session's connection, until a person connects it; what is queued for it waits or goes to others."""
    row = _created(actor, wa_session, "disconnect")
    token, number = row.account.token, row.wasender_id
    before = reconnect.ended(row)  # first, or its being down would be noticed and mended
    try:
        status = _ask(row, lambda gateway: gateway.disconnect(token, number), _("The session may still be connected."))
    except ServiceError as error:
        if not isinstance(error.__cause__, OutcomeUnknown):
            reconnect.undo_ended(row, before)
        raise
    record(actor=actor, verb="session.disconnect", target=row)
    if status == WaSenderSession.Status.CONNECTED:
        status = WaSenderSession.Status.UNKNOWN
    apply_status(wa_session_id=row.pk, status=status, source="gateway", reason=DISCONNECTED, actor=actor)


def relink(*, actor: User, wa_session: WaSenderSession) -> ConnectResult:
    """Ends the connection and links again. WaSender asks for a scan only where it no longer knows the phone."""
    disconnect(actor=actor, wa_session=wa_session)
    return connect(actor=actor, wa_session=wa_session)


def restart(*, actor: User, wa_session: WaSenderSession) -> None:
    """Has WaSender start a connected session anew; the phone stays linked (contract 2)."""
    row = _created(actor, wa_session, "disconnect")
    token, number = row.account.token, row.wasender_id
    _ask(row, lambda gateway: gateway.restart(token, number), _("The session was not restarted."))
    with transaction.atomic():
        record(actor=actor, verb="session.restarted", target=row)
        note_action(row, RESTARTED, actor)
    refresh_status(wa_session=row)


def regenerate_key(*, actor: User, wa_session: WaSenderSession) -> WaSenderSession:
    """A new session key. The gateway refuses the old one at once; webhooks that carry it are taken for 24 h more."""
    row = _created(actor, wa_session, "key")
    token, number = row.account.token, row.wasender_id

    async def work(gateway: Any) -> str:
        try:
            return await gateway.regenerate_key(token, number)
        except (OutcomeUnknown, UnexpectedAnswer):
            return (await gateway.get_session(token, number)).api_key or ""  # whichever key is the right one now

    key = _ask(row, work, _("Whether there is a new key is found out at the next look at the session."))
    with transaction.atomic():
        locked = _locked(actor, row, "key")
        if not key or key == locked.api_key:
            raise ServiceError(_("The gateway made no new key. The old one still works. Try again."), code="unchanged")
        before = locked.key_version
        locked.set_api_key(key)
        locked.save()
        record(
            actor=actor,
            verb="session.key_regenerated",
            target=locked,
            changes={"version": (before, locked.key_version)},
        )
        note_action(locked, KEY_CHANGED, actor)
    return locked


def change(*, actor: User, wa_session: WaSenderSession, **changes: Any) -> WaSenderSession:
    """Changes some of name, daily_limit (None: the plan's), account_protection and log_messages, all or none of them.

    The last two are changed at the gateway first, and only then here.
    """
    if unknown := changes.keys() - set(SETTINGS):
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    row = reach(actor, wa_session, "settings")
    if "name" in changes:
        free_name(actor, _named(changes["name"]), 0, own=row.pk)
    if changes.get("daily_limit") != row.daily_limit:  # one from before the plan was lowered may stay
        check_limit(actor, changes.get("daily_limit"), _("Nothing was changed."))
    flags = {name: changes[name] for name in SETTINGS[2:] if name in changes and changes[name] != getattr(row, name)}
    info = None
    if flags:
        row = _created(actor, row, "settings")
        token, number = row.account.token, row.wasender_id
        info = _ask(row, lambda gateway: gateway.update_session(token, number, **flags), _("Nothing was changed here."))
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        locked = _locked(owner, row, "settings")
        before = {"session_name": locked.session_name, "daily_limit": locked.daily_limit, **{
            name: getattr(locked, name) for name in SETTINGS[2:]}}  # fmt: skip
        if "name" in changes:
            locked.session_name = free_name(owner, _named(changes["name"]), 0, own=locked.pk)
        if "daily_limit" in changes:
            locked.daily_limit = changes["daily_limit"]
        if info is not None:
            store_details(locked, info)
        locked.save()
        changed = {name: (old, getattr(locked, name)) for name, old in before.items() if getattr(locked, name) != old}
        if changed:
            verb = "session.renamed" if changed.keys() == {"session_name"} else "session.changed"
            record(actor=actor, verb=verb, target=locked, changes=changed)
            note_action(locked, CHANGED % {"names": ", ".join(WORDS[name] for name in changed)}, actor)
    return locked


WORDS = {
    "session_name": "name",
    "daily_limit": stored("daily limit"),
    "account_protection": stored("account protection"),
    "log_messages": stored("message log"),
}


def rename(*, actor: User, wa_session: WaSenderSession, name: str) -> WaSenderSession:
    """Gives the session another name; names are unique per user, whatever their case."""
    return change(actor=actor, wa_session=wa_session, name=name)


def _named(name: str) -> str:
    if not name.strip():
        raise ServiceError(_("A session needs a name. The old one was kept."), code="name")
    return name


def delete(*, actor: User, wa_session: WaSenderSession, at_gateway: bool = True) -> str:
    """Removes the session, at the gateway too unless told otherwise. Its history stays; its key is wiped.

    Removed here only, it gets back the webhook settings it was adopted with; what could not be given back is said in
    the sentence that is returned (else empty).
    """
    row = reach(actor, wa_session, "delete")
    if row.wasender_id is None:
        settle_before_deletion(row)
        found = WaSenderSession.objects.select_related("account", "user").filter(pk=row.pk).first()
        if found is None:  # it had come to nothing, and is gone with that
            return ""
        row = found
    note = ""
    if at_gateway and row.wasender_id is not None:
        token, number = row.account.token, row.wasender_id
        try:
            client_call(row.account, lambda gateway: gateway.delete_session(token, number))
        except GatewayError as error:
            raise explain(error, _("The session was not deleted. Try again.")) from error
    elif row.wasender_id is not None:
        note = give_back_webhook(row)
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=row.user_id)
        mine = WaSenderSession.objects.visible_to(owner).select_for_update(no_key=True, of=("self",))
        gone = mine.filter(pk=row.pk).first()
        if gone is None:
            return note
        was_default, gone.is_default = gone.is_default, False
        gone.deleted_at, gone.is_active = timezone.now(), False
        gone.status, gone.status_since = WaSenderSession.Status.DISCONNECTED, gone.deleted_at
        gone.api_key = gone.api_key_digest = gone.previous_key_digest = ""
        gone.webhook_secret = gone.adopted_webhook = ""  # its digest stays: late webhooks are answered 410
        gone.save()
        heir = WaSenderSession.objects.visible_to(owner).order_by("created_at", "pk").first()
        if was_default and heir is not None:
            make_default(heir)
        record(actor=actor, verb="session.deleted", target=gone, at_gateway=at_gateway)
    return note


def set_default(*, actor: User, wa_session: WaSenderSession) -> WaSenderSession:
    """Makes this the session that is preselected."""
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        row = reach(owner, wa_session, "settings")
        make_default(row)
        record(actor=actor, verb="session.set_default", target=row)
    return row


def _locked(actor: User, row: WaSenderSession, action: str) -> WaSenderSession:
    """The session as it is now, inside a transaction."""
    alive = WaSenderSession.objects.alive().select_for_update(no_key=True, of=("self",))
    locked = alive.filter(pk=row.pk).first()
    if locked is None:
        raise ServiceError(_("This session was deleted meanwhile."), code="not_found")
    check(actor, locked, action)
    return locked


def _created(actor: User, wa_session: WaSenderSession, action: str) -> WaSenderSession:
    """A session that the actor may do `action` with (services/capabilities.py), and that the gateway has."""
    row = reach(actor, wa_session, action)
    if row.wasender_id is None:
        raise ServiceError(
            _("This session is still being created at the gateway. Wait a few minutes."), code="not_created"
        )
    return row


def _ask(row: WaSenderSession, work: Any, kept: str) -> Any:
    try:
        return client_call(row.account, work)
    except NotFound as error:
        apply_status(
            wa_session_id=row.pk, status=WaSenderSession.Status.UNKNOWN, source="gateway", reason=error.user_message
        )
        raise explain(error, _("It was marked so. Delete it here, or create it anew.")) from error
    except GatewayError as error:
        raise explain(error, kept) from error
