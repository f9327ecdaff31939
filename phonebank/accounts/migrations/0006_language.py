from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """A person may have chosen no language yet. Who is here already keeps the English that they have seen so far."""

    dependencies = [("accounts", "0005_administration")]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="locale",
            field=models.CharField(
                blank=True, default="", help_text="Empty: the browser's, until they log in", max_length=16
            ),
        ),
    ]
