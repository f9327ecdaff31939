"""Tables are changed beside processes that use them."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.commands.migrate import Command as Migrate
from django.db import connection

from phonebank.whatsappapi.management.commands import migrate

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other() -> Iterator[psycopg.Connection[Any]]:
    """A running process, in the middle of something."""
    there = {"dbname": connection.settings_dict["NAME"]}
    with psycopg.connect(psycopg.conninfo.make_conninfo(os.environ["DATABASE_URL"], **there)) as made:
        yield made
        made.rollback()


def test_a_migration_that_runs_into_a_running_process_is_done_again(
    other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "WAIT", "200ms")
    tries = []

    def handle(self: Migrate, *args: Any, **options: Any) -> None:
        tries.append(1)
        if len(tries) == 2:
            other.rollback()
        with connection.schema_editor() as editor:
            editor.deferred_sql.append("ALTER TABLE whatsappapi_installation ADD COLUMN passing int")
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE whatsappapi_installation DROP COLUMN passing")

    monkeypatch.setattr(Migrate, "handle", handle)
    other.execute("SELECT 1 FROM whatsappapi_installation")  # its lock on the table ends with its transaction
    out = io.StringIO()
    call_command("migrate", stdout=out)
    assert len(tries) == 2 and "trying again" in out.getvalue()
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_of_two_that_migrate_one_waits(other: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    came = threading.Event()
    monkeypatch.setattr(Migrate, "handle", lambda self, *args, **options: came.set())
    other.execute("SELECT pg_advisory_lock(%s)", [migrate.ALONE])

    def run() -> None:
        try:
            call_command("migrate")
        finally:
            connection.close()

    second = threading.Thread(target=run)
    second.start()
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    for _ in range(1000):
        if other.execute(waits).fetchone() == (1,):
            break
        second.join(0.03)
    assert not came.is_set()
    other.execute("SELECT pg_advisory_unlock(%s)", [migrate.ALONE])
    second.join(60)
    assert came.is_set()
