"""What people (and the machine, in their name) did. Rows are added, never changed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """One act: who, what, on which thing of whom. Never holds a secret, a message text or a full phone number."""

    at = models.DateTimeField(db_default=Now())
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    verb = models.CharField(max_length=60)
    target = models.CharField(max_length=80, blank=True, default="")
    target_id = models.CharField(max_length=40, blank=True, default="")
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["owner", "-at"], name="audit_by_owner")]

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"


def record(*, actor: Any, verb: str, target: Any = None, owner: Any = None, **data: Any) -> Event:
    """Writes an event inside the caller's transaction: the act and its record stand or fall together.

    `actor` None is the machine itself; `owner` defaults to the target's user.
    """
    return Event.objects.create(
        actor=actor,
        owner=owner or getattr(target, "user", None) or actor,
        verb=verb,
        target=type(target).__name__ if target is not None else "",
        target_id=str(getattr(target, "public_id", getattr(target, "pk", ""))) if target is not None else "",
        data=data,
    )
