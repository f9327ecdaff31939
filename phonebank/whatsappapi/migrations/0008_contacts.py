"""Contacts, consent and opt-outs in breadth."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0007_api")]

    operations = []
