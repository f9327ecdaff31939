"""Where the gateway posts. Everything that can be refused without the database is refused before it is asked.

`phonebank web` answers these requests before Django's middleware, and those that arrive together with one commit
(`Door`). The view answers the same, one by one, for whatever else serves Django.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error, close_old_connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from phonebank.whatsappapi.models.fields import digest
from phonebank.whatsappapi.services import intake

SIGNATURE = "HTTP_X_WEBHOOK_SIGNATURE"  # holds the secret itself (contract 7.2)
AGAIN = {"Retry-After": "30"}  # seconds
WRONG_MAX = 20  # wrong secrets from one source
WRONG_WINDOW = 60.0  # seconds
SOURCES_MAX = 10_000
_FORMS = ("application/x-www-form-urlencoded", "multipart/")
logger = logging.getLogger(__name__)
_PATH = re.compile(r"/whatsappapi/webhook/([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?:/([^/]+))?/?")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; without an error it is an empty object."""

    status: int
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return json.dumps({"error": self.error} if self.error else {}).encode()


class _Gate:
    """Counts wrong secrets by source, in this process. A secret known to be right passes however many others fail:
    behind a proxy that names no source the gateway would else be locked out together with whoever guesses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._right: OrderedDict[str, None] = OrderedDict()

    def is_closed(self, source: str, secret: str) -> bool:
        with self._lock:
            since, count = self._wrong.get(source, (0.0, 0))
            return count >= WRONG_MAX and time.monotonic() - since < WRONG_WINDOW and secret not in self._right

    def note(self, source: str, secret: str, *, is_right: bool) -> None:
        with self._lock:
            if is_right:
                self._right[secret] = None
                self._right.move_to_end(secret)
            else:
                now = time.monotonic()
                since, count = self._wrong.get(source, (now, 0))
                self._wrong[source] = (since, count + 1) if now - since < WRONG_WINDOW else (now, 1)
                self._right.pop(secret, None)
            for known in (self._right, self._wrong):
                while len(known) > SOURCES_MAX:
                    known.popitem(last=False)


gate = _Gate()


@csrf_exempt
@login_not_required
def webhook(request: HttpRequest, user_id: uuid.UUID, token: str = "") -> HttpResponse:
    """One delivery. 200 means that it is stored for good, 503 that it should come again."""
    [reply] = answers([Call(request.META, user_id, token)])
    return HttpResponse(reply.body, content_type="application/json", status=reply.status, headers=reply.headers)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as WSGI describes it, and what its address names."""

    environ: dict[str, Any]
    user_id: uuid.UUID
    token: str


class Door:
    """The webhooks' way in, before a WSGI application that gets all other requests.

    `phonebank.server` hands over together (`answer`) what came together and `takes` says is ours.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self.most = settings.WEBHOOK_MAX_BYTES

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not self.takes(environ.get("PATH_INFO", "")):
            return self._application(environ, start_response)
        [(status, headers, body)] = self.answer([environ])
        start_response(status, headers)
        return [body]

    def takes(self, path: str) -> bool:
        return _PATH.fullmatch(path) is not None

    def answer(self, environs: Sequence[dict[str, Any]]) -> list[tuple[str, list[tuple[str, str]], bytes]]:
        """Status line, headers and body for each request. Never raises."""
        close_old_connections()
        try:
            replies = answers([_call(environ) for environ in environs])
        except Exception:
            logger.exception("webhooks could not be taken in")
            replies = [Reply(503, "Not stored. Try again later.", AGAIN)] * len(environs)
        return [
            (
                f"{one.status} {HTTPStatus(one.status).phrase}",
                [*_safety(), ("Content-Length", str(len(one.body))), *one.headers.items()],
                one.body,
            )
            for one in replies
        ]


def _call(environ: dict[str, Any]) -> Call:
    found = _PATH.fullmatch(environ["PATH_INFO"])
    assert found is not None
    return Call(environ, uuid.UUID(found[1]), (found[2] or "").encode("latin-1", "replace").decode("utf-8", "replace"))


def answers(calls: Sequence[Call]) -> list[Reply]:
    """What each request is told, once it is true: the database is asked for all of them together."""
    replies: list[Reply | None] = []
    kept: list[tuple[int, str, str, intake.Delivery]] = []
    for i, call in enumerate(calls):
        shown = call.environ.get(SIGNATURE, "")
        secret = digest(f"{call.user_id}|{shown.encode('utf-8', 'replace').decode()}")
        source = _source(call.environ)
        read = _refusal(call.environ, source, secret) or _body(call.environ)
        replies.append(read if isinstance(read, Reply) else None)
        if not isinstance(read, Reply):
            kept.append((i, source, secret, intake.Delivery(call.user_id, call.token, shown, read)))
    try:
        told = intake.receive([one[3] for one in kept]) if kept else []
    except Error:
        told = [intake.Answer(503, "Not stored. Try again later.")] * len(kept)
    for (i, source, secret, _), one in zip(kept, told, strict=True):
        if one.status != 503:
            gate.note(source, secret, is_right=one.status != 401)
        replies[i] = Reply(one.status, one.error, AGAIN if one.status == 503 else {})
    return [one for one in replies if one is not None]


def _refusal(environ: dict[str, Any], source: str, secret: str) -> Reply | None:
    """What can be said without reading the body."""
    if environ.get("REQUEST_METHOD") != "POST":
        return Reply(405, "Only POST.", {"Allow": "POST"})
    if settings.SECURE_SSL_REDIRECT and not _is_secure(environ):
        return Reply(403, "Only https.")  # a redirect would lose the body, and the secret was shown to the net already
    refusal = _unreadable(environ)
    if refusal is None and gate.is_closed(source, secret):
        return Reply(429, "Too many wrong secrets.", {"Retry-After": str(int(WRONG_WINDOW))})
    return refusal


def _unreadable(environ: dict[str, Any]) -> Reply | None:
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > settings.WEBHOOK_MAX_BYTES:
        return Reply(413, "Too large.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        return Reply(415, "No content encoding is accepted.")
    if (environ.get("CONTENT_TYPE") or "").strip().lower().startswith(_FORMS):
        return Reply(415, "Send JSON.")
    return None


def _body(environ: dict[str, Any]) -> bytes | Reply:
    """The whole body. A chunked one has no length: it is read to its end, or refused, never taken for empty."""
    most, length = settings.WEBHOOK_MAX_BYTES, environ.get("CONTENT_LENGTH") or ""
    stream = environ["wsgi.input"]
    try:
        if length.isdigit():
            body = _read(stream, int(length))
            if len(body) < int(length):
                return Reply(400, "The body broke off.")
        elif environ.get("wsgi.input_terminated"):
            body = _read(stream, most + 1)
        elif environ.get("HTTP_TRANSFER_ENCODING") or length:
            return Reply(411, "Send a Content-Length.")
        else:
            body = b""
    except OSError:
        return Reply(400, "The body broke off.")
    if len(body) > most:
        return Reply(413, "Too large.")
    return body or Reply(400, "The body is empty.")


def _read(stream: Any, most: int) -> bytes:
    """Up to `most` bytes, in as many pieces as they come."""
    parts, size = [], 0
    while size < most and (part := stream.read(most - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _source(environ: dict[str, Any]) -> str:
    """Who posts: the address that our own proxy saw, where there is one."""
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and forwarded:
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return environ.get("REMOTE_ADDR", "")


def _is_secure(environ: dict[str, Any]) -> bool:
    name, value = getattr(settings, "SECURE_PROXY_SSL_HEADER", None) or ("", "")
    return environ.get("wsgi.url_scheme") == "https" or bool(name and environ.get(name) == value)


@lru_cache(maxsize=1)
def _safety() -> tuple[tuple[str, str], ...]:
    """The headers that Django's middleware puts on everything else."""
    headers = {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    }
    if settings.SECURE_HSTS_SECONDS:
        headers["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
    return tuple(headers.items())
