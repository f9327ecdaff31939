"""Pages of campaigns: the list, and one campaign from its review to its last recipient."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from phonebank.whatsappapi.dispatch.render import render as render_message
from phonebank.whatsappapi.models import Attempt, Campaign, CampaignCount, Message
from phonebank.whatsappapi.services import campaigns as service
from phonebank.whatsappapi.views.access import act, campaign_or_404, sessions_of
from phonebank.whatsappapi.views.audience import lists_with_counts
from phonebank.whatsappapi.views.cards import cards
from phonebank.whatsappapi.views.tallies import LABELS, tallies, tally

State = Campaign.State
PAGE = 25
PEOPLE = 50
LIVE = {State.DEALING, State.SCHEDULED, State.RUNNING}
BEAT, REST = 3, 15  # seconds between two looks while it runs, and afterwards, when people still read it
# Colour and word of a campaign's state.
CHIPS = {
    State.DRAFT: ("", "Draft"),
    State.DEALING: ("blue", "Preparing"),
    State.SCHEDULED: ("blue", "Scheduled"),
    State.RUNNING: ("green", "Running"),
    State.PAUSED: ("yellow", "Paused"),
    State.COMPLETED: ("", "Finished"),
    State.CANCELLED: ("", "Cancelled"),
    State.EXPIRED: ("red", "Ran out of time"),
}
COLUMNS = ["Waiting", "Sent", "Delivered", "Read", "Failed", "Unclear", "Skipped", "People"]
FILTERS = [
    ("", "Everybody"), ("queued", "Waiting"), ("sending", "Sending"), ("sent", "Sent"), ("delivered", "Delivered"),
    ("read", "Read"), ("unknown", "Being checked"), ("uncertain", "May have received it"), ("failed", "Failed"),
    ("off", "Not written to"),
]  # fmt: skip


@require_safe
def campaigns(request: HttpRequest) -> HttpResponse:
    discarded = Q(state=State.CANCELLED) & ~Exists(CampaignCount.objects.filter(campaign=OuterRef("pk")))
    rows = Campaign.objects.visible_to(request.user).exclude(discarded)
    page = Paginator(rows.select_related("contact_list"), PAGE).get_page(request.GET.get("page"))
    numbers = tallies(page.object_list)
    shown = [(one, CHIPS[State(one.state)], numbers[one.pk]) for one in page.object_list]
    return render(request, "whatsappapi/campaigns.html", {"nav": "campaigns", "page": page, "shown": shown})


@require_safe
def campaign(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = campaign_or_404(request.user, public_id)
    if one.state == State.DRAFT:
        return render(request, "whatsappapi/review_campaign.html", _review(request, one))
    if request.htmx and "rows" in request.GET:
        return render(request, "whatsappapi/campaign.html#rows", _recipients(request, one))
    context = _progress(one)
    if request.htmx:
        return render(request, "whatsappapi/campaign.html#progress", context)
    return render(request, "whatsappapi/campaign.html", {**context, **_recipients(request, one)})


def _review(request: HttpRequest, one: Campaign) -> dict[str, Any]:
    wa_sessions = sessions_of(request.user).filter(lanes__campaign=one).order_by("lanes__position")
    chosen = cards(wa_sessions, request.user)
    audience = lists_with_counts(request.user).filter(pk=one.contact_list_id).first()
    person = one.contact_list.contacts.order_by("pk").first() if one.contact_list else None
    variables = {"name": person.name, "phone": person.phone, **person.attributes} if person else {}
    rooms = [card.room for card in chosen]
    return {
        "nav": "campaigns",
        "campaign": one,
        "cards": chosen,
        "list": audience,
        "each": -(-audience.sendable // len(chosen)) if audience and chosen else 0,
        "preview": render_message(one.body, variables),
        "preview_for": person,
        "room": None if None in rooms else sum(rooms),
        "red": [card for card in chosen if card.health.light == "red"],
    }


def _progress(one: Campaign) -> dict[str, Any]:
    progress = service.progress(one)
    everybody = Counter(progress.counts)
    nobody = everybody - sum((Counter(row.counts) for row in progress.sessions), Counter())
    shown = [label for label, n in _cells(everybody) if n or label != "Skipped"]
    return {
        "nav": "campaigns",
        "campaign": one,
        "chip": CHIPS[State(one.state)],
        "progress": progress,
        "tally": tally(progress.counts),
        "lanes": [(row, tally(row.counts), _cells(row.counts, shown)) for row in progress.sessions],
        "nobody": (tally(nobody), _cells(nobody, shown)) if nobody else None,
        "all": _cells(everybody, shown),
        "columns": shown,
        "is_live": one.state in LIVE,
        "beat": _beat(one),
    }


def _beat(one: Campaign) -> int:
    return BEAT if one.state in LIVE else REST


def _cells(counts: Mapping[str, int], shown: Collection[str] = COLUMNS) -> list[tuple[str, int]]:
    """The shown ones of COLUMNS with their numbers.

    Who has read it has got it, and who has got it was sent it: these three include one another.
    """
    n = Counter(counts)
    delivered = n["read"] + n["delivered"]
    sent = delivered + n["sent"] + n["accepted"]
    unclear = n["unknown"] + n["uncertain"]
    waiting, skipped = n["queued"] + n["sending"], n["skipped"] + n["cancelled"] + n["expired"]
    cells = [waiting, sent, delivered, n["read"], n["failed"], unclear, skipped, n.total()]
    return [(label, cell) for label, cell in zip(COLUMNS, cells, strict=True) if label in shown]


def _recipients(request: HttpRequest, one: Campaign) -> dict[str, Any]:
    """A page of the people, in the order of their numbers: that is an index, whatever the size of the campaign."""
    word, search = request.GET.get("state", ""), request.GET.get("q", "").strip()[:60]
    rows = _in_state(one.messages.select_related("session", "contact"), word)
    if search:
        # "Ana 50" is a name: only what looks like a number is looked for among the numbers.
        number = "" if any(c.isalpha() for c in search) else "".join(c for c in search if c.isdigit())
        match = Q(contact__name__icontains=search)
        rows = rows.filter(match | Q(phone__contains=number) if number else match)
    after, before = request.GET.get("after", ""), request.GET.get("before", "")
    if before:
        found = list(rows.filter(phone__lt=before).order_by("-phone")[: PEOPLE + 1])
        has_back, has_next = len(found) > PEOPLE, True
        found = found[:PEOPLE][::-1]
    else:
        found = list(rows.filter(phone__gt=after).order_by("phone")[: PEOPLE + 1])
        has_back, has_next = bool(after), len(found) > PEOPLE
        found = found[:PEOPLE]
    query = _query(state=word, q=search)
    return {
        "people": _described(found),
        "filters": FILTERS,
        "word": word,
        "search": search,
        "query": query,
        "here": query + _query(after=after, before=before),
        "beat": _beat(one),
        "back": found[0].phone if found and has_back else "",
        "next": found[-1].phone if found and has_next else "",
    }


def _query(**values: str) -> str:
    """What is set as the beginning of a query, with & at its end."""
    text = urlencode({key: value for key, value in values.items() if value})
    return text + "&" if text else ""


def _in_state(rows: QuerySet[Message], word: str) -> QuerySet[Message]:
    if word == "off":
        return rows.filter(state__in=["skipped", "cancelled", "expired"])
    ranks = {"sent": [0, 1, 2], "delivered": [3], "read": [4, 5]}
    if word in ranks:
        return rows.filter(state="accepted", rank__in=ranks[word])
    return rows.filter(state=word) if word in LABELS else rows


def _described(rows: list[Message]) -> list[dict[str, Any]]:
    """Each message with its word and the time of its last news; the attempts of all come in one query."""
    last: dict[int, Attempt] = {}
    for attempt in Attempt.objects.filter(message__in=rows).order_by("started_at"):
        last[attempt.message_id] = attempt
    described = []
    for row in rows:
        word = "accepted" if row.state == "accepted" and row.rank < 2 else row.state
        if row.state == "accepted" and row.rank >= 2:
            word = {2: "sent", 3: "delivered"}.get(row.rank, "read")
        attempt = last.get(row.pk)
        at = attempt and (attempt.read_at or attempt.delivered_at or attempt.sent_at or attempt.started_at)
        described.append({"message": row, "label": LABELS[word], "light": _light(word), "at": at})
    return described


def _light(word: str) -> str:
    return {"failed": "red", "unknown": "yellow", "uncertain": "yellow", "delivered": "green", "read": "green",
            "sent": "blue", "accepted": "blue", "sending": "blue"}.get(word, "")  # fmt: skip


@require_POST
def campaign_launch(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _act(request, public_id, service.launch)


@require_POST
def campaign_pause(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _act(request, public_id, service.pause)


@require_POST
def campaign_resume(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _act(request, public_id, service.resume)


@require_POST
def campaign_cancel(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = campaign_or_404(request.user, public_id)
    if one.state != State.DRAFT:
        return _act(request, public_id, service.cancel)
    act(request, service.cancel, f"The draft {one.name} is discarded.", campaign=one)
    return redirect("whatsappapi:campaigns")


def _act(request: HttpRequest, public_id: uuid.UUID, verb: Any) -> HttpResponse:
    act(request, verb, campaign=campaign_or_404(request.user, public_id))
    return redirect("whatsappapi:campaign", public_id)
