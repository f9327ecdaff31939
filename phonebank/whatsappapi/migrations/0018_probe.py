"""Self-checks: two sessions that write to each other, and what came of each message."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Now

from phonebank.whatsappapi.models.probe import new_token


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0017_sharing")]

    operations = [
        migrations.CreateModel(
            name="ProbePair",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="probing",
                        serialize=False,
                        to="whatsappapi.wasendersession",
                    ),
                ),
                ("next_at", models.DateTimeField(db_default=Now())),
                ("is_partners_turn", models.BooleanField(db_default=False)),
                (
                    "partner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="probed_with",
                        to="whatsappapi.wasendersession",
                    ),
                ),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=~Q(session=F("partner")), name="probe_of_two")],
            },
        ),
        migrations.CreateModel(
            name="Probe",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("token", models.CharField(default=new_token, max_length=12, unique=True)),
                (
                    "is_heard",
                    models.BooleanField(help_text="Whether WaSender can tell us what arrives at the receiver"),
                ),
                ("at", models.DateTimeField(db_default=Now())),
                ("sent_after", models.FloatField(help_text="Until WhatsApp confirmed it", null=True)),
                ("delivered_after", models.FloatField(null=True)),
                (
                    "arrived_at",
                    models.DateTimeField(help_text="When the receiver's webhook brought it", null=True),
                ),
                ("arrived_after", models.FloatField(null=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("", "Under way"),
                            ("good", "Arrived"),
                            ("slow", "Slow"),
                            ("unconfirmed", "Not confirmed"),
                            ("unheard", "Did not come in"),
                            ("refused", "Could not be sent"),
                            ("held", "Was not sent"),
                        ],
                        db_default="",
                        max_length=12,
                    ),
                ),
                ("reason", models.CharField(db_default="", max_length=200)),
                (
                    "message",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="whatsappapi.message",
                    ),
                ),
                (
                    "receiver",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="probes_to",
                        to="whatsappapi.wasendersession",
                    ),
                ),
                (
                    "sender",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="probes",
                        to="whatsappapi.wasendersession",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-pk"],
                "indexes": [
                    models.Index(fields=["sender", "-at"], name="probe_sent"),
                    models.Index(fields=["receiver", "-at"], name="probe_heard"),
                    models.Index(condition=Q(outcome=""), fields=["at"], name="probe_open"),
                ],
            },
        ),
    ]
