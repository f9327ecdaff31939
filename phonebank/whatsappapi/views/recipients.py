"""The people of a campaign: the table, what happened to one, the list as a file, those whom a person decides about."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from phonebank.audit.models import record
from phonebank.language import grouped
from phonebank.whatsappapi.models import Attempt, Campaign, Message
from phonebank.whatsappapi.services import decisions, recipients
from phonebank.whatsappapi.services.progress import glance
from phonebank.whatsappapi.views.access import act, campaign_or_404, read_moment
from phonebank.whatsappapi.views.contacts import download
from phonebank.whatsappapi.views.progress import beat
from phonebank.whatsappapi.views.tallies import LABELS

PEOPLE = 50
FILTERS = [
    ("", gettext_lazy("Everybody")),
    ("queued", gettext_lazy("Waiting")),
    ("sending", gettext_lazy("Sending")),
    ("sent", gettext_lazy("Sent")),
    ("delivered", gettext_lazy("Delivered")),
    ("read", gettext_lazy("Read")),
    ("unknown", gettext_lazy("Being checked")),
    ("uncertain", gettext_lazy("May have received it")),
    ("failed", gettext_lazy("Failed")),
    ("off", gettext_lazy("Not written to")),
]
LIGHTS = {
    "failed": "red", "unknown": "yellow", "uncertain": "yellow", "delivered": "green", "read": "green", "sent": "blue",
    "accepted": "blue", "sending": "blue",
}  # fmt: skip


def people_of(request: HttpRequest, one: Campaign, counts: dict[str, int]) -> dict[str, Any]:
    """A page of the people, in the order of their numbers: that is an index, whatever the size of the campaign."""
    word, search = _asked(request)
    after, before = request.GET.get("after", ""), request.GET.get("before", "")
    rows = recipients.find(one, word=word, search=search)
    page = recipients.page(
        rows, after=after, before=before, size=PEOPLE, most=recipients.how_many(counts, word if word else "")
    )
    news = recipients.last_news(page.rows)
    query = _query(state=word, q=search)
    return {
        "people": [_described(row) | {"at": news.get(row.pk)} for row in page.rows],
        "filters": FILTERS,
        "word": word,
        "search": search,
        "query": query,
        "here": query + _query(after=after, before=before),
        "beat": beat(one),
        "back": page.back,
        "next": page.next,
    }


def _asked(request: HttpRequest) -> tuple[str, str]:
    return request.GET.get("state", ""), request.GET.get("q", "").strip()[:60]


def _query(**values: str) -> str:
    """What is set as the beginning of a query, with & at its end."""
    text = urlencode({key: value for key, value in values.items() if value})
    return text + "&" if text else ""


def _described(row: Message) -> dict[str, Any]:
    return {"message": row, "label": LABELS[row.word], "light": LIGHTS.get(row.word, "")}


@require_safe
def recipient(request: HttpRequest, public_id: uuid.UUID, contact: uuid.UUID) -> HttpResponse:
    """What happened to one person's message. To htmx the part for the panel beside the table."""
    one = campaign_or_404(request.user, public_id)
    # Two entries that were merged into one person may each have had a message: the later one is meant.
    rows = one.messages.select_related("session", "contact", "campaign").filter(contact__public_id=contact)
    message = rows.order_by("pk").last()
    if message is None:
        raise Http404
    context = {
        "nav": "campaigns",
        "campaign": one,
        "steps": recipients.timeline(message),
        "text": recipients.text_of(message),
        **_described(message),
    }
    return render(request, f"whatsappapi/recipient.html{'#panel' if request.htmx else ''}", context)


@require_safe
def export_recipients(
    request: HttpRequest, public_id: uuid.UUID, form: str
) -> HttpResponse | StreamingHttpResponse | FileResponse:
    """The people that the filter in the address shows, as a CSV or XLSX file."""
    one = campaign_or_404(request.user, public_id)
    if form not in ("csv", "xlsx"):
        raise Http404
    word, search = _asked(request)
    record(actor=request.user, verb="campaign.exported", target=one, form=form)
    return download(recipients.table(recipients.find(one, word=word, search=search)), "recipients", form)


@require_http_methods(["GET", "HEAD", "POST"])
def uncertain(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Those of whom nobody can tell whether they received it, with what is known; POST decides about some or all."""
    one = campaign_or_404(request.user, public_id)
    if request.method == "POST":
        _decide(request, one)
        return redirect("whatsappapi:uncertain", public_id)
    found = recipients.uncertain(one, after=_read_place(request.GET.get("after", "")), size=PEOPLE)
    context = {
        "nav": "campaigns",
        "campaign": one,
        "attempts": found[:PEOPLE],
        "next": _place(found[PEOPLE - 1]) if len(found) > PEOPLE else "",
        "total": glance(one).counts.get("uncertain", 0),
        "is_over": one.state in (Campaign.State.CANCELLED, Campaign.State.EXPIRED),
    }
    return render(request, "whatsappapi/uncertain.html", context)


def _place(one: Attempt) -> str:
    return f"{one.started_at.isoformat()}_{one.pk}"


def _read_place(text: str) -> tuple[datetime, uuid.UUID] | None:
    """Where `_place` left off; the beginning for anything else."""
    moment, __, last = text.partition("_")
    at = read_moment(moment)
    try:
        return (at, uuid.UUID(last)) if at else None
    except ValueError:
        return None


def _decide(request: HttpRequest, one: Campaign) -> None:
    verbs = {"assume": decisions.assume_sent, "again": decisions.send_again}
    verb = verbs.get(request.POST.get("verb", ""))
    if verb is None:
        raise Http404
    chosen = None if request.POST.get("all") else _picked(request, one)
    if chosen == []:
        messages.error(request, _("Choose at least one person first. Nothing was changed."))
        return
    done: list[int] = []

    def decide(**arguments: Any) -> None:
        done.append(verb(**arguments))

    if act(request, decide, campaign=one, messages=chosen):
        n = done[0]
        if verb is decisions.assume_sent:
            words = ngettext("%(n)s person is counted as sent.", "%(n)s people are counted as sent.", n)
        else:
            words = ngettext(
                "%(n)s person is in line again, and may get it twice.",
                "%(n)s people are in line again, and may get it twice.",
                n,
            )
        messages.success(request, words % {"n": grouped(n)})


def _picked(request: HttpRequest, one: Campaign) -> list[int]:
    """The messages of the chosen attempts; what is not of this campaign is not there."""
    ids = []
    for text in request.POST.getlist("pick")[: decisions.MOST]:
        try:
            ids.append(uuid.UUID(text))
        except ValueError:
            raise Http404 from None
    return list(one.messages.filter(attempts__in=ids, state="uncertain").values_list("pk", flat=True))
