"""How long a login lasts (docs/security.md): 12 hours or, with “Keep me logged in”, 14 days without use; 30 at most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth import logout, user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from phonebank.audit.middleware import client_address

IDLE = timedelta(hours=12)
IDLE_REMEMBERED = timedelta(days=14)
MOST = timedelta(days=30)
STEP = timedelta(minutes=10)  # `seen` is that exact: not a write for every request
BEGAN, SEEN, AGENT, ADDRESS = "login_at", "login_seen", "login_agent", "login_from"
LINK_LOGIN = "link_login_at"  # when, for who came by a one-time link


@receiver(user_logged_in)
def _began(request: HttpRequest | None, **_: Any) -> None:
    if request is not None:
        mark(request)


def mark(request: HttpRequest) -> None:
    """Begins the time of this login, and notes what its owner may know it by."""
    now = timezone.now().timestamp()
    request.session[BEGAN] = request.session[SEEN] = now
    request.session[AGENT] = request.headers.get("User-Agent", "")[:200]
    request.session[ADDRESS] = client_address(request) or ""


def is_over(request: HttpRequest) -> bool:
    """Whether this login has lasted long enough. A page that refreshes by itself does not keep it alive."""
    session, now = request.session, timezone.now().timestamp()
    idle = IDLE if session.get_expire_at_browser_close() else IDLE_REMEMBERED
    if now - session[BEGAN] > MOST.total_seconds() or now - session[SEEN] > idle.total_seconds():
        return True
    by_itself = request.method == "GET" and "HX-Request" in request.headers
    if not by_itself and now - session[SEEN] > STEP.total_seconds():
        session[SEEN] = now
    return False


class LifetimeMiddleware:
    """Logs out whose time is over; the page then asks for the password, and leads back to where it was."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            if BEGAN not in request.session:  # a login of the release before
                mark(request)
            elif is_over(request):
                logout(request)
        return self.get_response(request)
