"""Brings sessions back whose link dropped: never those that a person disconnected, nor those that need a scan.

What a webhook says starts nothing by itself: the gateway is asked first, and its answer decides. A fleet comes back in
turn, within the account's share of calls.
"""

from __future__ import annotations

import logging
import random
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.errors import GatewayError, Throttled
from phonebank.language import stored
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.models import GatewayAccount, Reconnection, SessionEvent, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import can_receive_webhooks, client_call
from phonebank.whatsappapi.services.session_status import THROTTLED, apply_status

log = logging.getLogger(__name__)

Status = WaSenderSession.Status

FIRST = 3.0  # seconds within which a dropped session is first tried, by chance
BASE, MOST = 10.0, 900.0  # seconds of the back-off after a try, doubled each time
CALM = timedelta(minutes=10)  # after so long without a try the back-off starts anew
AN_HOUR = 12  # tries of a session within an hour, whatever happens
FOLLOWED = timedelta(minutes=2)  # how long a link that comes up is watched here; then the poll does
LOOK_GAP = 8.0  # seconds between two lists of an account's sessions
CALL_GAP = 1.2  # seconds for a call: five sixths of the account's 60 a minute (contract 5)
CALL_BURST = 12.0  # seconds of it that may be saved up
ACCOUNTS = 20  # accounts looked at in one round

# What the link was before it dropped: only one that stood comes back without a scan.
_ARM = """
INSERT INTO whatsappapi_reconnection AS r (session_id, is_on, tries, next_at)
SELECT s.id, true, 0, now() + make_interval(secs => random() * %(first)s)
FROM whatsappapi_wasendersession s JOIN accounts_user u ON u.id = s.user_id
LEFT JOIN whatsappapi_reconnection o ON o.session_id = s.id
WHERE s.status = 'disconnected' AND s.deleted_at IS NULL AND s.wasender_id IS NOT NULL AND s.is_active
  AND NOT s.is_surplus AND u.is_active
  AND (o.session_id IS NULL OR o.is_on AND o.ended_by_person_at IS NULL AND o.next_at IS NULL)
  AND coalesce((SELECT e.status FROM whatsappapi_sessionevent e
    WHERE e.session_id = s.id AND e.kind = 'status'
      AND e.status IN ('connected', 'need_scan', 'need_passkey', 'logged_out', 'expired')
    ORDER BY e.at DESC, e.id DESC LIMIT 1), CASE WHEN s.last_active_at IS NOT NULL THEN 'connected' END) = 'connected'
ORDER BY s.id
ON CONFLICT (session_id) DO UPDATE SET
  tries = CASE WHEN r.last_at > now() - %(calm)s THEN r.tries ELSE 0 END,
  next_at = CASE WHEN r.last_at > now() - %(calm)s
    THEN greatest(now(), r.last_at + make_interval(secs =>
      least(%(most)s, %(base)s * power(2, least(r.tries, 12))) * (0.75 + random() / 2)))
    ELSE excluded.next_at END
WHERE r.is_on AND r.ended_by_person_at IS NULL AND r.next_at IS NULL
"""
_DISARM = """
UPDATE whatsappapi_reconnection r SET next_at = NULL FROM whatsappapi_wasendersession s
WHERE s.id = r.session_id AND r.next_at IS NOT NULL AND (NOT r.is_on OR r.ended_by_person_at IS NOT NULL
  OR s.deleted_at IS NOT NULL OR NOT s.is_active OR s.is_surplus OR s.status NOT IN ('disconnected', 'connecting'))
"""


# --- what people want -------------------------------------------------------------------------------------------------
FAILED = stored("It could not be reconnected.")
RECONNECTING = stored("Reconnecting.")
NEEDS_SCAN = stored("It cannot come back without a scan.")
NOTHING = stored("WaSender says that it is connected; there was nothing to do.")


def ended(wa_session: WaSenderSession) -> datetime | None:
    """Notes that a person ends the link, before the gateway is told. Returns what was noted before (`undo_ended`)."""
    row, __ = Reconnection.objects.get_or_create(session=wa_session)
    Reconnection.objects.filter(pk=wa_session.pk).update(ended_by_person_at=timezone.now(), next_at=None)
    return row.ended_by_person_at


def undo_ended(wa_session: WaSenderSession, before: datetime | None) -> None:
    """The link was not ended after all."""
    Reconnection.objects.filter(pk=wa_session.pk).update(ended_by_person_at=before)


def wanted(wa_session: WaSenderSession) -> None:
    """Somebody connects the session: from now on its link is wanted again."""
    Reconnection.objects.filter(pk=wa_session.pk).update(ended_by_person_at=None, next_at=None, tries=0)


def is_on(wa_session: WaSenderSession) -> bool:
    """Whether the session is reconnected by itself."""
    return not Reconnection.objects.filter(pk=wa_session.pk, is_on=False).exists()


def switch(*, actor: User, wa_session: WaSenderSession, is_on: bool) -> None:
    """Switches reconnecting by itself on or off for one session."""
    with transaction.atomic():
        row = WaSenderSession.objects.visible_to(actor).filter(pk=wa_session.pk).first()
        if row is None:
            raise ServiceError(_("This session does not exist."), code="not_found")
        kept, __ = Reconnection.objects.get_or_create(session=row)
        if kept.is_on == is_on:
            return
        Reconnection.objects.filter(pk=row.pk).update(is_on=is_on, next_at=None)
        record(actor=actor, verb="session.auto_reconnect", target=row, changes={"reconnects": (kept.is_on, is_on)})


# --- the chore --------------------------------------------------------------------------------------------------------


def bring_back() -> int:
    """One round: arms what dropped, asks the gateways, tries who is due. Returns how many were tried."""
    with connection.cursor() as cursor:
        cursor.execute(_DISARM)
        cursor.execute(_ARM, {"first": FIRST, "calm": CALM, "most": MOST, "base": BASE})
    now = timezone.now()
    due = Q(session__status=Status.DISCONNECTED, next_at__lte=now)
    coming = Q(session__status=Status.CONNECTING, next_at__isnull=False, last_at__gt=now - FOLLOWED)
    waiting = Reconnection.objects.filter(due | coming).order_by().values_list("session__account", flat=True)
    accounts = GatewayAccount.objects.alive().filter(pk__in=waiting.distinct()[:ACCOUNTS])
    return sum(_account(account) for account in accounts)


def _account(account: GatewayAccount) -> int:
    key = budget.account_key(account.pk)
    if not budget.take(f"reconnect:{account.pk}", gap=LOOK_GAP):
        return 0
    if not budget.take(key, gap=CALL_GAP, burst=CALL_BURST):
        return 0
    asked_at = timezone.now()
    try:
        listed = client_call(account, lambda gateway: gateway.list_sessions(account.token))
    except GatewayError as error:
        _failed(account, error)
        return 0
    down = _settle(account, {one.id: one.status for one in listed}, asked_at)
    # Where webhooks arrive, each link that comes up has the session read once more.
    calls = 2 if can_receive_webhooks(account) else 1
    n = budget.take(key, len(down), gap=calls * CALL_GAP, burst=CALL_BURST) if down else 0
    return sum(_try(row) for row in _claim(down[:n]))


def _failed(account: GatewayAccount, error: GatewayError) -> None:
    """The account cannot be asked: everybody who is due waits, which is no try."""
    wait = 2 * LOOK_GAP
    if isinstance(error, Throttled):
        wait = error.retry_after or THROTTLED
        budget.close(budget.account_key(account.pk), wait)
    log.warning("sessions of account %s could not be listed to reconnect them (%s)", account.pk, error.code)
    due = Reconnection.objects.filter(session__account=account, next_at__lte=timezone.now())
    due.update(next_at=timezone.now() + timedelta(seconds=wait))


def _settle(account: GatewayAccount, listed: dict[int, str], asked_at: datetime) -> list[int]:
    """Stores what the gateway says of the armed sessions. Returns those that are down and due, longest first."""
    rows = Reconnection.objects.filter(session__account=account, next_at__isnull=False).select_related("session")
    down = []
    for row in rows.order_by("next_at", "pk"):
        one, status = row.session, listed.get(row.session.wasender_id or 0)
        if status is None:  # gone from there: the poll says so
            continue
        if status == Status.CONNECTED and one.status == Status.DISCONNECTED:
            _note(one, NOTHING)
            Reconnection.objects.filter(pk=row.pk).update(tries=F("tries") + 1, last_at=asked_at, next_at=None)
        if status != one.status:
            apply_status(wa_session_id=one.pk, status=status, source="poll", asked_at=asked_at)
        if status == Status.DISCONNECTED and row.next_at <= asked_at:
            down.append(row.pk)
    return down


def _claim(due: list[int]) -> list[WaSenderSession]:
    """Takes these sessions for a try, each with its next one set. Those at their hour's end wait."""
    now, taken = timezone.now(), []
    with transaction.atomic():
        rows = (
            Reconnection.objects.select_for_update(no_key=True, of=("self",), skip_locked=True)
            .filter(pk__in=due, is_on=True, ended_by_person_at=None, next_at__lte=now)
            .select_related("session__account", "session__user")
        )
        for row in rows.order_by("pk"):
            tried = row.session.events.filter(kind=SessionEvent.Kind.RECONNECT, at__gt=now - timedelta(hours=1))
            if tried.count() >= AN_HOUR:
                row.next_at = tried.order_by("at").values_list("at", flat=True)[0] + timedelta(hours=1)
            else:
                row.next_at, row.last_at = now + _pause(row.tries), now
                row.tries = min(row.tries + 1, 1000)
                taken.append(row.session)
            row.save(update_fields=["next_at", "tries", "last_at"])
    return taken


def _pause(tries: int) -> timedelta:
    """After the try number `tries` (from 0) without success: doubled each time, a quarter more or less by chance."""
    return timedelta(seconds=min(MOST, BASE * 2 ** min(tries, 12)) * random.uniform(0.75, 1.25))  # noqa: S311


def _try(row: WaSenderSession) -> bool:
    """One connect. What it leads to is seen at the next look, at the latest."""
    token, number = row.account.token, row.wasender_id or 0
    if _is_unwanted(row):
        return False
    asked_at = timezone.now()
    try:
        result = client_call(row.account, lambda gateway: gateway.connect(token, number))
        if _is_unwanted(row):  # a person ended it while we asked, and has the last word
            client_call(row.account, lambda gateway: gateway.disconnect(token, number))
            return True
    except GatewayError as error:
        _note(row, f"{FAILED} {error.user_message}")
        if isinstance(error, Throttled):
            budget.close(budget.account_key(row.account_id), error.retry_after or THROTTLED)
        return True
    # "Connected" is also said while still connecting (contract 2.2).
    row.status = Status.CONNECTING if result.status == Status.CONNECTED else result.status
    with transaction.atomic():
        apply_status(wa_session_id=row.pk, status=row.status, source="gateway", asked_at=asked_at)
        _note(row, RECONNECTING if row.status == Status.CONNECTING else NEEDS_SCAN)
    return True


def _is_unwanted(row: WaSenderSession) -> bool:
    return Reconnection.objects.filter(pk=row.pk).exclude(ended_by_person_at=None, is_on=True).exists()


def _note(wa_session: WaSenderSession, what: str) -> None:
    SessionEvent.objects.create(
        session=wa_session,
        kind=SessionEvent.Kind.RECONNECT,
        status=wa_session.status,
        reason=what[:200],
        source=SessionEvent.Source.JOB,
    )
