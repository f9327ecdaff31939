from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


def pointer() -> models.ForeignKey:
    """A reference that outlives the person it names."""
    return models.ForeignKey(
        null=True,
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
    )


WAYS = [
    ("page", "a page"),
    ("api", "the API"),
    ("webhook", "a webhook"),
    ("job", "a background job"),
    ("command", "a command"),
    ("administrator", "the administration site"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex("event", "audit_by_owner"),
        migrations.AlterField("event", "actor", pointer()),
        migrations.AlterField("event", "owner", pointer()),
        migrations.AddField("event", "actor_ref", models.UUIDField(null=True)),
        migrations.AddField("event", "owner_ref", models.UUIDField(null=True)),
        migrations.AddField(
            "event",
            "label",
            models.CharField(blank=True, default="", help_text="The thing's name at that time", max_length=80),
        ),
        migrations.AddField("event", "how", models.CharField(blank=True, choices=WAYS, default="", max_length=20)),
        migrations.AddField("event", "address", models.GenericIPAddressField(blank=True, null=True)),
        migrations.AddField("event", "request_id", models.CharField(blank=True, default="", max_length=64)),
        migrations.AddField("event", "changes", models.JSONField(default=dict)),
        migrations.AddIndex("event", models.Index(fields=["owner", "-id"], name="audit_by_owner")),
        migrations.AddIndex("event", models.Index(fields=["actor", "-id"], name="audit_by_actor")),
        migrations.AddIndex("event", models.Index(fields=["target_id", "-id"], name="audit_by_target")),
        migrations.CreateModel(
            name="Seal",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="seal",
                        serialize=False,
                        to="audit.event",
                    ),
                ),
                ("position", models.BigIntegerField(null=True, unique=True)),
                ("link", models.BinaryField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("position", None)), fields=["event"], name="audit_unsealed")
                ]
            },
        ),
        migrations.CreateModel(
            name="Head",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("count", models.BigIntegerField(default=0, help_text="Position of the last sealed event")),
                ("link", models.BinaryField()),
                (
                    "base_count",
                    models.BigIntegerField(default=0, help_text="Events before and at this position were pruned"),
                ),
                ("base_link", models.BinaryField()),
                ("sealed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("code", models.BinaryField()),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="one_audit_head")],
            },
        ),
    ]
