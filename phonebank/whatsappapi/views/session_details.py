"""A session's settings, its key and its history."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from phonebank.whatsappapi.forms import SessionSettingsForm
from phonebank.whatsappapi.services import session_history as history
from phonebank.whatsappapi.services import sessions as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.groups import groups_of, set_groups
from phonebank.whatsappapi.services.probes import probing
from phonebank.whatsappapi.services.reconnect import is_on
from phonebank.whatsappapi.services.wellbeing import picture
from phonebank.whatsappapi.views.access import act, session_or_404
from phonebank.whatsappapi.views.cards import cards

ROWS = 25
FIELDS = {"name": "name", "name_taken": "name", "daily_limit": "daily_limit"}
# How the history calls the ways a change came by.
SOURCES = {
    "webhook": gettext_lazy("an event from WaSender"),
    "poll": gettext_lazy("a look at WaSender"),
    "page": gettext_lazy("a page"),
    "api": gettext_lazy("the API"),
    "job": gettext_lazy("Phonebank itself"),
}


@require_http_methods(["GET", "HEAD", "POST"])
def session_settings(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    form = SessionSettingsForm(
        request.POST or None, wa_session=wa_session, most_a_day=request.user.subscription.daily_limit
    )
    if request.method == "POST" and form.is_valid():
        changes = dict(form.cleaned_data)
        groups = changes.pop("groups")
        try:
            service.change(actor=request.user, wa_session=wa_session, **changes)
            set_groups(actor=request.user, wa_session=wa_session, groups=groups)
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("whatsappapi:session_settings", public_id)
    context = {
        "nav": "sessions",
        "tab": "settings",
        "wa_session": wa_session,
        "card": cards([wa_session], request.user)[0],
        "form": form,
        "groups": groups_of(request.user),
        "in_groups": {str(one) for one in form["groups"].value() or ()},
        "reconnects": is_on(wa_session),
    }
    return render(request, "whatsappapi/session_settings.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def session_key(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Asks, then has the gateway make a new key."""
    wa_session = session_or_404(request.user, public_id, "key")
    if request.method == "POST":
        done = _("%(session)s has a new key, and uses it from now on.") % {"session": wa_session.session_name}
        act(request, service.regenerate_key, done, wa_session=wa_session)
        return redirect("whatsappapi:session_settings", public_id)
    context = {"nav": "sessions", "wa_session": wa_session, "card": cards([wa_session], request.user)[0]}
    return render(request, "whatsappapi/session_key.html", context)


@require_safe
def session_history(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "see")
    card = cards([wa_session], request.user)[0]
    bands = history.timeline(wa_session)
    events = wa_session.events.select_related("actor")
    context = {
        "nav": "sessions",
        "tab": "history",
        "wa_session": wa_session,
        "card": card,
        "bands": bands,
        "available": history.availability(bands),
        "health": picture(wa_session),
        "probing": probing(wa_session) if card.may["settings"] else None,
        "page": Paginator(events, ROWS).get_page(request.GET.get("page")),
        "sources": SOURCES,
        "arrivals": history.arrivals(wa_session)[:ROWS] if card.may["key"] else [],
    }
    return render(request, "whatsappapi/session_history.html", context)


@require_safe
def session_gateway_log(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """What WaSender itself recorded: asked for only when somebody wants to see it."""
    wa_session = session_or_404(request.user, public_id, "key")
    context: dict[str, object] = {"nav": "sessions", "tab": "history", "wa_session": wa_session}
    try:
        context["entries"] = history.gateway_log(actor=request.user, wa_session=wa_session)
    except ServiceError as error:
        context["error"] = error.message
    context["card"] = cards([wa_session], request.user)[0]
    return render(request, "whatsappapi/session_gateway_log.html", context)
