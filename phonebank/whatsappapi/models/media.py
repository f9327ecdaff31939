"""Files that messages carry: our own copy, and where each gateway serves it for a day."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.contacts import OwnedQuerySet


class MediaKind(models.TextChoices):
    """What a message can carry beside its text (contract 3)."""

    IMAGE = "image", _("Picture")
    VIDEO = "video", _("Video")
    DOCUMENT = "document", _("Document")
    AUDIO = "audio", _("Voice note")


class MediaFile(models.Model):
    """An uploaded file. The gateway forgets its copy after 24 hours (contract 3.3), a campaign may last longer.

    In the database, not on a disk: any worker on any machine can upload it again. A message names it by `ref`.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="media_files", db_index=False)
    kind = models.CharField(max_length=8, choices=MediaKind.choices)
    mime = models.CharField(max_length=100)
    name = models.CharField(max_length=120)
    size = models.PositiveIntegerField(help_text="Bytes")
    digest = models.BinaryField(max_length=32, help_text="SHA-256")
    content = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(auto_now_add=True, help_text="When it was last put into something")

    objects = OwnedQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="media_once_per_user")]

    def __str__(self) -> str:
        return self.name

    @property
    def ref(self) -> str:
        """How `media_url` names this file."""
        return f"{REF}{self.public_id}"


class MediaLink(models.Model):
    """Where a gateway serves a file since `uploaded_at`."""

    file = models.ForeignKey(MediaFile, on_delete=models.CASCADE, related_name="links")
    base_url = models.URLField(max_length=200, help_text="The gateway")
    url = models.CharField(max_length=2000)
    uploaded_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "base_url"], name="media_link_once_per_gateway")]

    def __str__(self) -> str:
        return f"{self.file} at {self.base_url}"


REF = "file:"
