from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from phonebank.gateways.base import Accepted, MaybeSent
from phonebank.whatsappapi.dispatch import vitals as module
from phonebank.whatsappapi.dispatch.vitals import Vitals, process_name
from phonebank.whatsappapi.models import WorkerReport
from tests.dispatch.bench import Bench


def test_a_worker_reports_at_most_every_two_seconds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    one = Vitals(WorkerReport.Kind.SEND, lambda: {5: 1, 3: 2})

    def after(seconds: float) -> WorkerReport | None:
        clock[0] += seconds
        bench.run(one.flush(bench.conn))
        return WorkerReport.objects.first()

    for seconds in (0.001, 0.002, 0.3):
        one.tick(seconds, 2)
    one.outcome(Accepted(1))
    one.outcome(Accepted(2))
    one.outcome(MaybeSent("timeout", "", None))
    assert after(1.9) is None
    row = after(0.2)
    assert row is not None and (row.worker, row.kind, row.shards) == (process_name(), "send", [3, 5])
    assert (row.rounds, row.items, row.median, row.longest, row.recent) == (3, 6, 0.002, 0.3, [0.3])
    assert row.outcomes == {"accepted": 2, "unknown": 1}
    assert 1 < (row.seen_at - row.started_at).total_seconds() < 5 and row.seen_at <= timezone.now()
    one.tick(0.01, 1)
    row = after(2.0)
    assert row is not None and (row.rounds, row.items, row.longest, row.recent) == (4, 7, 0.01, [0.3, 0.01])
    row = after(2.0)
    assert (
        row is not None and (row.median, row.longest, row.recent[-1]) == (0, 0, 0) and WorkerReport.objects.count() == 1
    )
    for _ in range(40):
        row = after(2.0)
    assert row is not None and len(row.recent) == module.WINDOWS


def test_who_is_long_gone_is_forgotten(bench: Bench) -> None:
    old = timezone.now() - timedelta(hours=2)
    WorkerReport.objects.create(worker="old:1", kind="work", host="old", started_at=old, seen_at=old)
    one = Vitals(WorkerReport.Kind.WORK)
    one._reported -= 3
    one.tick(0.1, 50, lag=1.5)
    one.flush_now()
    row = WorkerReport.objects.get()
    assert (row.worker, row.kind, row.lag, row.items) == (process_name(), "work", 1.5, 50)
