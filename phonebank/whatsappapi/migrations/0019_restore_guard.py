"""What the restore guard remembers. Columns with defaults of the database: workers of the release before go on."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0018_probe")]

    operations = [
        migrations.AddField(
            "installation",
            "held_at",
            models.DateTimeField(blank=True, help_text="Since when it waits for a person", null=True),
        ),
        migrations.AddField(
            "installation", "held_why", models.CharField(blank=True, db_default="", default="", max_length=200)
        ),
        migrations.AddField(
            "installation",
            "known_until",
            models.DateTimeField(blank=True, help_text="What was sent later is not in this database", null=True),
        ),
        migrations.AddField(
            "installation",
            "home",
            models.CharField(
                blank=True, db_default="", default="", help_text="The server and place it was last in", max_length=200
            ),
        ),
        migrations.AddField(
            "installation",
            "beats",
            models.BigIntegerField(
                db_default=0, default=0, help_text="Only rises; lower than a worker remembers: an older copy"
            ),
        ),
    ]
