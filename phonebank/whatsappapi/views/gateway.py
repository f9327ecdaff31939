"""The page of gateway accounts: the token, and whether webhooks can arrive."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from phonebank.whatsappapi.forms import GatewayForm
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import accounts_for, add_account, can_receive_webhooks


@sensitive_post_parameters("token")
@require_http_methods(["GET", "HEAD", "POST"])
def gateway(request: HttpRequest) -> HttpResponse:
    form = GatewayForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            account = add_account(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error("token", error.message)
        else:
            messages.success(request, f"{account.name} is connected. You can create sessions on it now.")
            return redirect("whatsappapi:gateway")
    mine = Q(wa_sessions__user=request.user, wa_sessions__deleted_at=None)
    accounts = accounts_for(request.user).annotate(
        session_count=Count("wa_sessions", filter=mine, distinct=True),
        last_event=Max("wa_sessions__webhook_events__received_at", filter=mine),
    )
    context = {
        "nav": "gateway",
        "form": form,
        "accounts": [(account, can_receive_webhooks(account)) for account in accounts],
        "public_url": settings.PUBLIC_URL,
    }
    return render(request, "whatsappapi/gateway.html", context, status=422 if form.errors else 200)
