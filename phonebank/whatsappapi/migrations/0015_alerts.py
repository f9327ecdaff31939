"""Incidents, rules, channels, reconnection and one-time links."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0014_session_templates")]
    operations = []
