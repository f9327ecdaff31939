"""What each session did by hour and day."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0012_progress")]
    operations = []
