"""What the API keeps."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("whatsappapi", "0006_sessions")]

    operations = []
