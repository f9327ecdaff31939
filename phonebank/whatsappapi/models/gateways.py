"""Accounts at the gateway."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.fields import EncryptedTextField


def gateway_url() -> str:
    """The gateway that the administrator set (WASENDER_URL)."""
    return settings.WASENDER_URL


class GatewayAccountQuerySet(models.QuerySet["GatewayAccount"]):
    def usable_by(self, user: User) -> GatewayAccountQuerySet:
        """The user's own accounts, and the operator's where an administrator granted it."""
        return self.alive().filter(Q(user=user) | Q(user=None, granted_to=user)).distinct()

    def alive(self) -> GatewayAccountQuerySet:
        """Removed accounts stay for the records of what went over them; their token is wiped."""
        return self.filter(removed_at=None)


class GatewayAccount(models.Model):
    """A WaSender account: base URL and personal access token. Without a user it is the operator's."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="gateway_accounts")
    granted_to = models.ManyToManyField(User, blank=True, related_name="granted_accounts")
    name = models.CharField(max_length=60)
    base_url = models.URLField(max_length=200, default=gateway_url)
    token = EncryptedTextField(blank=True, default="")
    is_sandbox = models.BooleanField(default=False)
    rate_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Messages a minute and session; empty: the paid plans' 256; 0: no pacing"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = GatewayAccountQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
