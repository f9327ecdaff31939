from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.accounts.conftest import ana, boss, plans
from tests.api.conftest import Owner, make_owner, owner
from tests.services.conftest import _sandbox, sandbox
from tests.views.conftest import desk, other

__all__ = ["Owner", "_sandbox", "ana", "boss", "desk", "make_owner", "other", "owner", "plans", "sandbox"]


@pytest.fixture(autouse=True)
def _fresh_throttles(request: pytest.FixtureRequest) -> None:
    """Only where there is a database: throttles count in it."""
    if "plans" in request.fixturenames:
        request.getfixturevalue("plans")
        cache.clear()
