"""A POST under an `Idempotency-Key` is done once: who repeats it within 24 hours gets the first answer again.

The key's row is inserted before anything is done, so that of two at once one waits for nobody and is told so. What came
to nothing (400, 401, 403, 404, 405, 406, 413, 415, 429) frees the key; every other answer is kept, encrypted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils import json

from phonebank.whatsappapi.api.errors import Problem
from phonebank.whatsappapi.models import ApiAnswer

HEADER = "Idempotency-Key"
PATTERN = r"^[!-~]{1,255}$"
REPEATED = "Idempotency-Replayed"
FREEING = frozenset({400, 401, 403, 404, 405, 406, 413, 415, 429})
LONGEST_REQUEST = timedelta(minutes=2)


class AnsweredBefore(APIException):
    """Not an error: carries the first answer past the handler."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def begin(request: Request, fingerprint: Callable[[Request], bytes]) -> ApiAnswer | None:
    """Takes the request's key, if it has one. Raises AnsweredBefore, or a Problem when it may not go on."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not re.fullmatch(PATTERN, key):
        raise ValidationError({HEADER: ["One to 255 visible ASCII characters."]})
    mine = {"user": request.user, "key": _hash("key", key.encode())}
    body = _hash("request", f"{request.method} {request.get_full_path()}\n".encode() + fingerprint(request))
    ApiAnswer.objects.expired().filter(**mine).delete()
    try:
        with transaction.atomic():
            return ApiAnswer.objects.create(**mine, request=body)
    except IntegrityError:
        raise _told(ApiAnswer.objects.filter(**mine).first(), body) from None


def _told(first: ApiAnswer | None, body: str) -> APIException:
    if first is None:  # freed between the two statements
        return Problem(409, "idempotency_in_flight", "A request with this key was just refused. Send it again.")
    if first.request != body:
        return Problem(422, "idempotency_mismatch", "This key was used for another request. Take a new one.", HEADER)
    if first.status is None and first.created_at < timezone.now() - LONGEST_REQUEST:
        return Problem(
            409,
            "idempotency_interrupted",
            "The first request with this key never ended. Look at what it did before you send it with a new key.",
            HEADER,
        )
    if first.status is None:
        return Problem(409, "idempotency_in_flight", "The first request with this key is still under way.", HEADER)
    data = json.loads(first.body) if first.body else None
    return AnsweredBefore(Response(data, status=first.status, headers={REPEATED: "true"}))


def end(answer: ApiAnswer, response: Response) -> None:
    """Keeps what was answered, or frees the key."""
    rows = ApiAnswer.objects.filter(pk=answer.pk)
    if response.status_code in FREEING:
        rows.delete()
        return
    text = "" if response.data is None else JSONRenderer().render(response.data).decode()
    answer.status, answer.body = response.status_code, text
    answer.save(update_fields=["status", "body"])


def _hash(what: str, value: bytes) -> str:
    return salted_hmac(f"phonebank.api.idempotency.{what}", value, algorithm="sha256").hexdigest()


def parameter(**more: Any) -> dict[str, Any]:
    """The header in the schema of every POST."""
    return {
        "name": HEADER,
        "in": "header",
        "description": "Done once per key: repeated within 24 hours, the first answer comes again.",
        "schema": {"type": "string", "pattern": PATTERN, "maxLength": 255, "minLength": 1},
        **more,
    }
