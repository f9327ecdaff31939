"""Sessions that are shared with other users."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Now

_USER = settings.AUTH_USER_MODEL
_ROLES = [("viewer", "Viewer"), ("operator", "Operator")]
_ENDS = [("declined", "Declined"), ("left", "Left"), ("revoked", "Revoked"), ("replaced", "Replaced")]


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0016_why"), migrations.swappable_dependency(_USER)]

    operations = [
        migrations.CreateModel(
            name="SessionShare",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("email", models.EmailField(help_text="As invited, in lower case", max_length=254)),
                ("role", models.CharField(choices=_ROLES, default="viewer", max_length=8)),
                (
                    "until",
                    models.DateTimeField(blank=True, help_text="When it ends by itself; empty: never", null=True),
                ),
                (
                    "digest",
                    models.CharField(
                        blank=True, default="", help_text="Of the invitation's one-time token", max_length=64
                    ),
                ),
                (
                    "link_until",
                    models.DateTimeField(help_text="Until when that token opens the invitation", null=True),
                ),
                ("invited_at", models.DateTimeField(db_default=Now())),
                ("told_at", models.DateTimeField(help_text="When the mail about it left", null=True)),
                ("accepted_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("end", models.CharField(blank=True, choices=_ENDS, default="", max_length=8)),
                (
                    "ended_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=_USER,
                    ),
                ),
                (
                    "invited_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=_USER,
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="shares",
                        to="whatsappapi.wasendersession",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="Who accepted",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="session_shares",
                        to=_USER,
                    ),
                ),
            ],
            options={
                "ordering": ["invited_at", "pk"],
                "indexes": [
                    models.Index(
                        condition=Q(("accepted_at", None), ("ended_at", None)), fields=["email"], name="share_waiting"
                    ),
                    models.Index(fields=["session"], name="share_session"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=Q(("ended_at", None)), fields=("session", "email"), name="share_once_by_email"
                    ),
                    models.UniqueConstraint(
                        condition=Q(("ended_at", None)), fields=("session", "user"), name="share_once_by_user"
                    ),
                    models.UniqueConstraint(condition=~Q(("digest", "")), fields=("digest",), name="share_digest"),
                    models.CheckConstraint(
                        condition=Q(("accepted_at", None), ("user__isnull", False), _connector="OR"),
                        name="share_accepted_by_who",
                    ),
                ],
            },
        ),
    ]
