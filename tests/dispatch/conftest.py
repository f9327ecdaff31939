from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.dispatch.bench import Bench, wipe


@pytest.fixture
def bench(django_db_setup: None, django_db_blocker: Any) -> Iterator[Bench]:
    """Committed rows, for the engine has connections of its own. Every test must leave all promises kept."""
    with django_db_blocker.unblock():
        wipe()
        made = Bench()
        try:
            yield made
            made.check()
        finally:
            made.close()
            wipe()
            connection.close()
