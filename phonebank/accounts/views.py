"""One-time links and a person's settings."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.accounts import services
from phonebank.accounts.forms import NewAccountForm, ProfileForm
from phonebank.accounts.models import OneTimeLink

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
THEMES = {"light", "dark", "system"}
FRESH = timedelta(minutes=30)
LINK_LOGIN = "link_login_at"


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
    login(request, user, backend=BACKEND)
    request.session[LINK_LOGIN] = timezone.now().isoformat()
    messages.info(request, "You came by a one-time link. For 30 minutes you can set a new password in your settings.")
    return redirect("whatsappapi:dashboard")


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
    login(request, user, backend=BACKEND)
    return redirect("whatsappapi:dashboard")


@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        services.change_profile(actor=request.user, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("accounts:settings")
    status = 422 if form.errors else 200
    return render(request, "accounts/settings.html", {"form": form, "nav": "settings"}, status=status)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Asks for the old password, except from who has none or has just come by a one-time link (they forgot it)."""
    new_only = came_by_link(request)
    form = (SetPasswordForm if new_only else PasswordChangeForm)(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        services.set_password(actor=request.user, password=form.cleaned_data["new_password1"])
        # Keeps this session; every other one of this person ends here.
        update_session_auth_hash(request, request.user)
        request.session.pop(LINK_LOGIN, None)
        messages.success(request, "Your password is set. Every other device is logged out.")
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
        response.set_cookie("theme", chosen, max_age=31_536_000, samesite="Lax", secure=request.is_secure())
    return response
