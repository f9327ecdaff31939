"""Verbs on a campaign's course: when it starts, over which sessions and how fast it runs, and what follows it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.models import Campaign, CampaignSession, WaSenderSession
from phonebank.whatsappapi.services import approval, drafts
from phonebank.whatsappapi.services.campaigns import check_proven, check_ready, launch, move
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.senders import check_fit, check_sendable, noting_refusals
from phonebank.whatsappapi.services.sharing import note_start, note_use

log = logging.getLogger(__name__)

State = Campaign.State
OPEN = [State.DRAFT, State.SCHEDULED, State.DEALING, State.RUNNING, State.PAUSED]
LATE = timedelta(hours=1)  # a start missed by more is a person's to decide: the moment may have passed


def schedule(*, actor: User, campaign: Campaign, at: datetime) -> Campaign:
    """Has a draft start at `at` (aware). Started up to an hour late after a standstill; later it waits for a person."""
    drafts.check_times({"scheduled_at": at}, {"scheduled_at": at, "expires_at": campaign.expires_at})
    with transaction.atomic():
        move(campaign, [State.DRAFT, State.SCHEDULED], State.SCHEDULED, scheduled_at=at)
        check_ready(campaign)
        if not approval.is_held(campaign, actor=actor):
            record(actor=actor, verb="campaign.schedule", target=campaign, at=at.isoformat())
        note_start(actor, campaign)
    return campaign


def start(*, actor: User, campaign: Campaign, version: int | None = None) -> Campaign:
    """Starts a draft as it is planned: now, or at its time. `version`: the one that was reviewed (drafts.Conflict)."""
    with transaction.atomic():
        row = drafts.lock(actor, campaign)
        drafts.check_version(row, version)
        if row.scheduled_at:
            return schedule(actor=actor, campaign=row, at=row.scheduled_at)
        return launch(actor=actor, campaign=row)


def unschedule(*, actor: User, campaign: Campaign) -> Campaign:
    """Makes a scheduled campaign a draft again."""
    with transaction.atomic():
        move(campaign, [State.SCHEDULED], State.DRAFT, scheduled_at=None)
        record(actor=actor, verb="campaign.unschedule", target=campaign)
    return campaign


def start_due() -> int:
    """Starts the scheduled campaigns whose time has come; pauses those whose start was missed. Returns how many."""
    now, started = timezone.now(), 0
    for campaign in Campaign.objects.filter(state=State.SCHEDULED, scheduled_at__lte=now):
        try:
            with transaction.atomic():
                if campaign.scheduled_at and campaign.scheduled_at < now - LATE:
                    reason = _("Its start was missed: nobody was here. Resume it to start now, or cancel it.")
                    move(campaign, [State.SCHEDULED], State.PAUSED, pause_reason=reason)
                else:
                    move(campaign, [State.SCHEDULED], State.DEALING)
                    if not approval.is_held(campaign, actor=None):
                        jobs.defer("deal_campaign", lock=f"deal:{campaign.pk}", campaign=campaign.pk)
                record(actor=None, verb="campaign.start", target=campaign, state=campaign.state)
                started += 1
        except ServiceError:
            log.info("Campaign %s was started or changed by somebody else", campaign.pk)
    return started


def add_session(*, actor: User, campaign: Campaign, wa_session: WaSenderSession) -> CampaignSession:
    """Lets one more session carry a campaign. While it runs, the newcomer gets its part of those not yet reached."""
    with noting_refusals(actor, campaign):
        _own(actor, campaign)
        check_sendable(actor, [wa_session])
        check_fit([wa_session])
    with transaction.atomic():
        _lock(campaign)
        last = campaign.lanes.aggregate(last=Max("position"))["last"]
        was_simulated = not campaign.lanes.filter(session__account__is_sandbox=False).exists()
        lane, __ = CampaignSession.objects.update_or_create(
            campaign=campaign,
            session=wa_session,
            defaults={"is_active": True},
            create_defaults={"position": 0 if last is None else last + 1},
        )
        if was_simulated:
            # The first real session brings the rules that spare real people.
            drafts.follow_gateway(campaign)
            campaign.save(update_fields=list(drafts.RULES))
        if campaign.state != State.DRAFT:
            check_proven(campaign)
        record(actor=actor, verb="campaign.add_session", target=campaign, session=str(wa_session.public_id))
        if campaign.state != State.DRAFT:
            note_use(actor, campaign, wa_session)
        if campaign.sealed_at:
            jobs.defer("share_campaign", lock=f"deal:{campaign.pk}", campaign=campaign.pk, session=wa_session.pk)
    return lane


def share(campaign: int, session: int) -> None:
    """Deals a newcomer its part, chunk by chunk. Run again it changes little: the parts are even by then."""
    while deal.share(campaign, session):
        pass


def remove_session(*, actor: User, campaign: Campaign, wa_session: WaSenderSession) -> None:
    """Takes a session out. From the commit on nobody is claimed for it; its waiting people go to the others.

    What it has sent stays its own.
    """
    with noting_refusals(actor, campaign):
        _own(actor, campaign)
    with transaction.atomic():
        _lock(campaign)
        if not campaign.lanes.filter(is_active=True).exclude(session=wa_session).exists():
            raise ServiceError(
                _("It is the only session of this campaign. Add another one first, or pause the campaign."),
                code="last_session",
            )
        if not campaign.lanes.filter(session=wa_session, is_active=True).update(is_active=False):
            raise ServiceError(_("This session is not in the campaign."), code="not_found")
        record(actor=actor, verb="campaign.remove_session", target=campaign, session=str(wa_session.public_id))


def set_pace(*, actor: User, campaign: Campaign, pace: int | None) -> Campaign:
    """At most so many messages a minute and session, from the next tick on; None: what the sessions may."""
    drafts.check_pace(pace)
    with transaction.atomic():
        before = _lock(campaign).pace
        Campaign.objects.filter(pk=campaign.pk).update(pace=pace)
        lanes = CampaignSession.objects.filter(campaign=campaign)
        list(lanes.order_by("session_id").select_for_update(no_key=True).values_list("pk"))  # as a tick locks them
        lanes.update(next_at=None)
        record(actor=actor, verb="campaign.pace", target=campaign, before=before, after=pace)
    campaign.refresh_from_db()
    return campaign


def retry_failed(*, actor: User, campaign: Campaign) -> Campaign:
    """A draft of the same message for those whom a finished campaign could not reach; never for whom it skipped."""
    if campaign.state not in (State.COMPLETED, State.CANCELLED, State.EXPIRED):
        raise ServiceError(_("It is not over yet. Retry when it has finished."), code="wrong_state")
    if not campaign.messages.filter(state="failed").exists():
        raise ServiceError(_("Nobody is left to retry: none of its messages failed."), code="empty")
    return _copy(actor, campaign, _("%(name)s (retry)") % {"name": campaign.name}, parent=campaign)


def clone(*, actor: User, campaign: Campaign) -> Campaign:
    """A draft with the same audience, message, sessions and rules."""
    return _copy(actor, campaign, _("%(name)s (copy)") % {"name": campaign.name}, parent=campaign.parent)


def _copy(actor: User, campaign: Campaign, name: str, parent: Campaign | None) -> Campaign:
    kept: dict[str, Any] = {
        one: getattr(campaign, one)
        for one in (
            "user", "body", "media_kind", "media_url", "media_name", "contact_list", "audience", "policy", "is_sticky",
            "pace", "windows", "quiet_start", "quiet_end", "cap_day", "cap_month",
        )
    }  # fmt: skip
    with transaction.atomic():
        made = Campaign.objects.create(**kept, name=name[:120], parent=parent)
        lanes = campaign.lanes.filter(is_active=True, session__deleted_at=None).order_by("position")
        CampaignSession.objects.bulk_create(
            CampaignSession(campaign=made, session_id=lane.session_id, position=i) for i, lane in enumerate(lanes)
        )
        record(actor=actor, verb="campaign.create", target=made, source=str(campaign.public_id))
    return made


def _own(actor: User, campaign: Campaign) -> None:
    if not Campaign.objects.visible_to(actor).filter(pk=campaign.pk).exists():
        raise ServiceError(_("There is no such campaign."), code="not_found")


def _lock(campaign: Campaign) -> Campaign:
    """The row under lock, while it is still open; `campaign` is brought up to date."""
    found = Campaign.objects.select_for_update(no_key=True).filter(pk=campaign.pk, state__in=OPEN).exists()
    campaign.refresh_from_db()
    if not found:
        raise ServiceError(
            _("This campaign is %(campaign)s by now; nothing was changed.")
            % {"campaign": campaign.get_state_display()},
            code="wrong_state",
        )
    return campaign
