"""Which events somebody asked for: filters, pages by cursor, the export."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core import signing
from django.db.models import Q
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from phonebank.audit.models import Event, EventQuerySet
from phonebank.audit.origin import How
from phonebank.audit.sentences import AREAS, lines

PAGE = 50
CHUNK = 500
SALT = "audit.cursor"


def _text(example: Any) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "placeholder": example})


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"class": "form-control", "type": "date"})


def _choice(label: str, choices: list[tuple[str, str]]) -> forms.ChoiceField:
    widget = forms.Select(attrs={"class": "form-select"})
    return forms.ChoiceField(label=label, required=False, choices=choices, widget=widget)


class Filters(forms.Form):
    """Everything is optional; what is wrong is left out, with a word about it."""

    who = _choice(
        _("Who"), [("", _("Anybody")), ("me", _("I")), ("others", _("Others")), ("phonebank", _("Phonebank itself"))]
    )
    person = forms.CharField(label=_("Person"), required=False, max_length=100, widget=_text(_("Name or e-mail")))
    what = _choice(_("What"), [("", _("Everything")), *((key, word) for key, (word, __) in AREAS.items())])
    about = forms.CharField(label=_("About"), required=False, max_length=80, widget=_text(_("Session, campaign, list")))
    how = _choice(_("How"), [("", _("Any way")), *((one.value, capfirst(one.label)) for one in How)])
    since = forms.DateField(label=_("From"), required=False, widget=_day())
    until = forms.DateField(label=_("To"), required=False, widget=_day())

    def __init__(self, data: Any, *, viewer: Any) -> None:
        super().__init__(data)
        self.viewer = viewer
        if not viewer.is_superuser:
            del self.fields["person"]

    @property
    def is_used(self) -> bool:
        self.full_clean()
        return any(self.cleaned_data.values())

    def events(self) -> EventQuerySet:
        """What the viewer may see and asked for."""
        self.full_clean()
        asked = self.cleaned_data
        found = Event.objects.visible_to(self.viewer)
        if who := asked.get("who"):
            own = {"me": Q(actor=self.viewer), "phonebank": Q(actor=None)}
            found = found.filter(own.get(who, Q(actor__isnull=False) & ~Q(actor=self.viewer)))
        if person := asked.get("person"):
            people = get_user_model().objects.filter(Q(email__icontains=person) | Q(name__icontains=person))
            found = found.filter(actor__in=people.values("pk"))
        if what := asked.get("what"):
            found = found.filter(_any_of(AREAS[what][1]))
        if about := asked.get("about", "").strip():
            found = found.filter(_about(found, about))
        if how := asked.get("how"):
            found = found.filter(how=how)
        if since := asked.get("since"):
            found = found.filter(at__gte=_midnight(since))
        if (until := asked.get("until")) and until < date.max:
            found = found.filter(at__lt=_midnight(until + timedelta(days=1)))
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `newer` and `older` are cursors, empty where there is nothing."""

    events: list[Event]
    newer: str
    older: str


def page(found: EventQuerySet, cursor: str) -> Page:
    """One page at a cursor; a cursor that nobody made shows the first page."""
    side, at = _read(cursor)
    if side == "newer":
        rows = list(found.filter(pk__gt=at).order_by("pk")[: PAGE + 1])
        more, rows = len(rows) > PAGE, rows[:PAGE][::-1]
        return Page(rows, _cursor("newer", rows[0]) if more else "", _cursor("older", rows[-1]) if rows else "")
    if side == "older":
        found = found.filter(pk__lt=at)
    rows = list(found.order_by("-pk")[: PAGE + 1])
    more, rows = len(rows) > PAGE, rows[:PAGE]
    newer = _cursor("newer", rows[0]) if side and rows else ""
    return Page(rows, newer, _cursor("older", rows[-1]) if more else "")


def _cursor(side: str, event: Event) -> str:
    return signing.dumps([side, event.pk], salt=SALT, compress=True)


def _read(cursor: str) -> tuple[str, int]:
    try:
        side, at = signing.loads(cursor, salt=SALT)
    except signing.BadSignature:
        return "", 0
    return side, at


def _any_of(prefixes: tuple[str, ...]) -> Q:
    wanted = Q()
    for one in prefixes:
        wanted |= Q(verb__startswith=one)
    return wanted


def _about(found: EventQuerySet, about: str) -> Q:
    """By its present or any earlier name, or by its id; sealed names are what they were then."""
    named = found.exclude(target_id="").filter(label__icontains=about)
    return Q(target_id=about.lower()) | Q(target_id__in=named.values("target_id")) | Q(label__icontains=about)


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


# --- export -----------------------------------------------------------------------------------------------------------

HEADINGS = [
    "Time",
    "Who",
    "Verb",
    "Thing",
    "Id",
    "Name",
    "How",
    "Address",
    "Request",
    "Sentence",
    "Changes",
    "Facts",
]


class _Echo:
    """What csv writes to: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def export(found: EventQuerySet, viewer: Any) -> Iterator[str]:
    """All of them as CSV, newest first, in constant memory; with a mark that tells spreadsheets it is UTF-8."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(HEADINGS)
    last: int | None = None
    while chunk := list((found if last is None else found.filter(pk__lt=last)).order_by("-pk")[:CHUNK]):
        last = chunk[-1].pk
        yield "".join(writer.writerow([safe(cell) for cell in _cells(line)]) for line in lines(chunk, viewer))


def _cells(line: Any) -> list[str]:
    event = line.event
    changes = "; ".join(f"{name}: {old} → {new}" for name, old, new in line.changes)
    facts = "; ".join(f"{name}: {value}" for name, value in line.facts)
    at = timezone.localtime(event.at).isoformat(timespec="seconds")
    return [
        at, line.who, event.verb, event.target, event.target_id, event.label, event.how, line.address,
        event.request_id, line.text, changes, facts,
    ]  # fmt: skip


_ACTIVE = re.compile(r"[=+\-@\t\r\n|%\uff0b\uff0d\uff1d\uff20]")


def safe(cell: str) -> str:
    """No cell that a spreadsheet would run: what begins like a formula, also after blanks, gets a quote in front."""
    return f"'{cell}" if _ACTIVE.match(cell.lstrip(" \u00a0\ufeff\u200b")) or _ACTIVE.match(cell) else cell
