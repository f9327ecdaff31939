"""One HTTP exchange: bounded in time and size, never repeated, never redirected, and honest about what left.

Nothing here raises but CancelledError. An exchange ends as an `Answer` or as a `Failure`; the latter says whether a
byte of the request may have left this machine. aiohttp's exceptions stop here, for some carry request headers and
with them the key.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from phonebank import __version__
from phonebank.gateways.base import boot_clock

ANSWER_LIMIT = 64 * 1024  # bytes
LIST_LIMIT = 16 * 1024 * 1024  # bytes; a list of all sessions has no pages (contract 2), and each takes half a KiB
KEEPALIVE = 4.0  # seconds; a reset on an older idle connection would be a "maybe sent" for nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the gateway, no longer than the caller would have it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """No complete answer. `code`: late, unreachable, unsendable, timeout, reset, garbage or unexpected."""

    code: str
    detail: str
    written: bool
    http_status: int | None = None


class When(TypedDict, total=False):
    """About the first byte of a request: a `boot_clock` time in seconds after which it may not leave any more, and what
    is called at the moment when it does."""

    send_before: float | None
    leaving: Callable[[], None] | None


class _NotWritten(Exception):
    """Leaves a request body before its first byte."""


class GuardedBody(aiohttp.BytesPayload):
    """A request body that looks at clock and connection immediately before its first byte.

    aiohttp holds the headers back until the body's first chunk and writes both at once, so nothing at all is on
    the wire when this raises, and aiohttp then drops the connection. The hook `on_request_headers_sent` runs
    before any byte as well, but before Python 3.12 the write happens in a task of its own that a busy loop may
    start much later; here nothing lies between the look and the write.
    """

    def __init__(
        self, body: bytes, send_before: float | None = None, leaving: Callable[[], None] | None = None
    ) -> None:
        super().__init__(body, content_type="application/json")
        self.send_before = send_before
        self.leaving = leaving
        self.written = False
        self.late = False
        self.revoked = False  # reported as unsent: a write task that starts only now must not write any more

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self.written or self.revoked:  # no layer below may ever send a body twice
            raise _NotWritten("refused to repeat a request")
        protocol = writer.protocol
        transport = protocol.transport
        # should_close: bytes nobody asked for wait there, and would pass for the answer to this request.
        if transport is None or transport.is_closing() or protocol.should_close:
            raise _NotWritten("the connection was no longer usable")
        if self.send_before is not None and boot_clock() > self.send_before:
            self.late = True
            raise _NotWritten("too late to send")
        self.written = True
        if self.leaving is not None:
            self.leaving()
        await super().write_with_length(writer, content_length)


def open_http(*, limit: int = 0, unheard: float = 20.0) -> aiohttp.ClientSession:
    """A client session for gateway calls; needs a running loop, and the caller closes it.

    `limit` bounds open connections, 0 is unbounded (the send engine has its own in-flight caps). After `unheard`
    seconds without a sign that they arrived, bytes are no longer sent again.
    """

    def open_socket(address: AddrInfoType) -> socket.socket:
        """One whose kernel gives up when we do.

        Else a request that a broken network held up is delivered minutes after we closed the connection, when its
        message has long been proven unsent and sent anew (seen: tests/machines).
        """
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(unheard * 1000))
        return made

    connector = aiohttp.TCPConnector(
        limit=limit, keepalive_timeout=KEEPALIVE, ttl_dns_cache=60, socket_factory=open_socket
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={
            "User-Agent": f"Phonebank/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # answers are small, and none can blow up while unpacked
        },
    )


def time_limits(total: float, connect: float) -> aiohttp.ClientTimeout:
    """Limits in seconds: `total` spans connecting up to the last byte of the answer, `connect` its first part."""
    return aiohttp.ClientTimeout(total=total, connect=connect, ceil_threshold=math.inf)


async def exchange(
    http: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: Mapping[str, str],
    limits: aiohttp.ClientTimeout,
    body: aiohttp.Payload | None = None,
    most: int = ANSWER_LIMIT,
) -> Answer | Failure:
    """Make one request and read its whole answer within `limits`, up to `most` bytes. Raises only CancelledError.

    Only for a `GuardedBody` is it known exactly whether anything was written.
    """
    guard = body if isinstance(body, GuardedBody) else None
    try:
        async with http.request(
            method, url, headers=headers, data=body, timeout=limits, allow_redirects=False, raise_for_status=False
        ) as response:
            answer = await _read(response, most)
    except Exception as error:
        return _failure(error, guard)
    if guard is not None and not guard.written:  # an answer to nothing we asked
        guard.revoked = True
        return Failure("garbage", "an answer came before the request", written=False)
    return answer


async def _read(response: aiohttp.ClientResponse, most: int) -> Answer | Failure:
    content, parts, size = response.content, [], 0
    while not content.at_eof():
        part = await content.read(most + 1 - size)
        size += len(part)
        if size > most:
            response.close()
            return Failure("garbage", f"answer longer than {most} bytes", True, response.status)
        parts.append(part)
    return Answer(response.status, response.headers, b"".join(parts))


_BEFORE_THE_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_UNSENDABLE = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError, TypeError)


def _failure(error: Exception, body: GuardedBody | None) -> Failure:
    """What an exception proves. Its text is not used: aiohttp quotes addresses and headers in some."""
    name = type(error).__name__
    written = not isinstance(error, _BEFORE_THE_CONNECTION) if body is None else body.written
    if body is not None and not written:
        body.revoked = True
        if body.late:
            return Failure("late", "the moment to send had passed", written=False)
    if not written:
        code = "unsendable" if isinstance(error, _UNSENDABLE) else "unreachable"
        return Failure(code, f"nothing was sent ({name})", written=False)
    if isinstance(error, TimeoutError):
        return Failure("timeout", f"no complete answer in time ({name})", written=True)
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError)):
        return Failure("reset", f"the connection broke before the answer was complete ({name})", written=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure("garbage", f"the answer is not HTTP ({name})", written=True)
    return Failure("unexpected", f"no answer could be read ({name})", written=True)
