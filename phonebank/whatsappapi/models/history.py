"""What happened to a session, in order."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.sessions import WaSenderSession


class SessionEvent(models.Model):
    """A change of status, a rest that the gateway's rate limit asked for, what a person did, or a try to bring the link
    back. Rows are only added."""

    class Kind(models.TextChoices):
        STATUS = "status"
        RATE_LIMIT = "rate_limit", _("rate limit")
        ACTION = "action"
        RECONNECT = "reconnect"

    class Source(models.TextChoices):
        WEBHOOK = "webhook"
        POLL = "poll"
        PAGE = "page"
        API = "api"
        JOB = "job"

    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.STATUS)
    status = models.CharField(
        max_length=20, choices=WaSenderSession.Status.choices, help_text="The session's status from then on"
    )
    reason = models.CharField(max_length=200, blank=True, default="")
    source = models.CharField(max_length=8, choices=Source.choices)
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)

    class Meta:
        ordering = ["-at", "-pk"]
        constraints = [
            # A change has the moment of the session's `status_since`: whoever notices it late writes it only once.
            models.UniqueConstraint(fields=["session", "at"], condition=Q(kind="status"), name="status_change_once")
        ]
        indexes = [models.Index(fields=["session", "-at"], name="session_event_recent")]

    def __str__(self) -> str:
        return f"{self.kind} {self.status}"
