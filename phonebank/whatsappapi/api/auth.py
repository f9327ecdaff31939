"""Who asks, what they may do, how often."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from phonebank.accounts.api_tokens import ApiToken, find_token
from phonebank.accounts.models import User
from phonebank.whatsappapi.models import ApiUsage

HEADER = settings.REST_KNOX["AUTH_HEADER_PREFIX"]
LONGEST = 200  # characters of an Authorization value that are looked at


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`. Whoever sends one is never taken for who their cookie says."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        header = get_authorization_header(request)
        if not header:
            return None
        scheme, _, text = header.partition(b" ")
        token = None
        if scheme.lower() == HEADER.lower().encode() and len(text) <= LONGEST and text.isascii():
            token = find_token(text.decode().strip())
        if token is None:
            raise exceptions.AuthenticationFailed("This token is wrong, revoked or expired.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return HEADER


class LoginAuthentication(SessionAuthentication):
    """The cookie of a logged-in person; then what changes something needs the CSRF header too."""


class MayWrite(BasePermission):
    """A read token looks; it changes nothing."""

    code = "read_only"
    message = "This token may only read. Make one that may write on the tokens page."

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or request.auth is None or request.auth.may_write


class PersonThrottle(BaseThrottle):
    """API_RATE requests in each minute of the clock, all of a person's tokens together."""

    left = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        n, self.left = ApiUsage.count(request.user)
        return n <= settings.API_RATE

    def wait(self) -> float:
        return self.left + 1


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token from /accounts/tokens/"}


class LoginScheme(OpenApiAuthenticationExtension):
    target_class = LoginAuthentication
    name = "login"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
