"""People who may be written to, the evidence that they agreed, and those who said stop."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from phonebank.accounts.models import User


class ContactList(models.Model):
    """A named list of contacts."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="contact_lists")
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="list_name_once_per_user")]

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """A person, by phone number. `consent` is the last word of their consent records."""

    class Consent(models.TextChoices):
        UNKNOWN = "unknown", "no consent recorded"
        GRANTED = "granted", "agreed"
        WITHDRAWN = "withdrawn", "withdrawn"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="contacts")
    phone = models.CharField(max_length=20, help_text="E.164")
    name = models.CharField(max_length=120, blank=True, default="")
    attributes = models.JSONField(default=dict, blank=True)
    lid = models.CharField(max_length=40, blank=True, default="", db_index=True)
    time_zone = models.CharField(max_length=64, blank=True, default="", help_text="From the number's prefix")
    consent = models.CharField(max_length=10, choices=Consent.choices, default=Consent.UNKNOWN)
    lists = models.ManyToManyField(ContactList, related_name="contacts", blank=True)
    last_session = models.ForeignKey(
        "WaSenderSession",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The session this person last wrote to: a campaign keeps them there",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "phone"], name="contact_once_per_user")]

    def __str__(self) -> str:
        return self.name or self.phone


class ConsentRecord(models.Model):
    """Append-only evidence: who agreed (or took it back), by what, when, and who wrote it down."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="consent_records")
    status = models.CharField(max_length=10, choices=Contact.Consent.choices)
    source = models.CharField(max_length=200)
    wording = models.TextField(blank=True, default="")
    file_hash = models.CharField(max_length=64, blank=True, default="")
    recorded_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.status} by {self.source}"


class Suppression(models.Model):
    """A person who must not be written to, by phone, by LID or by both. Lifted only by their own word."""

    class Reason(models.TextChoices):
        STOP = "stop", "asked to stop"
        MANUAL = "manual", "added by hand"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="suppressions")
    phone = models.CharField(max_length=20, blank=True, default="")
    lid = models.CharField(max_length=40, blank=True, default="")
    reason = models.CharField(max_length=10, choices=Reason.choices, default=Reason.STOP)
    note = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True, blank=True)
    is_confirmed = models.BooleanField(default=False, help_text="The one confirmation was queued")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "phone"], condition=Q(lifted_at=None) & ~Q(phone=""), name="suppressed_once_by_phone"
            ),
            models.UniqueConstraint(
                fields=["user", "lid"], condition=Q(lifted_at=None) & ~Q(lid=""), name="suppressed_once_by_lid"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.phone or self.lid} ({self.reason})"
