"""A steady stream of POSTs over kept-alive connections, cheap enough to share two cores with what it measures."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

CONNECTIONS = 32  # as the gateway's courier in the sandbox


@dataclass(frozen=True, slots=True)
class Delivery:
    """One POST. `number` tells it from every other, whichever way it is stored."""

    number: int
    request: bytes


@dataclass(slots=True)
class Load:
    """What came of it: seconds from the planned moment to the answer, answers by status, the numbers answered 200."""

    latencies: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    kept: set[int] = field(default_factory=set)
    seconds: float = 0.0


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class _Connection(asyncio.Protocol):
    """One request at a time; `answered` is called with the status."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = b""
        self.answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes) -> asyncio.Future[int]:
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end or len(rest) < _length(head):
            return
        self.buffer = rest[_length(head) :]
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def send(port: int, deliveries: Sequence[Delivery], rate: float) -> Load:
    """Each at its moment, `rate` a second, however long the answers take: waiting for a connection is latency."""
    load, free, ready = Load(), deque[_Connection](), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    async def connect() -> _Connection:
        _, made = await loop.create_connection(_Connection, "127.0.0.1", port)
        return made

    for _ in range(CONNECTIONS):
        free.append(await connect())
        ready.release()

    async def one(delivery: Delivery, due: float) -> None:
        async with ready:
            connection = free.popleft()
            if connection.transport is None:
                connection = await connect()
            status = await connection.ask(delivery.request)
            free.append(connection)
        load.latencies.append(time.perf_counter() - due)
        load.answers[status] += 1
        if status == 200:
            load.kept.add(delivery.number)

    begun = time.perf_counter()
    tasks = set()
    for n, delivery in enumerate(deliveries):
        due = begun + n / rate
        if (wait := due - time.perf_counter()) > 0.001:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(delivery, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - begun
    for connection in free:
        if connection.transport is not None:
            connection.transport.close()
    return load
