"""The jobs, one line each into services or the engine. The only module beside jobs.py that knows Procrastinate."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from phonebank import jobs
from phonebank.audit import chain
from phonebank.whatsappapi.dispatch import deal, poll, reconcile, tend
from phonebank.whatsappapi.models import ApiAnswer
from phonebank.whatsappapi.services import (
    account_deletion,
    alerts,
    brakes,
    bulk,
    campaigns,
    deliveries,
    digest,
    erasure,
    guard,
    health,
    imports,
    incidents,
    links,
    media,
    optout,
    probes,
    reconnect,
    retention,
    roll_up,
    runs,
    session_history,
    session_templates,
    sessions,
    sharing,
    single,
    subscriptions,
    telling,
    wellbeing,
)

log = logging.getLogger(__name__)
DRIVE = 10.0  # seconds that a job drives its shard before its successor may run elsewhere


def _every(seconds: float, verb: Callable[[], Any]) -> Callable[[], Any]:
    """`verb`, done at most so often by this process; at other times nothing."""
    due = 0.0

    @functools.wraps(verb)
    def at_times() -> Any:
        nonlocal due
        if time.monotonic() < due:
            return None
        due = time.monotonic() + seconds
        return verb()

    return at_times


_look_at_brakes = _every(5, brakes.look)
_look_at_home = _every(60, guard.look)
_tidy_files = _every(3600, media.tidy_files)
_NOW_AND_THEN = (
    _every(20, alerts.notice_the_rest),
    _every(30, digest.send_due),
    _every(60, wellbeing.note),
    *(_every(3600, one.prune) for one in (deliveries, digest, probes, sharing, wellbeing)),
    _every(600, retention.prune_logins),
)


@app.task(name="drive_shard", queue="send", pass_context=True)
async def drive_shard(context: JobContext, shard: int) -> None:
    """Holds a shard in this worker's engine."""
    job = context.job
    await context.additional_context["engine"].hold(shard, job.id, DRIVE)
    await _again(context, shard=shard)


@app.task(name="tend_campaigns", queue="chores", pass_context=True)
def tend_campaigns(context: JobContext) -> None:
    """Starts, brakes, re-deals and completes campaigns."""
    _repeat(context, _look_at_home, guard.resting(runs.start_due), _look_at_brakes, tend.tend, pause=0.3, eager=True)


@app.task(name="reconcile", queue="chores", pass_context=True)
def reconcile_unknown(context: JobContext) -> None:
    """Looks up attempts without an answer."""
    _repeat(context, guard.resting(_reconcile), pause=1.0)


@app.task(name="poll_deliveries", queue="chores", pass_context=True)
def poll_deliveries(context: JobContext) -> None:
    """Asks about deliveries that no webhook reported."""
    _repeat(context, poll.sweep_at_times, guard.resting(poll.poll), pause=1.0, eager=True)


@app.task(name="look_after_sessions", queue="chores", pass_context=True)
def look_after_sessions(context: JobContext) -> None:
    """Polls statuses, finds lost intents and people behind LIDs, opens new days, clears away."""
    _repeat(
        context,
        guard.resting(sessions.poll_statuses),
        guard.resting(sessions.recheck_refused),
        guard.resting(sessions.reconcile_intents),
        session_history.notice_changes,
        single.tidy_singles,
        guard.resting(probes.look_after),
        guard.resting(optout.resolve_lids),
        tend.reset_usage,
        subscriptions.expire,
        subscriptions.warn,
        tend.mark_surplus,
        campaigns.finish_what_was_begun,
        imports.finish_what_was_begun,
        bulk.finish_what_was_begun,
        account_deletion.finish_what_was_begun,
        guard.resting(session_templates.follow_wanted),
        health.weigh,
        ApiAnswer.objects.delete_expired,
        retention.prune_webhooks,
        pause=2.0,
    )


@app.task(name="roll_up", queue="chores", pass_context=True)
def roll_up_counts(context: JobContext) -> None:
    """Counts what sessions did, for the analytics."""
    _repeat(context, roll_up.roll_up, pause=3.0)


@app.task(name="reconnect_sessions", queue="chores", pass_context=True)
def reconnect_sessions(context: JobContext) -> None:
    """Brings dropped sessions back; by itself, for gateways may be slow."""
    _repeat(context, guard.resting(reconnect.bring_back), links.tidy, pause=1.0)


@app.task(name="tell_people", queue="chores", pass_context=True)
def tell_people(context: JobContext) -> None:
    """Notices what needs a person, puts it into incidents and tells it."""
    _repeat(
        context,
        *_NOW_AND_THEN,
        alerts.notice_links,
        incidents.fold,
        telling.tell,
        deliveries.deliver,
        pause=1.0,
        eager=True,
    )


@app.task(name="keep_media", queue="chores", pass_context=True)
def keep_media(context: JobContext) -> None:
    """Has the gateways keep the files that campaigns need; by itself, for an upload may take minutes."""
    _repeat(context, guard.resting(media.keep_links), _tidy_files, pause=2.0)


@app.task(name="seal_audit", queue="chores", pass_context=True)
def seal_audit(context: JobContext) -> None:
    """Seals what was recorded."""
    try:
        _repeat(context, chain.seal, pause=1.0, eager=True)
    except chain.ChainBroken as error:
        log.error("%s Nothing more is sealed; see `phonebank audit verify`.", error)
        context.additional_context["stop"].wait(60.0)


def _repeat(context: JobContext, *verbs: Callable[[], Any], pause: float, eager: bool = False) -> None:
    """Does all of `verbs` again and again for DRIVE seconds, `pause` seconds apart; then any worker may go on.

    `eager`: without a pause while the last one finds something to do. One that fails holds up none of the others.
    """
    end = time.monotonic() + DRIVE
    stop = context.additional_context["stop"]
    while time.monotonic() < end and not stop.is_set():
        found = [_try(verb) for verb in verbs]
        if not (eager and found[-1]):
            stop.wait(pause)


def _reconcile() -> None:
    for session in reconcile.sessions_with_unknown():
        _try(reconcile.reconcile, session)


def _try(verb: Callable[..., Any], *args: Any) -> Any:
    try:
        return verb(*args)
    except (OperationalError, InterfaceError, chain.ChainBroken):
        raise  # without a database, none of them can do anything
    except Exception:
        log.exception("%s.%s failed; it is tried again", verb.__module__, verb.__qualname__)
        return None


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


@app.task(name="share_campaign", queue="work")
def share_campaign(campaign: int, session: int) -> None:
    """Deals a session that joined a running campaign its part."""
    runs.share(campaign, session)


@app.task(name="tell_invited", queue="work")
def tell_invited(share: int) -> None:
    """Mails an invitation to a session."""
    sharing.tell_invited(share)


@app.task(name="cancel_rows", queue="work")
def cancel_rows(campaign: int) -> None:
    """Cancels the rows of a cancelled campaign."""
    campaigns.cancel_rows(campaign)


@app.task(name="run_bulk", queue="work", pass_context=True)
def run_bulk(context: JobContext, user: int) -> None:
    """Goes on with a person's bulk actions for some seconds, then makes room for other work."""
    if guard.is_held():
        bulk.go_on(user, 60)
        return
    wait = bulk.run(user, time.monotonic() + DRIVE, context.additional_context["stop"])
    if wait is not None:
        bulk.go_on(user, wait)


@app.task(name="follow_templates", queue="work")
def follow_templates() -> None:
    """Has sessions take their template's settings over."""
    while guard.resting(session_templates.follow_wanted)():
        pass


@app.task(name="import_contacts", queue="work", pass_context=True)
def import_contacts(context: JobContext, job: int) -> None:
    """Imports a file chunk by chunk; started again it goes on where it stopped."""
    imports.run(job, is_over=context.additional_context["stop"].is_set)


@app.task(name="erase_person", queue="work")
def erase_person(contact: int) -> None:
    """Erases what is left of a person, now or when nothing of theirs is under way any more."""
    if not erasure.finish(contact):
        jobs.defer("erase_person", lock=f"erase:{contact}", delay=erasure.AGAIN, contact=contact)


@app.task(name="delete_account", queue="work")
def delete_account(account: int) -> None:
    """Erases an account that its owner closed, now or when nothing of it is under way any more."""
    if guard.is_held() or not account_deletion.go_on(account):
        jobs.defer(account_deletion.JOB, lock=account_deletion.LOCK, delay=account_deletion.AGAIN, account=account)
