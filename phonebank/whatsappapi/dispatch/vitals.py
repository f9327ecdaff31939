"""What a worker process says of itself, for the status page and the metrics. Nothing depends on it."""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
from django.db import connection

from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Outcome, Rejected
from phonebank.whatsappapi.models import WorkerReport

EVERY = 2.0  # seconds between two reports; one window of the figures
WINDOWS = 30
NAMES = {
    Accepted: "accepted", Rejected: "rejected", Deferred: "deferred", NotSent: "not_sent", MaybeSent: "unknown",
}  # fmt: skip

_REPORT = """
WITH gone AS (
  DELETE FROM whatsappapi_workerreport WHERE seen_at < clock_timestamp() - interval '1 hour' AND worker <> %(worker)s
)
INSERT INTO whatsappapi_workerreport
  (worker, kind, host, started_at, seen_at, shards, rounds, items, median, longest, recent, lag, outcomes)
VALUES (%(worker)s, %(kind)s, %(host)s, clock_timestamp() - make_interval(secs => %(uptime)s), clock_timestamp(),
  %(shards)s::smallint[], %(rounds)s, %(items)s, %(median)s, %(longest)s, %(recent)s::float8[], %(lag)s,
  %(outcomes)s::jsonb)
ON CONFLICT (worker) DO UPDATE SET kind = excluded.kind, started_at = excluded.started_at, seen_at = excluded.seen_at,
  shards = excluded.shards, rounds = excluded.rounds, items = excluded.items, median = excluded.median,
  longest = excluded.longest, recent = excluded.recent, lag = excluded.lag, outcomes = excluded.outcomes
"""


def process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:60]


class Vitals:
    """Figures of one process since its start, and of the window since its last report."""

    def __init__(self, kind: WorkerReport.Kind, held: Callable[[], Iterable[int]] = tuple) -> None:
        """`held`: the shards that are held at the moment of a report."""
        self._kind, self._held = kind, held
        self._started = self._reported = time.monotonic()
        self._rounds = self._items = 0
        self._outcomes: Counter[str] = Counter()
        self._window: list[float] = []
        self._recent: deque[float] = deque(maxlen=WINDOWS)
        self._lag = 0.0

    def tick(self, seconds: float, items: int, lag: float = 0.0) -> None:
        """A round took so long and claimed (or applied) so many; `lag`: the longest wait of what was applied."""
        self._rounds += 1
        self._items += items
        self._window.append(seconds)
        self._lag = max(self._lag, lag)

    def outcome(self, outcome: Outcome) -> None:
        """A request's outcome is about to be settled."""
        self._outcomes[NAMES[type(outcome)]] += 1

    async def flush(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Reports, at most every two seconds, in a statement of its own (the connection commits by itself)."""
        if row := self._row():
            await conn.execute(_REPORT, row)

    def flush_now(self) -> None:
        """The same on Django's connection."""
        if row := self._row():
            with connection.cursor() as cursor:
                cursor.execute(_REPORT, row)

    def _row(self) -> dict[str, Any] | None:
        now = time.monotonic()
        if now - self._reported < EVERY:
            return None
        self._reported, window, self._window = now, self._window, []
        lag, self._lag = self._lag, 0.0
        longest = max(window, default=0.0)
        self._recent.append(round(longest, 6))
        counted = ",".join(f'"{name}":{n}' for name, n in sorted(self._outcomes.items()))
        return {
            "worker": process_name(),
            "kind": self._kind.value,
            "host": socket.gethostname()[:60],
            "uptime": now - self._started,
            "shards": sorted(self._held()),
            "rounds": self._rounds,
            "items": self._items,
            "median": statistics.median(window) if window else 0.0,
            "longest": longest,
            "recent": list(self._recent),
            "lag": lag,
            "outcomes": "{" + counted + "}",
        }
