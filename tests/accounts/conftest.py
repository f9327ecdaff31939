from __future__ import annotations

from importlib import import_module

import pytest
from django.core.cache import cache

from phonebank.accounts.models import Plan, User

PASSWORD = "correct horse 9"


@pytest.fixture(autouse=True)
def _fresh_throttles(db: None) -> None:
    cache.clear()


@pytest.fixture
def plans(db: None) -> None:
    """The migration's rows, which a transactional test before this one may have flushed."""
    for position, (slug, name, most, limit) in enumerate(
        import_module("phonebank.accounts.migrations.0002_plans").PLANS
    ):
        values = {"name": name, "max_sessions": most, "daily_limit": limit, "position": position}
        Plan.objects.get_or_create(slug=slug, defaults=values)


@pytest.fixture
def ana(plans: None) -> User:
    return User.objects.create_user("ana@example.org", PASSWORD, time_zone="Europe/Madrid")


@pytest.fixture
def boss(plans: None) -> User:
    return User.objects.create_superuser("boss@example.org", PASSWORD)
