"""The people of a campaign: finding them, what happened to each, the list as a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from phonebank.language import said
from phonebank.whatsappapi.dispatch.render import render
from phonebank.whatsappapi.models import Attempt, Campaign, Contact, Message, State, WaSenderSession
from phonebank.whatsappapi.models.messages import has_word

CHUNK = 500  # of a file; each row has its attempts, and every thread keeps what it once took
# Decrypting what no list shows, row by row, cost more than all the rest.
SECRETS = [f"session__{name}" for name in ("api_key", "webhook_secret", "webhook_token", "adopted_webhook")]
FEW = 1000  # people of a name who are looked up one by one
# What a filter means: its state, and the ranks of accepted ones.
FILTERS: dict[str, Q] = {
    "off": Q(state__in=["skipped", "cancelled", "expired"]),
    "sent": has_word("accepted") | has_word("sent"),
    "delivered": has_word("delivered"),
    "read": has_word("read"),
}
FILTERS |= {state: Q(state=state) for state in State.values}
# The merged words that each filter shows: where their count is 0, nobody is looked for.
SHOWS = {
    "off": ("skipped", "cancelled", "expired"), "sent": ("accepted", "sent"), "delivered": ("delivered",),
    "read": ("read",), "accepted": ("accepted", "sent", "delivered", "read"),
}  # fmt: skip
HEADER = [
    "phone",
    "name",
    "state",
    "reason",
    "session",
    "why this session",
    "attempts",
    "asked at",
    "sent at",
    "delivered at",
    "read at",
    "message id",
]
OUTCOMES = {
    "accepted": (gettext_lazy("The gateway took it"), "blue"),
    "rejected": (gettext_lazy("The gateway refused it"), "red"),
    "deferred": (gettext_lazy("Not sent; put off"), ""),
    "not_sent": (gettext_lazy("Proven not sent"), ""),
    "unknown": (gettext_lazy("No clear answer"), "yellow"),
    "": (gettext_lazy("Under way"), "blue"),
}


def text_of(message: Message) -> str:
    """What it says, or will say."""
    campaign = message.campaign
    return render(campaign.body, message.variables) if campaign is not None else message.body or ""


def find(campaign: Campaign, *, word: str = "", search: str = "") -> QuerySet[Message]:
    """Those in a state (a key of FILTERS; anything else: all), whose name or number holds `search`."""
    rows = campaign.messages.select_related("session", "contact").defer(*SECRETS).order_by("phone")
    if word in FILTERS:
        rows = rows.filter(FILTERS[word])
    # "Ana 50" is a name: only what looks like a number is looked for among the numbers.
    number = "" if any(c.isalpha() for c in search) else "".join(c for c in search if c.isdecimal() and c.isascii())
    if number:
        return rows.filter(_of_number(campaign, number.lstrip("0") or number))
    return rows.filter(_of_name(campaign, search)) if search else rows


def _of_number(campaign: Campaign, number: str) -> Q:
    """Those whose number begins so, by index; where there is nobody, whose number has it anywhere."""
    begins = Q(phone__gte=f"+{number}", phone__lte=f"+{number}{'9' * 15}")
    return begins if campaign.messages.filter(begins).exists() else Q(phone__contains=number)


def _of_name(campaign: Campaign, name: str) -> Q:
    """Looked for among the owner's people first: by the join, a name that nobody has is compared with everybody's."""
    named = Contact.objects.filter(user=campaign.user_id, name__icontains=name)
    found = list(named.values_list("pk", flat=True)[: FEW + 1])
    return Q(contact__in=found) if len(found) <= FEW else Q(contact__name__icontains=name)


def how_many(counts: Mapping[str, int], word: str) -> int:
    """People in a state, by the campaign's counters."""
    words = SHOWS.get(word, (word,)) if word in FILTERS else counts.keys()
    return sum(counts.get(one, 0) for one in words)


@dataclass(frozen=True, slots=True)
class Page:
    """Some people in the order of their numbers. `back` and `next`: the numbers to go on from, else empty."""

    rows: list[Message]
    back: str = ""
    next: str = ""


def page(rows: QuerySet[Message], *, after: str = "", before: str = "", size: int, most: int) -> Page:
    """`most`: how many there are at most; a search for few ends when it has found them, not at the last row."""
    if not most:
        return Page([])
    if before:
        found = list(rows.filter(phone__lt=before).order_by("-phone")[: size + 1])
        has_back, has_next, found = len(found) > size, True, found[:size][::-1]
    else:
        found = list(rows.filter(phone__gt=after)[: min(size + 1, most)])
        has_back, has_next, found = bool(after), len(found) > size, found[:size]
    return Page(found, found[0].phone if found and has_back else "", found[-1].phone if found and has_next else "")


def last_news(rows: Sequence[Message]) -> dict[int, datetime]:
    """When something was last heard of each; the attempts of all in one query."""
    news: dict[int, datetime] = {}
    for one in Attempt.objects.filter(message__in=rows).order_by("started_at"):
        news[one.message_id] = one.read_at or one.delivered_at or one.sent_at or one.started_at
    return news


# --- one of them --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a message. `light`: its colour, empty for none."""

    at: datetime
    title: str
    detail: str = ""
    session: str = ""
    light: str = ""


def timeline(message: Message) -> list[Step]:
    """All that is known of it, in order of time: when it got in line, every attempt, every status."""
    if message.state == "skipped":
        steps = [Step(message.created_at, pgettext("one message", "Left out"), said(message.reason))]
    else:
        steps = [Step(message.created_at, _("Got in line"))]
    for one in message.attempts.select_related("session").order_by("started_at"):
        steps += _steps_of(one, one.why or message.why)
    return sorted(steps, key=lambda step: step.at)


def _steps_of(one: Attempt, why: str) -> Iterator[Step]:
    name = one.session.session_name
    yield Step(one.started_at, _("Asked the gateway"), said(why), name)
    title, light = OUTCOMES[one.outcome]
    ends = one.resolved_at or one.finished_at
    if one.finished_at:
        status = f"HTTP {one.http_status}. " if one.http_status and one.outcome != "accepted" else ""
        known = _("Message %(msg_id)s. ") % {"msg_id": one.msg_id} if one.msg_id else ""
        yield Step(ends or one.finished_at, title, f"{status}{known}{one.detail}".strip(), name, light)
    for at, word, colour in (
        (one.sent_at, pgettext("one message", "Sent"), "blue"),
        (one.delivered_at, pgettext("one message", "Delivered"), "green"),
        (one.read_at, pgettext("one message", "Read"), "green"),
    ):
        if at:
            yield Step(at, word, session=name, light=colour)


# --- all of them as a file ----------------------------------------------------------------------------------------
def table(rows: QuerySet[Message]) -> Iterator[Sequence[str]]:
    """A row a person, in the order of their numbers, read in chunks."""
    yield HEADER
    # A session for each row and attempt took longer than all the rest: of those only names are wanted.
    rows = rows.select_related(None).defer(None).annotate(called=F("contact__name"))
    # One after another by index: a cursor of the database would gather all of them before it gives the first.
    last, size = "", 10
    while chunk := list(rows.filter(phone__gt=last)[:size]):
        yield from _lines(chunk)
        last, size = chunk[-1].phone, min(CHUNK, size * 10)


def _lines(rows: Sequence[Message]) -> Iterator[Sequence[str]]:
    last: dict[int, Attempt] = {}
    tries: dict[int, int] = {}
    attempts = list(Attempt.objects.filter(message__in=[one.pk for one in rows]).order_by("started_at"))
    sessions = {one.session_id for one in (*rows, *attempts)}
    names = dict(WaSenderSession.objects.filter(pk__in=sessions).values_list("pk", "session_name"))
    for one in attempts:
        tries[one.message_id] = tries.get(one.message_id, 0) + 1
        # The one that counts, where the message has one; else the last.
        if one.message_id not in last or last[one.message_id].outcome != "accepted":
            last[one.message_id] = one
    for row in rows:
        attempt = last.get(row.pk)
        session = attempt.session_id if attempt else row.session_id
        times = [attempt.started_at, attempt.sent_at, attempt.delivered_at, attempt.read_at] if attempt else [None] * 4
        yield [
            row.phone, row.called or "", row.word, row.reason, names.get(session, ""), row.why,
            str(tries.get(row.pk, 0)),
            *(one.isoformat(timespec="seconds") if one else "" for one in times),
            str(attempt.msg_id) if attempt and attempt.msg_id else "",
        ]  # fmt: skip


# --- those of whom nobody can tell --------------------------------------------------------------------------------
def uncertain(campaign: Campaign, *, after: tuple[datetime, uuid.UUID] | None = None, size: int) -> list[Attempt]:
    """The attempts that nobody can tell about, newest first, `after` (before, in time) the last one seen."""
    rows = Attempt.objects.filter(session__in=campaign.lanes.values("session"), outcome=Attempt.Outcome.UNKNOWN)
    rows = rows.filter(message__campaign=campaign, message__state="uncertain", message__attempt=F("id"))
    if after:
        at, last = after
        rows = rows.filter(Q(started_at__lt=at) | Q(started_at=at, pk__gt=last))
    return list(rows.select_related("message__contact", "session").order_by("-started_at", "pk")[: size + 1])
