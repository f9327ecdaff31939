"""Saved messages to begin with."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Lower

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import OwnedQuerySet
from phonebank.whatsappapi.models.media import MediaKind


class MessageTemplate(models.Model):
    """A text with merge tags, and what it carries. A campaign takes a copy: changing this changes no campaign."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="message_templates", db_index=False)
    name = models.CharField(max_length=80)
    body = models.TextField(blank=True, default="", help_text="Merge tags: {{ name|there }}")
    media_kind = models.CharField(max_length=8, choices=MediaKind.choices, blank=True, default="")
    media_url = models.CharField(max_length=2000, blank=True, default="", help_text="An address, or file:<id> of ours")
    media_name = models.CharField(max_length=120, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = [Lower("name"), "pk"]
        constraints = [models.UniqueConstraint("user", Lower("name"), name="template_name_once_per_user")]

    def __str__(self) -> str:
        return self.name
