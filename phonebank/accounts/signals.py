"""Logins, logouts and forgotten passwords pass through allauth and Django, so their records hang on signals."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as allauth
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth import signals as auth
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from phonebank.accounts.adapter import note_wrong
from phonebank.accounts.lifetime import LINK_LOGIN
from phonebank.accounts.models import User
from phonebank.audit.models import record


# A one-time link records itself (services.py), and so do invitations; one that asked for a code had only been opened.
@receiver(allauth.user_logged_in)
def _logged_in(request: HttpRequest, user: User, link: str = "", **__: Any) -> None:
    if link in ("", "opened"):
        record(actor=user, verb="login.done", target=user)
    if link in ("login", "opened"):
        request.session[LINK_LOGIN] = timezone.now().isoformat()
        messages.info(
            request, _("You came by a one-time link. For 30 minutes you can set a new password in your settings.")
        )


@receiver(auth.user_logged_in)
def _keep_language(user: User, **__: Any) -> None:
    """Who has chosen no language keeps the one that they logged in with: mails and alerts need one too."""
    if not user.locale:
        user.locale = get_language() or ""
        User.objects.filter(pk=user.pk, locale="").update(locale=user.locale)


@receiver(auth.user_login_failed)
def _refused(credentials: dict[str, Any], **__: Any) -> None:
    """Without the address that was typed: it may be a password in the wrong field, or nobody's business."""
    typed = credentials.get("email") or credentials.get("username") or ""
    known = User.objects.filter(email__iexact=typed).first()
    record(actor=None, verb="login.refused" if known else "login.unknown", target=known, owner=known)


@receiver(auth.user_logged_out)
def _logged_out(user: User | None, **__: Any) -> None:
    if user is not None:
        record(actor=user, verb="login.ended", target=user)


@receiver(allauth.user_signed_up)
def _signed_up(user: User, **__: Any) -> None:
    record(actor=user, verb="user.signed_up", target=user)


@receiver(allauth.password_reset)
def _reset(user: User, **__: Any) -> None:
    """By the link in a mail."""
    record(actor=user, verb="user.password_reset", target=user)


@receiver(mfa.authenticator_added)
def _factor_added(request: HttpRequest, user: User, authenticator: Authenticator, **__: Any) -> None:
    if authenticator.type == Authenticator.Type.TOTP:
        authenticator.wrap().validate_code(request.POST.get("code", ""))  # so that it is used up for a login, too
        record(actor=user, verb="login.factor_added", target=user)


@receiver(mfa.authenticator_removed)
def _factor_removed(user: User, authenticator: Authenticator, **__: Any) -> None:
    """By themselves; an administrator's removal records itself (mfa.py)."""
    if authenticator.type == Authenticator.Type.TOTP:
        record(actor=user, verb="login.factor_removed", target=user)


@receiver(mfa.authenticator_reset)
def _codes_made(user: User, **__: Any) -> None:
    record(actor=user, verb="login.codes_made", target=user)


@receiver(mfa.authenticator_used)
def _code_used(user: User, authenticator: Authenticator, **__: Any) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        record(actor=user, verb="login.recovery_code_used", target=user)


@receiver(mfa.authentication_failed)
def _factor_refused(request: HttpRequest, user: User, **__: Any) -> None:
    """At the login or on a page that asks once more; whoever it was knew the password or sat at an open browser."""
    note_wrong(request)
    record(actor=None, verb="login.factor_refused", target=user, owner=user)
