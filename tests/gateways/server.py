"""A server made of plain sockets, so that resets, drips, cuts and garbage are the real thing."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

KEY = "0123456789abcdef" * 4
TOKEN = "17|" + "Ab3" * 14
PHONE = "+12125550123"
ACCEPTED = {"success": True, "data": {"msgId": 12345678, "jid": PHONE, "status": "in_progress"}}


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> object:
        return json.loads(self.body)


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[bool | None]]


def answer(status: int, body: object = b"", headers: dict[str, str] | None = None) -> bytes:
    """A complete HTTP answer; a body that is not bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def replies(*parts: bytes) -> Behaviour:
    """Write `parts` and keep the connection."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)

    return behave


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class RawServer:
    """Reads requests and lets `behave` answer; a behaviour that returns True ends the connection."""

    behave: Behaviour = field(default_factory=lambda: replies(answer(200, ACCEPTED)))
    requests: list[Request] = field(default_factory=list)
    received: bytes = b""  # everything that arrived, on all connections
    connections: int = 0
    open_now: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._tasks: set[asyncio.Task] = set()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; it is looked at whenever something arrives or a connection ends."""
        async with asyncio.timeout(60):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        self.open_now += 1
        number = self.connections
        try:
            while (request := await self._read(reader, number)) is not None:
                self.requests.append(request)
                self.changed.set()
                if await self.behave(request, writer):
                    break
        except (OSError, asyncio.CancelledError):
            pass  # the client or the test is done with us
        finally:
            self.open_now -= 1
            self.changed.set()
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Request | None:
        data = b""
        need: int | None = None
        while need is None or len(data) < need:
            part = await reader.read(65536)
            if not part:
                return None
            self.received += part
            self.changed.set()
            data += part
            if need is None and (end := data.find(b"\r\n\r\n")) >= 0:
                line, *fields = data[:end].decode("latin-1").split("\r\n")
                headers = {name.casefold(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
                need = end + 4 + int(headers.get("content-length", 0))
        return Request(line, headers, data[end + 4 :], number)
