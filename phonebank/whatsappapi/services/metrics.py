"""How the installation is, in figures that cost little: nothing here grows with the number of messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from phonebank.whatsappapi.dispatch.budget import PAID_RATE, PROTECTED_GAP
from phonebank.whatsappapi.models import Installation, WaSenderSession, WorkerReport

MOST = 10_000  # rows that are counted where there could be any number; more is "10,000 or more"
ALIVE = timedelta(seconds=10)  # since a worker's last report
OPEN = ("queued", "sending", "unknown")

# Each line reads an index that holds the rows in question alone, or a table of few rows.
_FIGURES = """
SELECT
  (SELECT json_object_agg(state, n) FROM (
     SELECT c.state, sum(c.n) AS n FROM whatsappapi_campaign k JOIN whatsappapi_campaigncount c ON c.campaign_id = k.id
     WHERE k.state IN ('dealing', 'running') AND c.state = ANY(%(open)s) GROUP BY 1) x),
  (SELECT count(*) FROM (SELECT 1 FROM whatsappapi_attempt
     WHERE outcome = 'unknown' AND resolved_at IS NULL LIMIT %(most)s) x),
  (SELECT extract(epoch FROM clock_timestamp() - min(started_at))::float8 FROM (
     SELECT started_at FROM whatsappapi_attempt
     WHERE outcome = 'unknown' AND resolved_at IS NULL LIMIT %(most)s) x),
  (SELECT count(*) FROM (SELECT 1 FROM whatsappapi_attempt WHERE finished_at IS NULL LIMIT %(most)s) x),
  (SELECT count(*) FROM (SELECT 1 FROM whatsappapi_watch LIMIT %(most)s) x),
  (SELECT count(*) FROM (SELECT 1 FROM whatsappapi_webhookevent
     WHERE state IN ('new', 'unmatched') AND due_at <= clock_timestamp() LIMIT %(most)s) x),
  (SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM (SELECT due_at FROM whatsappapi_webhookevent
     WHERE state IN ('new', 'unmatched') AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1) x)
"""
_JOBS = """
SELECT queue_name, status::text, count(*), extract(epoch FROM now() - min(scheduled_at))::float8
FROM procrastinate_jobs WHERE status IN ('todo', 'doing', 'failed') GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(slots=True)
class Jobs:
    """Jobs of one queue."""

    queue: str
    todo: int = 0
    doing: int = 0
    failed: int = 0


@dataclass(slots=True)
class Figures:
    """A look at everything. Ages in seconds; None where there is nothing to have an age."""

    at: datetime
    installation: Installation
    open: dict[str, int]
    unknown: int
    unknown_age: float | None
    in_flight: int
    unreported: int
    webhooks: int
    webhooks_age: float | None
    workers: list[WorkerReport]
    jobs: list[Jobs] = field(default_factory=list)

    @property
    def live(self) -> list[WorkerReport]:
        return [one for one in self.workers if one.seen_at > self.at - ALIVE]

    @property
    def lag(self) -> float:
        """The longest that a webhook lately applied had waited, or that one still waits."""
        return max([one.lag for one in self.live] + [self.webhooks_age or 0.0], default=0.0)

    @property
    def idle_shards(self) -> list[int]:
        """Shards that nobody drives."""
        held = {shard for one in self.live for shard in one.shards}
        return [shard for shard in range(settings.SEND_SHARDS) if shard not in held]


def figures() -> Figures:
    """Four queries."""
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, {"open": list(OPEN), "most": MOST})
        counts, *rest = cursor.fetchone()
        cursor.execute(_JOBS)
        jobs: dict[str, Jobs] = {}
        for queue, status, n, _ in cursor.fetchall():
            setattr(jobs.setdefault(queue, Jobs(queue)), status, n)
    workers = list(WorkerReport.objects.order_by("kind", "worker"))
    installation = Installation.objects.filter(pk=1).first() or Installation()
    open_ = {word: int((counts or {}).get(word, 0)) for word in OPEN}
    return Figures(timezone.now(), installation, open_, *rest, workers, list(jobs.values()))


def pace(wa_session: WaSenderSession) -> float:
    """Messages a minute that a session may send now, as the grant reckons; 0 where nothing limits it."""
    rate = wa_session.account.rate_per_minute
    if rate == 0:
        return 0.0
    per_minute = float(rate or PAID_RATE)
    if wa_session.account_protection:
        per_minute = min(per_minute, 60.0 / PROTECTED_GAP)
    return per_minute / 2 ** min(wa_session.strikes, 6)


class _Collector(Collector):
    """Fed when it is scraped: the web process keeps no figures of its own."""

    def collect(self) -> Iterator[Metric]:
        now = figures()
        yield from _installation(now)
        yield from _workers(now)
        yield from _sessions()


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector())
    return generate_latest(registry)


def _installation(now: Figures) -> Iterator[Metric]:
    yield _gauge("stopped", "1 while the administrator has stopped all sending", float(now.installation.is_stopped))
    yield _gauge("held", "1 while a restored copy waits for an administrator", float(bool(now.installation.held_at)))
    queued = GaugeMetricFamily("phonebank_messages", "Messages of live campaigns that can still move", labels=["state"])
    for word, n in now.open.items():
        queued.add_metric([word], n)
    yield queued
    yield _gauge("unknown_attempts", "Requests without a clear answer, being looked up", now.unknown)
    yield _gauge("unknown_oldest_seconds", "Age of the oldest of them", now.unknown_age or 0.0)
    yield _gauge("requests_in_flight", "Claimed and not yet answered", now.in_flight)
    yield _gauge("deliveries_unreported", "Accepted messages whose delivery is asked for", now.unreported)
    yield _gauge("webhooks_waiting", "Stored and due, not yet applied", now.webhooks)
    yield _gauge("webhooks_oldest_seconds", "How long the first of them has been due", now.webhooks_age or 0.0)
    yield _gauge("webhook_lag_seconds", "Longest time from received to applied of late", now.lag)
    yield _gauge("shards_idle", "Shards that no worker drives", len(now.idle_shards))
    jobs = GaugeMetricFamily("phonebank_jobs", "Jobs by queue", labels=["queue", "status"])
    for one in now.jobs:
        for status in ("todo", "doing", "failed"):
            jobs.add_metric([one.queue, status], getattr(one, status))
    yield jobs


def _workers(now: Figures) -> Iterator[Metric]:
    labels = ["worker", "kind"]
    seen = GaugeMetricFamily("phonebank_worker_seen_seconds", "Since its last report", labels=labels)
    shards = GaugeMetricFamily("phonebank_worker_shards", "Shards that it drives", labels=labels)
    rounds = CounterMetricFamily("phonebank_rounds", "Ticks (send) or batches of webhooks (work)", labels=labels)
    items = CounterMetricFamily("phonebank_items", "Messages claimed, or webhooks applied", labels=labels)
    times = GaugeMetricFamily(
        "phonebank_round_seconds", "Time of a round in the last window", labels=[*labels, "quantile"]
    )
    outcomes = CounterMetricFamily("phonebank_outcomes", "Outcomes of requests", labels=["worker", "outcome"])
    for one in now.workers:
        name = [one.worker, one.kind]
        seen.add_metric(name, (now.at - one.seen_at).total_seconds())
        shards.add_metric(name, len(one.shards))
        rounds.add_metric(name, one.rounds)
        items.add_metric(name, one.items)
        times.add_metric([*name, "0.5"], one.median)
        times.add_metric([*name, "1"], one.longest)
        for outcome, n in one.outcomes.items():
            outcomes.add_metric([one.worker, outcome], n)
    yield from (seen, shards, rounds, items, times, outcomes)


def _sessions() -> Iterator[Metric]:
    connected = GaugeMetricFamily("phonebank_session_connected", "1 while it can send", labels=["session"])
    today = GaugeMetricFamily("phonebank_session_messages_today", "Of the owner's date", labels=["session"])
    allowed = GaugeMetricFamily(
        "phonebank_session_pace_per_minute", "Messages a minute it may send; 0 is no limit", labels=["session"]
    )
    rows = WaSenderSession.objects.alive().select_related("account").defer("api_key", "webhook_secret", "webhook_token")
    for one in rows.order_by("pk"):
        name = [str(one.public_id)]
        connected.add_metric(name, float(one.status == WaSenderSession.Status.CONNECTED))
        today.add_metric(name, one.messages_sent_today)
        allowed.add_metric(name, pace(one))
    yield from (connected, today, allowed)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"phonebank_{name}", text, value=value)
