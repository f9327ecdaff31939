"""Drafts, schedules and brakes."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0008_contacts")]

    operations = [
        migrations.RemoveIndex(model_name="campaign", name="campaign_live"),
        migrations.AddField(
            model_name="campaign",
            name="is_sticky",
            field=models.BooleanField(default=True, help_text="People stay with the session they talk with"),
        ),
        migrations.AddField(
            model_name="campaign",
            name="open_from",
            field=models.DateTimeField(blank=True, help_text="The present or next sending window", null=True),
        ),
        migrations.AddField(
            model_name="campaign", name="open_until", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="campaign",
            name="pace",
            field=models.PositiveIntegerField(blank=True, help_text="Messages a minute and session at most", null=True),
        ),
        migrations.AddField(
            model_name="campaign",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                help_text="Retries its failed ones",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="whatsappapi.campaign",
            ),
        ),
        migrations.AddField(
            model_name="campaign",
            name="resumed_at",
            field=models.DateTimeField(blank=True, help_text="Brakes look at what left since then", null=True),
        ),
        migrations.AddField(model_name="campaign", name="windows", field=models.JSONField(blank=True, null=True)),
        migrations.AddField(
            model_name="campaignsession",
            name="next_at",
            field=models.DateTimeField(
                blank=True, help_text="When the campaign's own pace allows the next one", null=True
            ),
        ),
        migrations.AddField(
            model_name="wasendersession",
            name="is_surplus",
            field=models.BooleanField(default=False, help_text="More than the plan allows: it does not send"),
        ),
        migrations.AddIndex(
            model_name="campaign",
            index=models.Index(
                condition=models.Q(("state__in", ["scheduled", "dealing", "running"])),
                fields=["state"],
                name="campaign_live",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("campaign__isnull", True), ("retry_at__isnull", False)),
                fields=["session", "retry_at"],
                name="message_single",
            ),
        ),
    ]
