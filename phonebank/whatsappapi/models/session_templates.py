"""Saved settings that sessions are made with."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import OwnedQuerySet
from phonebank.whatsappapi.models.groups import SessionGroup
from phonebank.whatsappapi.models.sessions import WaSenderSession


class SessionTemplate(models.Model):
    """Settings under a name. A session made with it follows later changes only when a person says so."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="session_templates")
    name = models.CharField(max_length=60)
    naming = models.CharField(max_length=60, blank=True, default="", help_text="With {n} for the number")
    daily_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the plan's")
    account_protection = models.BooleanField(default=True)
    log_messages = models.BooleanField(default=True)
    groups = models.ManyToManyField(SessionGroup, blank=True, related_name="session_templates")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = [Lower("name"), "pk"]
        constraints = [models.UniqueConstraint("user", Lower("name"), name="session_template_name_once_per_user")]

    def __str__(self) -> str:
        return self.name


class TemplatedSession(models.Model):
    """A session made with a template. Beside the session, whose row the engine locks at each tick."""

    session = models.OneToOneField(
        WaSenderSession, on_delete=models.CASCADE, primary_key=True, related_name="templated"
    )
    template = models.ForeignKey(SessionTemplate, on_delete=models.CASCADE, related_name="uses")
    wanted_at = models.DateTimeField(null=True, help_text="When a person asked that it follow, until it does")
    note = models.CharField(max_length=200, blank=True, default="", help_text="Why it could not follow")

    class Meta:
        indexes = [models.Index(fields=["wanted_at"], name="template_wanted", condition=Q(wanted_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.session_id} by {self.template_id}"
