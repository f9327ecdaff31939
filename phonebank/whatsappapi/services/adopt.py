"""Taking over sessions that a WaSender account already has, and giving them back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.base import SessionInfo
from phonebank.gateways.errors import GatewayError
from phonebank.language import stored
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services.creation import check_place, digits, free_name, make_default, slots
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import (
    accounts_for,
    can_receive_webhooks,
    client_call,
    explain,
    hook_settings,
    managed,
    webhook_url,
)
from phonebank.whatsappapi.services.phones import to_e164
from phonebank.whatsappapi.services.session_history import note_status, source_now
from phonebank.whatsappapi.services.session_status import refresh_status, store_details
from phonebank.whatsappapi.services.sessions import delete

TAKEN_OVER = stored("Taken over from WaSender.")


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A session that the gateway account has and Phonebank does not. `webhook`: where its events go today."""

    wasender_id: int
    name: str
    phone: str
    status: str
    webhook: str
    log_messages: bool
    replaces_webhook: bool


@dataclass(slots=True)
class Adopted:
    """What came of taking over: the new sessions, and a sentence for each that stayed where it was."""

    sessions: list[WaSenderSession] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def adoptable(*, actor: User | None, account: GatewayAccount) -> list[Adoptable]:
    """The sessions of one's own account that are not here yet, by name.

    A token lists every session of its account, so the operator's is never listed for a user: there, `actor` is None,
    the administrator at the command line.
    """
    found = _adopting(actor, account)
    here = set(found.wa_sessions.alive().exclude(wasender_id=None).values_list("wasender_id", flat=True))
    replaces = can_receive_webhooks(found)
    rows = [_adoptable(one, replaces) for one in _listed(found) if one.id not in here]
    return sorted(rows, key=lambda one: (one.name.casefold(), one.wasender_id))


def adopt(
    *, actor: User | None, account: GatewayAccount, wasender_ids: Iterable[int], owner: User | None = None
) -> Adopted:
    """Takes over these sessions for their owner (default: `actor`). Each on its own: one that cannot be stops no other.

    The row is committed, with the webhook settings found, before the gateway is changed: they can be given back
    whatever happens then. Places are counted under the owner's lock.
    """
    found = _adopting(actor, account)
    owner = owner or actor
    if owner is None:
        raise ServiceError(_("Nobody was named to take the sessions over."), code="nobody")
    listed = {one.id: one for one in _listed(found)}
    result = Adopted()
    for number in dict.fromkeys(wasender_ids):
        name = listed[number].name if number in listed else _("Session %(number)s") % {"number": number}
        try:
            if number not in listed:
                raise ServiceError(_("The gateway account has no such session."), code="not_found")
            result.sessions.append(_adopt(actor, owner, found, number))
        except ServiceError as error:
            result.refused.append(
                _("“%(name)s” was not taken over: %(message)s") % {"name": name, "message": error.message}
            )
    return result


def accounts_to_adopt_from(user: User) -> Sequence[GatewayAccount]:
    """The user's own accounts; never the operator's."""
    return list(accounts_for(user).filter(user=user))


def remove_account(*, actor: User, account: GatewayAccount) -> list[str]:
    """Takes an account and its sessions out of Phonebank; at WaSender they stay as they are. The token is wiped.

    Returns a sentence for each session whose webhook could not be given back.
    """
    found = managed(actor, account)
    rows = found.wa_sessions.alive().select_related("user")
    if rows.filter(wasender_id=None).exists():
        raise ServiceError(_("A session is still being created there. Wait a few minutes."), code="not_created")
    notes = []
    for row in rows:
        if note := delete(actor=row.user, wa_session=row, at_gateway=False):
            notes.append(f"{row.session_name}: {note}")
    with transaction.atomic():
        locked = GatewayAccount.objects.select_for_update(no_key=True).get(pk=found.pk)
        if locked.wa_sessions.alive().exists():
            raise ServiceError(_("A session was created there meanwhile. Nothing more was removed."), code="in_use")
        locked.token, locked.removed_at = "", timezone.now()
        locked.save(update_fields=["token", "removed_at"])
        locked.granted_to.clear()
        record(actor=actor, verb="account.removed", target=locked, owner=locked.user)
    return notes


def _adopting(actor: User | None, account: GatewayAccount) -> GatewayAccount:
    accounts = GatewayAccount.objects.alive().filter(pk=account.pk)
    found = accounts.first() if actor is None else accounts.filter(user=actor).first()
    if found is None:
        raise ServiceError(_("This gateway account does not exist."), code="not_found")
    return found


def _listed(account: GatewayAccount) -> list[SessionInfo]:
    try:
        return client_call(account, lambda gateway: gateway.list_sessions(account.token))
    except GatewayError as error:
        raise explain(error, _("Nothing was changed.")) from error


def _adoptable(info: SessionInfo, replaces: bool) -> Adoptable:
    return Adoptable(
        wasender_id=info.id,
        name=info.name.strip() or f"Session {info.id}",
        phone=_phone(info),
        status=info.status,
        webhook=info.webhook_url if info.webhook_enabled else "",
        log_messages=info.log_messages,
        replaces_webhook=replaces and info.webhook_enabled and bool(info.webhook_url),
    )


def _phone(info: SessionInfo) -> str:
    try:
        return to_e164("+" + digits(info.phone_number))
    except ValueError:
        return ""


def _adopt(actor: User | None, owner: User, account: GatewayAccount, number: int) -> WaSenderSession:
    try:
        info = client_call(account, lambda gateway: gateway.get_session(account.token, number))
    except GatewayError as error:
        raise explain(error, _("It was left as it is.")) from error
    phone = _phone(info)
    if not phone:
        raise ServiceError(_("The gateway gives no usable phone number for it."), code="phone_number")
    row = _commit(actor, owner, account, info, phone)
    try:
        refresh_status(wa_session=row)  # puts our webhook there; the next poll does it if this does not
    except ServiceError:
        row.refresh_from_db()
    row.refresh_from_db()
    return row


def _commit(actor: User | None, owner: User, account: GatewayAccount, info: SessionInfo, phone: str) -> WaSenderSession:
    try:
        with transaction.atomic(durable=True):
            locked = User.objects.select_for_update(no_key=True).get(pk=owner.pk)
            used = check_place(locked)
            row = WaSenderSession(
                user=locked,
                account=account,
                wasender_id=info.id,
                session_name=_name(locked, info.name, used),
                phone_number=phone,
                status=info.status,
                adopted_at=timezone.now(),
            )
            if info.webhook_url != webhook_url(row):
                row.adopted_webhook = json.dumps(hook_settings(info))
            if info.status == WaSenderSession.Status.CONNECTED:
                row.last_active_at, row.connection_version = timezone.now(), 1
            store_details(row, info)
            row.save(force_insert=True)
            note_status(row.pk, row.status, row.status_since, TAKEN_OVER, source_now(), actor)
            if not WaSenderSession.objects.visible_to(locked).filter(is_default=True).exists():
                make_default(row)
            record(actor=actor, verb="session.adopted", target=row, owner=locked)
    except IntegrityError:
        raise ServiceError(_("It is here already."), code="duplicate") from None
    return row


def _name(owner: User, name: str, used: int) -> str:
    """The gateway's name where it is free and fits; else the next "Session n". Slots are checked before."""
    tidy = "".join(char if char.isprintable() else " " for char in name)[:60]
    try:
        return free_name(owner, tidy, used)
    except ServiceError:
        return free_name(owner, "", used)


def room(user: User) -> int:
    """How many more sessions the user's plan takes."""
    used, most = slots(user)
    return max(0, most - used)
