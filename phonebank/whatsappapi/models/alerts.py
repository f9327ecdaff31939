"""What went wrong as one incident a cause, who is told about it and how, and what came of telling them."""

from __future__ import annotations

import base64
import secrets
import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.fields import EncryptedTextField
from phonebank.whatsappapi.models.gateways import GatewayAccount
from phonebank.whatsappapi.models.groups import SessionGroup
from phonebank.whatsappapi.models.sessions import WaSenderSession


class AlertKind(models.TextChoices):
    """The first part of an alert's key. What stands before the colon there and is none of these counts as OTHER."""

    LOST = "lost", _("Lost its link")
    SCAN = "scan", _("Needs a scan")
    SLOWED = "slowed", _("Rate limited")
    FAILURES = "failures", _("Failures rising")
    ACKS = "acks", _("Confirmed late")
    LIMIT = "limit", _("Daily limit reached")
    BRAKE = "brake", _("Campaign paused by itself")
    UNCERTAIN = "uncertain", _("Nobody knows whether it was sent")
    HOOK = "hook", _("A channel does not take messages")
    OTHER = "other", _("Anything else")


class IncidentQuerySet(models.QuerySet["Incident"]):
    def visible_to(self, user: User) -> IncidentQuerySet:
        """The only way a page loads an incident by id: somebody else's is not there."""
        return self.filter(user=user)

    def open(self) -> IncidentQuerySet:
        return self.filter(closed_at=None)

    def unseen(self) -> IncidentQuerySet:
        """What the bell counts."""
        return self.filter(closed_at=None, acknowledged_at=None)


class Incident(models.Model):
    """Alerts of one kind that began within a minute of one another at one gateway account: one cause, told once."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="incidents", db_index=False)
    account = models.ForeignKey(GatewayAccount, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=AlertKind.choices)
    size = models.PositiveIntegerField(default=0, help_text="Alerts in it")
    opened_at = models.DateTimeField()
    last_at = models.DateTimeField(help_text="When the last alert joined")
    closed_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    is_told = models.BooleanField(default=False, help_text="Every rule about it was followed")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-opened_at", "-pk"]
        indexes = [
            models.Index(fields=["user", "-opened_at"], name="incident_recent"),
            models.Index(fields=["user", "kind"], name="incident_open", condition=Q(closed_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} x{self.size}"


class AlertSettings(models.Model):
    """A person's quiet hours, in their own time zone, and whether yesterday is told by mail each morning."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="alert_settings")
    quiet_from = models.PositiveSmallIntegerField(null=True, help_text="Hour of the day; empty: no quiet hours")
    quiet_until = models.PositiveSmallIntegerField(null=True)
    wants_digest = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None)
                | Q(quiet_from__range=(0, 23), quiet_until__range=(0, 23)),
                name="quiet_hours_of_a_day",
            )
        ]

    def __str__(self) -> str:
        return f"of {self.user_id}"


def new_hook_secret() -> str:
    """A signing secret as the Standard Webhooks scheme writes them: 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class ChannelQuerySet(models.QuerySet["Channel"]):
    def visible_to(self, user: User) -> ChannelQuerySet:
        return self.filter(user=user)


class Channel(models.Model):
    """A way to tell a person. Its address is a secret (it holds tokens) and is never shown again."""

    class Kind(models.TextChoices):
        MAIL = "mail", _("E-mail")
        CHAT = "chat", _("Chat or push")
        WEBHOOK = "webhook", _("Webhook")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    name = models.CharField(max_length=60)
    address = EncryptedTextField(blank=True, default="", help_text="Empty: the owner's own e-mail address")
    hint = models.CharField(max_length=80, help_text="What of the address may be shown")
    secret = EncryptedTextField(blank=True, default="", help_text="Signs webhooks")
    is_first = models.BooleanField(default=False, help_text="Made for the owner without being asked")
    is_active = models.BooleanField(default=True)
    failures = models.PositiveIntegerField(default=0, help_text="Messages given up in a row")
    created_at = models.DateTimeField(db_default=Now())

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["user"], condition=Q(is_first=True), name="one_first_channel")]

    def __str__(self) -> str:
        return self.name


class AlertRuleQuerySet(models.QuerySet["AlertRule"]):
    def visible_to(self, user: User) -> AlertRuleQuerySet:
        return self.filter(user=user)


class AlertRule(models.Model):
    """Which incidents are told on which channels. Without session and group it is about all of the owner's."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="alert_rules")
    name = models.CharField(max_length=60)
    kinds = ArrayField(models.CharField(max_length=10, choices=AlertKind.choices))
    session = models.ForeignKey(WaSenderSession, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(SessionGroup, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    channels = models.ManyToManyField(Channel, blank=True, related_name="rules")
    delay = models.PositiveIntegerField(default=60, help_text="Seconds that it must last before anybody is told")
    cool_down = models.PositiveIntegerField(default=15, help_text="Minutes without a second message about the like")
    tells_recovery = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = AlertRuleQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def visible_to(self, user: User) -> DeliveryQuerySet:
        return self.filter(channel__user=user)


class Delivery(models.Model):
    """One message to one channel about one event. `public_id` is the id that a webhook's receiver sees each time."""

    class Event(models.TextChoices):
        OPENED = "opened", _("Began")
        RECOVERED = "recovered", _("Is over")
        TEST = "test", _("Test")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENDING = "sending", _("Being sent")
        SENT = "sent", pgettext_lazy("one message", "Delivered")
        HELD = "held", pgettext_lazy("one message", "Left out")
        FAILED = "failed", _("Given up")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    incident = models.ForeignKey(Incident, null=True, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=10, choices=Event.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    subject = models.CharField(max_length=200, blank=True, default="", help_text="As it was last sent")
    outcome = models.CharField(max_length=200, blank=True, default="", help_text="In words")
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(help_text="While it is being sent: when it may be tried again")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "event", "channel"], condition=~Q(event="test"), name="told_once_a_channel"
            )
        ]
        indexes = [
            models.Index(fields=["due_at"], name="delivery_due", condition=Q(state__in=["waiting", "sending"])),
            models.Index(fields=["channel", "-created_at"], name="delivery_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}: {self.state}"


class Digest(models.Model):
    """A morning's mail about the day before: at most one a person and date."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="digests", db_index=False)
    date = models.DateField(help_text="The day told about, as the person's zone has it")
    sent_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "date"], name="one_digest_a_day")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.date}"
