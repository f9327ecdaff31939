"""What sessions did, in figures and pictures; and the same as files."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.dateparse import parse_date
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from phonebank.audit.models import record
from phonebank.language import grouped
from phonebank.whatsappapi.models import SessionGroup, WaSenderSession
from phonebank.whatsappapi.models.analytics import BOUNDS
from phonebank.whatsappapi.services import analytics as service
from phonebank.whatsappapi.services.analytics import Report, Scope
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.session_history import timeline
from phonebank.whatsappapi.templatetags.figures import labels
from phonebank.whatsappapi.templatetags.phonebank import span
from phonebank.whatsappapi.views.access import seen_session_or_404
from phonebank.whatsappapi.views.contacts import download

ROWS = 25  # sessions in the comparison
TIMELINE = 92  # days for which the status is drawn
RANGES = {
    "1": gettext_lazy("Today"),
    "7": gettext_lazy("7 days"),
    "30": gettext_lazy("30 days"),
    "90": gettext_lazy("90 days"),
    "365": gettext_lazy("A year"),
    "own": gettext_lazy("Own dates"),
}
COLUMNS = [
    (gettext_lazy("Session"), "name"),
    (gettext_lazy("Sent"), "sent"),
    (gettext_lazy("Delivered"), "delivered"),
    (gettext_lazy("Read"), "read"),
    (gettext_lazy("Answered"), "replied"),
    (gettext_lazy("Failed"), "failed"),
    (gettext_lazy("Opted out"), "opted_out"),
    (gettext_lazy("Connected"), "up"),
]
STEPS = [
    (gettext_lazy("Sent"), "sent"),
    (gettext_lazy("Delivered"), "delivered"),
    (gettext_lazy("Read"), "read"),
    (gettext_lazy("Answered"), "replied"),
]


@dataclass(frozen=True)
class Asked:
    """What an address asks for, and `error` where its dates mean nothing."""

    scope: Scope
    range: str
    error: str = ""

    @property
    def query(self) -> str:
        """As the beginning of an address's query."""
        given = {"range": self.range}
        if self.range == "own":
            given |= {"from": self.scope.first.isoformat(), "to": self.scope.last.isoformat()}
        if self.scope.session is not None:
            given["of"] = f"s:{self.scope.session.public_id}"
        elif self.scope.group is not None:
            given["of"] = f"g:{self.scope.group.public_id}"
        return urlencode(given) + "&"


@require_safe
def analytics(request: HttpRequest) -> HttpResponse:
    asked = _read(request)
    found, before = service.report(asked.scope), service.total(asked.scope.before())
    order = request.GET.get("sort", "sent")
    order = order if order in service.ORDERS else "sent"
    lines, page = _compared(request, asked.scope, order)
    user, scope = request.user, asked.scope
    usable = WaSenderSession.objects.usable_by(user, LENT_TO["analytics"])
    context = {
        "nav": "analytics",
        "asked": asked,
        "ranges": RANGES,
        "sessions": usable.order_by("session_name").values_list("public_id", "session_name"),
        "groups": SessionGroup.objects.visible_to(user),
        "found": found,
        "tiles": _tiles(found, before),
        "steps": _steps(found),
        "reasons": [(why, n, 100 * n / found.total.failed) for why, n in found.reasons if found.total.failed],
        "median": found.quantile(0.5),
        "p95": found.quantile(0.95),
        "data": _drawn(found),
        "points": found.hourly or found.days[::-1],
        "lines": lines,
        "columns": [(label, key, key == order) for label, key in COLUMNS],
        "page": page,
        "query": f"{asked.query}sort={order}&",
        "zone": service.zone_of(scope.user).key,
        "bands": _bands(scope),
        "is_new": found.is_empty and not service.has_data(scope.user),
    }
    return render(request, "whatsappapi/analytics.html", context, status=422 if asked.error else 200)


@require_safe
def export_analytics(request: HttpRequest, what: str, form: str) -> HttpResponse | StreamingHttpResponse | FileResponse:
    """The figures that the address asks for, day by day or session by session, as a CSV or XLSX file."""
    if form not in ("csv", "xlsx") or what not in ("days", "sessions"):
        raise Http404
    asked = _read(request)
    record(actor=request.user, verb="analytics.exported", owner=request.user, form=form, what=what)
    if what == "sessions":
        return download(service.table_of_sessions(asked.scope), "sessions", form)
    return download(service.table(service.report(asked.scope)), "analytics", form)


def _read(request: HttpRequest) -> Asked:
    """Somebody else's session or group is not there. Dates that mean nothing: a week, and why."""
    given, user = request.GET, request.user
    kind, __, wanted = given.get("of", "").partition(":")
    session = group = None
    if wanted and kind in ("s", "g"):
        try:
            public_id = uuid.UUID(wanted)
        except ValueError:
            raise Http404 from None
        if kind == "s":
            session = seen_session_or_404(user, public_id)
        else:
            group = get_object_or_404(SessionGroup.objects.visible_to(user), public_id=public_id)
    # Of a lent session the days are its owner's.
    user = session.user if session is not None else user
    chosen, today = given.get("range", "7"), service.today(user)
    if chosen != "own" and chosen in RANGES:
        return Asked(Scope(user, today - timedelta(days=int(chosen) - 1), today, session, group), chosen)
    week = Scope(user, today - timedelta(days=6), today, session, group)
    if chosen != "own":
        return Asked(week, "7")
    first, last = _date(given.get("from", "")), _date(given.get("to", ""))
    if first is None or last is None:
        missing = given.get("from") or given.get("to")
        return Asked(week, "own", _("Choose both days. The last seven days are shown.") if missing else "")
    try:
        service.check_range(first, last)
    except ServiceError as error:
        return Asked(week, "own", _("%(message)s The last seven days are shown instead.") % {"message": error.message})
    return Asked(Scope(user, first, last, session, group), "own")


def _date(text: str) -> date | None:
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return found if found is not None and 2000 <= found.year <= 2200 else None


def _compared(request: HttpRequest, scope: Scope, order: str) -> tuple[list[Any], Any]:
    number = request.GET.get("page", "1")
    number = int(number) if number.isdecimal() and len(number) < 6 else 1
    lines, total = service.compare(scope, order=order, limit=ROWS, offset=(max(1, number) - 1) * ROWS)
    if not lines and number > 1:
        lines, total = service.compare(scope, order=order, limit=ROWS)
    most = max((one.sums.sent for one in lines), default=0)
    shown = [(one, 100 * one.sums.sent / most if most else 0) for one in lines]
    return shown, Paginator(range(total), ROWS).get_page(number)


def _tiles(found: Report, before: service.Sums) -> list[dict[str, Any]]:
    """Headline figures with what they were in the time before, and their course as a line."""
    now = found.total
    rates = [
        (_("Sent"), now.sent, before.sent, "sent"),
        (_("Delivered"), now.delivery_rate, before.delivery_rate, "delivered"),
        (_("Read"), now.read_rate, before.read_rate, "read"),
        (_("Answered"), now.reply_rate, before.reply_rate, "replied"),
        (_("Failed"), now.failed, before.failed, "failed"),
        (_("Opted out"), now.opted_out, before.opted_out, "opted_out"),
        (_("Connected"), now.up_rate, before.up_rate, "up"),
    ]
    hints = {"delivered": _("of what was sent"), "read": _("of what was delivered"), "replied": _("of what was sent"),
             "up": _("of the time that is known")}  # fmt: skip
    return [
        {
            "label": label,
            "value": _in_words(value, key in hints),
            "before": _in_words(old, key in hints),
            "hint": hints.get(key, ""),
            "line": _sparkline([getattr(one.sums, key) for one in (found.hourly or found.days)]),
        }
        for label, value, old, key in rates
    ]


def _in_words(value: float | None, is_rate: bool) -> str:
    if value is None:
        return "–"
    if not is_rate:
        return grouped(round(value))
    return f"{number_format(f'{value:.1f}', use_l10n=True)}\u00a0%" if value < 99.95 else "100\u00a0%"


def _sparkline(values: list[int]) -> str:
    """The points of a line in a field of 100 x 24."""
    if len(values) > 60:
        size = -(-len(values) // 60)
        values = [sum(values[i : i + size]) for i in range(0, len(values), size)]
    most = max(values, default=0)
    if len(values) < 2 or not most:
        return ""
    return " ".join(f"{100 * i / (len(values) - 1):.1f},{22 - 20 * n / most:.1f}" for i, n in enumerate(values))


def _steps(found: Report) -> list[tuple[str, int, float, str]]:
    """The way of a message: label, how many, percent of what was sent, class of its bar."""
    sent = found.total.sent
    fills = {"sent": "fill-sent", "delivered": "fill-delivered", "read": "fill-read", "replied": "fill-accent"}
    return [
        (label, getattr(found.total, key), service.share(getattr(found.total, key), sent) or 0.0, fills[key])
        for label, key in STEPS
    ]


def _bands(scope: Scope) -> list[Any]:
    if scope.session is None or scope.session.deleted_at is not None or scope.length > TIMELINE:
        return []
    return timeline(scope.session, hours=24 * scope.length)


def _drawn(found: Report) -> dict[str, Any]:
    """What the charts show, as numbers; the page draws it."""
    points = found.hourly or found.days
    sums = [one.sums for one in points]
    used = [i for i, n in enumerate(found.times) if n]
    shown = range(used[0], used[-1] + 1) if used else range(0)
    return {
        "when": labels(points),
        "read": [one.read for one in sums],
        "delivered": [one.delivered - one.read for one in sums],
        "sent": [max(0, one.sent - one.delivered) for one in sums],
        "failed": [one.failed for one in sums],
        "hours": [f"{hour:02d}" for hour in range(24)],
        "hoursSent": [sent for sent, __ in found.hours],
        "hoursRead": [read for __, read in found.hours],
        "times": [_up_to(i) for i in shown],
        "deliveries": [found.times[i] for i in shown],
        "words": {
            "read": _("Read"),
            "delivered": _("Delivered, not read"),
            "sent": _("Sent, not confirmed"),
            "failed": _("Failed"),
            "all": _("Sent"),
            "arrived": _("Delivered"),
            "table": _("The figures stand in the table."),
        },
    }


def _up_to(bucket: int) -> str:
    if bucket < len(BOUNDS):
        return _("to %(span)s") % {"span": span(BOUNDS[bucket])}
    return _("over %(span)s") % {"span": span(BOUNDS[-1])}
