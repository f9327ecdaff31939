"""The old world: a user, a number, a key. Kept as the start of the history so that such a database moves forward."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import phonebank.whatsappapi.models.fields


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="WaSenderSession",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="wa_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("wasender_id", models.BigIntegerField(blank=True, null=True)),
                ("phone_number", models.CharField(max_length=20)),
                ("status", models.CharField(default="disconnected", max_length=20)),
                ("api_key", phonebank.whatsappapi.models.fields.EncryptedTextField(blank=True, default="")),
                ("webhook_secret", phonebank.whatsappapi.models.fields.EncryptedTextField(blank=True, default="")),
                ("last_active_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
        ),
    ]
