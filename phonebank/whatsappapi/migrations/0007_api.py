"""What the API keeps."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import phonebank.whatsappapi.models.fields


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0006_sessions")]

    operations = [
        migrations.CreateModel(
            name="ApiMessage",
            fields=[
                (
                    "public_id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "message",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="handle",
                        to="whatsappapi.message",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "message",
                "indexes": [models.Index(fields=["user", "message"], name="api_message_recent")],
            },
        ),
        migrations.CreateModel(
            name="ApiUsage",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("n", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="ApiAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(help_text="Keyed hash of the Idempotency-Key", max_length=64)),
                ("request", models.CharField(help_text="Keyed hash of method, address and body", max_length=64)),
                ("status", models.SmallIntegerField(null=True)),
                ("body", phonebank.whatsappapi.models.fields.EncryptedTextField(blank=True, default="")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("user", "key"), name="api_answer_once")]},
        ),
    ]
