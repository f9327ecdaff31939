"""Stored webhooks, applied in batches. A forged event makes us send less, never more. How they come in: intake.py."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from phonebank.gateways.coerce import as_phone
from phonebank.gateways.redact import redact
from phonebank.gateways.webhooks import (
    Ignored,
    Inbound,
    QrUpdated,
    SendFailed,
    SessionStatus,
    StatusUpdate,
    WebhookError,
    parse,
)
from phonebank.whatsappapi.dispatch.poll import hurry
from phonebank.whatsappapi.dispatch.statuses import Status, merge
from phonebank.whatsappapi.dispatch.vitals import Vitals
from phonebank.whatsappapi.models import WaSenderSession, WebhookEvent
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.inbound import Letter, obey, store
from phonebank.whatsappapi.services.kept import PUT_ASIDE
from phonebank.whatsappapi.services.session_status import apply_status

logger = logging.getLogger(__name__)

KEEP_TRYING = timedelta(hours=72)
TRIES_MAX = 5  # of an event whose follow-up fails
FOLLOW_UP_LEASE = 30.0  # seconds after which somebody else takes over what is left to do about an event
TO_CONFIRM = "a failure; the gateway is asked whether it is true"

_CLAIM = """
SELECT e.id, e.session_id, s.user_id, e.body, e.received_at, e.tries, e.state
FROM whatsappapi_webhookevent e JOIN whatsappapi_wasendersession s ON s.id = e.session_id
WHERE e.state IN ('new', 'unmatched') AND e.due_at <= statement_timestamp()
  AND (%(ids)s::bigint[] IS NULL OR e.id = ANY(%(ids)s))
ORDER BY e.due_at LIMIT %(limit)s FOR NO KEY UPDATE OF e SKIP LOCKED
"""
_MARK = """
UPDATE whatsappapi_webhookevent e
SET state = u.state, due_at = now() + make_interval(secs => u.delay), tries = least(e.tries + 1, 32000),
  event = u.event, msg_id = u.msg_id, note = CASE WHEN u.note = '' THEN e.note ELSE u.note END
FROM unnest(%(id)s::bigint[], %(state)s::text[], %(delay)s::float8[], %(event)s::text[], %(msg_id)s::bigint[],
            %(note)s::text[]) AS u(id, state, delay, event, msg_id, note)
WHERE e.id = u.id
"""
_ALERT = """
INSERT INTO whatsappapi_alert (user_id, session_id, key, text, times, created_at)
SELECT s.user_id, s.id, 'webhook:' || s.id, %(text)s, 1, now()
FROM whatsappapi_wasendersession s WHERE s.id = %(session)s
ON CONFLICT (user_id, key) WHERE closed_at IS NULL DO UPDATE SET times = whatsappapi_alert.times + 1
"""


@dataclass(slots=True)
class _Event:
    """A stored delivery and what is to become of it."""

    id: int
    session_id: int
    user_id: int
    body: bytes
    received_at: datetime
    tries: int
    state: str
    delay: float = 0.0  # seconds until it is looked at again
    event: str = ""
    msg_id: int | None = None
    note: str = ""
    at: datetime | None = None
    statuses: list[Status] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)  # msgIds said to have failed
    letters: list[Letter] = field(default_factory=list)
    link: str = ""
    proves: bool = False

    @property
    def follow_up(self) -> bool:
        return bool(self.link) or self.proves or any(letter.matters for letter in self.letters)


def process_batch(limit: int = 200, vitals: Vitals | None = None) -> int:
    """Applies up to `limit` due events, oldest first, and returns how many. Any number may run at once.

    Statuses and messages are applied in one transaction with the events' own state. What has transactions of its own
    (stop and start, looking up a session) follows after it; an event is done only when that is.
    """
    begun = time.monotonic()
    n, lag = _process(None, limit)
    if n and vitals is not None:
        vitals.tick(time.monotonic() - begun, n, lag)
    return n


def _process(ids: list[int] | None, limit: int) -> tuple[int, float]:
    """How many were applied, and the longest that one of them had waited, in seconds."""
    claimed: list[_Event] = []
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _claim(cursor, ids, limit, claimed)
            _apply(cursor, claimed)
    except (OperationalError, InterfaceError):
        raise  # the database's trouble (a deadlock too), not the events': all are still there
    except Exception as error:
        if len(claimed) == 1:
            _quarantine(claimed[0], f"cannot be applied ({type(error).__name__})")
            return 1, 0.0
        half = len(claimed) // 2
        parts = ([one.id for one in claimed[:half]], [one.id for one in claimed[half:]])
        done = [_process(part, len(part)) for part in parts if part]
        return sum(n for n, __ in done), max((lag for __, lag in done), default=0.0)
    _follow_up([one for one in claimed if one.follow_up])
    now = timezone.now()
    return len(claimed), max(((now - one.received_at).total_seconds() for one in claimed if not one.tries), default=0.0)


def _claim(cursor: Any, ids: list[int] | None, limit: int, claimed: list[_Event]) -> None:
    cursor.execute(_CLAIM, {"ids": ids, "limit": limit})
    claimed += (_Event(*row) for row in cursor.fetchall())
    claimed.sort(key=lambda one: one.id)


def _apply(cursor: Any, events: list[_Event]) -> None:
    if not events:
        return
    for one in events:
        _read(one)
    statuses = [(one, status) for one in events for status in one.statuses]
    unmatched = merge(cursor, [status for __, status in statuses])
    for index in unmatched:
        _keep_waiting(statuses[index][0])
    failures = {(one.session_id, msg_id): one for one in events for msg_id in one.failures}
    for missing in failures.keys() - hurry(cursor, list(failures)):
        _keep_waiting(failures[missing])
    store(cursor, [letter for one in events for letter in one.letters])
    for one in events:
        if one.follow_up and one.state == "done":
            one.state, one.delay = "new", FOLLOW_UP_LEASE
    names = ("id", "state", "delay", "event", "msg_id", "note")
    cursor.execute(_MARK, {name: [getattr(one, name) for one in events] for name in names})
    for one in events:
        if one.state == "quarantined":
            cursor.execute(_ALERT, {"session": one.session_id, "text": _alert_text(one.note)})


def _read(one: _Event) -> None:
    """Sorts an event's parts by what is to be done about them."""
    was, one.state = one.state, "done"
    if was == "new" and one.tries >= TRIES_MAX:
        one.state, one.note = "quarantined", f"failed {one.tries} times"
        return
    try:
        payload = parse(bytes(one.body))
    except WebhookError as error:
        one.state, one.note = "quarantined", str(error)[:200]
        return
    one.event, one.at = payload.event[:60], min(payload.timestamp or one.received_at, one.received_at)
    for part in payload.events:
        _sort(one, part, one.at)


def _sort(one: _Event, part: Any, at: datetime) -> None:
    if isinstance(part, StatusUpdate):
        one.msg_id = part.msg_id or one.msg_id
        if part.status == 0:  # would let a fallback send again: only the gateway's own answer may say so
            one.note = TO_CONFIRM
            one.failures += [part.msg_id] if part.msg_id is not None else []
            return
        phone = as_phone(part.remote_jid) or ""
        one.statuses.append(
            Status(one.session_id, part.status, part.msg_id, (part.key_id or "")[:80], at, phone, part.text)
        )
    elif isinstance(part, SessionStatus):
        one.link, one.proves = part.status, True
    elif isinstance(part, QrUpdated):
        one.proves = True
    elif isinstance(part, Inbound) and not part.is_group:
        one.letters.append(Letter.of(part, user=one.user_id, session=one.session_id, received_at=one.received_at))
    elif isinstance(part, SendFailed):
        one.note = f"send failed: {redact(part.error)}"[:200]
    elif isinstance(part, Ignored):
        one.note = part.why[:200]


def _time_left(one: _Event) -> float:
    return max(0.0, (one.received_at + KEEP_TRYING - timezone.now()).total_seconds())


def _keep_waiting(one: _Event) -> None:
    """A status of no attempt (yet): its answer may still be under way, or a person wrote on the phone itself."""
    if one.state != "done":
        return
    left = _time_left(one)
    if not left:
        one.note = "matched no message in 72 hours"
        return
    most = 600.0 if one.msg_id is not None else 6 * 3600.0  # without our id it is most likely not ours
    one.state, one.delay = "unmatched", min(2.0 ** min(one.tries, 20), most, left)


def _quarantine(one: _Event, note: str) -> None:
    logger.error("webhook event %s was put aside: %s", one.id, note)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE whatsappapi_webhookevent SET state = 'quarantined', note = %s WHERE id = %s", [note[:200], one.id]
        )
        cursor.execute(_ALERT, {"session": one.session_id, "text": _alert_text(note)})


def _alert_text(note: str) -> str:
    return (PUT_ASIDE % {"note": note})[:300]


def _follow_up(events: list[_Event]) -> None:
    """What a batch leaves to do, after its transaction. An event whose part fails comes again after the lease."""
    failed: set[int] = set()
    letters = [(letter.sent_at, one.id, letter) for one in events for letter in one.letters if letter.matters]
    for __, event_id, letter in sorted(letters, key=lambda item: item[:2]):
        _attempt(failed, event_id, lambda letter=letter: obey(letter))
    proven = {one.session_id for one in events if one.proves}
    if proven:
        unproven = WaSenderSession.objects.filter(pk__in=proven, webhook_proven_at=None)
        unproven.update_in_order(webhook_proven_at=timezone.now())
    last: dict[int, _Event] = {}
    for one in sorted((one for one in events if one.link), key=lambda one: (one.at, one.id)):
        last[one.session_id] = one
    for one in last.values():
        _attempt(failed, one.id, lambda one=one: _apply_link(one))
    done = [one.id for one in events if one.id not in failed]
    WebhookEvent.objects.filter(pk__in=done, state=WebhookEvent.State.NEW).update(state=WebhookEvent.State.DONE)


def _apply_link(one: _Event) -> None:
    try:
        apply_status(wa_session_id=one.session_id, status=one.link, source="webhook")
    except ServiceError as error:  # the poll comes by in a minute
        logger.info("session %s could not be looked up after a webhook (%s)", one.session_id, error.code)


def _attempt(failed: set[int], event_id: int, act: Callable[[], None]) -> None:
    try:
        act()
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        failed.add(event_id)
        logger.error("what webhook event %s asks for failed (%s)", event_id, type(error).__name__)
