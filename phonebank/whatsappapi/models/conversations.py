"""Who writes with which session."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import Contact, OwnedQuerySet
from phonebank.whatsappapi.models.sessions import WaSenderSession


class Conversation(models.Model):
    """A person who wrote to a session. `person` is their number, or their LID while no number is known for it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="conversations", db_index=False)
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="conversations", db_index=False)
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="conversations")
    person = models.CharField(max_length=40)
    phone = models.CharField(max_length=20, blank=True, db_default="", help_text="E.164; empty while unknown")
    lid = models.CharField(max_length=40, blank=True, db_default="")
    name = models.CharField(max_length=120, blank=True, db_default="", help_text="As they call themselves")
    last_at = models.DateTimeField(help_text="When they last wrote")
    last_text = models.CharField(max_length=200, blank=True, db_default="")
    last_media = models.CharField(max_length=10, blank=True, db_default="")
    unread = models.IntegerField(db_default=0)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["session", "person"], name="conversation_once")]
        indexes = [
            models.Index(fields=["user", "-last_at", "-id"], name="conversation_recent"),
            models.Index(fields=["user", "-last_at", "-id"], name="conversation_unread", condition=Q(unread__gt=0)),
            models.Index(fields=["session", "-last_at", "-id"], name="conversation_session"),
        ]

    def __str__(self) -> str:
        return self.name or self.person
