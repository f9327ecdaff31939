"""Why each attempt left from its session."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0015_alerts")]
    operations = [
        migrations.AddField(
            model_name="attempt",
            name="why",
            field=models.CharField(
                db_default="",
                help_text="Why it left from its session; empty: as the message still says",
                max_length=60,
            ),
        ),
    ]
