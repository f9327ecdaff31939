"""Pages of opt-outs: who must not be written to, and who may have asked for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.contact_forms import SuppressForm
from phonebank.whatsappapi.models import Suppression
from phonebank.whatsappapi.services import optout, reviews
from phonebank.whatsappapi.services.people import COUNTED, at_most
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.contacts import download

ROWS = 50
Reason = Suppression.Reason


@require_http_methods(["GET", "HEAD", "POST"])
def suppressions(request: HttpRequest) -> HttpResponse:
    """The list; POST adds somebody by hand."""
    form = SuppressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        done = _("Added. Nothing more is sent to this number, by any of your sessions.")
        act(request, _add, done, **form.cleaned_data)
        return redirect("whatsappapi:suppressions")
    rows, q, reason = _chosen(request)
    count = at_most(rows)
    if after := _place(request):
        rows = rows.filter(pk__lt=after)
    shown = list(rows.select_related("added_by")[: ROWS + 1])
    query = request.GET.copy()
    query.pop("after", None)
    waiting = Suppression.objects.filter(user=request.user, reason=Reason.REVIEW, lifted_at=None)
    context = {
        "nav": "contacts", "tab": "suppressions", "form": form, "rows": shown[:ROWS], "q": q, "reason": reason,
        "reasons": [choice for choice in Reason.choices if choice[0] != Reason.REVIEW], "count": min(count, COUNTED),
        "is_more": count > COUNTED, "next": shown[ROWS - 1].public_id if len(shown) > ROWS else None,
        "query": query.urlencode(), "is_first": not after,
        "reviews": list(waiting.order_by("pk")[:ROWS]), "waiting": at_most(waiting, 999),
    }  # fmt: skip
    return render(request, "whatsappapi/suppressions.html", context, status=422 if form.errors else 200)


@require_POST
def review_confirm(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    row = _row_or_404(request, public_id)
    act(request, reviews.confirm, _("They get nothing more from you."), suppression=row)
    return redirect("whatsappapi:suppressions")


@require_POST
def review_release(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    row = _row_or_404(request, public_id)
    done = _("They can be written to again. What was due meanwhile was skipped and stays so.")
    act(request, reviews.release, done, suppression=row)
    return redirect("whatsappapi:suppressions")


@require_safe
def export_suppressions(request: HttpRequest, form: str) -> StreamingHttpResponse | FileResponse:
    if form not in ("csv", "xlsx"):
        raise Http404
    rows, __, __ = _chosen(request)
    record(actor=request.user, verb="suppressions.exported", owner=request.user, form=form)
    table = (
        [one.phone or one.lid, one.get_reason_display(), one.note, one.created_at.isoformat()]
        for one in rows.exclude(reason=Reason.ERASED).iterator(chunk_size=2000)
    )
    return download(_with_head(table), "opt-outs", form)


def _with_head(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    yield ["phone", "reason", "how", "since"]
    yield from rows


def _add(*, actor: User, phone: str, source: str) -> None:
    optout.opt_out(user=actor, phone=phone, source=source, actor=actor)


def _chosen(request: HttpRequest) -> tuple[QuerySet[Suppression], str, str]:
    rows = Suppression.objects.visible_to(request.user).filter(lifted_at=None).exclude(reason=Reason.REVIEW)
    q, reason = request.GET.get("q", "").strip()[:60].replace("\x00", ""), request.GET.get("reason", "")
    digits = "".join(char for char in q if char.isdecimal() and char.isascii())
    if digits:
        rows = rows.filter(Q(phone__contains=digits) | Q(lid__contains=digits)).exclude(reason=Reason.ERASED)
    elif q:
        rows = rows.filter(Q(note__icontains=q) | Q(words__icontains=q))
    if reason in Reason.values:
        rows = rows.filter(reason=reason)
    return rows.order_by("-pk"), q, reason


def _place(request: HttpRequest) -> int | None:
    try:
        after = uuid.UUID(request.GET.get("after", ""))
    except ValueError:
        return None
    return Suppression.objects.visible_to(request.user).filter(public_id=after).values_list("pk", flat=True).first()


def _row_or_404(request: HttpRequest, public_id: uuid.UUID) -> Suppression:
    return get_object_or_404(Suppression.objects.visible_to(request.user).select_related("user"), public_id=public_id)
