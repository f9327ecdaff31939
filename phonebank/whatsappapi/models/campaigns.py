"""Campaigns, the sessions that carry them, and their counters."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import ContactList
from phonebank.whatsappapi.models.media import MediaKind
from phonebank.whatsappapi.models.sessions import WaSenderSession


class CampaignQuerySet(models.QuerySet["Campaign"]):
    def visible_to(self, user: User) -> CampaignQuerySet:
        return self.filter(user=user)


class Campaign(models.Model):
    """One message to one audience over one or more sessions."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        DEALING = "dealing", _("preparing")
        SCHEDULED = "scheduled", _("Scheduled")
        RUNNING = "running", _("Running")
        PAUSED = "paused", _("Paused")
        COMPLETED = "completed", _("Completed")
        CANCELLED = "cancelled", _("Cancelled")
        EXPIRED = "expired", _("Expired")

    class Policy(models.TextChoices):
        NEXT = "next", _("Move waiting people to the next session")
        WAIT = "wait", _("Wait for the session to come back")
        NEXT_NEW = "next_new", _("Move only people who have not talked with that session")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="campaigns")
    name = models.CharField(max_length=120)
    body = models.TextField(help_text="Merge tags: {{ name|there }}")
    media_kind = models.CharField(max_length=8, choices=MediaKind.choices, blank=True, default="")
    media_url = models.CharField(max_length=2000, blank=True, default="", help_text="An address, or file:<id> of ours")
    media_name = models.CharField(max_length=120, blank=True, default="")
    contact_list = models.ForeignKey(ContactList, null=True, on_delete=models.SET_NULL, related_name="campaigns")
    # Who is written to (services/audience.py says what it holds). Empty: the people of `contact_list`.
    audience = models.JSONField(default=dict, blank=True)
    policy = models.CharField(max_length=10, choices=Policy.choices, default=Policy.NEXT)
    is_sticky = models.BooleanField(default=True, help_text="People stay with the session they talk with")
    pace = models.PositiveIntegerField(null=True, blank=True, help_text="Messages a minute and session at most")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="Retries its failed ones"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    pause_reason = models.CharField(max_length=200, blank=True, default="")

    # The deal's place, so that a killed deal goes on where it stopped (send-path.md 3).
    deal_cursor = models.BigIntegerField(default=0, help_text="Last contact id dealt")
    deal_number = models.BigIntegerField(default=0, help_text="Sendable, non-sticky rows dealt so far")
    sealed_at = models.DateTimeField(null=True, blank=True)
    people_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Dealt to more people it pauses: nobody approved of so many"
    )

    quiet_start = models.TimeField(null=True, blank=True, help_text="Recipient's local time")
    quiet_end = models.TimeField(null=True, blank=True)
    cap_day = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Messages per person and day")
    cap_month = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Messages per person and 30 days")
    scheduled_at = models.DateTimeField(null=True, blank=True)
    # By weekday from Monday: [first minute, last minute) of the owner's day, or null for a day without sending.
    windows = models.JSONField(null=True, blank=True)
    open_from = models.DateTimeField(null=True, blank=True, help_text="The present or next sending window")
    open_until = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    version = models.PositiveIntegerField(default=0, help_text="Counts the times the draft was saved")
    saved_at = models.DateTimeField(default=timezone.now, help_text="When the draft was last changed")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    resumed_at = models.DateTimeField(null=True, blank=True, help_text="Brakes look at what left since then")
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = CampaignQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["state"], name="campaign_live", condition=Q(state__in=["scheduled", "dealing", "running"])
            )
        ]

    def __str__(self) -> str:
        return self.name


class CampaignSession(models.Model):
    """A session's lane in a campaign: what was dealt up to `tail`, what was looked at up to `cursor`."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="lanes")
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="lanes")
    position = models.PositiveSmallIntegerField(help_text="Order in the round robin")
    cursor = models.BigIntegerField(default=0)
    tail = models.BigIntegerField(default=0)
    served_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True, help_text="When the campaign's own pace allows the next one")
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["campaign", "session"], name="session_once_per_campaign")]

    def __str__(self) -> str:
        return f"{self.campaign}: {self.session}"


class CampaignCount(models.Model):
    """How many messages of a campaign and session are in a state (merged word); moved in the rows' transaction."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="counts")
    session = models.ForeignKey(WaSenderSession, null=True, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=10)
    n = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "session", "state"], name="campaign_count_key", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.state}: {self.n}"
