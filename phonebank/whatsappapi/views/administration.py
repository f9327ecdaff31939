"""For administrators: people, what they may and how much they send. For everybody else the pages are not there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.forms import ResetPasswordForm
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.accounts import services as accounts
from phonebank.accounts.forms import InviteForm
from phonebank.accounts.mfa import has_factor
from phonebank.accounts.models import OneTimeLink, Plan, Subscription, User
from phonebank.audit.models import record
from phonebank.whatsappapi.administration_forms import AddressForm, SubscriptionForm
from phonebank.whatsappapi.models import AccountDeletion
from phonebank.whatsappapi.services import account_deletion, administration, approval_queue, subscriptions, volumes
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act

PAGE = 50
Purpose = OneTimeLink.Purpose


def administrators(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For everybody else the page is not there."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_superuser:
            raise Http404
        return view(request, *args, **kwargs)

    return never_cache(wrapped)


def frame(tab: str, **context: Any) -> dict[str, Any]:
    """What all of these pages show: where one is, and what waits."""
    return {"nav": "administration", "tab": tab, "waiting": approval_queue.waiting().count()} | context


@require_safe
@administrators
def users(request: HttpRequest) -> HttpResponse:
    return _users(request, InviteForm())


@require_POST
@administrators
def invite(request: HttpRequest) -> HttpResponse:
    """Makes an invitation and shows its link, this once."""
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _users(request, form, status=422)
    email = form.cleaned_data["email"]
    token = accounts.make_link(purpose=Purpose.INVITE, email=email, hours=24 * 7, actor=request.user)
    return _users(request, InviteForm(), made=_made(request, token, email, _("invitation"), _("7 days")))


@require_safe
@administrators
def user(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _user(request, _user_or_404(public_id))


@require_POST
@administrators
def user_plan(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = _user_or_404(public_id)
    form = SubscriptionForm(request.POST, zone=request.user.time_zone)
    if not form.is_valid():
        return _user(request, one, plan_form=form, status=422)
    act(
        request,
        subscriptions.change_subscription,
        _("Saved. %(email)s is told.") % {"email": one.email},
        user=one,
        **form.cleaned_data,
    )
    return redirect("whatsappapi:administration_user", public_id)


@require_POST
@administrators
def user_switch(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Off or on."""
    one = _user_or_404(public_id)
    if request.POST.get("to") == "off":
        done = _("Switched off. Nothing of theirs is sent any more, and they are logged out everywhere.")
        act(request, administration.switch_off, done, user=one)
    else:
        act(request, administration.switch_on, _("Switched on. Their campaigns wait until they resume them."), user=one)
    return _back_to(request, one)


@require_POST
@administrators
def user_rights(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one, is_one = _user_or_404(public_id), request.POST.get("to") == "administrator"
    done = _("They are an administrator now.") if is_one else _("They are an ordinary user now.")
    act(request, administration.set_administrator, done, user=one, is_one=is_one)
    return _back_to(request, one)


@require_POST
@administrators
def user_address(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = _user_or_404(public_id)
    form = AddressForm(request.POST)
    if not form.is_valid():
        return _user(request, one, address_form=form, status=422)
    done = _("Saved. They log in with the new address.")
    act(request, administration.change_address, done, user=one, email=form.cleaned_data["email"])
    return redirect("whatsappapi:administration_user", public_id)


@require_POST
@administrators
def user_login_link(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Where there is no mail: a link to hand over, shown this once, of which the person is told."""
    one = _user_or_404(public_id, is_active=True)
    try:
        token = administration.make_login_link(actor=request.user, user=one)
    except ServiceError as error:
        messages.error(request, error.message)
        return redirect("whatsappapi:administration_user", public_id)
    return _user(request, one, made=_made(request, token, one.email, _("login link"), _("24 hours")))


@require_POST
@administrators
def user_mail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Sends a mail to the person alone: to prove their address, or to set a new password."""
    one = _user_or_404(public_id, is_active=True)
    if not settings.EMAIL_URL:
        raise Http404
    address = accounts.unproven_address(one)
    if request.POST.get("what") == "verify" and address is not None:
        address.send_confirmation(request)
        record(actor=request.user, verb="user.verification_sent", target=one, owner=one)
        messages.success(request, _("A mail that proves their address is on its way."))
    else:
        form = ResetPasswordForm({"email": one.email})
        if form.is_valid():
            form.save(request)
            record(actor=request.user, verb="user.reset_sent", target=one, owner=one)
            messages.success(request, _("A mail to set a new password is on its way to them."))
    return redirect("whatsappapi:administration_user", public_id)


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
def user_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Somebody else's account, once it is switched off; their address is typed to confirm."""
    one = _user_or_404(public_id)
    if one.is_active or one.pk == request.user.pk:
        raise Http404
    if request.method == "POST":
        if request.POST.get("typed", "").strip().lower() != one.email:
            messages.error(request, _("That is not their address. Nothing was deleted."))
        elif act(request, account_deletion.begin, _("The account is being deleted."), user=one):
            return redirect("whatsappapi:administration")
    return render(request, "whatsappapi/administration_delete.html", frame("users", one=one))


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
def user_factor(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Takes somebody else's second factor away; their address is typed to confirm."""
    one = _user_or_404(public_id)
    if one.pk == request.user.pk or not has_factor(one):
        raise Http404
    if request.method == "POST":
        if request.POST.get("typed", "").strip().lower() != one.email:
            messages.error(request, _("That is not their address. Nothing was changed."))
        elif act(request, administration.remove_factor, _("Removed. They are told."), user=one):
            return redirect("whatsappapi:administration_user", public_id)
    return render(request, "whatsappapi/administration_factor.html", frame("users", one=one))


def _users(
    request: HttpRequest, form: InviteForm, made: dict[str, str] | None = None, status: int = 200
) -> HttpResponse:
    asked = {name: request.GET.get(name, "").strip()[:80] for name in ("q", "look", "plan")}
    page = Paginator(administration.find_people(**asked), PAGE).get_page(request.GET.get("page"))
    figures = volumes.volumes(page.object_list)
    invites = OneTimeLink.objects.filter(purpose=Purpose.INVITE, used_at=None, expires_at__gt=timezone.now())
    query = urlencode({name: value for name, value in asked.items() if value})
    context = frame(
        "users",
        page=page,
        rows=[(one, figures[one.pk]) for one in page.object_list],
        asked=asked,
        query=f"{query}&" if query else "",
        looks=administration.LOOKS,
        plans=list(Plan.objects.all()),
        invites=list(invites.order_by("email")[:PAGE]),
        leaving=list(AccountDeletion.objects.filter(finished_at=None)[:PAGE]),
        form=form,
        made=made,
    )
    return render(request, "whatsappapi/administration_users.html", context, status=status)


def _user(request: HttpRequest, one: User, *, status: int = 200, **more: Any) -> HttpResponse:
    told = volumes.account(one)
    subscription = Subscription.objects.select_related("plan").get(user=one)
    context = frame(
        "users",
        one=one,
        subscription=subscription,
        told=told,
        bars=_bars(told),
        rates=_rates(told),
        plan_form=SubscriptionForm(
            initial={"plan": subscription.plan, "expires_at": subscription.expires_at}, zone=request.user.time_zone
        ),
        address_form=AddressForm(initial={"email": one.email}),
        unproven=accounts.unproven_address(one) if settings.EMAIL_URL else None,
        default=Plan.objects.get(slug=settings.DEFAULT_PLAN),
        is_leaving=AccountDeletion.objects.filter(user=one.pk).exists(),
        with_factor=has_factor(one),
    )
    return render(request, "whatsappapi/administration_user.html", context | more, status=status)


def _bars(told: volumes.Account) -> list[dict[str, Any]]:
    """A bar a day in a picture of 30 by 10: what left, and of it, on top, what failed."""
    most = max(1, told.most)
    bars = []
    for x, day in enumerate(told.days):
        sent, failed = 10 * day.sent / most, 10 * day.failed / most
        bars.append({"x": x, "day": day, "sent": f"{sent:.2f}", "y": f"{10 - sent:.2f}",
                     "failed": f"{failed:.2f}", "top": f"{10 - sent - failed:.2f}"})  # fmt: skip
    return bars


def _rates(told: volumes.Account) -> list[tuple[str, int, float, bool]]:
    """Words, how many, of a hundred, and whether that is worth a look."""
    volume = told.volume
    return [
        (_("Delivered"), told.delivered, told.delivered_share, False),
        (_("Failed"), volume.failed, volume.failed_share, volume.failed_share > 10),
        (_("Asked to stop"), volume.opted_out, volume.stopped_share, volume.stopped_share > 3),
    ]


def _made(request: HttpRequest, token: str, email: str, kind: str, lasts: str) -> dict[str, str]:
    url = request.build_absolute_uri(reverse("accounts:link", args=[token]))
    return {"url": url, "email": email, "kind": kind, "lasts": lasts}


def _user_or_404(public_id: uuid.UUID, **more: Any) -> User:
    return get_object_or_404(User.objects.select_related("subscription__plan"), public_id=public_id, **more)


def _back_to(request: HttpRequest, one: User) -> HttpResponse:
    """To their page; to the dashboard for who has just given up the right to see it."""
    if one.pk == request.user.pk and not User.objects.filter(pk=one.pk, is_superuser=True, is_active=True).exists():
        return redirect("whatsappapi:dashboard")
    return redirect("whatsappapi:administration_user", one.public_id)
