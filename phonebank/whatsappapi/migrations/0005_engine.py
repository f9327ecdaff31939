"""What the engine keeps."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0004_constraints")]

    operations = []
