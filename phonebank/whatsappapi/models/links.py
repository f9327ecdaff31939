"""What brings a lost session back: by itself, or through the person who holds its phone."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.sessions import WaSenderSession


class Reconnection(models.Model):
    """Whether and when a session is reconnected by itself. Beside the session, whose row the engine locks at each
    tick; a session without one is reconnected and was never disconnected by anybody."""

    session = models.OneToOneField(
        WaSenderSession, on_delete=models.CASCADE, primary_key=True, related_name="reconnection"
    )
    is_on = models.BooleanField(default=True, db_default=True)
    ended_by_person_at = models.DateTimeField(
        null=True, help_text="Somebody disconnected it on purpose: it stays so until somebody connects it"
    )
    tries = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="In a row, for the back-off")
    next_at = models.DateTimeField(null=True, help_text="When it is tried next; empty: nothing to do")
    last_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["next_at"], name="reconnection_due", condition=Q(next_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.session_id}, tried {self.tries} times"


class PhoneLink(models.Model):
    """A page for whoever holds a session's phone, without an account. Only a digest of its token is kept."""

    class End(models.TextChoices):
        LINKED = "linked", _("Linked")
        REPLACED = "replaced", _("Replaced")
        REVOKED = "revoked", _("Revoked")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="phone_links")
    digest = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False, help_text="Empty: an alert"
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    end = models.CharField(max_length=8, choices=End.choices, blank=True, default="")

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"for {self.session_id}, {self.end or 'open'}"


class HealthNote(models.Model):
    """A session's score of 0 to 100 and why. One when it changes, at most one a minute, and one an hour at least."""

    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="health_notes", db_index=False)
    at = models.DateTimeField()
    score = models.PositiveSmallIntegerField()
    reasons = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(fields=["session", "at"], name="health_note_once"),
            models.CheckConstraint(condition=Q(score__lte=100), name="score_of_a_hundred"),
        ]

    def __str__(self) -> str:
        return f"{self.score} at {self.at}"
