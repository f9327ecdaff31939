"""Logins, logouts and forgotten passwords pass through allauth and Django, so their records hang on signals."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as allauth
from django.contrib.auth import signals as auth
from django.dispatch import receiver

from phonebank.accounts.models import User
from phonebank.audit.models import record


# Of the login form and the sign-up page; a one-time link records itself (services.py), and so do invitations.
@receiver(allauth.user_logged_in)
def _logged_in(user: User, **_: Any) -> None:
    record(actor=user, verb="login.done", target=user)


@receiver(auth.user_login_failed)
def _refused(credentials: dict[str, Any], **_: Any) -> None:
    """Without the address that was typed: it may be a password in the wrong field, or nobody's business."""
    typed = credentials.get("email") or credentials.get("username") or ""
    known = User.objects.filter(email__iexact=typed).first()
    record(actor=None, verb="login.refused" if known else "login.unknown", target=known, owner=known)


@receiver(auth.user_logged_out)
def _logged_out(user: User | None, **_: Any) -> None:
    if user is not None:
        record(actor=user, verb="login.ended", target=user)


@receiver(allauth.user_signed_up)
def _signed_up(user: User, **_: Any) -> None:
    record(actor=user, verb="user.signed_up", target=user)


@receiver(allauth.password_reset)
def _reset(user: User, **_: Any) -> None:
    """By the link in a mail."""
    record(actor=user, verb="user.password_reset", target=user)
