"""What each step of the wizard shows."""

from __future__ import annotations

import contextlib
import copy
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from phonebank.accounts.models import User
from phonebank.whatsappapi.campaign_forms import DAYS, PreviewForm
from phonebank.whatsappapi.dispatch.render import render as render_message
from phonebank.whatsappapi.models import Campaign, Contact, ContactTag, MessageTemplate, SessionGroup, WaSenderSession
from phonebank.whatsappapi.services import audience, readiness
from phonebank.whatsappapi.services.forecast import forecast
from phonebank.whatsappapi.services.media import LONGEST, media_of
from phonebank.whatsappapi.services.senders import Senders, unfit
from phonebank.whatsappapi.services.single import own_numbers
from phonebank.whatsappapi.views.access import usable_sessions
from phonebank.whatsappapi.views.audience import lists_with_counts
from phonebank.whatsappapi.views.cards import Card, cards, deaf_accounts

STEPS = {
    "audience": gettext_lazy("Who gets it"),
    "message": gettext_lazy("What it says"),
    "senders": gettext_lazy("Who sends it"),
    "schedule": gettext_lazy("When"),
    "review": gettext_lazy("Review"),
}
NEVER = {"scheduled_at": gettext_lazy("as soon as it is started"), "expires_at": gettext_lazy("no end")}
CARDS = 60
LISTS = 100
TAGS = 60
LABELS = {
    "name": gettext_lazy("Name"),
    "audience": gettext_lazy("Who gets it"),
    "body": gettext_lazy("Message"),
    "media_kind": gettext_lazy("Carries"),
    "media_url": gettext_lazy("File"),
    "media_name": gettext_lazy("Name of the file"),
    "policy": gettext_lazy("When a session cannot send"),
    "is_sticky": gettext_lazy("People stay with their number"),
    "pace": gettext_lazy("Messages a minute"),
    "scheduled_at": gettext_lazy("Start"),
    "windows": gettext_lazy("Sending times"),
    "quiet_start": gettext_lazy("Quiet from"),
    "quiet_end": gettext_lazy("Quiet until"),
    "expires_at": gettext_lazy("Ends"),
    "cap_day": gettext_lazy("A day"),
    "cap_month": gettext_lazy("In 30 days"),
}


def target(step: str, go: str) -> str:
    """The step that a button leads to."""
    order = list(STEPS)
    at = order.index(step)
    return go if go in STEPS else step if go in ("test", "anew") else order[max(0, at - 1) if go == "back" else at + 1]


def frame(one: Campaign, step: str) -> dict[str, Any]:
    """What all steps have around them."""
    order = list(STEPS)
    steps = [
        {"key": key, "n": n, "label": label, "is_current": key == step, "is_done": readiness.is_done(one, key)}
        for n, (key, label) in enumerate(STEPS.items(), 1)
        if key != "review"
    ]
    steps.append({"key": "review", "n": len(STEPS), "label": STEPS["review"], "is_current": step == "review"})
    at = order.index(step)
    return {
        "nav": "campaigns",
        "campaign": one,
        "version": one.version,
        "step": step,
        "steps": steps,
        "number": at + 1,
        "title": STEPS[step],
        "back": order[at - 1] if at else "",
        "next": STEPS[order[at + 1]] if at + 1 < len(order) else "",
        "zone": one.user.time_zone,
    }


# --- the steps -------------------------------------------------------------------------------------------------------


def _audience(request: HttpRequest, one: Campaign, form: Any) -> dict[str, Any]:
    user = request.user
    return {
        "lists": list(lists_with_counts(user).order_by("-created_at")[:LISTS]),
        "tags": list(ContactTag.objects.visible_to(user)[:TAGS]),
        "tests": audience.TESTS,
        "columns": ["name", "phone", *audience.fields_of(user)],
        "chosen_lists": form["lists"].value() or [],
        "chosen_tags": form["tags"].value() or [],
        "left_out": form["without"].value() or [],
        "count": audience.count_of(one),
        "is_empty": audience.is_empty(one),
    }


def _message(request: HttpRequest, one: Campaign, form: Any) -> dict[str, Any]:
    user = request.user
    data = request.POST if request.method == "POST" else {}
    people = audience.first_people(one)
    return {
        # A tag's name is one word; a column of two cannot be one.
        "columns": ["name", *(column for column in audience.fields_of(user) if re.fullmatch(r"\w{1,40}", column))][:12],
        "templates": list(MessageTemplate.objects.visible_to(user)[:100]),
        "people": people,
        "numbers": own_numbers(user)[:50],
        "held_name": one.media_name,
        **preview_of({"body": form["body"].value() or "", **_as(data)}, user, people, one),
    }


def _as(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"as_contact": data["as_contact"]} if "as_contact" in data else {}


@dataclass(frozen=True, slots=True)
class Pick:
    """A session to choose. `refusal`: why it cannot be, in words. `order`: its place, where it is chosen."""

    card: Card
    refusal: str
    is_chosen: bool
    order: int | str


def _senders(request: HttpRequest, one: Campaign, form: Any) -> dict[str, Any]:
    user = request.user
    chosen = [str(value) for value in form["wa_sessions"].value() or []]
    usable = usable_sessions(user, "send")
    rows = {str(row.public_id): row for row in usable.filter(public_id__in=_uuids(chosen))}
    kept = [row.pk for row in rows.values()]
    rest = usable.exclude(pk__in=kept).order_by("-is_default", "-last_used_at", "pk")
    found = cards([rows[key] for key in chosen if key in rows] + list(rest[: max(0, CARDS - len(rows))]), user)
    places = {row.pk: n for n, row in enumerate((rows[key] for key in chosen if key in rows), 1)}
    picks = []
    for card in found:
        row = card.wa_session
        picks.append(Pick(card, unfit(row)[1], row.pk in places, places.get(row.pk, "")))
    picks.sort(key=lambda pick: (not pick.is_chosen, bool(pick.refusal), not pick.card.is_connected))
    groups = SessionGroup.objects.visible_to(user).prefetch_related("sessions")[:60]
    return {
        "picks": picks,
        "hidden": usable.count() - len(found),
        "groups": [(one, sum(row.deleted_at is None for row in one.sessions.all())) for one in groups],
        "chosen_groups": form["groups"].value() or [],
        "deaf": deaf_accounts(user),
        "policy": form["policy"].value(),
        **_capacity([pick.card for pick in picks if pick.is_chosen], audience.count_of(one).sendable),
    }


def _capacity(chosen: list[Card], need: int) -> dict[str, Any]:
    """What the sessions can still send today against what is needed. `room` None: no limit."""
    rooms = [card.room for card in chosen]
    room = None if None in rooms else sum(rooms)  # type: ignore[arg-type]
    return {"need": need, "room": room, "left": 0 if room is None else max(0, need - room)}


def _schedule(request: HttpRequest, one: Campaign, form: Any) -> dict[str, Any]:
    is_real = one.lanes.filter(is_active=True, session__account__is_sandbox=False).exists()
    bands = [
        {"y": n * 12 + 1, "x": span[0], "width": span[1] - span[0]} for n, span in enumerate(one.windows or []) if span
    ]
    return {"now": timezone.now(), "is_real": is_real, "bands": bands, "marks": range(0, 1441, 240)}


PAGES: dict[str, Callable[..., dict[str, Any]]] = {
    "audience": _audience, "message": _message, "senders": _senders, "schedule": _schedule,
}  # fmt: skip


# --- review ----------------------------------------------------------------------------------------------------------


def review(request: HttpRequest, one: Campaign) -> dict[str, Any]:
    user = request.user
    counted = audience.count_of(one)
    problems = readiness.problems(one, counted)
    lanes = usable_sessions(user, "send").filter(lanes__campaign=one, lanes__is_active=True)
    chosen = cards(lanes.order_by("lanes__position"), user)
    is_blocked = any(problem.is_blocking for problem in problems)
    people = audience.first_people(one)
    told = None if is_blocked else forecast(one, people=counted.sendable)
    shares = {session.public_id: session for session in told.sessions} if told else {}
    return {
        "count": counted,
        "parts": _parts(counted),
        "some": audience.some_left_out(one) if counted.left_out else {},
        "words": _("Whom “%(parent)s” could not reach") % {"parent": one.parent}
        if one.parent
        else audience.chosen(one).words,
        "problems": problems,
        "is_blocked": is_blocked,
        "cards": [(card, shares.get(card.wa_session.public_id)) for card in chosen],
        "capped": audience.capped(one, counted.sendable),
        "media": media_of(one),
        "hours": in_words("windows", one),
        "forecast": told,
        **_capacity(chosen, counted.sendable),
        **preview_of({"body": one.body}, user, people, one),
    }


def _parts(counted: audience.Count) -> list[dict[str, Any]]:
    """The audience as a bar: those who get it, then those left out by reason."""
    fills = ["fill-yellow", "fill-idle", "fill-idle", "fill-moving"]
    rows = [(_("get it"), counted.sendable, "fill-accent")]
    rows += [(words, n, fills[list(audience.REASONS.values()).index(words)]) for words, n in counted.why]
    parts, x = [], 0.0
    for words, n, fill in rows:
        width = 100 * n / counted.people if counted.people else 0
        parts.append({"words": words, "n": n, "fill": fill, "x": f"{x:.3f}", "width": f"{width:.3f}"})
        x += width
    return parts


# --- previews and differences ----------------------------------------------------------------------------------------


def preview_of(
    data: Mapping[str, Any], user: User, people: list[Contact] | None = None, one: Campaign | None = None
) -> dict[str, Any]:
    """The text as one person gets it: the one asked for, else the first of the audience."""
    form = PreviewForm(data, user=user)
    form.is_valid()
    contact = form.cleaned_data.get("as_contact")
    if contact is None and "as_contact" not in data:
        contact = next(iter(people or []), None)
    variables = {**contact.attributes, "name": contact.name} if contact else {}
    text = render_message(form.cleaned_data.get("body", ""), variables)
    carried = media_of(one) if one else None
    return {
        "preview": text, "preview_for": contact, "characters": len(text), "longest": LONGEST, "carried": carried,
    }  # fmt: skip


def differences(current: Campaign, changes: Mapping[str, Any], senders: Senders | None) -> list[tuple[str, str, str]]:
    """Label, as saved, as entered: what a save would change."""
    mine = copy.copy(current)
    for name, value in changes.items():
        setattr(mine, name, value)
    rows = [
        (LABELS[name], in_words(name, current), in_words(name, mine))
        for name in changes
        if getattr(current, name) != getattr(mine, name)
    ]
    if senders is not None:
        lanes = current.lanes.filter(is_active=True).select_related("session").order_by("position")
        saved = [lane.session for lane in lanes]
        if saved != senders.sessions:
            rows.append((_("Sessions"), _names(saved), _names(senders.sessions)))
    return rows


def in_words(name: str, one: Campaign) -> str:
    """A field of a draft as a person reads it."""
    value = getattr(one, name)
    if name == "audience":
        return audience.chosen(one).words or _("nobody yet")
    if name == "windows":
        return _week(value)
    if name == "policy":
        return one.get_policy_display()
    if name in NEVER and value:
        return date_format(timezone.localtime(value), "DATETIME_FORMAT")
    if name in NEVER:
        return NEVER[name]
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return _("nothing") if value in (None, "") else str(value)


def _week(windows: list[list[int] | None] | None) -> str:
    """Days in a row with the same times are told together."""
    told: list[tuple[list[int], int, int]] = []
    for n, span in enumerate(windows or []):
        if span and told and told[-1][0] == span and told[-1][2] == n - 1:
            told[-1] = (span, told[-1][1], n)
        elif span:
            told.append((span, n, n))
    return "; ".join(
        _("%(days)s, %(begin)s to %(end)s")
        % {
            "days": _("%(first)s to %(last)s") % {"first": DAYS[first], "last": DAYS[last]}
            if last > first
            else DAYS[first],
            "begin": _clock(span[0]),
            "end": _clock(span[1]),
        }
        for span, first, last in told
    ) or _("at any time")


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _names(rows: list[WaSenderSession]) -> str:
    return ", ".join(one.session_name for one in rows) or pgettext("sessions", "none")


def _uuids(texts: list[str]) -> list[uuid.UUID]:
    """Those that are one: the database refuses the others."""
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(uuid.UUID(text))
    return found
