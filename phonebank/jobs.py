"""Jobs by name, on PostgreSQL. With whatsappapi/tasks.py the only module that knows the engine (Procrastinate)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection, transaction
from procrastinate import App, exceptions
from procrastinate.contrib.django import app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.jobs import Status

log = logging.getLogger(__name__)

HEARTBEAT = 1.0  # seconds
PRUNE = 60.0  # seconds without a heartbeat until a worker's row is removed


def defer(name: str, *, lock: str | None = None, once: str | None = None, delay: float = 0, **args: Any) -> bool:
    """Enqueues job `name` in the caller's transaction; it runs when (and only if) that commits.

    `lock`: jobs of one lock never run side by side. `once`: nothing is added while such a job waits (False then).
    `delay` in seconds. The queue is the task's own.
    """
    options: dict[str, Any] = {"lock": lock, "queueing_lock": once, "queue": app.tasks[name].queue}
    if delay:
        options["schedule_in"] = {"seconds": delay}
    try:
        # A savepoint: the refusal of a second one must not end the caller's transaction.
        with transaction.atomic():
            app.configure_task(name, **options).defer(**args)
    except exceptions.AlreadyEnqueued:
        return False
    return True


def is_there(lock: str) -> bool:
    """Whether a job of this lock waits or runs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE lock = %s AND status IN ('todo', 'doing'))", [lock]
        )
        return bool(cursor.fetchone()[0])


def database() -> dict[str, Any]:
    """Connection parameters of the one database, for asynchronous connections."""
    return connector_params()


@dataclass(frozen=True, slots=True)
class Standing:
    """A job that must always be there, waiting or running. Its lock is its name and arguments."""

    name: str
    args: tuple[tuple[str, int], ...] = ()

    @property
    def lock(self) -> str:
        return ":".join([self.name, *(str(value) for _, value in self.args)])


class Worker:
    """Runs jobs of some queues until stopped, whatever happens to the job engine underneath.

    `stalled`: seconds without a heartbeat after which another worker's jobs of these queues are finished as failed and
    deferred anew. (Retrying them instead runs into the unique lock index, procrastinate #1543.)
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        concurrency: int,
        stalled: float,
        standing: Sequence[Standing] = (),
        context: dict[str, Any] | None = None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self.queues, self.concurrency, self.stalled = list(queues), concurrency, stalled
        self.standing, self.context, self.on_restart = standing, context or {}, on_restart
        self.stopping = asyncio.Event()
        self.current: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Ends `run` once the running jobs are over."""
        self.stopping.set()

    async def run(self) -> None:
        """Procrastinate's worker can end by itself (pruned while frozen, database restart): it is started anew."""
        while not self.stopping.is_set():
            try:
                await self._once()
            except (psycopg.Error, exceptions.ProcrastinateException, OSError) as error:
                log.warning("The job worker ended (%s); starting anew", type(error).__name__)
            self.on_restart()
            if not self.stopping.is_set():
                await asyncio.sleep(0.5)

    async def _once(self) -> None:
        worker_app = app.with_connector(app.connector.get_worker_connector())  # type: ignore[attr-defined]
        async with worker_app.open_async():
            worker = asyncio.create_task(
                worker_app.run_worker_async(
                    queues=self.queues,
                    concurrency=self.concurrency,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    update_heartbeat_interval=HEARTBEAT,
                    stalled_worker_timeout=PRUNE,
                    fetch_job_polling_interval=1.0,
                    additional_context=self.context,
                    shutdown_graceful_timeout=60,
                )
            )
            keeper = asyncio.create_task(self._keep(worker_app))
            stopped = asyncio.create_task(self.stopping.wait())
            try:
                await asyncio.wait({worker, keeper, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                keeper.cancel()
                stopped.cancel()
                worker.cancel()
                results = await asyncio.gather(worker, keeper, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def _keep(self, worker_app: App) -> None:
        """Sees to it twice a second that every standing job is there, and that no dead worker keeps one."""
        while True:
            for queue in self.queues:
                stalled = await worker_app.job_manager.get_stalled_jobs(
                    queue=queue, seconds_since_heartbeat=self.stalled
                )
                for job in stalled:
                    await self._fail(worker_app, job.id)
            rows = await worker_app.connector.execute_query_all_async(
                "SELECT lock FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND lock = ANY(%(locks)s)",
                locks=[one.lock for one in self.standing],
            )
            there = {row["lock"] for row in rows}
            for one in self.standing:
                if one.lock not in there:
                    await self._add(worker_app, one)
            await asyncio.sleep(0.5)

    async def _fail(self, worker_app: App, job: int | None) -> None:
        try:
            await worker_app.job_manager.finish_job_by_id_async(job_id=job or 0, status=Status.FAILED, delete_job=True)
        except exceptions.ConnectorException:
            log.info("Job %s was finished by somebody else", job)

    async def _add(self, worker_app: App, one: Standing) -> None:
        task = worker_app.configure_task(
            one.name, queue=app.tasks[one.name].queue, lock=one.lock, queueing_lock=one.lock
        )
        try:
            await task.defer_async(**dict(one.args))
        except exceptions.AlreadyEnqueued:
            log.debug("%s is there already", one.lock)
