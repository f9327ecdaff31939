"""One verb on many sessions, done by a job: one session after another, at the rate the gateway allows."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import DatabaseError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.errors import Throttled, Unreachable
from phonebank.language import grouped, stored
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.models import BulkAction, BulkResult, WaSenderSession
from phonebank.whatsappapi.services import reconnect, sessions
from phonebank.whatsappapi.services.errors import ServiceError

log = logging.getLogger(__name__)

Verb, State, Outcome = BulkAction.Verb, BulkAction.State, BulkResult.Outcome
Status = WaSenderSession.Status

JOB = "run_bulk"
REMOVED = stored("Removed here. %(note)s")
COMING_UP = stored("The link is coming up.")
CALLS = {Verb.CONNECT: 3, Verb.DISCONNECT: 1, Verb.DELETE: 1}  # to the gateway for one session, at most
CALL_GAP = 1.5  # seconds for a call: two thirds of the account's 60 a minute (contract 5)
CALL_BURST = 30.0  # seconds of it that may be saved up
UNREACHABLE = 15.0  # seconds until the next try
TRIES = 3
DOWN = {Status.DISCONNECTED, Status.LOGGED_OUT, Status.EXPIRED}


def start(
    *,
    actor: User,
    verb: str,
    public_ids: Iterable[uuid.UUID] = (),
    rows: QuerySet[WaSenderSession] | None = None,
    expected: int | None = None,
    at_gateway: bool = False,
) -> BulkAction:
    """Puts sessions in line for `verb`: those of `public_ids`, or all of `rows` (a choice among the actor's own).

    One foreign or unknown id, and nothing is done (not_found). `expected`: the number that the person agreed to;
    another one now is refused ("changed"). `at_gateway` (deleting): there too, except sessions taken over from there.
    """
    chosen = WaSenderSession.objects.visible_to(actor)
    ids = set(public_ids)
    with transaction.atomic():
        # One after another for a person, so that what is counted here is what is put in line.
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if rows is None:
            found = list(chosen.filter(public_id__in=ids))
            if len(found) != len(ids):
                raise ServiceError(_("There is no such session. Nothing was done."), code="not_found")
        else:
            found = list(chosen.filter(pk__in=rows.order_by().values("pk")))
        if not found:
            raise ServiceError(_("Choose at least one session. Nothing was done."), code="empty")
        if expected is not None and expected != len(found):
            raise ServiceError(
                ngettext(
                    "Meanwhile it would be %(n)s session, not %(expected)s. Nothing was done; look again.",
                    "Meanwhile it would be %(n)s sessions, not %(expected)s. Nothing was done; look again.",
                    len(found),
                )
                % {"n": grouped(len(found)), "expected": grouped(expected)},
                code="changed",
            )
        action = BulkAction.objects.create(user=actor, verb=verb, total=len(found), at_gateway=at_gateway)
        BulkResult.objects.bulk_create(
            BulkResult(action=action, session=one, name=one.session_name, position=n) for n, one in enumerate(found)
        )
        record(actor=actor, verb=f"bulk.{verb}", target=action, sessions=len(found), at_gateway=at_gateway)
        jobs.defer(JOB, lock=lock_of(actor.pk), user=actor.pk)
    return action


def stop(*, actor: User, action: BulkAction) -> BulkAction:
    """Leaves out whoever is still to come. The one under way ends as it ends."""
    with transaction.atomic():
        row = BulkAction.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=action.pk).first()
        if row is None:
            raise ServiceError(_("This does not exist."), code="not_found")
        if row.finished_at is not None:
            raise ServiceError(_("This has ended by itself meanwhile."), code="wrong_state")
        _end(row, State.STOPPED, "")
        record(actor=actor, verb="bulk.stopped", target=row, done=row.done, failed=row.failed)
    return row


def finish_what_was_begun() -> int:
    """Defers anew what a dead worker left. Returns for how many people."""
    owners = set(BulkAction.objects.unfinished().values_list("user_id", flat=True))
    return sum(go_on(one) for one in owners if not jobs.is_there(lock_of(one)))


def go_on(user: int, delay: float = 0) -> bool:
    """Puts the job in line that calls `run`, unless one waits. Outside of transactions: a refusal would end them."""
    return jobs.defer(JOB, lock=lock_of(user), once=lock_of(user), delay=delay, user=user)


def lock_of(user: int) -> str:
    """A person's actions run one after another: what they asked last has the last word."""
    return f"bulk:{user}"


def run(user: int, until: float, halt: threading.Event) -> float | None:
    """Goes on with the person's actions, the oldest first, until `until` (monotonic clock).

    Returns the seconds after which there is more to do, None when all is done. May be killed anywhere: results without
    an outcome are done again, and every verb may be done twice.
    """
    while action := BulkAction.objects.filter(user=user).unfinished().order_by("pk").first():
        if not action.user.is_active:
            with transaction.atomic():
                _end(BulkAction.objects.select_for_update(no_key=True).get(pk=action.pk), State.STOPPED, "")
            continue
        wait = _run_one(action, until, halt)
        if wait is not None:
            return wait
    return None


def _run_one(action: BulkAction, until: float, halt: threading.Event) -> float | None:
    BulkAction.objects.filter(pk=action.pk, state=State.WAITING).update(state=State.RUNNING, started_at=timezone.now())
    closed: dict[int | None, _Wait] = {}  # accounts that have to wait
    while True:
        left = action.results.filter(outcome="").select_related("session__account", "session__user")
        result = left.exclude(session__account__in=list(closed)).first() if closed else left.first()
        if result is None and closed:
            first = min(closed.values(), key=lambda one: one.seconds)
            BulkAction.objects.filter(pk=action.pk).update(note=first.why)
            return first.seconds
        if result is None:
            with transaction.atomic():
                _end(BulkAction.objects.select_for_update(no_key=True).get(pk=action.pk), State.DONE, "")
            return None
        if halt.is_set() or time.monotonic() > until:
            return 0.0
        did = _turn(action, result)
        if isinstance(did, _Wait):
            closed[result.session.account_id] = did
        elif not _write(action, result, *did):
            return 0.0  # stopped meanwhile: look again


@dataclass(frozen=True)
class _Wait:
    """An account that cannot be asked for `seconds`."""

    seconds: float
    why: str


def _turn(action: BulkAction, result: BulkResult) -> tuple[str, str] | _Wait:
    """One session's turn: outcome and words, or how long its account has to wait first."""
    row = result.session
    if row is None or row.deleted_at is not None:
        ours = action.verb == Verb.DELETE and (row is None or row.deleted_at >= action.created_at)
        return (Outcome.DONE, _("Deleted.")) if ours else (Outcome.FAILED, _("It was deleted meanwhile."))
    if action.verb == Verb.CONNECT and row.status == Status.CONNECTED:
        return Outcome.SKIPPED, _("It was connected already.")
    if action.verb == Verb.DISCONNECT and row.status in DOWN:
        reconnect.ended(row)  # nor shall it be, by itself
        return Outcome.SKIPPED, _("It was not connected.")
    key, calls = budget.account_key(row.account_id), CALLS[Verb(action.verb)]
    gap = 0.0 if row.account.is_sandbox else calls * CALL_GAP
    if not budget.take(key, gap=gap, burst=CALL_BURST):
        return _Wait(max(1.0, gap), _("The gateway takes only so many calls a minute."))
    try:
        return Outcome.DONE, _do(action, row)
    except ServiceError as error:
        return _refused(result, error, key)
    except DatabaseError:
        raise
    except Exception:
        # One session that cannot be handled must not stop all others, whatever is wrong with it.
        log.exception("Bulk action %s failed at session %s", action.public_id, row.public_id)
        return Outcome.FAILED, _("Something went wrong here. Nothing more is known; look at the session.")


def _do(action: BulkAction, row: WaSenderSession) -> str:
    actor = action.user
    if action.verb == Verb.CONNECT:
        answer = sessions.connect(actor=actor, wa_session=row)
        row.refresh_from_db(fields=["status"])
        return {
            Status.CONNECTED: _("Connected."),
            Status.NEED_SCAN: _("Its code waits to be scanned."),
            Status.NEED_PASSKEY: _("The phone asks for its passkey."),
        }.get(Status(row.status if answer.status == Status.CONNECTED else answer.status), COMING_UP)
    if action.verb == Verb.DISCONNECT:
        sessions.disconnect(actor=actor, wa_session=row)
        return _("Disconnected.")
    there = action.at_gateway and row.adopted_at is None
    note = sessions.delete(actor=actor, wa_session=row, at_gateway=there)
    return _("Deleted, at the gateway too.") if there else (REMOVED % {"note": note}).strip()


def _refused(result: BulkResult, error: ServiceError, key: str) -> tuple[str, str] | _Wait:
    cause = error.__cause__
    if isinstance(cause, Throttled):
        wait = max(1.0, cause.retry_after or 0.0)
        budget.close(key, wait)
        return _Wait(wait, _("The gateway asked us to slow down."))
    if isinstance(cause, Unreachable) and result.tries + 1 < TRIES:
        BulkResult.objects.filter(pk=result.pk).update(tries=F("tries") + 1)
        return _Wait(UNREACHABLE, _("The gateway cannot be reached at the moment."))
    return Outcome.FAILED, error.message


def _write(action: BulkAction, result: BulkResult, outcome: str, text: str) -> bool:
    """Result and counts in one transaction. False when the action was stopped meanwhile."""
    with transaction.atomic():
        row = BulkAction.objects.select_for_update(no_key=True).get(pk=action.pk)
        # What was stopped while this one was under way still tells what came of it.
        changed = BulkResult.objects.filter(pk=result.pk, outcome__in=["", Outcome.LEFT]).update(
            outcome=outcome, text=text[:300], at=timezone.now()
        )
        failed = int(outcome == Outcome.FAILED)
        row.failed, row.done, row.note = row.failed + changed * failed, row.done + changed * (1 - failed), ""
        row.save(update_fields=["failed", "done", "note"])
    return row.finished_at is None


def _end(row: BulkAction, state: str, note: str) -> None:
    """Inside a transaction that holds the action's row."""
    if row.finished_at is not None:
        return
    row.results.filter(outcome="").update(outcome=Outcome.LEFT, at=timezone.now())
    row.state, row.note, row.finished_at = state, note, timezone.now()
    row.save(update_fields=["state", "note", "finished_at"])
