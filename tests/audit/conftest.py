from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from phonebank.accounts.models import User
from phonebank.audit.models import Event, record
from tests.accounts.conftest import plans
from tests.views.conftest import Desk

__all__ = ["plans"]

VERBS = ["session.renamed", "session.connect", "campaign.pause", "contacts.imported", "session.set_default"]


@pytest.fixture
def desk(plans: None) -> Desk:
    return Desk("ana@example.org")


@pytest.fixture
def other(plans: None) -> Desk:
    return Desk("charlie@example.org")


@pytest.fixture
def boss(plans: None) -> User:
    return User.objects.create_superuser("boss@example.org", "correct horse 9", name="The boss")


def events(user: User, count: int) -> list[Event]:
    """Acts of every shape."""
    return [
        record(
            actor=user if i % 3 else None,
            owner=user,
            verb=VERBS[i % len(VERBS)],
            changes={"session_name": (f"Desk {i}", f"Décor “{i}”")} if i % 5 == 0 else None,
            rows=i,
            share=i / 7,
            nested={"b": [1, None, True], "a": "ñ"},
        )
        for i in range(count)
    ]


@contextmanager
def by_the_databases_owner() -> Iterator[None]:
    """SQL of somebody who can do everything but has no key: no trigger runs."""
    for switch in ("DISABLE", "ENABLE"):
        for table in ("event", "seal", "head"):
            sql(f"ALTER TABLE audit_{table} {switch} TRIGGER USER")
        if switch == "DISABLE":
            yield


def sql(statement: str, *values: object) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount
