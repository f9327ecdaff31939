"""What the operator steers, and what needs a person."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.sessions import WaSenderSession


class Installation(models.Model):
    """The one row about this installation."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    instance = models.UUIDField(default=uuid.uuid4, editable=False)
    is_stopped = models.BooleanField(default=False, help_text="Kill switch: no session of anybody sends")
    stop_reason = models.CharField(max_length=200, blank=True, default="")
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    approval_above = models.PositiveIntegerField(
        null=True, blank=True, help_text="People from whom on a first campaign waits for an administrator; empty: none"
    )
    # The restore guard (services/guard.py). While held, nothing at all leaves for the gateway.
    held_at = models.DateTimeField(null=True, blank=True, help_text="Since when it waits for a person")
    held_why = models.CharField(max_length=200, blank=True, default="", db_default="")
    known_until = models.DateTimeField(null=True, blank=True, help_text="What was sent later is not in this database")
    home = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="The server and place it was last in"
    )
    beats = models.BigIntegerField(
        default=0, db_default=0, help_text="Only rises; lower than a worker remembers: an older copy"
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_installation")]

    def __str__(self) -> str:
        return "held" if self.held_at else "stopped" if self.is_stopped else "in service"

    @classmethod
    def lock(cls) -> Installation:
        """The row, made where there is none yet, and nobody else's until the transaction ends."""
        cls.objects.get_or_create(pk=1)
        return cls.objects.select_for_update(no_key=True).get(pk=1)


class Alert(models.Model):
    """Something a person should look at. One open alert for one cause (`key`, "kind:what").

    Whoever notices writes it (the engine in SQL); services/incidents.py puts those of one cause together.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="alerts")
    session = models.ForeignKey(WaSenderSession, null=True, on_delete=models.CASCADE, related_name="alerts")
    key = models.CharField(max_length=100)
    text = models.CharField(max_length=300)
    times = models.IntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)
    incident = models.ForeignKey("whatsappapi.Incident", null=True, on_delete=models.CASCADE, related_name="alerts")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "key"], condition=Q(closed_at=None), name="one_open_alert_per_cause"
            )
        ]

    def __str__(self) -> str:
        return self.text
