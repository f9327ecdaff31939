"""Jobs by name: once, in the caller's transaction."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from procrastinate import exceptions
from procrastinate.contrib.django import app
from procrastinate.manager import JobManager

from phonebank import jobs
from phonebank.accounts.models import User
from tests.reference import restore
from tests.scenes.conftest import test_database as database_url


@pytest.mark.django_db(transaction=True)
def test_a_job_that_waits_already_does_not_end_the_callers_transaction() -> None:
    restore()
    assert jobs.defer("cancel_rows", lock="deal:1", once="deal:1", campaign=1)
    with transaction.atomic():
        User.objects.create_user("kept@example.com")
        assert not jobs.defer("cancel_rows", lock="deal:1", once="deal:1", campaign=1)
    assert User.objects.filter(email="kept@example.com").exists()
    assert jobs.is_there("deal:1")


@pytest.fixture
def rounds() -> Iterator[list[float]]:
    """When a standing job ran."""
    ran: list[float] = []
    app.task(name="look_around", queue="looks")(lambda: ran.append(time.monotonic()))
    yield ran
    del app.tasks["look_around"]


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_end_was_lost_does_not_block_its_successors(
    rounds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies under the statement that ends it; the worker itself lives on, and so does its heartbeat."""
    finish, lost = JobManager.finish_job, []

    async def lose_the_first(self: JobManager, *args: Any, **options: Any) -> None:
        if not lost:
            lost.append(options["job"].id)
            raise exceptions.ConnectorException
        await finish(self, *args, **options)

    monkeypatch.setattr(JobManager, "finish_job", lose_the_first)
    worker = jobs.Worker(["looks"], concurrency=2, stalled=3, standing=[jobs.Standing("look_around")])

    async def run() -> None:
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(90):
            while len(rounds) < 3:
                await asyncio.sleep(0.05)
        worker.stop()
        await running
        await sync_to_async(connections.close_all)()  # the one that jobs were deferred over, in a thread of its own

    asyncio.run(run())
    assert lost and not worker.begun


HANG = """
import asyncio, threading
import django
django.setup()
from procrastinate.contrib.django import app
from phonebank import jobs
app.task(name="hang", queue="hangs")(lambda: threading.Event().wait())
worker = jobs.Worker(["hangs"], concurrency=2, stalled=3, longest=1.0, standing=[jobs.Standing("hang")])
asyncio.run(worker.run())
"""


@pytest.mark.django_db(transaction=True)
def test_a_process_with_a_job_that_hangs_says_where_and_ends() -> None:
    where = os.environ | {"DATABASE_URL": database_url()}
    ended = subprocess.run([sys.executable, "-c", HANG], env=where, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 70
    assert "has not ended within 1 s" in ended.stderr and "in wait" in ended.stderr
