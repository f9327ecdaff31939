"""Session pages: groups, history, bulk actions."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import phonebank.whatsappapi.models.fields


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0005_engine"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.AddField(
            model_name="wasendersession",
            name="adopted_at",
            field=models.DateTimeField(blank=True, help_text="Taken over from the gateway, not made here", null=True),
        ),
        migrations.AddField(
            model_name="wasendersession",
            name="adopted_webhook",
            field=phonebank.whatsappapi.models.fields.EncryptedTextField(
                blank=True, default="", help_text="JSON: the webhook settings to restore on release"
            ),
        ),
        migrations.AddField(
            model_name="gatewayaccount",
            name="removed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="SessionGroup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=60)),
                (
                    "colour",
                    models.CharField(
                        choices=[
                            ("blue", "Blue"),
                            ("cyan", "Cyan"),
                            ("indigo", "Indigo"),
                            ("purple", "Purple"),
                            ("pink", "Pink"),
                            ("orange", "Orange"),
                            ("secondary", "Grey"),
                        ],
                        default="blue",
                        max_length=12,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "sessions",
                    models.ManyToManyField(blank=True, related_name="groups", to="whatsappapi.wasendersession"),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="session_groups",
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
                        name="group_name_once_per_user",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SessionEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "kind",
                    models.CharField(
                        choices=[("status", "Status"), ("rate_limit", "rate limit"), ("action", "Action")],
                        default="status",
                        max_length=12,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("disconnected", "Disconnected"),
                            ("connecting", "Connecting"),
                            ("need_scan", "needs a scan"),
                            ("need_passkey", "needs a passkey"),
                            ("connected", "Connected"),
                            ("logged_out", "logged out"),
                            ("expired", "Expired"),
                            ("unknown", "Unknown"),
                        ],
                        help_text="The session's status from then on",
                        max_length=20,
                    ),
                ),
                ("reason", models.CharField(blank=True, default="", max_length=200)),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("webhook", "Webhook"),
                            ("poll", "Poll"),
                            ("page", "Page"),
                            ("api", "Api"),
                            ("job", "Job"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="whatsappapi.wasendersession",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-pk"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "status")), fields=("session", "at"), name="status_change_once"
                    )
                ],
                "indexes": [models.Index(fields=["session", "-at"], name="session_event_recent")],
            },
        ),
        migrations.CreateModel(
            name="BulkAction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "verb",
                    models.CharField(
                        choices=[("connect", "Connect"), ("disconnect", "Disconnect"), ("delete", "Delete")],
                        max_length=10,
                    ),
                ),
                ("at_gateway", models.BooleanField(default=False, help_text="Delete at the gateway too")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "In line"),
                            ("running", "Under way"),
                            ("done", "Finished"),
                            ("stopped", "Stopped"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("total", models.PositiveIntegerField(default=0)),
                ("done", models.PositiveIntegerField(default=0, help_text="As asked, or already so")),
                ("failed", models.PositiveIntegerField(default=0)),
                ("note", models.CharField(blank=True, default="", help_text="What it waits for", max_length=200)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="bulk_actions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-pk"],
                "indexes": [
                    models.Index(condition=models.Q(("finished_at", None)), fields=["user"], name="bulk_unfinished")
                ],
            },
        ),
        migrations.CreateModel(
            name="BulkResult",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="The session's, in case it goes", max_length=60)),
                ("position", models.PositiveIntegerField()),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("done", "Done"),
                            ("skipped", "Nothing to do"),
                            ("failed", "Not done"),
                            ("left", "Left out"),
                        ],
                        default="",
                        max_length=8,
                    ),
                ),
                ("text", models.CharField(blank=True, default="", max_length=300)),
                (
                    "tries",
                    models.PositiveSmallIntegerField(default=0, help_text="Times the gateway was not there"),
                ),
                ("at", models.DateTimeField(null=True)),
                (
                    "action",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="results",
                        to="whatsappapi.bulkaction",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="whatsappapi.wasendersession",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "constraints": [models.UniqueConstraint(fields=("action", "position"), name="bulk_result_place")],
            },
        ),
        migrations.CreateModel(
            name="SessionDoubt",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="doubt",
                        serialize=False,
                        to="whatsappapi.wasendersession",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        blank=True,
                        choices=[("failures", "failures rising"), ("acks", "confirmed late")],
                        default="",
                        help_text="Empty: none",
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(blank=True, default="", max_length=200)),
                ("weighed_at", models.DateTimeField()),
            ],
        ),
    ]
