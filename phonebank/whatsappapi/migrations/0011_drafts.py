"""Drafts of campaigns: their audience and how far they are."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0010_replies")]

    operations = [
        migrations.AddField(model_name="campaign", name="audience", field=models.JSONField(blank=True, default=dict)),
        migrations.AddField(
            model_name="campaign",
            name="saved_at",
            field=models.DateTimeField(default=django.utils.timezone.now, help_text="When the draft was last changed"),
        ),
        migrations.AddField(
            model_name="campaign",
            name="version",
            field=models.PositiveIntegerField(default=0, help_text="Counts the times the draft was saved"),
        ),
    ]
