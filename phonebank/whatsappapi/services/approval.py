"""The gate before a first large campaign: where an administrator asked for it, somebody looks before it starts.

Every start passes `is_held` in the transaction that starts: a launch, a schedule and its hour, a resume. The engine
passes it too: a campaign that turns out larger than was allowed pauses when it is dealt (`Campaign.people_limit`).
What administrators do is approval_queue.py.
"""

from __future__ import annotations

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import grouped, stored, without_stop
from phonebank.whatsappapi.models import Approval, Campaign, Installation
from phonebank.whatsappapi.services import audience
from phonebank.whatsappapi.services.notices import tell_administrators

State = Approval.State
NOT_WRITTEN_TO = ("skipped", "cancelled", "expired")


def key_of(approval: Approval) -> str:
    """The alert's."""
    return f"approval:{approval.public_id}"


ASKED = stored("A campaign to %(people)s people waits for your approval.")
WAITS = stored("Waits for an administrator: a first campaign to %(people)s people is looked at before it starts.")


def bound(campaign: Campaign) -> int | None:
    """The people that it may have without anybody looking; None: any number.

    Administrators, and who has had another one approved that then went out, are not asked again.
    """
    most = Installation.objects.filter(pk=1).values_list("approval_above", flat=True).first()
    if most is None or campaign.user.is_superuser:
        return None
    # Not merely dealt: one that was dealt to more people than were approved is sealed too, and waits.
    others = Approval.objects.filter(user=campaign.user_id, state=State.APPROVED).exclude(campaign=campaign)
    approved = others.filter(campaign__sealed_at__isnull=False)
    is_known = approved.filter(campaign__state__in=[Campaign.State.RUNNING, Campaign.State.COMPLETED]).exists()
    return None if is_known else most


def people_of(campaign: Campaign) -> int:
    """Who can be written to: of one that is dealt those in it, of any other those of its audience now."""
    if campaign.sealed_at:
        rows = campaign.counts.exclude(state__in=NOT_WRITTEN_TO)
        return rows.aggregate(n=Sum("n"))["n"] or 0
    return audience.count_of(campaign).sendable


def is_held(campaign: Campaign, *, actor: User | None) -> bool:
    """Whether this one must wait. It is then paused, and put before the administrators.

    Inside the transaction that starts it, after its state was moved: its row is locked, so nobody edits it meanwhile.
    """
    most = bound(campaign)
    if most is None:
        return _allow(campaign, None)
    row = Approval.objects.select_for_update(no_key=True).filter(campaign=campaign).first()
    if row is not None and row.state == State.APPROVED and row.version == campaign.version:
        most = max(most, row.people)
    people = people_of(campaign)
    if people <= most:
        return _allow(campaign, most)
    campaign.state, campaign.pause_reason = Campaign.State.PAUSED, waits(people)
    campaign.save(update_fields=["state", "pause_reason"])
    if row is not None and (row.state, row.version, row.people) == (State.WAITING, campaign.version, people):
        return True
    asked = {"state": State.WAITING, "version": campaign.version, "people": people, "asked_at": timezone.now(),
             "decided_at": None, "decided_by": None, "reason": "", "user": campaign.user}  # fmt: skip
    row, __ = Approval.objects.update_or_create(campaign=campaign, defaults=asked)
    record(actor=actor, verb="campaign.approval_asked", target=campaign, people=people)
    tell_administrators(key_of(row), ASKED % {"people": f"{people:,}"})
    return True


def waits(people: int) -> str:
    """What the campaign's page says."""
    return WAITS % {"people": f"{people:,}"}


def note(campaign: Campaign) -> str:
    """What its owner should know of before they press; empty where nobody will look at it, or said no."""
    row = Approval.objects.filter(campaign=campaign).first()
    if row is not None and row.state == State.REFUSED:
        why = _(" They say: %(reason)s.") % {"reason": without_stop(row.reason)} if row.reason else ""
        return _("An administrator did not let it start.%(why)s Change it and press again.") % {"why": why}
    return ""


def needs_look(campaign: Campaign, people: int) -> str:
    """Whether pressing will have it wait, in a sentence; else empty."""
    most = bound(campaign)
    if most is None or people <= most:
        return ""
    row = Approval.objects.filter(campaign=campaign, state=State.APPROVED, version=campaign.version).first()
    if row is not None and people <= row.people:
        return ""
    return _(
        "It is your first to more than %(most)s people: an administrator looks at it before "
        "anything is sent, and it starts by itself when they approve."
    ) % {"most": grouped(most)}


def _allow(campaign: Campaign, most: int | None) -> bool:
    if campaign.people_limit != most:
        campaign.people_limit = most
        campaign.save(update_fields=["people_limit"])
    return False
