"""HTTP/1.1 on a bare asyncio.Protocol: keep-alive, Content-Length and chunked bodies, size caps, and nothing else.

A frame-work server costs more per request than everything the sandbox does with it; the gateway under test must
never be the slowest part of a benchmark. Answers are given through `Exchange`, now or later, whole or broken.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from time import time
from typing import Any, Protocol

MAX_HEAD = 32 * 1024  # bytes of request line and headers
LINGER = 2.0  # seconds in which a refused request's rest is read and thrown away, so that the refusal arrives
NO_LINGER = pack("ii", 1, 0)  # close() sends RST instead of FIN
REASONS = {status.value: status.phrase for status in HTTPStatus}
encode = json.JSONEncoder(separators=(",", ":")).encode


class BadRequest(Exception):
    """The bytes on the connection are no HTTP request that the sandbox understands; answered with `status`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Request:
    """One request. `headers` has lower-case names; `first_byte` is the epoch second in which its first byte came."""

    __slots__ = ("body", "first_byte", "headers", "method", "path", "peer", "query")

    def __init__(self, method: str, target: str, headers: dict[str, str], first_byte: float, peer: str) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.first_byte = first_byte
        self.peer = peer
        self.body = b""


class Response:
    """An answer, complete in memory; `headers` are pairs beside Content-Type and Content-Length."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "application/json",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers

    def render(self, *, close: bool = False) -> bytes:
        """The bytes on the wire; 204 has neither body nor length."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}"]
        if self.status != 204:
            lines.append(f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        if close:
            lines.append("Connection: close")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode("latin-1", "replace") + (b"" if self.status == 204 else self.body)


def json_response(status: int, payload: Any, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """`payload` as compact JSON (pure ASCII)."""
    return Response(status, encode(payload).encode(), "application/json", headers)


HEADS: dict[bytes, tuple[str, str, dict[str, str]]] = {}
MAX_HEADS = 4096


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers (names in lower case) of a request's head. Raises BadRequest."""
    lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise BadRequest(400, "request line") from None
    if not version.startswith("HTTP/1."):
        raise BadRequest(505, "version")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400, "header line")
        headers[name.lower()] = value.strip()
    return method, target, headers


class App(Protocol):
    """What the protocol needs of the application behind it."""

    connections: set[HttpProtocol]

    def body_limit(self, request: Request) -> int:
        """Largest body in bytes that this request may have."""

    def at_headers(self, request: Request) -> bool:
        """True to reset the connection before the body is read (a fault, and only then)."""

    def handle(self, exchange: Exchange) -> None:
        """Answers `exchange`, at once or later."""


class Exchange:
    """One request and the one answer it may get. Everything after the first end is ignored: the client may be gone."""

    __slots__ = ("done", "ended", "protocol", "request")

    def __init__(self, protocol: HttpProtocol, request: Request) -> None:
        self.protocol = protocol
        self.request = request
        self.ended = False
        self.done: Callable[[], None] | None = None

    def answer(self, response: Response) -> None:
        """Writes the whole answer."""
        if not self.ended:
            close = self.request.headers.get("connection", "").lower() == "close"
            self.protocol.transport.write(response.render(close=close))
            self.protocol.finish(close=close)

    def abort(self) -> None:
        """Resets the connection (the client sees ECONNRESET) without an answer."""
        if not self.ended:
            self.protocol.reset()

    def write(self, data: bytes) -> bool:
        """Writes raw bytes of a broken answer; False when the client is gone."""
        if self.ended:
            return False
        self.protocol.transport.write(data)
        return True

    def hang_up(self) -> None:
        """Ends a broken answer by closing the connection in good order."""
        if not self.ended:
            self.protocol.finish(close=True)

    def end(self) -> None:
        """Called by the protocol once: answered, aborted or the client left."""
        if not self.ended:
            self.ended = True
            if self.done is not None:
                self.done()


class ChunkedBody:
    """Decodes a chunked body fed in any pieces; `feed` returns the bytes after its end, or None while it lasts."""

    __slots__ = ("body", "buffer", "left", "limit")

    def __init__(self, limit: int) -> None:
        self.buffer = bytearray()
        self.body = bytearray()
        self.left = -1  # bytes missing of the current chunk with its CRLF; -1: a size line comes, -2: the trailer
        self.limit = limit

    def feed(self, data: bytes) -> bytes | None:
        self.buffer += data
        while True:
            if self.left >= 0:
                if len(self.buffer) < self.left:
                    return None
                self.body += self.buffer[: self.left - 2]
                del self.buffer[: self.left]
                self.left = -1
            end = self.buffer.find(b"\r\n")
            if end < 0:
                if len(self.buffer) > MAX_HEAD:
                    raise BadRequest(400, "chunk header too long")
                return None
            line = bytes(self.buffer[:end])
            del self.buffer[: end + 2]
            if self.left == -2:
                if not line:
                    return bytes(self.buffer)
                continue
            self.left = self._size(line)

    def _size(self, line: bytes) -> int:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BadRequest(400, "chunk size") from None
        if size < 0 or len(self.body) + size > self.limit:
            raise BadRequest(413, "body too large")
        return size + 2 if size else -2


class HttpProtocol(asyncio.Protocol):
    """One connection: requests are taken strictly one after the other, whatever the client pipelines."""

    transport: asyncio.Transport

    def __init__(self, app: App) -> None:
        self.app = app
        self.peer = ""
        self.buffer = b""
        self.first_byte = 0.0
        self.request: Request | None = None
        self.chunked: ChunkedBody | None = None
        self.body: bytearray | None = None
        self.length = 0
        self.exchange: Exchange | None = None
        self.deaf = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.app.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.app.connections.discard(self)
        if self.exchange is not None:
            self.exchange.end()

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        try:
            if self.body is not None:
                self.body += data
            elif self.chunked is not None:
                self._feed_chunks(data)
            else:
                if not self.buffer:
                    self.first_byte = time()
                self.buffer += data
            if self.exchange is None:
                self._advance()
        except BadRequest as error:
            self._refuse(error)

    def _advance(self) -> None:
        """Takes as many whole requests from the buffer as can be handled now."""
        while self.exchange is None and not self.deaf:
            if self.request is None:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self.buffer) > MAX_HEAD:
                        raise BadRequest(431, "headers too large")
                    return
                head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
                self._start(head)
                if self.deaf:
                    return
            if self.chunked is not None:
                return
            if self.body is not None:
                if len(self.body) < self.length:
                    return
                self.request.body, self.buffer = bytes(self.body[: self.length]), bytes(self.body[self.length :])
                self.body = None
            self._handle()

    def _start(self, head: bytes) -> None:
        """Reads request line and headers and prepares for the body."""
        request = self._parse(head)
        limit = self.app.body_limit(request)
        headers = request.headers
        if "expect" in headers:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
                raise BadRequest(400, "transfer encoding")
            length = -1
        else:
            text = headers.get("content-length", "0")
            if not text.isascii() or not text.isdigit():
                raise BadRequest(400, "content length")
            length = int(text)
            if length > limit:
                raise BadRequest(413, "body too large")
        if self.app.at_headers(request):
            self.reset()
            return
        self.request = request
        self.length = length
        if length < 0:
            self.chunked = ChunkedBody(limit)
            data, self.buffer = self.buffer, b""
            self._feed_chunks(data)
        elif length > len(self.buffer):
            self.body, self.buffer = bytearray(self.buffer), b""
        elif length:
            request.body, self.buffer = self.buffer[:length], self.buffer[length:]

    def _parse(self, head: bytes) -> Request:
        """The request of these bytes. A client repeats its heads, and most of the work of parsing goes into them."""
        known = HEADS.get(head)
        if known is None:
            if len(HEADS) >= MAX_HEADS:
                HEADS.clear()
            known = HEADS[head] = parse_head(head)
        return Request(*known, self.first_byte, self.peer)

    def _feed_chunks(self, data: bytes) -> None:
        rest = self.chunked.feed(data)
        if rest is not None:
            self.request.body = bytes(self.chunked.body)
            self.buffer, self.chunked = rest, None

    def _handle(self) -> None:
        request, self.request = self.request, None
        self.exchange = Exchange(self, request)
        self.first_byte = time()  # of a pipelined next request, which is here already
        self.app.handle(self.exchange)

    def _refuse(self, error: BadRequest) -> None:
        body = encode({"success": False, "message": error.reason}).encode()
        self.transport.write(Response(error.status, body).render(close=True))
        self.deaf = True
        self.buffer, self.body, self.chunked = b"", None, None
        asyncio.get_running_loop().call_later(LINGER, self.transport.close)

    def finish(self, *, close: bool) -> None:
        """The exchange got its answer; goes on with what waits in the buffer, or closes."""
        exchange, self.exchange = self.exchange, None
        exchange.end()
        if close:
            self.deaf = True
            self.transport.close()
        elif self.buffer:
            # From the loop, not from here: a pipelining client must not be able to nest calls without end.
            asyncio.get_running_loop().call_soon(self.data_received, b"")

    def reset(self) -> None:
        """Closes the connection with a TCP reset."""
        self.deaf = True
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.end()
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, NO_LINGER)
        self.transport.abort()
