"""The jobs, one line each into services or the engine. The only module beside jobs.py that knows Procrastinate."""

from __future__ import annotations

import contextlib
import time

from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from phonebank.whatsappapi.dispatch import deal, reconcile, tend
from phonebank.whatsappapi.services import campaigns, failures, optout, sessions

DRIVE = 10.0  # seconds that a job drives its shard before its successor may run elsewhere


@app.task(name="drive_shard", queue="send", pass_context=True)
async def drive_shard(context: JobContext, shard: int) -> None:
    """Holds a shard in this worker's engine."""
    job = context.job
    await context.additional_context["engine"].hold(shard, job.id, DRIVE)
    await _again(context, shard=shard)


@app.task(name="tend_campaigns", queue="chores", pass_context=True)
def tend_campaigns(context: JobContext) -> None:
    """Re-deals and completes campaigns for some seconds."""
    end = time.monotonic() + DRIVE
    stop = context.additional_context["stop"]
    while time.monotonic() < end and not stop.is_set():
        if not tend.tend():
            stop.wait(0.3)


@app.task(name="reconcile", queue="chores", pass_context=True)
def reconcile_unknown(context: JobContext) -> None:
    """Looks up attempts without an answer, for some seconds."""
    end = time.monotonic() + DRIVE
    stop = context.additional_context["stop"]
    while time.monotonic() < end and not stop.is_set():
        for session in reconcile.sessions_with_unknown():
            reconcile.reconcile(session)
        stop.wait(1.0)


@app.task(name="look_after_sessions", queue="chores", pass_context=True)
def look_after_sessions(context: JobContext) -> None:
    """Polls statuses, finds lost intents and people behind LIDs, opens new days; for some seconds."""
    end = time.monotonic() + DRIVE
    stop = context.additional_context["stop"]
    while time.monotonic() < end and not stop.is_set():
        sessions.poll_statuses()
        sessions.recheck_refused()
        sessions.reconcile_intents()
        optout.resolve_lids()
        failures.confirm_failures()
        tend.reset_usage()
        campaigns.finish_what_was_begun()
        stop.wait(2.0)


@app.task(name="deal_campaign", queue="work")
def deal_campaign(campaign: int) -> None:
    """Deals a launched campaign, chunk by chunk; started again it goes on where it stopped."""
    while not deal.deal_chunk(campaign):
        pass


async def _again(context: JobContext, **args: int) -> None:
    """Defers the successor at once, so that the shard is not idle until the keeper's next look."""
    job = context.job
    task = context.app.configure_task(job.task_name, queue=job.queue, lock=job.lock, queueing_lock=job.queueing_lock)
    with contextlib.suppress(AlreadyEnqueued):
        await task.defer_async(**args)


@app.task(name="cancel_rows", queue="work")
def cancel_rows(campaign: int) -> None:
    """Cancels the rows of a cancelled campaign."""
    campaigns.cancel_rows(campaign)
