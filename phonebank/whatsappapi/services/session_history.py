"""What happened to a session: changes of status, rests, what people did; and the picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.origin import How, current
from phonebank.gateways.base import SessionLogEntry
from phonebank.gateways.errors import GatewayError
from phonebank.language import stored
from phonebank.whatsappapi.dispatch.claim import REST, STRIKES
from phonebank.whatsappapi.models import SessionEvent, WaSenderSession, WebhookEvent
from phonebank.whatsappapi.services.capabilities import reach
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, explain

Kind, Source = SessionEvent.Kind, SessionEvent.Source

# The engine moves sessions in its tick and writes no history there. `at` is the change's own moment, so that whoever
# comes twice, or after somebody else, adds nothing.
_NOTICE_STATUS = """
INSERT INTO whatsappapi_sessionevent (session_id, at, kind, status, reason, source)
SELECT s.id, s.status_since, 'status', s.status, s.status_reason, 'job' FROM whatsappapi_wasendersession s
WHERE s.deleted_at IS NULL AND s.wasender_id IS NOT NULL AND s.status_since > now() - interval '1 day'
  AND NOT EXISTS (SELECT 1 FROM whatsappapi_sessionevent e WHERE e.session_id = s.id AND e.at = s.status_since)
ON CONFLICT (session_id, at) WHERE kind = 'status' DO NOTHING
"""
_NOTICE_REST = """
WITH s AS MATERIALIZED (
  SELECT id, status FROM whatsappapi_wasendersession
  WHERE deleted_at IS NULL AND strikes >= %(strikes)s AND paused_until > now() FOR NO KEY UPDATE SKIP LOCKED
)
INSERT INTO whatsappapi_sessionevent (session_id, at, kind, status, reason, source)
SELECT s.id, now(), 'rate_limit', s.status, %(reason)s, 'job' FROM s
WHERE NOT EXISTS (SELECT 1 FROM whatsappapi_sessionevent e
  WHERE e.session_id = s.id AND e.kind = 'rate_limit' AND e.at > now() - make_interval(secs => %(rest)s))
"""
_END_REST = """
UPDATE whatsappapi_alert a SET closed_at = now() FROM whatsappapi_wasendersession s
WHERE a.session_id = s.id AND a.closed_at IS NULL AND a.key = 'slowed:' || s.id
  AND s.strikes = 0 AND (s.paused_until IS NULL OR s.paused_until <= now())
"""
RESTED = stored("WaSender said too often that this number sends too fast.")


def source_now() -> str:
    """Where the present act comes from, as history words it."""
    how = current.get().how
    if how in (How.PAGE, How.ADMINISTRATOR):
        return Source.PAGE
    return {How.API: Source.API, How.WEBHOOK: Source.WEBHOOK}.get(how, Source.JOB)


def note_status(row_id: int, status: str, at: datetime, reason: str, source: str, actor: User | None) -> None:
    """Adds a change of status, inside the transaction that makes it; `at` is the row's new `status_since`."""
    event = SessionEvent(session_id=row_id, at=at, status=status, reason=reason[:200], source=source, actor=actor)
    SessionEvent.objects.bulk_create([event], ignore_conflicts=True)


def note_action(wa_session: WaSenderSession, what: str, actor: User | None) -> None:
    """Adds what somebody did, in words, inside the transaction that records it."""
    SessionEvent.objects.create(
        session=wa_session,
        kind=Kind.ACTION,
        status=wa_session.status,
        reason=what[:200],
        source=source_now(),
        actor=actor,
    )


def notice_changes() -> int:
    """Writes down what the engine changed by itself: lost links and rests. Closes the notice of a rest that is over.

    Returns how many events it added. Any number may run at once.
    """
    added = 0
    with connection.cursor() as cursor:
        cursor.execute(_NOTICE_STATUS)
        added += cursor.rowcount
        with transaction.atomic():
            cursor.execute(_NOTICE_REST, {"strikes": STRIKES, "rest": REST * 0.9, "reason": RESTED})
            added += cursor.rowcount
        cursor.execute(_END_REST)
    return added


# --- the picture ------------------------------------------------------------------------------------------------------

CONNECTED, LINKING, DOWN, UNSEEN = "connected", "linking", "down", "unseen"
_BANDS = {
    WaSenderSession.Status.CONNECTED: CONNECTED,
    WaSenderSession.Status.CONNECTING: LINKING,
    WaSenderSession.Status.NEED_SCAN: LINKING,
    WaSenderSession.Status.NEED_PASSKEY: LINKING,
}


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the timeline: `kind` connected, linking, down or unseen (before we knew); x and width in percent."""

    kind: str
    x: float
    width: float


def timeline(wa_session: WaSenderSession, hours: int = 168, now: datetime | None = None) -> list[Band]:
    """The status over the last `hours`, oldest first. Neighbouring stretches of one kind are one band."""
    now = now or timezone.now()
    begin = now - timedelta(hours=hours)
    changes = wa_session.events.filter(kind=Kind.STATUS)
    before = changes.filter(at__lte=begin).order_by("-at").values_list("status", flat=True).first()
    points = [(begin, _BANDS.get(before, DOWN) if before else UNSEEN)]
    recent = changes.filter(at__gt=begin).order_by("at", "pk").values_list("at", "status")[:2000]
    points += [(at, _BANDS.get(status, DOWN)) for at, status in recent]
    if len(points) == 1 and not before:  # from before history was kept: the row itself knows since when
        points.append((max(begin, wa_session.status_since), _BANDS.get(wa_session.status, DOWN)))
    return _bands(points, begin, now)


def _bands(points: list[tuple[datetime, str]], begin: datetime, now: datetime) -> list[Band]:
    whole = (now - begin).total_seconds()
    merged: list[tuple[datetime, str]] = []
    for at, kind in points:
        if not merged or merged[-1][1] != kind:
            merged.append((at, kind))
    ends = [at for at, __ in merged[1:]] + [now]
    return [
        Band(kind, 100 * (at - begin).total_seconds() / whole, 100 * (end - at).total_seconds() / whole)
        for (at, kind), end in zip(merged, ends, strict=True)
        if end > at
    ]


def availability(bands: list[Band]) -> float | None:
    """Percent of the known time that the session was connected; None where nothing is known."""
    known = sum(one.width for one in bands if one.kind != UNSEEN)
    return 100 * sum(one.width for one in bands if one.kind == CONNECTED) / known if known else None


# --- what arrived, what the gateway wrote -----------------------------------------------------------------------------


def arrivals(wa_session: WaSenderSession) -> QuerySet[WebhookEvent]:
    """The session's webhooks, newest first, without their bodies."""
    return wa_session.webhook_events.defer("body").order_by("-received_at", "-pk")


def gateway_log(*, actor: User, wa_session: WaSenderSession, page: int = 1) -> tuple[SessionLogEntry, ...]:
    """What WaSender itself recorded of the session, newest first (contract 2.3)."""
    row = reach(actor, wa_session, "key")
    if row.wasender_id is None:
        raise ServiceError(_("This session does not exist at the gateway."), code="not_found")
    token, number = row.account.token, row.wasender_id
    try:
        log = client_call(row.account, lambda gateway: gateway.session_logs(token, number, page=page, per_page=50))
    except GatewayError as error:
        raise explain(error, _("What Phonebank itself recorded is shown above.")) from error
    return log.entries
