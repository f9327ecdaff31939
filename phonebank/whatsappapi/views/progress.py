"""A campaign under way: how it stands, its sessions, what needs a person, what happened last."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext
from django.views.decorators.http import require_POST

from phonebank.accounts.models import User
from phonebank.language import grouped
from phonebank.whatsappapi.models import Campaign, WaSenderSession
from phonebank.whatsappapi.services import brakes, runs, senders
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.feed import feed
from phonebank.whatsappapi.services.health import LIMIT_REACHED, RATE_LIMITED, with_light
from phonebank.whatsappapi.services.progress import NOBODY, Progress, glance
from phonebank.whatsappapi.views.access import act, campaign_or_404
from phonebank.whatsappapi.views.cards import Card, cards
from phonebank.whatsappapi.views.tallies import tally

State = Campaign.State
LANES = 25
OFFERED = 200  # sessions that may be added, in a list
LIVE = {State.DEALING, State.SCHEDULED, State.RUNNING}
OPEN = LIVE | {State.PAUSED}
OVER = {State.COMPLETED, State.CANCELLED, State.EXPIRED}
BEAT, REST = 3, 15  # seconds between two looks while it runs, and afterwards, when people still read it
MANY_FAIL = 0.1  # of those that ended: worth a word
PASSING = (LIMIT_REACHED, RATE_LIMITED)  # red, but it goes on by itself
# Colour and word of a campaign's state.
CHIPS = {
    State.DRAFT: ("", gettext_lazy("Draft")),
    State.DEALING: ("blue", gettext_lazy("Preparing")),
    State.SCHEDULED: ("blue", gettext_lazy("Scheduled")),
    State.RUNNING: ("green", gettext_lazy("Running")),
    State.PAUSED: ("yellow", gettext_lazy("Paused")),
    State.COMPLETED: ("", gettext_lazy("Finished")),
    State.CANCELLED: ("", gettext_lazy("Cancelled")),
    State.EXPIRED: ("red", gettext_lazy("Ran out of time")),
}
SKIPPED = gettext_lazy("Skipped")
COLUMNS = [
    gettext_lazy("Waiting"),
    gettext_lazy("Sent"),
    gettext_lazy("Delivered"),
    gettext_lazy("Read"),
    gettext_lazy("Failed"),
    gettext_lazy("Unclear"),
    SKIPPED,
    gettext_lazy("People"),
]


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A session in the table. `per_hour`: its pace in this campaign, None where it is not known."""

    card: Card
    per_hour: int | None
    is_active: bool

    @property
    def wa_session(self) -> WaSenderSession:
        return self.card.wa_session


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person: what, and where to do it."""

    light: str
    words: str
    url: str = ""
    link: str = ""


def beat(one: Campaign) -> int:
    return BEAT if one.state in LIVE else REST


def progress_of(request: HttpRequest, one: Campaign) -> dict[str, Any]:
    """What the page shows of a campaign, but for its people."""
    page = _sessions(request, one)
    progress = glance(one, [wa_session.pk for wa_session in page])
    rows = _lanes(page, one, progress)
    everybody, nobody = Counter(progress.counts), progress.parts.get(NOBODY)
    shown = [label for label, n in cells(everybody) if n or label != SKIPPED]
    return {
        "nav": "campaigns",
        "campaign": one,
        "chip": CHIPS[State(one.state)],
        "progress": progress,
        "forecast": progress.forecast,
        "tally": (whole := tally(progress.counts)),
        "is_exact": sum(part.n for part in whole.parts) == progress.total,
        "page": page,
        "query": "",
        "lanes": [(row, tally(part := progress.parts.get(row.wa_session.pk, {})), cells(part, shown)) for row in rows],
        "nobody": (tally(nobody), cells(nobody, shown)) if nobody and page.number == page.paginator.num_pages else None,
        "all": cells(everybody, shown),
        "columns": shown,
        "needs": _needs(one, progress, rows),
        "feed": feed(one, request.user),
        "brake": (pulled := brakes.pulled(one)),
        "gauges": brakes.gauges(one) if settings.BRAKES and (pulled or one.state == State.RUNNING) else [],
        "addable": _addable(one) if one.state in OPEN else [],
        "is_live": one.state in LIVE,
        "is_open": one.state in OPEN,
        "is_over": one.state in OVER,
        "can_retry": one.state in OVER and progress.counts.get("failed", 0) > 0,
        "beat": beat(one),
    }


def cells(counts: Mapping[str, int], shown: Collection[str] = COLUMNS) -> list[tuple[str, int]]:
    """The shown ones of COLUMNS with their numbers.

    Who has read it has got it, and who has got it was sent it: these three include one another.
    """
    n = Counter(counts)
    delivered = n["read"] + n["delivered"]
    sent = delivered + n["sent"] + n["accepted"]
    unclear = n["unknown"] + n["uncertain"]
    waiting, skipped = n["queued"] + n["sending"], n["skipped"] + n["cancelled"] + n["expired"]
    numbers = [waiting, sent, delivered, n["read"], n["failed"], unclear, skipped, n.total()]
    return [(label, cell) for label, cell in zip(COLUMNS, numbers, strict=True) if label in shown]


def _sessions(request: HttpRequest, one: Campaign) -> Page:
    """A page of the sessions; while it is open, those that cannot send come first."""
    rows = WaSenderSession.objects.filter(lanes__campaign=one).select_related(
        "account", "user__subscription__plan", "doubt"
    )
    rows = rows.annotate(lane_position=F("lanes__position"), lane_active=F("lanes__is_active"))
    rows = with_light(rows, timezone.now(), ZoneInfo(one.user.time_zone))
    order = ["-lane_active", "light", "lane_position"] if one.state in OPEN else ["lane_position"]
    return Paginator(rows.order_by(*order, "pk"), LANES).get_page(request.GET.get("page"))


def _lanes(page: Page, one: Campaign, progress: Progress) -> list[LaneRow]:
    told = {seat.public_id: seat.gap for seat in progress.forecast.standing} if progress.forecast else {}
    made = []
    for card in cards(page.object_list, one.user):
        gap = told.get(card.wa_session.public_id)
        is_active = card.wa_session.lane_active  # type: ignore[attr-defined]
        made.append(LaneRow(card, round(3600 / gap) if gap else None, is_active))
    return made


def _needs(one: Campaign, progress: Progress, rows: list[LaneRow]) -> list[Need]:
    counts, here = progress.counts, reverse("whatsappapi:campaign", args=[one.public_id])
    needs = []
    if n := counts.get("uncertain", 0):
        words = ngettext(
            "%(n)s person may have received it; you decide.", "%(n)s people may have received it; you decide.", n
        ) % {"n": grouped(n)}
        needs.append(Need("yellow", words, reverse("whatsappapi:uncertain", args=[one.public_id]), _("Decide")))
    failed = counts.get("failed", 0)
    ended = sum(counts.get(word, 0) for word in ("accepted", "sent", "delivered", "read", "failed"))
    if failed > MANY_FAIL * ended:
        words = ngettext(
            "%(failed)s of %(ended)s message failed.", "%(failed)s of %(ended)s messages failed.", ended
        ) % {"failed": grouped(failed), "ended": grouped(ended)}
        needs.append(Need("red", words, f"{here}?state=failed#people", _("See why")))
    if one.state in OPEN:
        down = [row for row in rows if row.is_active and row.card.health.light == "red"]
        for row in [row for row in down if row.card.health.word not in PASSING][:5]:
            session, health = row.wa_session, row.card.health
            is_there = session.deleted_at is None and row.card.role is not None
            url = reverse("whatsappapi:session", args=[session.public_id]) if is_there else ""
            words = _("%(session)s: %(word)s. %(reason)s") % {
                "session": session.session_name,
                "word": health.word,
                "reason": health.reason,
            }
            needs.append(Need("red", words, url, pgettext("verb", "Open")))
    return needs


def _addable(one: Campaign) -> list[WaSenderSession]:
    """Sessions that its owner may send over and that do not carry it, those that can send first."""
    taken = one.lanes.filter(is_active=True).values("session")
    usable = WaSenderSession.objects.usable_by(one.user, LENT_TO["send"])
    rows = usable.exclude(wasender_id=None).exclude(pk__in=taken)
    now = timezone.now()
    rows = with_light(rows, now, ZoneInfo(one.user.time_zone)).order_by("-light", "session_name")
    return list(rows.only("public_id", "session_name", "status")[:OFFERED])


# --- verbs --------------------------------------------------------------------------------------------------------
@require_POST
def campaign_add_session(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = campaign_or_404(request.user, public_id)
    wa_session = _named_or_404(request.user, one, request.POST.get("session", ""))
    done = _("%(session)s joins in: it gets its part of those who were not reached yet.") % {
        "session": wa_session.session_name
    }
    act(request, runs.add_session, done, campaign=one, wa_session=wa_session)
    return redirect("whatsappapi:campaign", public_id)


@require_POST
def campaign_remove_session(request: HttpRequest, public_id: uuid.UUID, session: uuid.UUID) -> HttpResponse:
    one = campaign_or_404(request.user, public_id)
    wa_session = get_object_or_404(WaSenderSession, lanes__campaign=one, public_id=session)
    done = _("%(session)s is taken out. Who still waited there goes to the other sessions.") % {
        "session": wa_session.session_name
    }
    act(request, runs.remove_session, done, campaign=one, wa_session=wa_session)
    return redirect("whatsappapi:campaign", public_id)


@require_POST
def campaign_pace(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = campaign_or_404(request.user, public_id)
    given = request.POST.get("pace", "").strip()
    # What is no number is refused by the service, in words.
    pace = None if not given else int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    done = (
        _("At most %(pace)s a minute and session from now on.") % {"pace": grouped(pace)}
        if pace
        else _("As fast as the sessions may.")
    )
    act(request, runs.set_pace, done, campaign=one, pace=pace)
    return redirect("whatsappapi:campaign", public_id)


@require_POST
def campaign_retry(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _copied(request, public_id, runs.retry_failed, _("A draft for those who were not reached. Look it over."))


@require_POST
def campaign_clone(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _copied(request, public_id, runs.clone, _("A copy, as a draft. Nothing is sent yet."))


def _copied(request: HttpRequest, public_id: uuid.UUID, verb: Any, done: str) -> HttpResponse:
    made: list[Campaign] = []

    def copy(**arguments: Any) -> None:
        made.append(verb(**arguments))

    act(request, copy, done, campaign=campaign_or_404(request.user, public_id))
    return redirect("whatsappapi:campaign", made[0].public_id if made else public_id)


def _named_or_404(user: User, one: Campaign, given: str) -> WaSenderSession:
    """The session that a form names. Only one's own are offered there: that another one was tried is recorded."""
    try:
        with senders.noting_refusals(user, one):
            return senders.find(actor=user, session=given)
    except ServiceError as error:
        if error.code == "forbidden":
            raise PermissionDenied(error.message) from None
        raise Http404 from None
