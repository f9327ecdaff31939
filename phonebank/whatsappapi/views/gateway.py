"""Pages of gateway accounts: the token, whether webhooks can arrive, and taking sessions over."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.db.models import OuterRef, Q, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from phonebank.accounts.models import User
from phonebank.whatsappapi.forms import AdoptForm, GatewayForm, GrantForm, RemoveAccountForm, TokenForm
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession, WebhookEvent
from phonebank.whatsappapi.services import adopt as adopting
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import (
    accounts_for,
    add_account,
    can_receive_webhooks,
    grant,
    manageable_by,
    replace_token,
)
from phonebank.whatsappapi.views.access import act

UNPROVEN_SHOWN = 20


@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
def gateway(request: HttpRequest) -> HttpResponse:
    form = GatewayForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            account = add_account(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error("token", error.message)
        else:
            messages.success(
                request, _("%(name)s is connected. You can create sessions on it now.") % {"name": account.name}
            )
            return redirect("whatsappapi:gateway")
    mine, manage = accounts_for(request.user), manageable_by(request.user)
    seen = GatewayAccount.objects.filter(Q(pk__in=mine.values("pk")) | Q(pk__in=manage.values("pk")))
    facts = _facts(request.user)
    unproven = WaSenderSession.objects.visible_to(request.user).filter(
        webhook_proven_at=None, account__is_sandbox=False, wasender_id__isnull=False
    )
    context = {
        "nav": "gateway",
        "form": form,
        "accounts": [
            (account, can_receive_webhooks(account), facts.get(account.pk, Facts()))
            for account in seen.order_by("created_at", "pk")
        ],
        "manageable": set(manage.values_list("pk", flat=True)),
        "unproven": unproven.order_by("session_name")[:UNPROVEN_SHOWN],
        "public_url": settings.PUBLIC_URL,
    }
    return render(request, "whatsappapi/gateway.html", context, status=422 if form.errors else 200)


@dataclass(slots=True)
class Facts:
    """One's own sessions on an account: how many, how many with a proven webhook, and their last event."""

    sessions: int = 0
    proven: int = 0
    last_event: datetime | None = None


def _facts(user: User) -> dict[int, Facts]:
    """By account. The last event is looked up by index for each session: an account may have millions of them."""
    last = WebhookEvent.objects.filter(session=OuterRef("pk")).order_by("-received_at").values("received_at")[:1]
    rows = WaSenderSession.objects.visible_to(user).annotate(last_event=Subquery(last))
    facts: dict[int, Facts] = {}
    for account, proven_at, event in rows.values_list("account", "webhook_proven_at", "last_event"):
        one = facts.setdefault(account, Facts())
        one.sessions += 1
        one.proven += proven_at is not None
        one.last_event = max(filter(None, (one.last_event, event)), default=None)
    return facts


def _account_or_404(request: HttpRequest, public_id: uuid.UUID) -> GatewayAccount:
    return get_object_or_404(manageable_by(request.user), public_id=public_id)


@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
def gateway_account(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Replacing the token, and for the operator's account, who may use it."""
    account = _account_or_404(request, public_id)
    form = TokenForm(request.POST if "token" in request.POST else None)
    is_operators = account.user_id is None
    grants = GrantForm(
        request.POST if "grant" in request.POST else None,
        initial={"granted_to": list(account.granted_to.values_list("public_id", flat=True))},
    )
    if form.is_bound and form.is_valid():
        try:
            replace_token(actor=request.user, account=account, token=form.cleaned_data["token"])
        except ServiceError as error:
            form.add_error("token", error.message)
        else:
            messages.success(
                request, _("%(name)s uses the new token. The sessions stay as they are.") % {"name": account.name}
            )
            return redirect("whatsappapi:gateway")
    if is_operators and grants.is_bound and grants.is_valid():
        act(request, grant, _("Saved."), account=account, users=grants.cleaned_data["granted_to"])
        return redirect("whatsappapi:gateway_account", public_id)
    context = {
        "nav": "gateway",
        "account": account,
        "form": form,
        "grants": grants if is_operators else None,
        "session_count": account.wa_sessions.alive().count(),
    }
    return render(request, "whatsappapi/gateway_account.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def gateway_remove(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    account = _account_or_404(request, public_id)
    form = RemoveAccountForm(request.POST or None, account=account)
    if request.method == "POST" and form.is_valid():
        try:
            notes = adopting.remove_account(actor=request.user, account=account)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            messages.success(
                request,
                _("%(name)s is removed, its token wiped. At WaSender nothing was deleted.") % {"name": account.name},
            )
            for note in notes:
                messages.warning(request, note)
            return redirect("whatsappapi:gateway")
    rows = account.wa_sessions.alive()
    context = {
        "nav": "gateway",
        "account": account,
        "form": form,
        "session_count": rows.count(),
        "names": list(rows.filter(user=request.user).values_list("session_name", flat=True)[:UNPROVEN_SHOWN]),
        "adopted_count": rows.exclude(adopted_at=None).count(),
    }
    return render(request, "whatsappapi/gateway_remove.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def adopt(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """What one's own account already has, to be chosen and taken over."""
    account = get_object_or_404(accounts_for(request.user).filter(user=request.user), public_id=public_id)
    context: dict[str, object] = {"nav": "gateway", "account": account, "free": adopting.room(request.user)}
    try:
        listed = adopting.adoptable(actor=request.user, account=account)
    except ServiceError as error:
        return render(request, "whatsappapi/adopt.html", {**context, "error": error.message}, status=502)
    form = AdoptForm(request.POST if request.method == "POST" else None, listed=[one.wasender_id for one in listed])
    if form.is_bound and form.is_valid():
        try:
            done = adopting.adopt(actor=request.user, account=account, wasender_ids=form.cleaned_data["chosen"])
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            for sentence in done.refused:
                messages.error(request, sentence)
            if done.sessions:
                names = ", ".join(one.session_name for one in done.sessions)
                messages.success(request, _("Taken over: %(names)s.") % {"names": names})
                return redirect("whatsappapi:sessions")
            return redirect("whatsappapi:adopt", public_id)
    context |= {"listed": listed, "form": form, "hears": can_receive_webhooks(account)}
    return render(request, "whatsappapi/adopt.html", context, status=422 if form.errors else 200)
