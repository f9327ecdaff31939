"""By which way the present act came: set at the door (request, job, webhook), read by `record()`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import models


class How(models.TextChoices):
    PAGE = "page", "a page"
    API = "api", "the API"
    WEBHOOK = "webhook", "a webhook"
    JOB = "job", "a background job"
    COMMAND = "command", "a command"
    ADMINISTRATOR = "administrator", "the administration site"


@dataclass(frozen=True, slots=True)
class Origin:
    """The way, and for requests who asked: address and request id are empty elsewhere."""

    how: str
    address: str | None = None
    request_id: str = ""


# Whatever no door has marked was started by hand in a terminal.
current: ContextVar[Origin] = ContextVar("audit_origin", default=Origin(How.COMMAND))  # noqa: B039 frozen


@contextmanager
def acting(how: str, *, address: str | None = None, request_id: str = "") -> Iterator[Origin]:
    """What is recorded inside came by `how`. Threads that asyncio starts inside inherit it."""
    origin = Origin(how, address, request_id)
    token = current.set(origin)
    try:
        yield origin
    finally:
        current.reset(token)


def how_of(path: str) -> How:
    """The way of a request, by its path."""
    if path.startswith("/api/"):
        return How.API
    if path.startswith("/whatsappapi/webhook/"):
        return How.WEBHOOK
    return How.ADMINISTRATOR if path.startswith("/admin/") else How.PAGE
