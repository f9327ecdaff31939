from __future__ import annotations

import pytest
from django.core.cache import cache

from phonebank.accounts.models import User
from tests.reference import restore

PASSWORD = "correct horse 9"


@pytest.fixture(autouse=True)
def _fresh_throttles(db: None) -> None:
    cache.clear()


@pytest.fixture
def plans(db: None) -> None:
    """The migration's rows, which a transactional test before this one may have flushed."""
    restore()


@pytest.fixture
def ana(plans: None) -> User:
    return User.objects.create_user("ana@example.org", PASSWORD, time_zone="Europe/Madrid")


@pytest.fixture
def boss(plans: None) -> User:
    return User.objects.create_superuser("boss@example.org", PASSWORD)
