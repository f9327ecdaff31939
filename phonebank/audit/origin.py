"""By which way the present act came: set at the door (request, job, webhook), read by `record()`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class How(models.TextChoices):
    PAGE = "page", _("a page")
    API = "api", _("the API")
    WEBHOOK = "webhook", _("a webhook")
    JOB = "job", _("a background job")
    COMMAND = "command", _("a command")
    ADMINISTRATOR = "administrator", _("the administration site")  # in entries of earlier versions


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
    return How.PAGE
