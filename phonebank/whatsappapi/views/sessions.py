"""Pages of many sessions: the table, and taking one away."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from phonebank.whatsappapi.filters import SORTS, SessionFilter
from phonebank.whatsappapi.forms import DeleteSessionForm
from phonebank.whatsappapi.models import BulkAction, WaSenderSession
from phonebank.whatsappapi.services import sessions as service
from phonebank.whatsappapi.services.deletion import effects
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.sharing import invitations_of
from phonebank.whatsappapi.views.access import session_or_404
from phonebank.whatsappapi.views.cards import cards
from phonebank.whatsappapi.views.choices import choices, read_choice, shown
from phonebank.whatsappapi.views.live import render_live

ROWS = 50
FEW = 4  # sessions that need no search
# Heads of the table, with the order that pressing them gives; the second press turns it round.
COLUMNS = [
    (gettext_lazy("Name"), "name"),
    (gettext_lazy("Phone"), "phone"),
    (gettext_lazy("Status"), "light"),
    (gettext_lazy("Today"), "-used"),
    (gettext_lazy("Created"), "-created"),
    (gettext_lazy("Last active"), "-active"),
]


@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    user = request.user
    chosen = read_choice(user, request.GET)
    used, most = service.slots(user)
    context = {
        "nav": "sessions",
        **choices(user, chosen),
        **shown(request, user, chosen, ROWS),
        "columns": _columns(chosen),
        "used": used,
        "most": most,
        "invitations": list(invitations_of(user)[:3]),
        "under_way": BulkAction.objects.visible_to(user).unfinished().order_by("pk"),
    }
    context["has_search"] = used > FEW or chosen.is_narrow or context["has_shared"]
    return render_live(request, "whatsappapi/sessions.html", "rows", context, context["here"])


def _columns(chosen: SessionFilter) -> list[dict[str, str]]:
    """Each head with its link and what screen readers are told of the order."""
    columns = []
    for label, sort in COLUMNS:
        other = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
        is_on = chosen.sort in (sort, other)
        order = ("descending" if chosen.sort.startswith("-") else "ascending") if is_on else ""
        query = chosen.sorted_by(other if chosen.sort == sort else sort).query.rstrip("&")
        columns.append({"label": label, "order": order, "query": query, "title": SORTS[sort][0]})
    return columns


@require_http_methods(["GET", "HEAD", "POST"])
def session_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "delete")
    told = effects(request.user, [wa_session])
    form = DeleteSessionForm(request.POST or None, wa_session=wa_session)
    if request.method == "POST" and form.is_valid():
        at_gateway = form.cleaned_data["where"] == "gateway"
        try:
            note = service.delete(actor=request.user, wa_session=wa_session, at_gateway=at_gateway)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            messages.success(
                request,
                _("%(session)s is deleted. What it sent stays in the records.") % {"session": wa_session.session_name},
            )
            if note:
                messages.warning(request, note)
            if told.loses_default:
                messages.info(request, new_default(request))
            return redirect("whatsappapi:sessions")
    card = cards([wa_session], request.user)[0]
    context = {"nav": "sessions", "form": form, "card": card, "wa_session": wa_session, "told": told}
    return render(request, "whatsappapi/delete_session.html", context, status=422 if form.errors else 200)


def new_default(request: HttpRequest) -> str:
    """Which session is used when none is chosen, after the one before has gone."""
    now = WaSenderSession.objects.visible_to(request.user).filter(is_default=True).first()
    if now is None:
        return _("You have no session any more; the next one you create becomes the default.")
    return _("%(session)s is your default session now: it is the one you created first.") % {
        "session": now.session_name
    }
