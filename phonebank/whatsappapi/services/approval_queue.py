"""What waits for an administrator's word, and what they say; and how its owner takes it back."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import grouped, stored
from phonebank.whatsappapi.models import Approval, Campaign
from phonebank.whatsappapi.services import approval as gate
from phonebank.whatsappapi.services.campaigns import check_ready, move
from phonebank.whatsappapi.services.capabilities import check_administrator
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.notices import take_back, tell

APPROVED = stored("“%(name)s” was approved.")
NOT_APPROVED = stored("“%(name)s” was not approved: %(reason)s")

State = Approval.State


def waiting() -> QuerySet[Approval]:
    """Those that wait and were not taken back or cancelled, the oldest first."""
    rows = Approval.objects.filter(state=State.WAITING, campaign__state=Campaign.State.PAUSED, user__is_active=True)
    return rows.select_related("campaign", "user").order_by("asked_at", "pk")


def approve(*, actor: User, public_id: uuid.UUID, people: int) -> Campaign:
    """Lets it go: it starts now, or at its time. `people`: as many as the administrator saw.

    When its audience has grown since, they see the new number first.
    """
    check_administrator(actor)
    grown = 0
    with transaction.atomic():
        row = _locked(public_id)
        now = gate.people_of(row.campaign)
        if now > people:
            grown = row.people = now
            row.save(update_fields=["people"])
        else:
            _approve(actor, row, people)
    if grown:
        raise ServiceError(
            _("It would go to %(grown)s people by now. Nothing was started: look again.") % {"grown": grouped(grown)},
            code="changed",
        )
    return row.campaign


def refuse(*, actor: User, public_id: uuid.UUID, reason: str) -> Campaign:
    """Gives it back to its owner, with the reason: as a draft, where nothing was dealt yet."""
    check_administrator(actor)
    reason = " ".join(reason.split())[:200]
    if not reason:
        raise ServiceError(_("Say why, for its owner reads it. Nothing was changed."), code="reason")
    with transaction.atomic():
        row = _locked(public_id)
        _decide(row, State.REFUSED, actor, reason)
        if not row.campaign.sealed_at:
            move(row.campaign, [Campaign.State.PAUSED], Campaign.State.DRAFT, pause_reason="")
        record(actor=actor, verb="campaign.not_approved", target=row.campaign, reason=reason)
        told = NOT_APPROVED % {"name": row.campaign.name[:80], "reason": reason}
        tell([row.user_id], f"notapproved:{row.public_id}", told)
    return row.campaign


def withdraw(*, actor: User, campaign: Campaign) -> Campaign:
    """Makes it a draft again, to change it: then it is asked for anew."""
    with transaction.atomic():
        mine = Campaign.objects.visible_to(actor).filter(pk=campaign.pk, user=actor)
        row = Approval.objects.select_for_update(no_key=True).filter(campaign__in=mine, state=State.WAITING).first()
        if row is None or campaign.sealed_at:
            raise ServiceError(_("It does not wait for anybody. Nothing was changed."), code="wrong_state")
        move(campaign, [Campaign.State.PAUSED], Campaign.State.DRAFT, pause_reason="")
        row.delete()
        take_back(gate.key_of(row))
        record(actor=actor, verb="campaign.approval_withdrawn", target=campaign)
    return campaign


def _approve(actor: User, row: Approval, people: int) -> None:
    campaign = row.campaign
    row.people = people
    _decide(row, State.APPROVED, actor, "")
    record(actor=actor, verb="campaign.approved", target=campaign, people=people)
    try:
        # What is kept is English (docs/adr/0017).
        with translation.override(settings.LANGUAGE_CODE), transaction.atomic():
            _start(actor, campaign)
    except ServiceError as error:
        campaign.refresh_from_db()
        campaign.pause_reason = f"Approved. {error.message}"[:200]
        campaign.save(update_fields=["pause_reason"])
    tell([row.user_id], f"approved:{row.public_id}", APPROVED % {"name": campaign.name[:80]})


def _start(actor: User, campaign: Campaign) -> None:
    paused = [Campaign.State.PAUSED]
    if campaign.sealed_at:
        move(campaign, paused, Campaign.State.RUNNING, pause_reason="", resumed_at=timezone.now())
    elif campaign.scheduled_at and campaign.scheduled_at > timezone.now():
        move(campaign, paused, Campaign.State.SCHEDULED, pause_reason="")
    else:
        move(campaign, paused, Campaign.State.DEALING, pause_reason="", scheduled_at=None)
        check_ready(campaign)
        jobs.defer("deal_campaign", lock=f"deal:{campaign.pk}", campaign=campaign.pk)
    if gate.is_held(campaign, actor=actor):
        raise ServiceError(_("Its audience has grown meanwhile."), code="changed")


def _decide(row: Approval, state: Approval.State, actor: User, reason: str) -> None:
    row.state, row.reason, row.decided_by, row.decided_at = state, reason, actor, timezone.now()
    row.save()
    take_back(gate.key_of(row))


def _locked(public_id: uuid.UUID) -> Approval:
    """Campaign first, then the approval: the order of everybody who starts one."""
    found = Approval.objects.filter(public_id=public_id).values_list("campaign", flat=True).first()
    campaigns = Campaign.objects.select_for_update(no_key=True, of=("self",)).select_related("user")
    one = campaigns.filter(pk=found).first()
    row = Approval.objects.select_for_update(no_key=True).filter(public_id=public_id).first()
    if one is None or row is None or row.state != State.WAITING or one.state != Campaign.State.PAUSED:
        raise ServiceError(_("It does not wait any more: it was decided or taken back. Nothing changed."), code="gone")
    if row.version != one.version:
        raise ServiceError(_("It was changed since it was asked for. Nothing was started."), code="changed")
    row.campaign = one
    return row
