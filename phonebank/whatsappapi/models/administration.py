"""What administrators decide and say, and accounts on their way out."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.campaigns import Campaign


class Approval(models.Model):
    """An administrator's word on one campaign: for its version as it was then, and for so many people."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waits")
        APPROVED = "approved", _("Approved")
        REFUSED = "refused", _("Not approved")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    campaign = models.OneToOneField(Campaign, on_delete=models.CASCADE, related_name="approval")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="approvals")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    version = models.PositiveIntegerField(help_text="Of the campaign")
    people = models.PositiveIntegerField(help_text="Who could be written to when it was asked for")
    asked_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ["asked_at", "pk"]
        indexes = [models.Index(fields=["asked_at"], name="approval_waiting", condition=Q(state="waiting"))]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.state}"


class Announcement(models.Model):
    """A few words of an administrator's on everybody's pages, from one moment until another (or until taken back)."""

    class Level(models.TextChoices):
        INFO = "info", _("For information")
        WARNING = "warning", _("Take care")
        DANGER = "danger", _("Serious")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    text = models.CharField(max_length=300)
    level = models.CharField(max_length=8, choices=Level.choices, default=Level.INFO)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    made_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-starts_at", "-pk"]

    def __str__(self) -> str:
        return self.text[:40]


class Dismissal(models.Model):
    """Somebody has read an announcement and put it away."""

    announcement = models.ForeignKey(Announcement, on_delete=models.CASCADE, related_name="dismissals", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["announcement", "user"], name="dismissed_once")]

    def __str__(self) -> str:
        return f"{self.announcement_id} by {self.user_id}"


class AccountDeletion(models.Model):
    """An account that is being erased, and afterwards what is left of it: a pseudonym, and what could not be done.

    `user` has no constraint: the row outlives the account.
    """

    user = models.BigIntegerField(unique=True, help_text="Id of the account")
    ref = models.UUIDField(unique=True, help_text="Its public id, as the audit log knows it")
    begun_at = models.DateTimeField(db_default=Now())
    tries = models.PositiveSmallIntegerField(default=0, help_text="At the gateway")
    sessions_left = models.PositiveIntegerField(default=0, help_text="Given up at the gateway: it still has them")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-begun_at"]
        indexes = [models.Index(fields=["user"], name="deletion_under_way", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return f"{self.ref}: {'done' if self.finished_at else 'under way'}"
