"""Campaigns: draft, launch, pause, resume, cancel. What a running one does is the send engine's business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.sql.reports import CANCEL
from phonebank.whatsappapi.dispatch.statuses import KEYS
from phonebank.whatsappapi.models import Campaign, ContactList, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services import approval, drafts, readiness
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.progress import Progress, progress
from phonebank.whatsappapi.services.senders import Senders, check_fit, check_sendable, noting_refusals
from phonebank.whatsappapi.services.sharing import note_start

__all__ = [
    "Progress",
    "cancel",
    "cancel_rows",
    "check_proven",
    "check_ready",
    "create_campaign",
    "finish_what_was_begun",
    "launch",
    "move",
    "pause",
    "progress",
    "resume",
]
State = Campaign.State


def create_campaign(
    *,
    actor: User,
    name: str,
    body: str,
    wa_sessions: Iterable[WaSenderSession],
    contact_list: ContactList | None = None,
    audience: Mapping[str, Any] | None = None,
    groups: Iterable[SessionGroup] = (),
    **rules: Any,
) -> Campaign:
    """A draft with all that it needs, over the given sessions in their order, to a list or an audience
    (services/audience.py). `groups` are those that brought some of the sessions, for the record; `rules`: further
    fields that `drafts.save` takes. Nothing is kept of one that is refused.

    Ids of other people's things do not exist (not_found).
    """
    sessions = list(dict.fromkeys(wa_sessions))
    with noting_refusals(actor):
        usable = WaSenderSession.objects.usable_by(actor).filter(pk__in=[one.pk for one in sessions])
        if (contact_list and contact_list.user_id != actor.pk) or usable.count() != len(sessions):
            raise ServiceError(_("There is no such list or session."), code="not_found")
        check_sendable(actor, sessions)
        if not sessions:
            raise ServiceError(_("Choose at least one session to send from."), code="no_session")
        check_fit(sessions)
        if not body.strip() and not rules.get("media_kind"):
            raise ServiceError(_("Write a message first."), code="empty")
        changes = {"body": body, **rules} | ({"audience": dict(audience)} if audience is not None else {})
        with transaction.atomic():
            called = name.strip() or (contact_list.name if contact_list else "")
            made = drafts.create_draft(actor=actor, name=called, contact_list=contact_list)
            return drafts.save(actor=actor, campaign=made, changes=changes, senders=Senders(sessions, list(groups), []))


def launch(*, actor: User, campaign: Campaign) -> Campaign:
    """Starts a draft: the audience is dealt by a job, then the campaign runs. It may have to wait for an administrator
    first (approval.py); then it is paused."""
    with transaction.atomic():
        move(campaign, [State.DRAFT], State.DEALING, scheduled_at=None)
        check_ready(campaign)
        if approval.is_held(campaign, actor=actor):
            return campaign
        record(actor=actor, verb="campaign.launch", target=campaign)
        note_start(actor, campaign)
        jobs.defer("deal_campaign", lock=f"deal:{campaign.pk}", campaign=campaign.pk)
    return campaign


def check_ready(campaign: Campaign) -> None:
    """Raises the first thing that keeps a draft from starting, in words; who can be written to, the deal finds out."""
    for problem in readiness.problems(campaign):
        if problem.is_blocking:
            raise ServiceError(problem.words, code=problem.code)


def check_proven(campaign: Campaign) -> None:
    """Raises where a session of a real gateway has never had an event: replies and STOP would be lost."""
    if problem := readiness.unproven(campaign.lanes.filter(is_active=True).select_related("session__account")):
        raise ServiceError(problem.words, code=problem.code)


def pause(*, actor: User | None, campaign: Campaign, reason: str = "") -> Campaign:
    """No first byte leaves later than 1.0 s after this commits (claims live for 0.8 s)."""
    with transaction.atomic():
        move(campaign, [State.RUNNING], State.PAUSED, pause_reason=reason[:200])
        record(actor=actor, verb="campaign.pause", target=campaign, reason=reason)
    return campaign


def resume(*, actor: User, campaign: Campaign) -> Campaign:
    """Goes on where it was paused; starts where its start was missed."""
    with transaction.atomic():
        # As it is now, not as the caller last saw it: a sealed campaign must never be dealt anew.
        if Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk).sealed_at:
            move(campaign, [State.PAUSED], State.RUNNING, pause_reason="", resumed_at=timezone.now())
            if approval.is_held(campaign, actor=actor):
                return campaign
        else:
            check_proven(campaign)
            move(campaign, [State.PAUSED], State.DEALING, pause_reason="")
            if approval.is_held(campaign, actor=actor):
                return campaign
            jobs.defer("deal_campaign", lock=f"deal:{campaign.pk}", campaign=campaign.pk)
        record(actor=actor, verb="campaign.resume", target=campaign)
    return campaign


def cancel(*, actor: User, campaign: Campaign) -> Campaign:
    """Ends it for good. Requests already under way end as they end; everybody still queued is cancelled."""
    with transaction.atomic():
        states = [State.DRAFT, State.DEALING, State.SCHEDULED, State.RUNNING, State.PAUSED]
        move(campaign, states, State.CANCELLED, finished_at=timezone.now())
        record(actor=actor, verb="campaign.cancel", target=campaign)
        jobs.defer("cancel_rows", lock=f"deal:{campaign.pk}", campaign=campaign.pk)
    return campaign


def cancel_rows(campaign: int) -> None:
    """Moves a cancelled campaign's queued rows, 10,000 a transaction."""
    after: int | None = 0
    while after is not None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(CANCEL, {"campaign": campaign, "after": after})
            rows = cursor.fetchall()
            deltas = Deltas()
            deltas.moves(dict(zip(KEYS, row[1:], strict=True)) for row in rows)
            deltas.write(cursor)
        after = max((row[0] for row in rows), default=None)


def finish_what_was_begun() -> int:
    """Defers anew what a dead worker left: half a deal, or rows of a cancelled campaign that are queued (again).

    A row comes back to the queue after the cancellation when its request turned out never to have left.
    """
    recent = timezone.now() - timedelta(days=3)
    halves = [
        ("deal_campaign", Campaign.objects.filter(state=State.DEALING)),
        (
            "cancel_rows",
            Campaign.objects.filter(
                state=State.CANCELLED, finished_at__gt=recent, counts__state="queued", counts__n__gt=0
            ).distinct(),
        ),
    ]
    begun = 0
    for name, left in halves:
        for pk in left.values_list("pk", flat=True):
            lock = f"deal:{pk}"
            if not jobs.is_there(lock):
                begun += jobs.defer(name, lock=lock, once=lock, campaign=pk)
    return begun


def move(campaign: Campaign, before: list[Campaign.State], after: Campaign.State, **fields: object) -> None:
    """From one of the states `before` to `after` by one conditional update: two people who press at once do it once."""
    changed = Campaign.objects.filter(pk=campaign.pk, state__in=before).update(state=after, **fields)
    campaign.refresh_from_db()
    if not changed:
        raise ServiceError(
            _("This campaign is %(campaign)s by now; nothing was changed.")
            % {"campaign": campaign.get_state_display()},
            code="wrong_state",
        )
