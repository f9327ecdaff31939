from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.dispatch.bench import Bench, wipe
from tests.reference import restore


@pytest.fixture
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Committed rows, for the engine has connections of its own; in place of a flush that takes longer than a test."""
    with django_db_blocker.unblock():
        wipe()
        yield
        wipe()
        restore()
        connection.close()


@pytest.fixture
def bench(db: None) -> Iterator[Bench]:
    """Every test must leave all promises kept."""
    made = Bench()
    try:
        yield made
        made.check()
    finally:
        made.close()
