"""WhatsApp sessions (numbers)."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Least, Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.fields import EncryptedTextField, digest
from phonebank.whatsappapi.models.gateways import GatewayAccount


def new_webhook_token() -> str:
    return secrets.token_urlsafe(24)


class WaSenderSessionQuerySet(models.QuerySet["WaSenderSession"]):
    def visible_to(self, user: User) -> WaSenderSessionQuerySet:
        """The user's own. A page or the API loads a session by this or by `usable_by`: any other is not there."""
        return self.filter(user=user, deleted_at=None)

    def usable_by(self, user: User, roles: Iterable[str] = ("viewer", "operator")) -> WaSenderSessionQuerySet:
        """The user's own, and those shared with them at this moment in one of these roles."""
        shares = apps.get_model("whatsappapi", "SessionShare").objects.live()
        # Looked up first: with the subquery in its place, everybody's sessions would be read.
        lent = list(shares.filter(user=user, role__in=roles).values_list("session_id", flat=True))
        return self.filter(Q(user=user) | Q(pk__in=lent), deleted_at=None) if lent else self.visible_to(user)

    def alive(self) -> WaSenderSessionQuerySet:
        return self.filter(deleted_at=None)

    def update_in_order(self, **values: Any) -> int:
        """`update` of several: the rows are locked in the order of their ids, as the engine locks its own. Out of order
        the two wait for each other, and the database ends one of them."""
        with transaction.atomic():
            ids = list(self.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
            return WaSenderSession.objects.filter(pk__in=ids).update(**values)

    def connected(self, now: datetime | None = None) -> WaSenderSessionQuerySet:
        """Sessions that can send at this moment, whatever their limit."""
        now = now or timezone.now()
        return self.filter(
            Q(paused_until=None) | Q(paused_until__lte=now),
            deleted_at=None,
            status=WaSenderSession.Status.CONNECTED,
            is_active=True,
            is_surplus=False,
            user__is_active=True,
        ).exclude(rejected_key_version=F("key_version"))

    def below_limit(self) -> WaSenderSessionQuerySet:
        """Sessions with quota left for the date they count for. Expects `effective_limit` (with_limit)."""
        return self.with_limit().filter(Q(effective_limit=None) | Q(messages_sent_today__lt=F("effective_limit")))

    def with_limit(self) -> WaSenderSessionQuerySet:
        """Adds `effective_limit`: the smaller of the session's and the plan's; None is unlimited."""
        plan = F("user__subscription__plan__daily_limit")
        return self.annotate(effective_limit=Coalesce(Least(F("daily_limit"), plan), F("daily_limit"), plan))

    def available(self, exclude: Iterable[WaSenderSession | int] = ()) -> WaSenderSessionQuerySet:
        """Connected, active, below the limit, and not excluded; the one used longest ago first."""
        ids = [getattr(one, "pk", one) for one in exclude]
        return (
            self.connected().below_limit().exclude(pk__in=ids).order_by(F("last_used_at").asc(nulls_first=True), "pk")
        )


class WaSenderSession(models.Model):
    """One WhatsApp number, linked through the gateway. In views its variable is `wa_session`."""

    class Status(models.TextChoices):
        DISCONNECTED = "disconnected", _("Disconnected")
        CONNECTING = "connecting", _("Connecting")
        NEED_SCAN = "need_scan", _("needs a scan")
        NEED_PASSKEY = "need_passkey", _("needs a passkey")
        CONNECTED = "connected", _("Connected")
        LOGGED_OUT = "logged_out", pgettext_lazy("a session", "logged out")
        EXPIRED = "expired", _("Expired")
        UNKNOWN = "unknown", _("Unknown")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="wa_sessions")
    account = models.ForeignKey(GatewayAccount, on_delete=models.PROTECT, related_name="wa_sessions")
    wasender_id = models.BigIntegerField(null=True, blank=True)
    session_name = models.CharField(max_length=60, default="")
    phone_number = models.CharField(max_length=20, help_text="E.164, as entered")
    linked_number = models.CharField(max_length=20, blank=True, default="", help_text="E.164, as scanned")
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.DISCONNECTED)
    status_since = models.DateTimeField(default=timezone.now)
    status_reason = models.CharField(max_length=200, blank=True, default="")
    is_active = models.BooleanField(default=True)
    is_surplus = models.BooleanField(default=False, help_text="More than the plan allows: it does not send")
    is_default = models.BooleanField(default=False)

    daily_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Messages a day; empty: the plan's")
    messages_sent_today = models.IntegerField(default=0)
    usage_date = models.DateField(null=True, blank=True, help_text="The owner's local date that the count is for")
    usage_opened_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_active_at = models.DateTimeField(null=True, blank=True)
    next_send_at = models.DateTimeField(default=timezone.now)
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="Closed by the gateway's rate limit until then"
    )
    strikes = models.PositiveSmallIntegerField(default=0, help_text="Rate-limit answers in a row; each halves the pace")

    account_protection = models.BooleanField(default=True)
    log_messages = models.BooleanField(default=True)

    api_key = EncryptedTextField(blank=True, default="")
    api_key_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    previous_key_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    previous_key_until = models.DateTimeField(null=True, blank=True)
    key_version = models.PositiveIntegerField(default=1)
    rejected_key_version = models.PositiveIntegerField(default=0, help_text="The key version the gateway refused")
    connection_version = models.PositiveIntegerField(default=0, help_text="Counts the times the link came up")
    webhook_secret = EncryptedTextField(blank=True, default="")
    webhook_secret_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    previous_secret_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    webhook_token = EncryptedTextField(default=new_webhook_token)
    webhook_proven_at = models.DateTimeField(null=True, blank=True)

    adopted_at = models.DateTimeField(null=True, blank=True, help_text="Taken over from the gateway, not made here")
    adopted_webhook = EncryptedTextField(
        blank=True, default="", help_text="JSON: the webhook settings to restore on release"
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = WaSenderSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-is_default", "created_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                "user", Lower("session_name"), condition=Q(deleted_at=None), name="session_name_once_per_user"
            ),
            models.UniqueConstraint(
                "user", condition=Q(is_default=True, deleted_at=None), name="one_default_session_per_user"
            ),
            models.UniqueConstraint(
                "account", "wasender_id", condition=Q(deleted_at=None), name="session_once_per_account"
            ),
            models.CheckConstraint(condition=Q(messages_sent_today__gte=0), name="session_usage_not_negative"),
        ]

    def __str__(self) -> str:
        return self.session_name

    def set_api_key(self, key: str) -> None:
        """Takes a new key; the old one's digest stays known to the webhooks for a day (see services/webhooks)."""
        if self.api_key and self.api_key != key:
            self.previous_key_digest = self.api_key_digest
            self.previous_key_until = timezone.now() + timedelta(hours=24)
            self.key_version += 1
        self.api_key, self.api_key_digest = key, digest(key)

    def set_webhook_secret(self, secret: str) -> None:
        """Takes a new secret; deliveries under way may still carry the old one, so its digest holds for a day."""
        if self.webhook_secret and self.webhook_secret != secret:
            self.previous_secret_digest = self.webhook_secret_digest
            self.previous_secret_until = timezone.now() + timedelta(hours=24)
        self.webhook_secret, self.webhook_secret_digest = secret, digest(secret)
