"""Replies and message templates."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0009_campaigns")]

    operations = []
