"""Headers that every answer has, whoever gave it: a page, the API, a file, a refusal of the framework's own."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from phonebank.whatsappapi.api.errors import plain_error

# What pages of ours never ask a browser for.
REFUSED = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "serial", "usb")
HEADERS = {
    "Cache-Control": "no-store",  # who may be kept says so: the files, by WhiteNoise
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{one}=()" for one in REFUSED),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # of files and refusals; pages get it from Django
}


class SecurityHeaders:
    """Before all that may answer by itself. What another has set stays: pages have a policy of their own."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = _refusal(request) or self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.DEBUG and response.status_code in (404, 500):
            del response["Content-Security-Policy"]  # the framework's pages for developers have styles of their own
        return response


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """A program is not sent on to https: its token has crossed the net in clear, and nobody would notice."""
    path = request.path_info
    if not settings.SECURE_SSL_REDIRECT or request.is_secure() or not path.startswith("/api/"):
        return None
    if path.startswith("/api/docs/"):
        return None
    return plain_error(403, "https_only", "Only https. Revoke the token if you have just sent one without it.")
