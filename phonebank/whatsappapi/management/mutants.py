"""Eight ways to get the send path wrong, put on from outside in a process of a drill (rig.py), to see it notice.

A drill whose zeros mean something must fail on each of them. The product has no switch for any.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from django.conf import settings

from phonebank.gateways.base import Deferred, MaybeSent
from phonebank.whatsappapi.dispatch import claim, settle, worker
from phonebank.whatsappapi.dispatch.sql import between, tick

MUTANT = "DRILL_MUTANT"  # environment: the name of one of `MUTANTS`, for a process started by rig.py
HOLD = "DRILL_HOLD"  # environment: seconds that a shard is held; no mutant, part of a world


def apply(name: str, hold: str) -> None:
    """Makes this process a mutant, "" leaves it as it is. Raises KeyError for one that does not exist."""
    if hold:
        importlib.import_module("phonebank.whatsappapi.tasks").DRIVE = float(hold)
    if name:
        MUTANTS[name]()


def _change(module: Any, name: str, *edits: tuple[str, str]) -> None:
    """Rewrites a statement. A text that is no longer there is an error: the mutant would be none."""
    text = getattr(module, name)
    for old, new in edits:
        if old not in text:
            raise LookupError(f"{name} no longer says {old!r}: the mutant must be brought up to date")
        text = text.replace(old, new)
    setattr(module, name, text)


def _set(module: Any, name: str, value: float) -> None:
    if not hasattr(module, name):
        raise LookupError(f"there is no {name} any more: the mutant must be brought up to date")
    setattr(module, name, value)


def requeue_on_timeout() -> None:
    """No clear answer is taken for "not sent": the row goes back into the queue, the quota too."""
    row = settle.row

    def wrong(one: Any, outcome: Any) -> dict[str, object]:
        if isinstance(outcome, MaybeSent):
            outcome = Deferred("late", outcome.detail, 0.0, outcome.http_status)
        return row(one, outcome)

    settle.row = wrong


def asynchronous_commit() -> None:
    """The engine's commits are answered before they are on disk."""
    connection = worker.Engine._connection

    async def relaxed(self: Any) -> Any:
        conn = await connection(self)
        await conn.execute("SET synchronous_commit = off")
        return conn

    worker.Engine._connection = relaxed  # type: ignore[method-assign]


def no_settle_time() -> None:
    """Absence from the log counts as soon as the lease is over."""
    _set(settings, "SEND_SETTLE", 0.0)


def counter_without_lock() -> None:
    """The session's count is read without a lock and written back a moment later."""
    _change(
        tick, "GRANT",
        ("ORDER BY s.id FOR NO KEY UPDATE OF s\n", "ORDER BY s.id\n"),
        ("greatest(messages_sent_today - refund, 0) END AS used,",
         "greatest(messages_sent_today - refund, 0) + length(pg_sleep(0.05)::text) END AS used,"),
    )  # fmt: skip


def opt_out_outside_the_claim() -> None:
    """Who asked not to be written to is looked up when rows are dealt and when they ask, not when they are claimed."""
    claim.RULES |= {"suppression": [], "consent": []}


def no_send_before() -> None:
    """A claim may be sent however old it is."""
    _set(claim, "SEND_BEFORE", 1e6)


def settle_by_message() -> None:
    """An outcome settles its message, whichever attempt it belongs to."""
    _change(
        tick, "SETTLE",
        ("WHERE m.id = o.message AND m.attempt = o.attempt AND", "WHERE m.id = o.message AND"),
        ("WHERE t.id = m.id AND t.attempt = m.attempt\n", "WHERE t.id = m.id\n"),
    )  # fmt: skip


def reaper_at_takeover() -> None:
    """Who takes a shard over declares the last owner's requests dead, and their leases over."""
    _change(
        between, "REAP",
        ("finished_at IS NULL AND lease_until < clock_timestamp() LIMIT 500",
         "finished_at IS NULL AND (lease_until < clock_timestamp() OR session_id % {shards} = ANY('{{{held}}}') "
         "AND worker <> '{worker}') LIMIT 500"),
        ("outcome = 'unknown',", "outcome = 'unknown', lease_until = least(lease_until, clock_timestamp()),"),
    )  # fmt: skip
    reap, text = worker.Engine._reap, between.REAP

    async def greedy(self: Any, conn: Any) -> None:
        held = ",".join(map(str, self.limits.held))
        limits = self.limits
        between.REAP = text.format(shards=limits.shards, held=held, worker=limits.worker)
        await reap(self, conn)

    worker.Engine._reap = greedy  # type: ignore[method-assign]
    _set(worker, "REAP", 0.1)


MUTANTS: dict[str, Callable[[], None]] = {
    "requeue on timeout": requeue_on_timeout,
    "asynchronous commit": asynchronous_commit,
    "no settle time": no_settle_time,
    "counter without lock": counter_without_lock,
    "opt-out outside the claim": opt_out_outside_the_claim,
    "no send_before check": no_send_before,
    "settle by message": settle_by_message,
    "reaper at takeover": reaper_at_takeover,
}
