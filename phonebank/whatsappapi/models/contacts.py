"""People who may be written to, the evidence that they agreed, and those who said stop."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.functions import RandomUUID
from django.db import connection, models
from django.db.models import Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.fields import EncryptedTextField


class OwnedQuerySet(models.QuerySet[Any]):
    """Rows that belong to one user."""

    def visible_to(self, user: User) -> OwnedQuerySet:
        return self.filter(user=user)


class ContactList(models.Model):
    """A named list of contacts."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="contact_lists")
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="list_name_once_per_user")]

    def __str__(self) -> str:
        return self.name


class ContactTag(models.Model):
    """A word that people are marked with; a list says where they came from, a tag what they are."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="contact_tags", db_index=False)
    name = models.CharField(max_length=40)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="tag_name_once_per_user")]

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """A person, by phone number. `consent` is the last word of their consent records."""

    class Consent(models.TextChoices):
        UNKNOWN = "unknown", _("no consent recorded")
        GRANTED = "granted", _("agreed")
        WITHDRAWN = "withdrawn", _("withdrawn")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="contacts", db_index=False)
    phone = models.CharField(max_length=20, help_text="E.164")
    name = models.CharField(max_length=120, blank=True, default="")
    attributes = models.JSONField(default=dict, blank=True)
    lid = models.CharField(max_length=40, blank=True, default="", db_index=True)
    time_zone = models.CharField(max_length=64, blank=True, default="", help_text="From the number's prefix")
    consent = models.CharField(max_length=10, choices=Consent.choices, default=Consent.UNKNOWN)
    lists = models.ManyToManyField(ContactList, related_name="contacts", blank=True)
    tags = models.ManyToManyField(ContactTag, related_name="contacts", blank=True)
    last_session = models.ForeignKey(
        "WaSenderSession",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The session this person last wrote to: a campaign keeps them there",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "phone"], name="contact_once_per_user")]
        indexes = [models.Index(fields=["user", "id"], name="contact_recent")]

    def __str__(self) -> str:
        return self.name or self.phone


class ConsentRecord(models.Model):
    """Evidence: who agreed (or took it back), by what, when, and who wrote it down.

    A database trigger refuses every change and deletion, but for a person who is erased (`unlock_ledger`).
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="consent_records")
    status = models.CharField(max_length=10, choices=Contact.Consent.choices)
    source = models.CharField(max_length=200)
    wording = models.TextField(blank=True, default="", help_text="What they agreed to, word for word")
    file_hash = models.CharField(max_length=64, blank=True, default="", help_text="SHA-256 of the file it came in")
    agreed_at = models.DateTimeField(null=True, blank=True, help_text="When they did it, where that is known")
    recorded_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.status} by {self.source}"


def unlock_ledger() -> None:
    """Lets this transaction delete consent records: to erase a person, or an owner with all they have."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('phonebank.erasing', 'on', true)")


@receiver(pre_delete, sender=User)
def _unlock_for_owner(**_: Any) -> None:
    unlock_ledger()


class Suppression(models.Model):
    """A person who must not be written to, by phone, by LID or by both. Lifted only by their own word.

    One under review is the exception: a person of ours decides. Of an erased person only `digest` tells who it was;
    `phone` is then a stand-in that their old messages carry too.
    """

    class Reason(models.TextChoices):
        STOP = "stop", _("asked to stop")
        MANUAL = "manual", _("added by hand")
        IMPORT = "import", _("on an imported list")
        COMPLAINT = "complaint", _("complained")
        REVIEW = "review", _("may have asked to stop")
        ERASED = "erased", _("was erased")

    public_id = models.UUIDField(default=uuid.uuid4, db_default=RandomUUID(), unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="suppressions", db_index=False)
    phone = models.CharField(max_length=20, blank=True, default="")
    lid = models.CharField(max_length=40, blank=True, default="")
    reason = models.CharField(max_length=10, choices=Reason.choices, default=Reason.STOP)
    note = models.CharField(max_length=200, blank=True, default="")
    words = models.CharField(max_length=500, blank=True, db_default="", default="", help_text="What they wrote")
    digest = models.CharField(max_length=64, blank=True, db_default="", default="")
    session = models.ForeignKey(
        "WaSenderSession", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False,
        help_text="The one they wrote stop to",
    )  # fmt: skip
    added_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    is_confirmed = models.BooleanField(default=False, help_text="The one confirmation was queued")

    objects = OwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "phone"], condition=Q(lifted_at=None) & ~Q(phone=""), name="suppressed_once_by_phone"
            ),
            models.UniqueConstraint(
                fields=["user", "lid"], condition=Q(lifted_at=None) & ~Q(lid=""), name="suppressed_once_by_lid"
            ),
        ]
        indexes = [
            models.Index(fields=["user", "id"], name="suppression_recent"),
            models.Index(fields=["user", "digest"], name="suppression_digest", condition=~Q(digest="")),
            models.Index(
                fields=["user", "id"], name="suppression_review", condition=Q(reason="review", lifted_at=None)
            ),
            models.Index(
                fields=["session", "created_at"], name="suppression_session", condition=Q(session__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.phone or self.lid} ({self.reason})"


class DigestKey(models.Model):
    """An owner's key for the digests of erased people: without it a list of all numbers would give them away."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="+")
    key = EncryptedTextField()

    def __str__(self) -> str:
        return f"of {self.user}"
