"""Pages of acts on many sessions: agreeing to one, watching it, stopping it."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Case, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.accounts.models import User
from phonebank.whatsappapi.forms import BulkForm
from phonebank.whatsappapi.models import BulkAction, WaSenderSession
from phonebank.whatsappapi.services import bulk as service
from phonebank.whatsappapi.services.deletion import effects
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.senders import note_missing
from phonebank.whatsappapi.views.access import act, sessions_of
from phonebank.whatsappapi.views.choices import narrowed, read_choice
from phonebank.whatsappapi.views.live import render_live

Verb = BulkAction.Verb
NAMED = 12  # sessions named on the page that asks
RESULTS = 100
# What the pages say: the button, the act under way, the act done.
WORDS = {
    Verb.CONNECT: (gettext_lazy("Connect"), gettext_lazy("Connecting"), gettext_lazy("Connected")),
    Verb.DISCONNECT: (gettext_lazy("Disconnect"), gettext_lazy("Disconnecting"), gettext_lazy("Disconnected")),
    Verb.DELETE: (gettext_lazy("Delete"), gettext_lazy("Deleting"), gettext_lazy("Deleted")),
}
LIGHTS = {"done": "green", "skipped": "", "failed": "red", "left": "", "": "blue"}


@require_http_methods(["GET", "HEAD", "POST"])
def bulk(request: HttpRequest) -> HttpResponse:
    """Asks before it disconnects or deletes; connecting starts at once. GET asks too (the link "Disconnect all")."""
    given = request.POST if request.method == "POST" else request.GET
    if given.get("verb") not in Verb.values:
        raise Http404
    verb, rows = Verb(given["verb"]), _rows(request.user, given)
    count = rows.count()
    if not count:
        return render(request, "whatsappapi/bulk_none.html", {"nav": "sessions", "verb": WORDS[verb][0]}, status=422)
    is_deletion = verb == Verb.DELETE
    adopted = rows.exclude(adopted_at=None).count() if is_deletion else 0
    initial = {"confirmed": count, "where": "here" if adopted else "gateway"}
    # Connecting harms nobody: pressing its button is agreement enough.
    is_agreed = request.method == "POST" and (verb == Verb.CONNECT or "confirmed" in given)
    data = {**given.dict(), "confirmed": given.get("confirmed", count)} if is_agreed else None
    form = BulkForm(data, count=count, is_deletion=is_deletion, initial=initial)
    if form.is_valid():
        at_gateway = is_deletion and form.cleaned_data["where"] == "gateway"
        try:
            action = service.start(actor=request.user, verb=verb, rows=rows, expected=count, at_gateway=at_gateway)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            return redirect("whatsappapi:bulk_action", action.public_id)
    context = _question(request.user, verb, rows, count, given) | {"form": form, "adopted": adopted}
    return render(request, "whatsappapi/bulk.html", context, status=422 if form.errors else 200)


def _rows(user: User, given: QueryDict) -> QuerySet[WaSenderSession]:
    """All that match, or those picked. One id that is not the person's own, and there is nothing at all."""
    if given.get("all"):
        return narrowed(user, read_choice(user, given)).filter(user=user)
    try:
        ids = {uuid.UUID(one) for one in given.getlist("pick")}
    except ValueError:
        raise Http404 from None
    rows = sessions_of(user).filter(public_id__in=ids)
    if rows.count() != len(ids):
        if WaSenderSession.objects.usable_by(user).filter(public_id__in=ids).count() == len(ids):
            raise PermissionDenied(_("You may not act on several sessions that are shared with you. Nothing was done."))
        note_missing(user, ids - set(rows.values_list("public_id", flat=True)), "a bulk action")
        raise Http404
    return rows


def _question(
    user: User, verb: Verb, rows: QuerySet[WaSenderSession], count: int, given: QueryDict
) -> dict[str, Any]:  # fmt: skip
    names = ("all", "q", "status", "light", "group", "shared", "sort")
    kept = [(name, value) for name in names if (value := given.get(name))]
    up = rows.filter(status=WaSenderSession.Status.CONNECTED).count()
    return {
        "nav": "sessions",
        "verb": verb,
        "words": WORDS[verb],
        "count": count,
        "connected": up,
        "named": rows[:NAMED],
        "unnamed": max(0, count - NAMED),
        "told": effects(user, rows) if verb == Verb.DELETE else None,
        "hidden": [("verb", verb.value), *kept, *(("pick", one) for one in given.getlist("pick"))],
    }


@require_safe
def bulk_action(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """How far it is, and what came of each; refreshes itself until the end."""
    action = get_object_or_404(BulkAction.objects.visible_to(request.user), public_id=public_id)
    # What needs a person first, then in the order of the work.
    failed_first = Case(When(outcome="failed", then=Value(0)), default=Value(1))
    results = action.results.select_related("session").order_by(failed_first, "position")
    page = Paginator(results, RESULTS).get_page(request.GET.get("page"))
    gone = action.done + action.failed
    here = reverse("whatsappapi:bulk_action", args=[public_id]) + (f"?page={page.number}" if page.number > 1 else "")
    context = {
        "nav": "sessions",
        "action": action,
        "words": WORDS[Verb(action.verb)],
        "page": page,
        "results": [(one, LIGHTS[one.outcome]) for one in page.object_list],
        "gone": gone,
        "left": action.total - gone,
        "eta": _eta(action, gone),
        "heir": WaSenderSession.objects.visible_to(request.user).filter(is_default=True).first(),
    }
    return render_live(request, "whatsappapi/bulk_action.html", "progress", context, here)


def _eta(action: BulkAction, gone: int) -> Any:
    """When it will be done at its pace so far; None while that cannot be told."""
    if action.finished_at or not action.started_at or gone < 3:
        return None
    now = timezone.now()
    return now + (now - action.started_at) / gone * (action.total - gone)


@require_POST
def bulk_stop(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    action = get_object_or_404(BulkAction.objects.visible_to(request.user), public_id=public_id)
    act(request, service.stop, _("Stopped. What was done stays done."), action=action)
    return redirect("whatsappapi:bulk_action", public_id)
