"""Things to do at a time: one heap and one timer, because a timer per message costs more than the message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import time
from typing import Any

TICK = 0.005  # seconds: a timer for each of ten thousand steps a second costs more than the steps


class Agenda:
    """Calls functions at epoch seconds, in order; all within one event loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._wake = 0.0
        self._loop = asyncio.get_running_loop()

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Calls `call(*args)` at `when` or a tick later, never at once."""
        heappush(self._heap, (when, next(self._order), call, args))
        if self._timer is None or when < self._wake:
            self._set(when)

    def clear(self) -> None:
        """Forgets everything."""
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake = when
        self._timer = self._loop.call_later(max(when - time(), TICK), self._run)

    def _run(self) -> None:
        self._timer = None
        heap = self._heap
        now = time()
        while heap and heap[0][0] <= now:
            _, _, call, args = heappop(heap)
            call(*args)
        if heap and self._timer is None:
            self._set(heap[0][0])
