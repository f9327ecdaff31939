"""Where the gateway posts. Everything that can be refused without the database is refused before it is asked."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from phonebank.whatsappapi.models.fields import digest
from phonebank.whatsappapi.services import webhooks

RETRY_AFTER = 30  # seconds
WRONG_MAX = 20  # wrong secrets from one source
WRONG_WINDOW = 60.0  # seconds
SOURCES_MAX = 10_000
_FORMS = ("application/x-www-form-urlencoded", "multipart/")


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
def webhook(request: HttpRequest, user_id: uuid.UUID, token: str = "") -> JsonResponse:
    """One delivery. 200 means that it is stored for good, 503 that it should come again."""
    if request.method != "POST":
        return _answer(405, "Only POST.", Allow="POST")
    refusal = _unreadable(request)
    if refusal is not None:
        return refusal
    secret = digest(f"{user_id}|{request.headers.get(webhooks.SIGNATURE, '')}")
    source = _source(request)
    if gate.is_closed(source, secret):
        return _answer(429, "Too many wrong secrets.", **{"Retry-After": str(int(WRONG_WINDOW))})
    body = _body(request)
    if isinstance(body, JsonResponse):
        return body
    try:
        answer = webhooks.receive(user_id=user_id, token=token, headers=request.headers, body=body)
    except Error:
        return _answer(503, "Not stored. Try again later.", **{"Retry-After": str(RETRY_AFTER)})
    gate.note(source, secret, is_right=answer.status != 401)
    headers = {"Retry-After": str(RETRY_AFTER)} if answer.status == 503 else {}
    return JsonResponse(answer.body, status=answer.status, headers=headers)


def _unreadable(request: HttpRequest) -> JsonResponse | None:
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > settings.WEBHOOK_MAX_BYTES:
        return _answer(413, "Too large.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return _answer(415, "No content encoding is accepted.")
    if request.content_type.lower().startswith(_FORMS):
        return _answer(415, "Send JSON.")
    return None


def _body(request: HttpRequest) -> bytes | JsonResponse:
    """The whole body. A chunked one has no length: it is read to its end, or refused, never taken for empty."""
    most = settings.WEBHOOK_MAX_BYTES
    try:
        if request.META.get("CONTENT_LENGTH"):
            body = request.read(most + 1)
        elif request.META.get("wsgi.input_terminated"):
            body = _read_to_end(request.META["wsgi.input"], most)
        elif request.headers.get("Transfer-Encoding"):
            return _answer(411, "Send a Content-Length.")
        else:
            body = b""
    except (UnreadablePostError, OSError):
        return _answer(400, "The body broke off.")
    if len(body) > most:
        return _answer(413, "Too large.")
    return body or _answer(400, "The body is empty.")


def _read_to_end(stream: Any, most: int) -> bytes:
    parts, size = [], 0
    while size <= most and (part := stream.read(most + 1 - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _source(request: HttpRequest) -> str:
    """Who posts: the address that our own proxy saw, where there is one."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if getattr(settings, "SECURE_PROXY_SSL_HEADER", None) and forwarded:
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return request.META.get("REMOTE_ADDR", "")


def _answer(status: int, text: str, **headers: str) -> JsonResponse:
    return JsonResponse({"error": text}, status=status, headers=headers)
