"""Saved settings of sessions."""

from __future__ import annotations

import uuid

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("whatsappapi", "0013_analytics"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="SessionTemplate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=60)),
                (
                    "naming",
                    models.CharField(blank=True, default="", help_text="With {n} for the number", max_length=60),
                ),
                ("daily_limit", models.PositiveIntegerField(blank=True, help_text="Empty: the plan's", null=True)),
                ("account_protection", models.BooleanField(default=True)),
                ("log_messages", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "groups",
                    models.ManyToManyField(blank=True, related_name="session_templates", to="whatsappapi.sessiongroup"),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="session_templates",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": [django.db.models.functions.text.Lower("name"), "pk"],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("user"),
                        django.db.models.functions.text.Lower("name"),
                        name="session_template_name_once_per_user",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TemplatedSession",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="templated",
                        serialize=False,
                        to="whatsappapi.wasendersession",
                    ),
                ),
                (
                    "wanted_at",
                    models.DateTimeField(help_text="When a person asked that it follow, until it does", null=True),
                ),
                (
                    "note",
                    models.CharField(blank=True, default="", help_text="Why it could not follow", max_length=200),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="uses",
                        to="whatsappapi.sessiontemplate",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=Q(wanted_at__isnull=False), fields=["wanted_at"], name="template_wanted")
                ],
            },
        ),
    ]
