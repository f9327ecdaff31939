"""The rows that migrations make, as they make them. A flush after a transactional test would take them away."""

from __future__ import annotations

from importlib import import_module

from phonebank.accounts.models import Plan
from phonebank.whatsappapi.models import Installation


def restore() -> None:
    """Plans and the installation, as if they were new."""
    plans = import_module("phonebank.accounts.migrations.0002_plans").PLANS
    for position, (slug, name, most, limit) in enumerate(plans):
        values = {"name": name, "max_sessions": most, "daily_limit": limit, "position": position}
        Plan.objects.update_or_create(slug=slug, defaults=values)
    Plan.objects.exclude(slug__in=[slug for slug, *_ in plans]).delete()
    Installation.objects.all().delete()
    Installation.objects.create(pk=1)
