"""What each session did by hour and day."""

from __future__ import annotations

from typing import Any

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

COUNTS = {
    "sent": "Taken by the gateway",
    "delivered": "",
    "read": "",
    "replied": "Answered within seven days",
    "failed": "",
    "unclear": "May have been sent; not known",
    "received": "What people wrote in that time",
    "opted_out": "People who asked to stop in that time",
}
# Opt-outs from before the session was kept: it is the one that the person had last written to.
FIND_SESSIONS = """
UPDATE whatsappapi_suppression x SET session_id = (
  SELECT i.session_id FROM whatsappapi_inboundmessage i
  WHERE i.user_id = x.user_id AND i.phone = x.phone AND i.received_at <= x.created_at
  ORDER BY i.received_at DESC LIMIT 1)
WHERE x.reason = 'stop' AND x.phone <> ''
"""


def key(name: str = "id") -> tuple[str, models.Field[Any, Any]]:
    return name, models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def integers(text: str) -> models.Field[Any, Any]:
    return django.contrib.postgres.fields.ArrayField(
        base_field=models.IntegerField(), db_default=[], help_text=text, size=None
    )


def counts() -> list[tuple[str, models.Field[Any, Any]]]:
    return [
        *((name, models.IntegerField(db_default=0, help_text=text)) for name, text in COUNTS.items()),
        ("times", integers("Deliveries by the time they took (BOUNDS)")),
        ("reasons", models.JSONField(db_default={}, help_text="Why messages failed: words -> how many")),
    ]


def day() -> list[tuple[str, models.Field[Any, Any]]]:
    return [
        ("date", models.DateField(help_text="In the owner's zone")),
        ("hours", integers("Sent by local hour, 24 of them")),
        ("hours_read", integers("Of these, how many were read")),
        ("up", models.IntegerField(db_default=0, help_text="Seconds connected")),
        ("known", models.IntegerField(db_default=0, help_text="Seconds of which the status is known")),
        (
            "allowed",
            models.IntegerField(db_default=0, help_text="The daily limit at its end; 0: none, or none is known"),
        ),
        ("at_limit", models.IntegerField(db_default=0, help_text="Whether the limit was reached")),
    ]


def session(name: str) -> tuple[str, models.Field[Any, Any]]:
    return "session", models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name=name,
        to="whatsappapi.wasendersession",
    )


def user(name: str) -> tuple[str, models.Field[Any, Any]]:
    return "user", models.ForeignKey(
        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name=name, to=settings.AUTH_USER_MODEL
    )


class Migration(migrations.Migration):
    dependencies = [
        ("whatsappapi", "0012_progress"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="SessionQuarter",
            fields=[
                key(),
                *counts(),
                ("start", models.DateTimeField()),
                ("due_at", models.DateTimeField(help_text="When it is to be counted (again)", null=True)),
                ("counted_at", models.DateTimeField(null=True)),
                session("quarters"),
            ],
            options={
                "indexes": [models.Index(condition=Q(due_at__isnull=False), fields=["due_at"], name="quarter_due")],
                "constraints": [models.UniqueConstraint(fields=("session", "start"), name="quarter_once_per_session")],
            },
        ),
        migrations.CreateModel(
            name="SessionDay",
            fields=[
                key(),
                *counts(),
                *day(),
                session("days"),
                user("+"),
            ],
            options={
                "indexes": [models.Index(fields=["user", "date"], name="session_day_of_user")],
                "constraints": [models.UniqueConstraint(fields=("session", "date"), name="day_once_per_session")],
            },
        ),
        migrations.CreateModel(
            name="SessionMonth",
            fields=[key(), *counts(), *day(), session("months"), user("+")],
            options={
                "indexes": [models.Index(fields=["user", "date"], name="session_month_of_user")],
                "constraints": [models.UniqueConstraint(fields=("session", "date"), name="month_once_per_session")],
            },
        ),
        migrations.CreateModel(
            name="OwnerDay",
            fields=[key(), *counts(), *day(), user("owner_days")],
            options={
                "constraints": [models.UniqueConstraint(fields=("user", "date"), name="day_once_per_owner")],
            },
        ),
        migrations.CreateModel(
            name="RollUp",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="whatsappapi.wasendersession",
                    ),
                ),
                ("until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="DayZone",
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
                ("zone", models.CharField(max_length=64)),
                ("until", models.DateField()),
                ("made_at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="suppression",
            name="session",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The one they wrote stop to",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="whatsappapi.wasendersession",
            ),
        ),
        migrations.RunSQL(FIND_SESSIONS, migrations.RunSQL.noop),
        # Deferred checks of the new key would stand in the way of the index.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=Q(session__isnull=False), fields=["session", "created_at"], name="suppression_session"
            ),
        ),
    ]
