"""Posts webhooks: concurrently per target, on kept-alive connections, never in the way of acceptance (contract 7.1)."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

WORKERS = 32  # posts at the same time per target
BACKLOG = 200_000  # events waiting per target; what comes beyond is lost
TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(slots=True)
class Delivery:
    """One POST. `done` is called when it ended, whichever way."""

    url: str
    body: bytes
    secret: str
    retries: int = 0
    retry_after: float = 1.0
    done: Callable[[], None] | None = None


class Courier:
    """One queue per target (scheme, host, port), served by a few tasks that end when it is empty."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Delivery]] = {}
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        # posted, ok, refused (by their answer), failed (no answer), lost (no room), retried
        self.counts: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Deliveries queued or under way."""
        return sum(map(len, self._queues.values())) + sum(self._busy.values()) + len(self._timers)

    def post(self, delivery: Delivery) -> None:
        """Queues a delivery."""
        parts = urlsplit(delivery.url)
        target = f"{parts.scheme}://{parts.netloc}"
        queue = self._queues.setdefault(target, deque())
        if len(queue) >= BACKLOG:
            self.counts["lost"] += 1
            if delivery.done is not None:
                delivery.done()
            return
        queue.append(delivery)
        if self._busy[target] < WORKERS:
            self._busy[target] += 1
            task = asyncio.get_running_loop().create_task(self._work(target, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, target: str, queue: deque[Delivery]) -> None:
        try:
            while queue:
                await self._deliver(queue.popleft())
        finally:
            self._busy[target] -= 1

    async def _deliver(self, delivery: Delivery) -> None:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {"Content-Type": "application/json", "X-Webhook-Signature": delivery.secret}
        self.counts["posted"] += 1
        try:
            async with self._client.post(
                delivery.url, data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                taken = response.status < 300
            self.counts["ok" if taken else "refused"] += 1
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            taken = False
            self.counts["failed"] += 1
        if delivery.done is not None:
            delivery.done()
            delivery.done = None
        if not taken and delivery.retries:
            self._again(delivery)

    def _again(self, delivery: Delivery) -> None:
        """Repeats later, each time after twice the wait."""

        def repeat() -> None:
            self._timers.discard(handle)
            self.counts["retried"] += 1
            self.post(delivery)

        handle = asyncio.get_running_loop().call_later(delivery.retry_after, repeat)
        self._timers.add(handle)
        delivery.retries -= 1
        delivery.retry_after *= 2

    async def close(self) -> None:
        """Stops at once; what was not posted is lost."""
        for handle in self._timers:
            handle.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
