"""The framework's own error pages: JSON under /api/, pages for people elsewhere (settings of config/urls.py)."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

from phonebank.whatsappapi.api.errors import AGAIN, UNAVAILABLE, plain_error


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return plain_error(400, "bad_request", "This request cannot be read.")
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return plain_error(403, "permission_denied", "You may not do this.")
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return plain_error(404, "not_found", "There is no such address.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return _unavailable(request)
    if _is_api(request):
        return plain_error(500, "error", "Something went wrong here. It was noted.")
    return defaults.server_error(request)


def _unavailable(request: HttpRequest) -> HttpResponse:
    """The database is away, full or busy: it comes back by itself, and so do we."""
    if _is_api(request):
        answer: HttpResponse = plain_error(503, "unavailable", UNAVAILABLE)
    else:
        answer = HttpResponse(loader.get_template("503.html").render(), status=503)
    answer.headers["Retry-After"] = str(AGAIN)
    return answer


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")
