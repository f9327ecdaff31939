"""What the engine keeps: old webhook secrets, what to ask the gateway for, workers' figures, why all is stopped."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0004_constraints")]

    operations = [
        migrations.AddField(
            model_name="wasendersession",
            name="previous_secret_digest",
            field=models.CharField(blank=True, db_index=True, default="", max_length=64),
        ),
        migrations.AddField(
            model_name="wasendersession",
            name="previous_secret_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="installation",
            name="stop_reason",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="installation",
            name="stopped_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="CallBudget",
            fields=[
                ("key", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("next_at", models.DateTimeField(help_text="When the next call may be made")),
                ("closed_until", models.DateTimeField(help_text="Told to wait until then (429)", null=True)),
            ],
        ),
        migrations.CreateModel(
            name="WorkerReport",
            fields=[
                (
                    "worker",
                    models.CharField(help_text="host:pid", max_length=60, primary_key=True, serialize=False),
                ),
                ("kind", models.CharField(choices=[("send", "Send"), ("work", "Work")], max_length=4)),
                ("host", models.CharField(max_length=60)),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                (
                    "shards",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.SmallIntegerField(), default=list, size=None
                    ),
                ),
                ("rounds", models.BigIntegerField(default=0)),
                ("items", models.BigIntegerField(default=0, help_text="Claims, or webhooks applied")),
                ("median", models.FloatField(default=0, help_text="Of a round, in the last window")),
                ("longest", models.FloatField(default=0, help_text="Round of the last window")),
                (
                    "recent",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.FloatField(),
                        default=list,
                        help_text="Longest round of each of the last windows",
                        size=None,
                    ),
                ),
                (
                    "lag",
                    models.FloatField(default=0, help_text="Longest time from received to applied in the last window"),
                ),
                ("outcomes", models.JSONField(default=dict, help_text="How often each came, since the start")),
            ],
        ),
        migrations.CreateModel(
            name="Sweep",
            fields=[
                (
                    "session",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="sweep",
                        serialize=False,
                        to="whatsappapi.wasendersession",
                    ),
                ),
                ("until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Watch",
            fields=[
                (
                    "attempt",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="watch",
                        serialize=False,
                        to="whatsappapi.attempt",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="whatsappapi.wasendersession",
                    ),
                ),
                ("started_at", models.DateTimeField(help_text="Of the attempt")),
                ("due_at", models.DateTimeField()),
                ("asks", models.SmallIntegerField(default=0)),
                (
                    "rank",
                    models.SmallIntegerField(
                        default=0, help_text="What the last answer said; more than that, a webhook told"
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["session", "due_at"], name="watch_due")]},
        ),
    ]
