"""Attempts without a clear answer, resolved by evidence alone (docs/send-path.md 6).

Found in the gateway's log: accepted (or failed). Proven absent from it: back to the queue. Neither within a day: a
person decides. Two candidates on either side are no match.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from phonebank.gateways.base import LogEntry
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.message_log import SKEW, digits_of, read_log
from phonebank.whatsappapi.dispatch.render import body_hash
from phonebank.whatsappapi.dispatch.sql.reports import HOLES, LOOKED, RESOLVE, TO_LOOK_UP
from phonebank.whatsappapi.dispatch.statuses import KEYS
from phonebank.whatsappapi.dispatch.tend import reopen
from phonebank.whatsappapi.models import Attempt, WaSenderSession

log = logging.getLogger(__name__)

GIVE_UP = timedelta(hours=24)
SETTLE_FLOOR = 120.0  # seconds for the real gateway: what it needs to accept and to log is nowhere written
MOST_TRIES = 10


@dataclass(slots=True)
class Record:
    """What was read of a session's message log: everything since `since`.

    `has_holes`: it lacks a message that the gateway did accept long enough ago. What else it lacks proves nothing.
    """

    entries: list[LogEntry]
    since: datetime
    has_holes: bool = False


@dataclass(slots=True)
class Finding:
    """What the log proves about one attempt. `state`: accepted, failed, queued (proven unsent) or uncertain."""

    attempt: uuid.UUID
    message: int
    state: str
    reason: str
    msg_id: int | None = None
    rank: int = 0


def reconcile(session_id: int) -> int:
    """One round for one session: reads its log, applies what it proves. Returns how many attempts were resolved."""
    now = _now()
    wa_session = WaSenderSession.objects.select_related("account").get(pk=session_id)
    attempts = list(
        Attempt.objects.filter(
            session_id=session_id,
            outcome=Attempt.Outcome.UNKNOWN,
            resolved_at=None,
            lease_until__lt=now - timedelta(seconds=settle_time(wa_session)),
        )
        .select_related("message")
        .order_by("-started_at")[:500]
    )
    if not attempts:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(LOOKED, [f"log:{session_id}"])
    record = None
    if wa_session.log_messages and wa_session.wasender_id and wa_session.account.token:
        record = _read_log(wa_session, attempts[-1].started_at - SKEW)
    findings = _judge(wa_session, attempts, record, now)
    apply(findings)
    return len(findings)


def sessions_with_unknown() -> list[int]:
    """Sessions whose log is to be read now: at once when an attempt becomes ready, then less and less often."""
    with connection.cursor() as cursor:
        cursor.execute(TO_LOOK_UP, {"settle": settings.SEND_SETTLE, "floor": max(SETTLE_FLOOR, settings.SEND_SETTLE)})
        return [row[0] for row in cursor.fetchall()]


def settle_time(wa_session: WaSenderSession) -> float:
    """Seconds from the end of a lease until absence from the log proves anything.

    `SEND_SETTLE`, but for the real gateway never below the floor: a drill's short clocks must not write twice to
    people. A sandbox's delays are knobs, so there it is the operator's word.
    """
    return settings.SEND_SETTLE if wa_session.account.is_sandbox else max(SETTLE_FLOOR, settings.SEND_SETTLE)


def _now() -> datetime:
    # The database's clock: leases were written by it, and this machine's may be wrong.
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def _read_log(wa_session: WaSenderSession, back_to: datetime) -> Record | None:
    """The log from now back past `back_to`, or as far as the budget goes; None where it could not be read."""
    begun = _now()
    found = read_log(wa_session, back_to)
    if found.error is not None:
        log.warning("The message log of session %s could not be read: %s", wa_session.pk, found.error)
        return None
    entries, since = found.entries, found.since
    if since is None:
        return None
    return Record(list(entries.values()), since, _has_holes(wa_session, entries, max(since, back_to), begun))


def _has_holes(wa_session: WaSenderSession, entries: dict[int, LogEntry], since: datetime, begun: datetime) -> bool:
    """Whether the log lacks what it must have: the assumption about its lag is put to the test each time."""
    by_now = begun - timedelta(seconds=settle_time(wa_session))
    with connection.cursor() as cursor:
        cursor.execute(HOLES, {"session": wa_session.pk, "since": since + SKEW, "by": by_now, "known": list(entries)})
        has_holes = bool(cursor.fetchone()[0])
    if has_holes:
        log.warning("The message log of session %s lacks messages that were accepted", wa_session.pk)
    return has_holes


def _judge(wa_session: WaSenderSession, attempts: list[Attempt], record: Record | None, now: datetime) -> list[Finding]:
    free = _free(wa_session, record.entries) if record else {}
    findings: list[Finding] = []
    for attempt in attempts:
        finding = _verdict(attempt, free, record) if record else None
        if finding is None and now - attempt.started_at > GIVE_UP:
            finding = Finding(attempt.id, attempt.message_id, "uncertain", "This person may have received it")
        if finding is not None:
            findings.append(finding)
    return findings


def _free(wa_session: WaSenderSession, entries: list[LogEntry]) -> dict[str, list[LogEntry]]:
    """Entries that no attempt owns, by recipient; those that hide theirs (logging was off) under the empty string."""
    ids = [entry.id for entry in entries]
    owners = dict(Attempt.objects.filter(session=wa_session, msg_id__in=ids).values_list("msg_id", "phone"))
    free: dict[str, list[LogEntry]] = {}
    for entry in entries:
        owner = owners.get(entry.id)
        if owner is not None and entry.to is not None and digits_of(owner) != digits_of(entry.to):
            # The gateway gave one id to two people: not for us to take, but no proof of absence either.
            free.setdefault(digits_of(entry.to), []).append(replace(entry, content=""))
        elif owner is None:
            hidden = entry.to is None or entry.content is None
            free.setdefault("" if hidden else digits_of(entry.to or ""), []).append(entry)
    return free


def _verdict(attempt: Attempt, free: dict[str, list[LogEntry]], record: Record) -> Finding | None:
    """Found, proven absent, or nothing. Any entry of this person that nobody owns could be this one: no proof."""
    earliest = attempt.started_at - SKEW
    theirs = [entry for entry in free.get(digits_of(attempt.phone), ()) if entry.created_at >= earliest]
    same = [entry for entry in theirs if body_hash(entry.content or "") == bytes(attempt.body_hash)]
    if len(same) == 1:
        return _found(attempt, same[0])
    hidden = any(entry.created_at >= earliest for entry in free.get("", ()))
    if theirs or hidden or record.has_holes or record.since > earliest:
        return None
    if attempt.message.tries >= MOST_TRIES:
        return Finding(attempt.id, attempt.message_id, "failed", f"Not sent after {MOST_TRIES} tries")
    return Finding(attempt.id, attempt.message_id, "queued", "Proven unsent: it is not in the gateway's log")


def _found(attempt: Attempt, entry: LogEntry) -> Finding:
    if entry.status == "failed":
        reason = f"The gateway could not send it: {entry.failed_reason}"[:200]
        return Finding(attempt.id, attempt.message_id, "failed", reason, msg_id=entry.id)
    rank = 2 if entry.status == "sent" else 0
    return Finding(attempt.id, attempt.message_id, "accepted", "", msg_id=entry.id, rank=rank)


def apply(findings: list[Finding]) -> None:
    """Writes findings in batches of 200; each applies only while its attempt is still the current, unknown one."""
    for start in range(0, len(findings), 200):
        part = findings[start : start + 200]
        with transaction.atomic(), connection.cursor() as cursor:
            back = [finding.message for finding in part if finding.state == "queued"]
            cursor.execute(
                "SELECT DISTINCT campaign_id FROM whatsappapi_message WHERE id = ANY(%s) AND campaign_id IS NOT NULL "
                "ORDER BY 1",
                [back],
            )
            for (campaign,) in cursor.fetchall():
                reopen(campaign)
            columns: dict[str, Any] = {
                name: [getattr(finding, name) for finding in part]
                for name in ("attempt", "message", "state", "reason", "msg_id", "rank")
            }
            cursor.execute(RESOLVE, columns)
            deltas = Deltas()
            deltas.moves(dict(zip(KEYS, row, strict=True)) for row in cursor.fetchall())
            deltas.write(cursor)
