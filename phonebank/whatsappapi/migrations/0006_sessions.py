"""Session pages: groups, history, bulk actions."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0005_engine")]

    operations = []
