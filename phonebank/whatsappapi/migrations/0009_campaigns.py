"""Drafts, schedules and brakes."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0008_contacts")]

    operations = []
