"""Delivery that no webhook reported, asked of the gateway (docs/send-path.md 6).

A message that is not known as delivered some minutes after it left is put on watch and asked about, the oldest first,
within a tenth of its session's rate, less and less often, until it was read or three days are over.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from phonebank.gateways import sync
from phonebank.gateways.base import MessageInfo
from phonebank.gateways.errors import GatewayError, NotFound, Throttled, Unauthorized
from phonebank.gateways.wasender import WaSender
from phonebank.language import stored
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.dispatch.sql import poll as sql
from phonebank.whatsappapi.dispatch.statuses import Status, fail, merge
from phonebank.whatsappapi.models import WaSenderSession, Watch

log = logging.getLogger(__name__)

TRACK = timedelta(hours=72)
ROUND = 50  # questions of a session in one round at most
AT_ONCE = 10  # sessions asked side by side; a session's questions follow one another
LEASE = 60.0  # seconds after which a question whose asker died is asked again
WAIT_MAX = 6 * 3600.0
AWAY = 30.0  # seconds without questions where the gateway does not answer
REFUSED = 300.0
UNDELIVERABLE = stored("WhatsApp could not deliver it")


@dataclass(frozen=True, slots=True)
class Question:
    """A message to ask about, and what came of it: the gateway's answer, or `is_gone`: it knows no such message."""

    attempt: uuid.UUID
    session: int
    asks: int
    rank: int
    msg_id: int
    info: MessageInfo | None = None
    is_gone: bool = False


def sweep() -> int:
    """Puts on watch what nobody reported in time. Returns the most attempts seen of one session: 2,000 or more mean
    that there are others."""
    after = settings.SEND_POLL_AFTER
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.OLDEST_WRITER, {"after": after})
        [until] = cursor.fetchone()
        # A statement of its own, so with a snapshot that holds everything older than that.
        cursor.execute(sql.SWEEP, {"after": after, "until": until, "track": TRACK})
        return int(cursor.fetchone()[0])


def sweep_at_times() -> None:
    """Sweeps when it is time to, whichever worker asks."""
    if budget.take("sweep", gap=max(0.2, settings.SEND_POLL_AFTER / 20)):
        while sweep() >= 2000:
            pass


def hurry(cursor: Any, named: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Asks about messages, each by (session id, msgId), before all others. Returns those that are ours."""
    if not named:
        return set()
    unique = sorted(set(named))
    cursor.execute(sql.HURRY, {"session": [one[0] for one in unique], "msg_id": [one[1] for one in unique]})
    return set(cursor.fetchall())


def poll() -> int:
    """One round of questions over all sessions. Returns how many were answered."""
    questions = _claim()
    if not questions:
        return 0
    sessions = WaSenderSession.objects.select_related("account").in_bulk({one.session for one in questions})
    by_gateway: dict[str, list[tuple[str, list[Question]]]] = {}
    for pk, wa_session in sessions.items():
        mine = [one for one in questions if one.session == pk]
        by_gateway.setdefault(wa_session.account.base_url, []).append((wa_session.api_key, mine))
    answered: list[Question] = []
    for base_url, asked in by_gateway.items():
        part: list[Question] = []
        troubles: dict[int, GatewayError] = {}
        try:
            sync.run(base_url, lambda gateway, asked=asked, to=(part, troubles): _ask(gateway, asked, *to))
        except GatewayError as error:
            log.info("Questions about deliveries were cut short (%s)", error.code)
        _heed(troubles)
        answered += part
    for start in range(0, len(answered), 200):
        _apply(answered[start : start + 200])
    return len(answered)


def _claim() -> list[Question]:
    """What is due and may be asked now. Drops what needs no question any more."""
    over: list[uuid.UUID] = []
    later: list[tuple[uuid.UUID, int, int, float]] = []
    chosen: list[Question] = []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.DUE, {"track": TRACK, "most": 2 * ROUND})
        open_: dict[int, list[Question]] = {}
        for attempt, session, asks, rank, msg_id, is_unknown, is_over in cursor.fetchall():
            if is_over:
                over.append(attempt)
            elif is_unknown or msg_id is None:  # first it must be known whether it was sent at all
                later.append((attempt, asks, rank, settings.SEND_POLL_AFTER))
            else:
                open_.setdefault(session, []).append(Question(attempt, session, asks, rank, msg_id))
        for wa_session in WaSenderSession.objects.filter(pk__in=open_).select_related("account").order_by("pk"):
            mine = open_[wa_session.pk][:ROUND]
            chosen += mine[: budget.may_ask(wa_session, len(mine))]
        later += [(one.attempt, one.asks, one.rank, LEASE) for one in chosen]
        Watch.objects.filter(pk__in=over).delete()
        _put_off(cursor, later)
    return chosen


async def _ask(
    gateway: WaSender,
    asked: list[tuple[str, list[Question]]],
    answered: list[Question],
    troubles: dict[int, GatewayError],
) -> None:
    """Answers are collected as they come, so that a deadline loses none of them."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one_session(key: str, questions: list[Question]) -> None:
        async with free:
            for one in questions:
                try:
                    answered.append(replace(one, info=await gateway.message_info(key, one.msg_id)))
                except NotFound:
                    answered.append(replace(one, is_gone=True))
                except GatewayError as error:
                    troubles[one.session] = error
                    return

    await asyncio.gather(*(one_session(key, questions) for key, questions in asked))


def _heed(troubles: dict[int, GatewayError]) -> None:
    for session, error in sorted(troubles.items()):
        wait = AWAY
        if isinstance(error, Throttled):
            wait = max(1.0, error.retry_after or 0.0)
        elif isinstance(error, Unauthorized):
            wait = REFUSED
        budget.close(budget.session_key(session), wait)
        log.info("No questions about deliveries of session %s for %.0f s (%s)", session, wait, error.code)


def _apply(answered: list[Question]) -> None:
    """Merges what the gateway says; only then is the next question dated."""
    now = timezone.now()
    over = [one.attempt for one in answered if one.is_gone or (one.info and one.info.status in (0, 4, 5))]
    statuses = [
        Status(one.session, one.info.status, one.info.msg_id, one.info.key_id[:80], now)
        for one in answered
        if one.info and one.info.status
    ]
    for one in answered:
        if one.info and one.info.status == 0:
            with transaction.atomic(), connection.cursor() as cursor:
                fail(cursor, one.session, one.msg_id, UNDELIVERABLE)
    with transaction.atomic(), connection.cursor() as cursor:
        merge(cursor, statuses)
        Watch.objects.filter(pk__in=over).delete()
        _put_off(
            cursor,
            [
                (one.attempt, one.asks + 1, (one.info.status or 0) if one.info else 0, _wait(one.asks))
                for one in answered
                if one.attempt not in over
            ],
        )


def _wait(asks: int) -> float:
    return min(settings.SEND_POLL_AFTER * 2.0 ** min(asks, 20), WAIT_MAX)


def _put_off(cursor: Any, rows: list[tuple[uuid.UUID, int, int, float]]) -> None:
    if rows:
        names = ("attempt", "asks", "rank", "wait")
        cursor.execute(sql.LATER, {name: [row[i] for row in sorted(rows)] for i, name in enumerate(names)})
