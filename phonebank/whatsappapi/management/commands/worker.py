"""`phonebank worker`: sends messages and does the heavy work, in two processes. Start as many as you like, anywhere."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, close_old_connections, connection

try:
    from uvloop import new_event_loop
except ImportError:  # no wheel for this platform: the same, at twice the CPU
    from asyncio import new_event_loop  # type: ignore[assignment]

from phonebank import jobs
from phonebank.audit.origin import How, Origin, acting, current
from phonebank.processes import Group, end_with_parent
from phonebank.whatsappapi.dispatch.vitals import Vitals
from phonebank.whatsappapi.dispatch.worker import Engine
from phonebank.whatsappapi.models import WorkerReport
from phonebank.whatsappapi.services import guard, webhooks

log = logging.getLogger("phonebank.worker")
TIDY = 60.0  # seconds
HUNG = 900.0  # seconds; a chore ends after ten, or with the last of the files that it is uploading


class Command(BaseCommand):
    help = "Runs a worker: a process that sends and one for heavy work."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", choices=["send", "work"], help="one of the two processes, in the foreground")

    def handle(self, *args: Any, only: str | None = None, **options: Any) -> None:
        end_with_parent()
        current.set(Origin(How.JOB))
        let_go_of_locks()
        guard.look()
        connection.close()  # the parts are forked
        if only == "send":
            _run(send())
        elif only == "work":
            _run(work())
        else:
            both()


def let_go_of_locks() -> None:
    """A process that freezes or is cut off amid a transaction keeps its locks from all others for 3 s, not for ever.

    And one that is cut off notices it: TCP would try again for a quarter of an hour.
    """
    options = connection.settings_dict.setdefault("OPTIONS", {})
    options["options"] = f"{options.get('options', '')} -c idle_in_transaction_session_timeout=3s".strip()
    options |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}


def both() -> None:
    """Starts the two processes and starts again what ends."""
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    group = Group()
    parts = {"send": lambda: _part(send), "work": lambda: _part(work)}
    for name, part in parts.items():
        group.fork(name, part)
    try:
        while not ended.wait(0.1):
            for name in group.revive():
                log.warning("The %s process had ended; started again", name)
    finally:
        group.stop()


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def _part(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    end_with_parent()
    _run(main())


def standing() -> list[jobs.Standing]:
    """The jobs of the send process that must always exist: a driver for each shard, and the chores."""
    shards = [jobs.Standing("drive_shard", (("shard", shard),)) for shard in range(settings.SEND_SHARDS)]
    chores = (
        "tend_campaigns",
        "reconcile",
        "poll_deliveries",
        "look_after_sessions",
        "reconnect_sessions",
        "tell_people",
        "keep_media",
        "roll_up",
        "seal_audit",
    )
    return [*shards, *(jobs.Standing(name) for name in chores)]


async def send() -> None:
    """The sending process: engine and shards. SIGTERM drains it: in-flight requests end and are settled first."""
    # What was imported lives as long as the process, and each message makes garbage that is no cycle: looking through
    # all of it every 700 objects took a quarter of the sender's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    stop = threading.Event()
    # Each chore keeps a thread for ten seconds: with the usual few (processors + 4) they would wait for one another.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(len(standing()), thread_name_prefix="chore"))
    engine = Engine(jobs.database())
    worker = jobs.Worker(
        ["send", "chores"],
        concurrency=len(standing()) + 2,
        stalled=3,
        longest=HUNG,
        standing=standing(),
        context={"engine": engine, "stop": stop},
        on_restart=engine.drop_all,
    )

    def drain() -> None:
        stop.set()
        worker.stop()
        engine.drain()

    _on_signals(drain)
    tidying = asyncio.create_task(tidy())
    parts = [asyncio.create_task(engine.run()), asyncio.create_task(worker.run())]
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    drain()
    await asyncio.gather(*parts)
    tidying.cancel()


async def tidy() -> None:
    """Collects garbage in cycles: what broken requests and chores leave of it would else wait for half an hour, and
    with few messages for days. Without what was imported (it is frozen) a look takes some milliseconds."""
    while True:
        await asyncio.sleep(TIDY)
        gc.collect()


async def work() -> None:
    """The working process: deals, imports and other heavy jobs, and the webhooks that came in."""
    stop = threading.Event()
    worker = jobs.Worker(["work"], concurrency=4, stalled=60, context={"stop": stop})

    def drain() -> None:
        stop.set()
        worker.stop()

    _on_signals(drain)
    await asyncio.gather(worker.run(), asyncio.to_thread(intake, stop))


def intake(stop: threading.Event) -> None:
    """Processes stored webhooks. Any number of workers may do so: rows are locked, merges are monotonic."""
    vitals = Vitals(WorkerReport.Kind.WORK)
    while not stop.is_set():
        try:
            with acting(How.WEBHOOK):
                found = webhooks.process_batch(limit=200, vitals=vitals)
            vitals.flush_now()
            if not found:
                stop.wait(0.1)
        except OperationalError as error:
            log.warning("Webhooks wait for the database (%s)", type(error).__name__)
            close_old_connections()
            stop.wait(1.0)
        except Exception:
            log.exception("A batch of webhooks failed; it is tried again")
            stop.wait(1.0)


def _on_signals(drain: Any) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, drain)
