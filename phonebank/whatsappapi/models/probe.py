"""The self-check: two of a person's own sessions write to each other now and then (docs/alerts.md)."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from phonebank.whatsappapi.models.messages import Message
from phonebank.whatsappapi.models.sessions import WaSenderSession


def new_token() -> str:
    """What a message of ours is recognised by where it arrives."""
    return secrets.token_hex(6)


class ProbePair(models.Model):
    """Switched on for a session: it and its partner write to each other in turns."""

    session = models.OneToOneField(WaSenderSession, on_delete=models.CASCADE, primary_key=True, related_name="probing")
    partner = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="probed_with")
    next_at = models.DateTimeField(db_default=Now())
    is_partners_turn = models.BooleanField(db_default=False)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(session=F("partner")), name="probe_of_two")]

    def __str__(self) -> str:
        return f"{self.session_id} with {self.partner_id}"


class Probe(models.Model):
    """One message of a self-check. Times in seconds since it left."""

    class Outcome(models.TextChoices):
        OPEN = "", _("Under way")
        GOOD = "good", _("Arrived")
        SLOW = "slow", _("Slow")
        UNCONFIRMED = "unconfirmed", _("Not confirmed")
        UNHEARD = "unheard", _("Did not come in")
        REFUSED = "refused", _("Could not be sent")
        HELD = "held", _("Was not sent")

    sender = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="probes", db_index=False)
    receiver = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="probes_to", db_index=False)
    message = models.OneToOneField(Message, null=True, on_delete=models.SET_NULL, related_name="+")
    token = models.CharField(max_length=12, unique=True, default=new_token)
    is_heard = models.BooleanField(help_text="Whether WaSender can tell us what arrives at the receiver")
    at = models.DateTimeField(db_default=Now())
    sent_after = models.FloatField(null=True, help_text="Until WhatsApp confirmed it")
    delivered_after = models.FloatField(null=True)
    arrived_at = models.DateTimeField(null=True, help_text="When the receiver's webhook brought it")
    arrived_after = models.FloatField(null=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, db_default="")
    reason = models.CharField(max_length=200, db_default="")

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["sender", "-at"], name="probe_sent"),
            models.Index(fields=["receiver", "-at"], name="probe_heard"),
            models.Index(fields=["at"], name="probe_open", condition=Q(outcome="")),
        ]

    def __str__(self) -> str:
        return f"{self.sender_id} to {self.receiver_id}: {self.outcome or 'open'}"
