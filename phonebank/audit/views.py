"""The page of what was done, and its export."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from phonebank.audit.chain import is_genuine
from phonebank.audit.listing import Filters, export, page
from phonebank.audit.models import Event, Head, Seal, record
from phonebank.audit.sentences import lines
from phonebank.language import in_english

LATE = 120  # seconds after which an event should have been sealed


@require_safe
def log(request: HttpRequest) -> HttpResponse:
    """What the person did and what was done to their things; for administrators everything."""
    filters = Filters(request.GET, viewer=request.user)
    shown = page(filters.events(), request.GET.get("cursor", ""))
    query = request.GET.copy()
    query.pop("cursor", None)
    context = {
        "nav": "audit",
        "form": filters,
        "page": shown,
        "lines": lines(shown.events, request.user),
        "query": query.urlencode() + "&" if query else "",
        "proof": _proof() if request.user.is_superuser else None,
    }
    return render(request, "audit/log.html", context)


@require_POST
def export_csv(request: HttpRequest) -> StreamingHttpResponse:
    """All that the filters leave, as a file. A POST: taking it away is an act that is recorded too."""
    filters = Filters(request.POST, viewer=request.user)
    found = filters.events()
    # Only up to here: the record of the export itself is not in it.
    last = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    asked = {name: value for name, value in filters.cleaned_data.items() if value}
    record(actor=request.user, verb="audit.exported", **({"filters": asked} if asked else {}))
    written = export(found.filter(pk__lte=last), request.user)
    answer = StreamingHttpResponse(in_english(written), content_type="text/csv")
    name = f"audit-{timezone.localdate():%Y-%m-%d}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _proof() -> dict[str, Any]:
    """How far the chain reaches, cheaply; the whole proof is `phonebank audit verify`."""
    head = Head.objects.first()
    oldest = Event.objects.filter(pk__in=Seal.objects.filter(position=None).order_by("pk").values("pk")[:1]).first()
    is_late = oldest is not None and (timezone.now() - oldest.at).total_seconds() > LATE
    return {
        "head": head,
        "link": bytes(head.link).hex() if head else "",
        "is_broken": head is not None and not is_genuine(head),
        "late_since": oldest.at if oldest is not None and is_late else None,
    }
