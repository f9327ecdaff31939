"""One-time links and a person's settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps

from allauth.account.stages import LoginStageController
from allauth.account.utils import perform_login
from allauth.mfa.base.views import authenticate
from allauth.mfa.stages import AuthenticateStage
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import SetPasswordForm
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import SimpleTemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django.views.i18n import set_language

from phonebank.accounts import services
from phonebank.accounts.forms import ChangePasswordForm, NewAccountForm, ProfileForm
from phonebank.accounts.lifetime import LINK_LOGIN
from phonebank.accounts.mfa import has_factor
from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.ring import SecretUnreadable

log = logging.getLogger(__name__)
THEMES = {"light", "dark", "system"}
FRESH = timedelta(minutes=30)


@login_not_required
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def one_time_link(request: HttpRequest, token: str) -> HttpResponse:
    """A GET only shows what the link is for; the POST uses it up. So a preview of the link burns nothing."""
    link = services.find_link(token)
    try:
        if link is None:
            raise services.LinkSpent
        if link.purpose == services.Purpose.LOGIN:
            response = _login_link(request, token, link)
        else:
            response = _new_account_link(request, token, link)
    except services.LinkSpent:
        response = render(request, "accounts/link_spent.html", status=410)
    except services.AlreadySetUp:
        response = render(request, "accounts/link_spent.html", {"set_up": True}, status=410)
    # The address is a secret until it is used up. Not no-referrer: browsers then post the form with Origin: null.
    response["Referrer-Policy"] = "strict-origin"
    return response


def _login_link(request: HttpRequest, token: str, link: OneTimeLink) -> HttpResponse:
    if request.method != "POST":
        return render(request, "accounts/link_login.html", {"link": link})
    user = services.log_in_by_link(token=token)
    return _let_in(request, user, by="opened" if has_factor(user) else "login")


def _new_account_link(request: HttpRequest, token: str, link: OneTimeLink) -> HttpResponse:
    setup = link.purpose == services.Purpose.SETUP
    if setup and services.has_administrator():
        raise services.AlreadySetUp
    form = NewAccountForm(request.POST or None, email="" if setup else link.email)
    if request.method != "POST" or not form.is_valid():
        status = 422 if request.method == "POST" else 200
        return render(request, "accounts/link_account.html", {"form": form, "setup": setup}, status=status)
    data = form.cleaned_data
    if setup:
        user = services.create_first_administrator(token=token, **data)
    else:
        data.pop("email")
        user = services.accept_invite(token=token, **data)
    return _let_in(request, user, by="new")


def _let_in(request: HttpRequest, user: User, *, by: str) -> HttpResponse:
    """Through allauth's stages, one of which asks for the second factor: Django's own login() would pass it by.

    `by` comes back in the signal of the login, which may be some pages later (signals.py).
    """
    if request.user.is_authenticated:
        logout(request)
    request.session.set_expiry(0)  # nobody was asked whether to stay logged in
    # A person handed the link over: it needs no proof of the address by mail.
    return perform_login(
        request,
        user,
        email_verification="none",
        redirect_url=reverse("whatsappapi:dashboard"),
        signal_kwargs={"link": by},
    )


@login_not_required
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """allauth's page, which takes a POST without a code for a security key; there are none here.

    Who waits at it while an administrator removes their factor comes in: password or link were right.
    """
    if request.method == "POST" and "code" not in request.POST:
        return redirect("mfa_authenticate")
    stage = None if request.user.is_authenticated else LoginStageController.enter(request, AuthenticateStage.key)
    if stage is not None and stage.login.user is not None and not has_factor(stage.login.user):
        return stage.exit()
    return _read_factor(authenticate, request, back="mfa_authenticate")


def reading_factor(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For allauth's pages about the stored factor: what no key opens any more is said, not an error of ours."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        try:
            return _read_factor(view, request, back="accounts:settings")
        except IntegrityError:  # set up in two windows at once: the other was first
            return redirect("mfa_index")

    return wrapped


def _read_factor(view: Callable[..., HttpResponse], request: HttpRequest, *, back: str) -> HttpResponse:
    try:
        response = view(request)
        if isinstance(response, SimpleTemplateResponse):
            response.render()  # the template reads it, too
        return response
    except SecretUnreadable:
        log.exception("a second factor cannot be decrypted")
        messages.error(
            request,
            _(
                "Your second factor cannot be checked: this installation has lost the key that it was stored with."
                " It is nothing that you did. Ask an administrator to remove it."
            ),
        )
        return redirect(back)


@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        services.change_profile(actor=request.user, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("accounts:settings")
    status = 422 if form.errors else 200
    return render(request, "accounts/settings.html", {"form": form, "nav": "settings"}, status=status)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Asks for the old password, except from who has none or has just come by a one-time link (they forgot it)."""
    new_only = came_by_link(request)
    form = (SetPasswordForm if new_only else ChangePasswordForm)(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.set_password(actor=request.user, password=form.cleaned_data["new_password1"])
        # Keeps this session; every other one of this person ends here.
        update_session_auth_hash(request, request.user)
        request.session.pop(LINK_LOGIN, None)
        messages.success(request, _("Your password is set. Every other device is logged out."))
        return redirect("accounts:settings")
    status = 422 if form.errors else 200
    return render(request, "accounts/password.html", {"form": form, "nav": "settings"}, status=status)


def came_by_link(request: HttpRequest) -> bool:
    """Whether the person logged in by a one-time link within the last half hour, or has no password to be asked for."""
    if not request.user.has_usable_password():
        return True
    at = parse_datetime(request.session.get(LINK_LOGIN, ""))
    return at is not None and timezone.now() - at < FRESH


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keeps light, dark or system in a cookie, so that the server paints the right one at once."""
    chosen = request.POST.get("theme", "")
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        back = reverse("whatsappapi:dashboard")
    response = redirect(back)
    if chosen in THEMES:
        secure = request.is_secure()
        response.set_cookie("theme", chosen, max_age=31_536_000, samesite="Lax", secure=secure, httponly=True)
    return response


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """The switch: a cookie for pages before the login, and the account's own choice for who is logged in."""
    chosen = request.POST.get("language", "")
    if request.user.is_authenticated and chosen in dict(settings.LANGUAGES):
        services.change_language(actor=request.user, language=chosen)
    return set_language(request)
