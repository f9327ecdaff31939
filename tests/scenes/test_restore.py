"""A backup of a running installation, restored: not one request before a person's word, and nobody twice after it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from phonebank.processes import phonebank

from .conftest import Scene, test_database

pytestmark = pytest.mark.django_db(transaction=True)
COPY = "restored_copy"


@pytest.fixture
def copy() -> Iterator[str]:
    """The address of an empty database on the same server."""

    def drop() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")

    drop()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {COPY}")
    yield urlunsplit(urlsplit(test_database())._replace(path=f"/{COPY}"))
    drop()


def run(env: dict[str, str], *args: str) -> str:
    done = subprocess.run(phonebank(*args), env=os.environ | env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def one(url: str, query: str) -> Any:
    with psycopg.connect(url) as asked:
        return asked.execute(query).fetchone()[0]


def test_nothing_leaves_a_restored_copy_before_a_persons_word(scene: Scene, copy: str, tmp_path: Path) -> None:
    campaign = scene.campaign(scene.people(1500), scene.link(2))
    scene.until("some are sent", lambda: scene.sent(campaign) >= 100)
    scene.kill("send")  # in the backup the campaign runs, with requests under way
    file = tmp_path / "phonebank.dump"
    said = run(scene.env, "backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600 and "FIELD_ENCRYPTION_KEYS" in said and [*tmp_path.iterdir()] == [file]
    then = scene.sent(campaign)
    scene.start("send")
    scene.until("more are sent after the backup", lambda: scene.sent(campaign) >= then + 150)
    for name in ("send", "work", "web"):
        scene.kill(name)
        del scene.group.children[name]
    written = scene.ledger()
    assert then + 150 <= len(written) < 1500

    keys = {"FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS), "AUDIT_KEY": settings.AUDIT_KEY}
    env = scene.env | keys | {"DATABASE_URL": copy, "PHONEBANK_DATA": str(tmp_path / "home")}
    said = run(env, "restore", str(file))
    assert "resume-after-restore" in said
    before = scene.sandbox.call("GET", "/sandbox/stats")["requests"]
    scene.group.start("worker", phonebank("worker"), env)
    scene.group.start("web", phonebank("web", "--port", str(scene.web_port)), env)
    fresh = "SELECT extract(epoch FROM max(seen_at - started_at))::float8 FROM whatsappapi_workerreport " \
            "WHERE started_at > now() - interval '1 hour' AND kind = 'send' AND seen_at > (SELECT held_at FROM " \
            "whatsappapi_installation)"  # fmt: skip
    scene.until("a worker to hold its shards for some seconds", lambda: (one(copy, fresh) or 0) > 5)
    assert scene.sandbox.call("GET", "/sandbox/stats")["requests"] == before and scene.ledger() == written
    assert one(copy, "SELECT state FROM whatsappapi_campaign") == "running"

    said = run(env, "resume-after-restore")
    left_out = one(copy, "SELECT count(*) FROM whatsappapi_message WHERE state = 'skipped'")
    assert left_out >= 100 and f"name them: {left_out} messages" in said
    done = "SELECT state = 'completed' FROM whatsappapi_campaign"
    scene.until("the campaign to complete", lambda: one(copy, done), 120)
    ledger = scene.ledger()
    assert len(ledger) == 1500 and max(ledger.values()) == 1
    for name in ("worker", "web"):
        scene.signal(name, signal.SIGTERM)
        scene.group.children.pop(name).wait(60)
