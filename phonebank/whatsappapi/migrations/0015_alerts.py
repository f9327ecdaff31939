"""Incidents, rules, channels, reconnection and one-time links."""

import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import phonebank.whatsappapi.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("whatsappapi", "0014_session_templates"),
    ]

    operations = [
        migrations.AlterField(
            model_name="sessionevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("status", "Status"),
                    ("rate_limit", "rate limit"),
                    ("action", "Action"),
                    ("reconnect", "Reconnect"),
                ],
                default="status",
                max_length=12,
            ),
        ),
        migrations.CreateModel(
            name="AlertSettings",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="alert_settings",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "quiet_from",
                    models.PositiveSmallIntegerField(help_text="Hour of the day; empty: no quiet hours", null=True),
                ),
                ("quiet_until", models.PositiveSmallIntegerField(null=True)),
                ("wants_digest", models.BooleanField(default=False)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("quiet_from", None), ("quiet_until", None)),
                            models.Q(("quiet_from__range", (0, 23)), ("quiet_until__range", (0, 23))),
                            _connector="OR",
                        ),
                        name="quiet_hours_of_a_day",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("mail", "E-mail"), ("chat", "Chat or push"), ("webhook", "Webhook")], max_length=8
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                (
                    "address",
                    phonebank.whatsappapi.models.fields.EncryptedTextField(
                        blank=True, default="", help_text="Empty: the owner's own e-mail address"
                    ),
                ),
                ("hint", models.CharField(help_text="What of the address may be shown", max_length=80)),
                (
                    "secret",
                    phonebank.whatsappapi.models.fields.EncryptedTextField(
                        blank=True, default="", help_text="Signs webhooks"
                    ),
                ),
                ("is_first", models.BooleanField(default=False, help_text="Made for the owner without being asked")),
                ("is_active", models.BooleanField(default=True)),
                ("failures", models.PositiveIntegerField(default=0, help_text="Messages given up in a row")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="channels",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=60)),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("lost", "Lost its link"),
                                ("scan", "Needs a scan"),
                                ("slowed", "Rate limited"),
                                ("failures", "Failures rising"),
                                ("acks", "Confirmed late"),
                                ("limit", "Daily limit reached"),
                                ("brake", "Campaign paused by itself"),
                                ("uncertain", "Nobody knows whether it was sent"),
                                ("hook", "A channel does not take messages"),
                                ("other", "Anything else"),
                            ],
                            max_length=10,
                        ),
                        size=None,
                    ),
                ),
                (
                    "delay",
                    models.PositiveIntegerField(
                        default=60, help_text="Seconds that it must last before anybody is told"
                    ),
                ),
                (
                    "cool_down",
                    models.PositiveIntegerField(
                        default=15, help_text="Minutes without a second message about the like"
                    ),
                ),
                ("tells_recovery", models.BooleanField(default=True)),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="whatsappapi.sessiongroup",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="whatsappapi.wasendersession",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_rules",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("channels", models.ManyToManyField(blank=True, related_name="rules", to="whatsappapi.channel")),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Digest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("date", models.DateField(help_text="The day told about, as the person's zone has it")),
                ("sent_at", models.DateTimeField(null=True)),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="digests",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="HealthNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("score", models.PositiveSmallIntegerField()),
                ("reasons", models.CharField(blank=True, default="", max_length=300)),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="health_notes",
                        to="whatsappapi.wasendersession",
                    ),
                ),
            ],
            options={
                "ordering": ["-at"],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("lost", "Lost its link"),
                            ("scan", "Needs a scan"),
                            ("slowed", "Rate limited"),
                            ("failures", "Failures rising"),
                            ("acks", "Confirmed late"),
                            ("limit", "Daily limit reached"),
                            ("brake", "Campaign paused by itself"),
                            ("uncertain", "Nobody knows whether it was sent"),
                            ("hook", "A channel does not take messages"),
                            ("other", "Anything else"),
                        ],
                        max_length=10,
                    ),
                ),
                ("size", models.PositiveIntegerField(default=0, help_text="Alerts in it")),
                ("opened_at", models.DateTimeField()),
                ("last_at", models.DateTimeField(help_text="When the last alert joined")),
                ("closed_at", models.DateTimeField(null=True)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("is_told", models.BooleanField(default=False, help_text="Every rule about it was followed")),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="whatsappapi.gatewayaccount",
                    ),
                ),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="incidents",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-opened_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "event",
                    models.CharField(
                        choices=[("opened", "Began"), ("recovered", "Is over"), ("test", "Test")], max_length=10
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sending", "Being sent"),
                            ("sent", "Delivered"),
                            ("held", "Left out"),
                            ("failed", "Given up"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("subject", models.CharField(blank=True, default="", help_text="As it was last sent", max_length=200)),
                ("outcome", models.CharField(blank=True, default="", help_text="In words", max_length=200)),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("due_at", models.DateTimeField(help_text="While it is being sent: when it may be tried again")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("sent_at", models.DateTimeField(null=True)),
                (
                    "channel",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="whatsappapi.channel",
                    ),
                ),
                (
                    "incident",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="whatsappapi.incident",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-pk"],
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="incident",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="alerts", to="whatsappapi.incident"
            ),
        ),
        migrations.CreateModel(
            name="PhoneLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField()),
                ("opened_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "end",
                    models.CharField(
                        blank=True,
                        choices=[("linked", "Linked"), ("replaced", "Replaced"), ("revoked", "Revoked")],
                        default="",
                        max_length=8,
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Empty: an alert",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="phone_links",
                        to="whatsappapi.wasendersession",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="Reconnection",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="reconnection",
                        serialize=False,
                        to="whatsappapi.wasendersession",
                    ),
                ),
                ("is_on", models.BooleanField(db_default=True, default=True)),
                (
                    "ended_by_person_at",
                    models.DateTimeField(
                        help_text="Somebody disconnected it on purpose: it stays so until somebody connects it",
                        null=True,
                    ),
                ),
                (
                    "tries",
                    models.PositiveSmallIntegerField(db_default=0, default=0, help_text="In a row, for the back-off"),
                ),
                ("next_at", models.DateTimeField(help_text="When it is tried next; empty: nothing to do", null=True)),
                ("last_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="reconnection_due"
                    )
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="channel",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_first", True)), fields=("user",), name="one_first_channel"
            ),
        ),
        migrations.AddConstraint(
            model_name="digest",
            constraint=models.UniqueConstraint(fields=("user", "date"), name="one_digest_a_day"),
        ),
        migrations.AddConstraint(
            model_name="healthnote",
            constraint=models.UniqueConstraint(fields=("session", "at"), name="health_note_once"),
        ),
        migrations.AddConstraint(
            model_name="healthnote",
            constraint=models.CheckConstraint(condition=models.Q(("score__lte", 100)), name="score_of_a_hundred"),
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(fields=["user", "-opened_at"], name="incident_recent"),
        ),
        migrations.AddIndex(
            model_name="incident",
            index=models.Index(condition=models.Q(("closed_at", None)), fields=["user", "kind"], name="incident_open"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state__in", ["waiting", "sending"])), fields=["due_at"], name="delivery_due"
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["channel", "-created_at"], name="delivery_recent"),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(
                condition=models.Q(("event", "test"), _negated=True),
                fields=("incident", "event", "channel"),
                name="told_once_a_channel",
            ),
        ),
    ]
