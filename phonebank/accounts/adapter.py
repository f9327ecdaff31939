"""Where sign-up and login differ from allauth's own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import ratelimit
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import translation
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.accounts.services import signup_is_open

BEGUN = "login_begun"  # in the session: by which password this login began
TOO_MANY = gettext_lazy("Too many wrong tries. Wait five minutes: until then even the right one is refused.")


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "too_many_login_attempts": TOO_MANY,
        "rate_limited": TOO_MANY,
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """SIGNUP=open only; an invited person comes by their link, the first administrator by the setup link."""
        return signup_is_open()

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        if not may_guess(request):
            raise self.validation_error("too_many_login_attempts")
        super().pre_authenticate(request, **credentials)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        note_wrong(request)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """By the account alone. allauth takes the Host header in, whose port is whatever somebody writes there."""
        return credentials.get("email", "").lower()

    def pre_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse | None:
        request.session[BEGUN] = user.get_session_auth_hash()
        return super().pre_login(request, user, **about)

    def login(self, request: HttpRequest, user: User) -> None:
        """After the last of allauth's stages, which may be a quarter of an hour after the first."""
        if not user.is_active:
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        if not constant_time_compare(request.session.pop(BEGUN, ""), user.get_session_auth_hash()):
            messages.error(request, _("Your password was changed in the meantime. Log in with the new one."))
            raise ImmediateHttpResponse(redirect("account_login"))
        super().login(request, user)
        if "_session_expiry" not in request.session:
            request.session.set_expiry(0)  # to stay logged in is asked on the login form alone

    def get_reset_password_from_key_url(self, key: str) -> str:
        return _ours(super().get_reset_password_from_key_url(key))

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return _ours(super().get_email_confirmation_url(request, emailconfirmation))

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """With a second factor its code alone: who has found the password must not take the factor away with it."""
        found = super().get_reauthentication_methods(user)
        return [one for one in found if one["id"] == "mfa_reauthenticate"] or found

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """In the language of whoever gets it; to a stranger in that of the page that was filled in."""
        user = context.get("user")
        with translation.override(getattr(user, "locale", "") or translation.get_language()):
            super().send_mail(template_prefix, email, context)


def may_guess(request: HttpRequest) -> bool:
    """Whether this address has not tried too much. allauth counts too, but forgets it with every right code."""
    return bool(ratelimit.consume(request, action="guess", dry_run=True))


def note_wrong(request: HttpRequest) -> None:
    """A wrong password or code."""
    ratelimit.consume(request, action="guess")


def _ours(url: str) -> str:
    """A link in a mail leads to us, whatever address the page was asked for under."""
    if not settings.PUBLIC_URL:
        return url
    parts = urlsplit(url)
    return settings.PUBLIC_URL + urlunsplit(("", "", parts.path, parts.query, ""))
