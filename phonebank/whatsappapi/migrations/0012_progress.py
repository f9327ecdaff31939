"""What the progress of a campaign needs."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0011_drafts")]

    operations = [
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=Q(("outcome", "unknown")), fields=["session", "started_at"], name="attempt_doubtful"
            ),
        ),
    ]
