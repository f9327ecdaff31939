"""What a session's status is: what webhooks and polls say of it becomes one row, and only a poll makes it connected."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Min, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.gateways.base import SessionInfo
from phonebank.gateways.errors import GatewayError, NotFound, Throttled
from phonebank.gateways.wasender import WEBHOOK_EVENTS, WaSender
from phonebank.language import stored
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, explain, webhook_url
from phonebank.whatsappapi.services.session_history import note_status, source_now

logger = logging.getLogger(__name__)

Status = WaSenderSession.Status

# `updated_at` is when a session was last looked at. While somebody is likely to be scanning, look often.
SAYS = stored("The gateway says “%(status)s”.")
LINKING = (Status.CONNECTING, Status.NEED_SCAN, Status.NEED_PASSKEY)
LINKING_FOR = timedelta(minutes=5)
POLL_LINKING, POLL_LIVE, POLL_REST = timedelta(seconds=10), timedelta(seconds=60), timedelta(minutes=5)
RECHECK_REFUSED = timedelta(minutes=5)
THROTTLED = 30.0  # seconds, where a 429 does not say how long


def apply_status(
    *,
    wa_session_id: int,
    status: str,
    source: str,
    reason: str = "",
    asked_at: datetime | None = None,
    actor: User | None = None,
) -> bool:
    """Stores a status with its moment and reason, and in the history; True when it is another one than before.

    `source` says who told: "poll", "gateway" (an answer to our call, made for `actor`) or "webhook". A webhook's
    "connected" would make us send more, so it is not believed but looked up. An answer to a question asked at
    `asked_at` does not undo what was learned after that.
    """
    if source == "webhook" and status == Status.CONNECTED:
        row = WaSenderSession.objects.alive().select_related("account", "user").filter(pk=wa_session_id).first()
        if row is None or row.wasender_id is None:
            return False
        before = row.status
        return refresh_status(wa_session=row, source=source).status != before
    return _store(wa_session_id, status, source, reason, asked_at, actor)


def _store(
    row_id: int, status: str, source: str, reason: str, asked_at: datetime | None, actor: User | None = None
) -> bool:
    rows = WaSenderSession.objects.alive().filter(pk=row_id)
    if asked_at is not None:
        rows = rows.filter(Q(status=status) | Q(status_since__lte=asked_at))
    now, reason = timezone.now(), reason[:200]
    seen = {"last_active_at": now, "updated_at": now} if status == Status.CONNECTED else {"updated_at": now}
    came_up = {"connection_version": F("connection_version") + 1} if status == Status.CONNECTED else {}
    with transaction.atomic():
        changed = rows.exclude(status=status).update(
            status=status, status_since=now, status_reason=reason, **seen, **came_up
        )
        if changed:
            note_status(row_id, status, now, reason, source_now() if source == "gateway" else source, actor)
        else:
            rows.filter(status=status).update(status_reason=reason, **seen)
    return bool(changed)


def refresh_status(*, wa_session: WaSenderSession, source: str = "poll") -> WaSenderSession:
    """Reads the session at the gateway: status, keys, settings and, once linked, whose number it is.

    Puts our webhook address right where another stands. Raises ServiceError; the stored status is then kept, except
    that a session unknown to the gateway becomes "unknown". `source`: why we looked, for the history.
    """
    row = WaSenderSession.objects.select_related("account", "user").get(pk=wa_session.pk)
    if row.wasender_id is None or row.deleted_at is not None:
        return row
    asked_at = timezone.now()
    try:
        info = client_call(row.account, lambda gateway: read_details(gateway, row))
    except NotFound as error:
        _store(row.pk, Status.UNKNOWN, source, error.user_message, None)
        row.refresh_from_db()
        return row
    except GatewayError as error:
        raise explain(error, _("What is shown may be out of date.")) from error
    with transaction.atomic():
        locked = WaSenderSession.objects.select_for_update(no_key=True, of=("self",)).get(pk=row.pk)
        if locked.deleted_at is not None:
            return locked
        store_details(locked, info)
        locked.save(update_fields=_DETAILS)
        came_up = _store(row.pk, info.status, source, _reason(info), asked_at)
    if info.status == Status.CONNECTED and (came_up or not row.linked_number):
        _store_linked_number(row, info.api_key or row.api_key)
    row.refresh_from_db()
    return row


async def read_details(gateway: WaSender, row: WaSenderSession) -> SessionInfo:
    """The session at the gateway, with our webhook address registered where webhooks can arrive."""
    token, url = row.account.token, webhook_url(row)
    info = await gateway.get_session(token, row.wasender_id)
    if not url or (info.webhook_url == url and info.webhook_enabled):
        return info
    settings = {"webhook_url": url, "webhook_enabled": True, "webhook_events": WEBHOOK_EVENTS}
    updated = await gateway.update_session(token, row.wasender_id, **settings)
    if updated.warning:  # stored but not pushed to the running session: once more (contract 2.1)
        updated = await gateway.update_session(token, row.wasender_id, **settings)
    return updated


_DETAILS = [
    "api_key", "api_key_digest", "previous_key_digest", "previous_key_until", "key_version", "webhook_secret",
    "webhook_secret_digest", "previous_secret_digest", "previous_secret_until", "account_protection", "log_messages",
    "updated_at",
]  # fmt: skip


def store_details(row: WaSenderSession, info: SessionInfo) -> None:
    """Takes over the gateway's secrets and settings; the caller saves. Absent secrets change nothing."""
    if info.api_key and info.api_key != row.api_key:
        row.set_api_key(info.api_key)
    if info.webhook_secret and info.webhook_secret != row.webhook_secret:
        row.set_webhook_secret(info.webhook_secret)
    row.account_protection, row.log_messages = info.account_protection, info.log_messages


def poll_statuses(limit: int = 20) -> int:
    """Looks at the sessions not looked at for a while and returns how many changed. At most `limit` accounts a round.

    One list call tells of all sessions of an account; only those that came up or vanished cost a call of their own.
    All calls count against the account's share (dispatch/budget.py), so a large account is spread over several rounds.
    """
    stale = WaSenderSession.objects.alive().filter(_stale(timezone.now())).exclude(wasender_id=None).exclude(_REFUSED)
    waiting = stale.values("account").annotate(first=Min("updated_at")).order_by("first")[:limit]
    accounts = GatewayAccount.objects.alive().in_bulk([one["account"] for one in waiting])
    return sum(_poll_account(account) for account in accounts.values())


def recheck_refused(limit: int = 10) -> int:
    """Gives sessions whose key was refused another chance when the gateway accepts that key again.

    A lapsed subscription comes back with the same key. A look costs no message; at most one per session in 5 minutes.
    """
    now = timezone.now()
    refused = WaSenderSession.objects.alive().filter(
        rejected_key_version=F("key_version"), updated_at__lt=now - RECHECK_REFUSED
    )
    freed = 0
    for row in refused.select_related("account").order_by("updated_at")[:limit]:
        WaSenderSession.objects.filter(pk=row.pk).update(updated_at=now)
        key = row.api_key
        try:
            client_call(row.account, lambda gateway, key=key: gateway.session_status(key))
        except GatewayError:
            continue
        freed += WaSenderSession.objects.filter(pk=row.pk, rejected_key_version=row.key_version).update(
            rejected_key_version=0, status_reason=""
        )
    return freed


_REFUSED = Q(rejected_key_version=F("key_version"))  # theirs is recheck_refused


def _stale(now: datetime) -> Q:
    linking = Q(status__in=LINKING, status_since__gt=now - LINKING_FOR, updated_at__lt=now - POLL_LINKING)
    live = Q(status__in=[Status.CONNECTED, *LINKING, Status.UNKNOWN], updated_at__lt=now - POLL_LIVE)
    return linking | live | Q(updated_at__lt=now - POLL_REST)


def _claim(account: GatewayAccount) -> list[WaSenderSession]:
    """All sessions of the account, marked as looked at; none when another worker was faster or the share is used up."""
    now = timezone.now()
    with transaction.atomic():
        rows = (
            account.wa_sessions.alive()
            .exclude(wasender_id=None)
            .exclude(_REFUSED)
            .only("status", "wasender_id", "user")
        )
        locked = list(rows.select_for_update(no_key=True, of=("self",), skip_locked=True).order_by("pk"))
        ids = [row.pk for row in locked]
        if not WaSenderSession.objects.filter(_stale(now), pk__in=ids).exists() or not may_call(account):
            return []
        WaSenderSession.objects.filter(pk__in=ids).update(updated_at=now)
    return locked


def may_call(account: GatewayAccount) -> bool:
    """Takes one call out of the account's share; a sandbox says itself when it is too much."""
    gap = 0.0 if account.is_sandbox else budget.ACCOUNT_GAP
    return budget.take(budget.account_key(account.pk), gap=gap, burst=budget.ACCOUNT_BURST) == 1


def _poll_account(account: GatewayAccount) -> int:
    rows = _claim(account)
    if not rows:
        return 0
    asked_at = timezone.now()
    try:
        listed = client_call(account, lambda gateway: gateway.list_sessions(account.token))
    except GatewayError as error:
        if isinstance(error, Throttled):
            budget.close(budget.account_key(account.pk), error.retry_after or THROTTLED)
        logger.warning("sessions of account %s could not be listed (%s)", account.pk, error.code)
        return 0
    statuses = {info.id: (info.status, _reason(info)) for info in listed}
    up, later, changed = [], [], 0
    for row in rows:
        status, reason = statuses.get(row.wasender_id, ("", ""))
        if status == row.status:
            up += [row.pk] if status == Status.CONNECTED else []
        elif status not in ("", Status.CONNECTED):
            changed += _store(row.pk, status, "poll", reason, asked_at)
        elif may_call(account):
            changed += _look(row)
        else:
            later.append(row.pk)
    WaSenderSession.objects.filter(pk__in=up).update_in_order(last_active_at=timezone.now())
    WaSenderSession.objects.filter(pk__in=later).update_in_order(updated_at=timezone.now() - POLL_REST)
    return changed


def _look(row: WaSenderSession) -> bool:
    try:
        return refresh_status(wa_session=row).status != row.status
    except ServiceError as error:
        logger.warning("session %s could not be read (%s)", row.pk, error.code)
        return False


def _store_linked_number(row: WaSenderSession, api_key: str) -> None:
    """Asked outside of any lock: who scanned the code may not be who was expected (contract 2.1)."""
    try:
        number = client_call(row.account, lambda gateway: gateway.who_am_i(api_key)).number
    except GatewayError as error:
        logger.info("linked number of session %s not known yet (%s)", row.public_id, error.code)
        return
    WaSenderSession.objects.filter(pk=row.pk).update(linked_number=number)


def _reason(info: SessionInfo) -> str:
    if info.status == Status.UNKNOWN and info.raw_status:
        return SAYS % {"status": info.raw_status}
    return ""
