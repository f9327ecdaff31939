"""Gives each request an id, and tells the audit log where its acts come from."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from phonebank.audit.origin import acting, how_of

HEADER = "X-Request-ID"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


class AuditMiddleware:
    """First of all middleware: every answer carries X-Request-ID, refusals too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "") if settings.TRUSTED_PROXY else ""
        request_id = given if _GIVEN.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # for the log lines (audit/logs.py)
        with acting(how_of(request.path_info), address=client_address(request), request_id=request_id):
            response = self.get_response(request)
        response[HEADER] = request_id
        return response


def client_address(request: HttpRequest) -> str | None:
    """The address that our own proxy saw, where there is one; else the one that connected. None: no address."""
    address = request.META.get("REMOTE_ADDR", "")
    forwarded = request.headers.get("X-Forwarded-For", "")
    if settings.TRUSTED_PROXY and forwarded:
        address = forwarded.rsplit(",", 1)[-1].strip()
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None
