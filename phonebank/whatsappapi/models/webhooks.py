"""What came in: raw webhook events, and the messages people wrote."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.campaigns import Campaign
from phonebank.whatsappapi.models.contacts import Contact
from phonebank.whatsappapi.models.conversations import Conversation
from phonebank.whatsappapi.models.sessions import WaSenderSession


class WebhookEvent(models.Model):
    """A webhook as it arrived, its session key blanked. Bytes: jsonb refuses NUL and lone surrogates, JSON does not."""

    class State(models.TextChoices):
        NEW = "new"
        DONE = "done"
        UNMATCHED = "unmatched"
        QUARANTINED = "quarantined"

    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="webhook_events")
    received_at = models.DateTimeField(db_default=Now())
    body = models.BinaryField()
    digest = models.BinaryField(max_length=32, unique=True)
    state = models.CharField(max_length=11, choices=State.choices, db_default=State.NEW)
    due_at = models.DateTimeField(db_default=Now())
    tries = models.SmallIntegerField(db_default=0)
    event = models.CharField(max_length=60, db_default="")
    msg_id = models.BigIntegerField(null=True)
    note = models.CharField(max_length=200, db_default="")

    class Meta:
        indexes = [
            models.Index(fields=["due_at"], name="webhook_due", condition=Q(state__in=["new", "unmatched"])),
            models.Index(fields=["session", "msg_id"], name="webhook_unmatched", condition=Q(state="unmatched")),
            models.Index(fields=["session", "-received_at"], name="webhook_by_session"),
        ]

    def __str__(self) -> str:
        return f"{self.event or 'event'} ({self.state})"


class InboundMessage(models.Model):
    """What a person wrote to one of the sessions."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="inbound_messages")
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="inbound_messages")
    key_id = models.CharField(max_length=80)
    phone = models.CharField(max_length=20, blank=True, default="")
    lid = models.CharField(max_length=40, blank=True, default="")
    name = models.CharField(max_length=120, blank=True, default="")
    text = models.TextField(blank=True, default="")
    media = models.CharField(max_length=10, blank=True, db_default="", help_text="What it carried; never fetched")
    conversation = models.ForeignKey(
        Conversation, null=True, on_delete=models.SET_NULL, related_name="messages", db_index=False
    )
    campaign = models.ForeignKey(
        Campaign, null=True, on_delete=models.SET_NULL, related_name="replies", db_index=False,
        help_text="What this session had last written to them",
    )  # fmt: skip
    sent_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["session", "key_id"], name="inbound_once")]
        indexes = [
            models.Index(fields=["user", "-received_at"], name="inbound_recent"),
            models.Index(fields=["conversation", "-id"], name="inbound_thread"),
            models.Index(fields=["campaign"], name="inbound_campaign", condition=Q(campaign__isnull=False)),
            models.Index(fields=["user", "phone"], name="inbound_person"),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.phone or self.lid}: {self.text[:30]}"
