from __future__ import annotations

from django.db import migrations

# slug, name, sessions, messages a day per session
PLANS = [
    ("free", "Free", 1, 100),
    ("basic", "Basic", 3, 500),
    ("pro", "Pro", 5, 1000),
    ("enterprise", "Enterprise", 10, None),
]


def add_plans(apps, schema_editor):
    """Rows that exist are left as an administrator made them."""
    plan = apps.get_model("accounts", "Plan")
    for position, (slug, name, max_sessions, daily_limit) in enumerate(PLANS):
        values = {"name": name, "max_sessions": max_sessions, "daily_limit": daily_limit, "position": position}
        plan.objects.get_or_create(slug=slug, defaults=values)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunPython(add_plans, migrations.RunPython.noop)]
