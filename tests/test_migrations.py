"""A database of the old world, one number per user or several without names, moves forward with everything it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from phonebank.whatsappapi.models.fields import digest

OLD = [("accounts", "0002_plans"), ("whatsappapi", "0001_single_session")]


@pytest.fixture
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database of its own, empty: migrating the shared one back and forth would take longer and touch the others."""
    with django_db_blocker.unblock():
        name = connection.settings_dict["NAME"]
        values = connection.get_connection_params()
        values = {key: values[key] for key in ("dbname", "user", "password", "host", "port") if key in values}
        server = psycopg.connect(**values, autocommit=True)
        server.execute("DROP DATABASE IF EXISTS phonebank_old_world")
        server.execute("CREATE DATABASE phonebank_old_world")
        connection.close()
        connection.settings_dict["NAME"] = "phonebank_old_world"
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = name
            server.execute("DROP DATABASE phonebank_old_world")
            server.close()


def migrate(targets: list[tuple[str, str]]) -> Any:
    """Migrates to `targets` and returns the models of that state."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


def populate(apps: Any) -> dict[str, int]:
    """Users with 0, 1 and 3 sessions. The one inserted first need not be the earliest."""
    users = {}
    for name, count in (("none", 0), ("one", 1), ("three", 3)):
        user = apps.get_model("accounts", "User").objects.create(email=f"{name}@example.org")
        users[name] = user.pk
        for i in range(count):
            row = apps.get_model("whatsappapi", "WaSenderSession").objects.create(
                user=user, phone_number=f"+1212555010{i}", wasender_id=10 * count + i, status="connected",
                api_key=f"key {name} {i}", webhook_secret=f"secret {name} {i}" if i else "",
            )  # fmt: skip
            created = f"2024-0{(i + 1) % 3 + 1}-01T00:00:00Z"  # of three, the last one is the earliest
            type(row).objects.filter(pk=row.pk).update(created_at=created)
    return users


def test_an_old_database_moves_forward(db: None) -> None:
    users = populate(migrate(OLD))
    leaves = [one for one in MigrationExecutor(connection).loader.graph.leaf_nodes() if one[0] == "whatsappapi"]
    assert leaves[0][1] >= "0004"
    apps = migrate(leaves)
    sessions = apps.get_model("whatsappapi", "WaSenderSession").objects.order_by("created_at")

    assert sessions.count() == 4 and not sessions.filter(user_id=users["none"]).exists()
    for name, count in (("one", 1), ("three", 3)):
        rows = list(sessions.filter(user_id=users[name]))
        assert [one.session_name for one in rows] == [f"Session {i + 1}" for i in range(count)]
        assert [one.is_default for one in rows] == [True] + [False] * (count - 1)
    third = sessions.get(user_id=users["three"], phone_number="+12125550102")
    assert third.session_name == "Session 1" and third.is_default  # the earliest, not the first inserted

    for one in sessions:
        number = int(one.phone_number[-1])
        name = "one" if one.user_id == users["one"] else "three"
        assert one.api_key == f"key {name} {number}" and one.api_key_digest == digest(one.api_key)
        assert one.webhook_secret == (f"secret {name} {number}" if number else "")
        assert one.webhook_secret_digest == digest(one.webhook_secret)
        assert one.status == "connected" and one.key_version == 1 and one.messages_sent_today == 0
        assert one.account.user_id == one.user_id
    assert len({one.public_id for one in sessions}) == len({one.webhook_token for one in sessions}) == 4
    assert all(len(one.webhook_token) >= 32 for one in sessions)
    assert apps.get_model("whatsappapi", "Installation").objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM whatsappapi_wasendersession WHERE api_key LIKE 'key %'")
        assert cursor.fetchone() == (0,)
    refuse(sessions, users["three"])


def refuse(sessions: Any, user: int) -> None:
    """The constraints hold on what came from the old world."""
    rows = list(sessions.filter(user_id=user).order_by("session_name"))
    for change in (
        {"is_default": True},
        {"session_name": "SESSION 1"},
        {"public_id": rows[0].public_id},
        {"wasender_id": rows[0].wasender_id},
        {"account_id": None},
        {"messages_sent_today": -1},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            sessions.filter(pk=rows[1].pk).update(**change)


def test_an_empty_old_database_moves_forward(db: None) -> None:
    migrate(OLD)
    leaves = [one for one in MigrationExecutor(connection).loader.graph.leaf_nodes() if one[0] == "whatsappapi"]
    apps = migrate(leaves)
    assert apps.get_model("whatsappapi", "WaSenderSession").objects.count() == 0
