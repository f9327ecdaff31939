"""Jobs by name, on PostgreSQL. With whatsappapi/tasks.py the only module that knows the engine (Procrastinate)."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection, transaction
from procrastinate import App, JobContext, exceptions
from procrastinate.contrib.django import app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.jobs import Status

log = logging.getLogger(__name__)

HEARTBEAT = 1.0  # seconds
PRUNE = 60.0  # seconds without a heartbeat until a worker's row is removed
MISSED = 2.0  # seconds after its end that a job is still `doing`: nobody else will write that end down


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
    `longest`: seconds after which a job of ours hangs for good; then the whole process says where, and ends.
    """

    def __init__(
        self,
        queues: Sequence[str],
        *,
        concurrency: int,
        stalled: float,
        longest: float | None = None,
        standing: Sequence[Standing] = (),
        context: dict[str, Any] | None = None,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self.queues, self.concurrency, self.stalled, self.longest = list(queues), concurrency, stalled, longest
        self.begun: dict[int, float] = {}  # our jobs, by when they began; and those whose end may have been missed
        self.ended: dict[int, float] = {}
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
                    worker_middleware=[self._note],
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
            await self._look_at_ours(worker_app)
            rows = await worker_app.connector.execute_query_all_async(
                "SELECT lock FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND lock = ANY(%(locks)s)",
                locks=[one.lock for one in self.standing],
            )
            there = {row["lock"] for row in rows}
            for one in self.standing:
                if one.lock not in there:
                    await self._add(worker_app, one)
            await asyncio.sleep(0.5)

    async def _note(self, call: Callable[[], Awaitable[Any]], context: JobContext, worker: Any) -> Any:
        job = context.job.id or 0
        self.begun[job] = time.monotonic()
        try:
            return await call()
        finally:
            del self.begun[job]
            self.ended[job] = time.monotonic()

    async def _look_at_ours(self, worker_app: App) -> None:
        """A job whose end was lost with a database connection would be `doing` as long as this worker lives."""
        now = time.monotonic()
        late = [job for job, at in self.ended.items() if at < now - MISSED]
        if late:
            rows = await worker_app.connector.execute_query_all_async(
                "SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND id = ANY(%(late)s)", late=late
            )
            doing = {row["id"] for row in rows}
            for job in late:
                if job not in doing:
                    del self.ended[job]
                else:
                    log.warning("The end of job %s was not written down; that is done now", job)
                    await self._fail(worker_app, job)
        if self.longest and any(at < now - self.longest for at in self.begun.values()):
            log.critical("A job has not ended within %.0f s; this process ends, to be started anew", self.longest)
            faulthandler.dump_traceback(all_threads=True)
            os._exit(70)  # the thread that hangs would keep any other exit waiting

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
