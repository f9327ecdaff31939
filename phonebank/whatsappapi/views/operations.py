"""For administrators: how the installation is, and the switch that stops it. For machines: the metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from phonebank.whatsappapi.models import Campaign, WorkerReport
from phonebank.whatsappapi.services import metrics, operations
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.tallies import LABELS

SHOWN = 50  # campaigns under way
COLUMNS = 8  # of the grid of shards
SCALE = 0.05  # seconds: the lowest full height of a bar


@dataclass(frozen=True, slots=True)
class Cell:
    """A shard in a worker's grid."""

    number: int
    x: int
    y: int
    is_held: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A window's longest round, in a picture of 30 by 10."""

    x: int
    y: str
    height: str
    fill: str


@dataclass(frozen=True, slots=True)
class WorkerCard:
    report: WorkerReport
    is_live: bool
    cells: list[Cell]
    rows: int
    bars: list[Bar]

    @property
    def sent(self) -> list[tuple[str, int]]:
        """Outcomes in a person's words."""
        words = {
            "accepted": _("Accepted"),
            "rejected": pgettext("messages", "Refused"),
            "deferred": _("Put off"),
            "not_sent": _("Not sent"),
            "unknown": _("No clear answer"),
        }
        return [(text, self.report.outcomes[name]) for name, text in words.items() if self.report.outcomes.get(name)]


def _administrators(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For everybody else the page is not there."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_superuser:
            raise Http404
        return view(request, *args, **kwargs)

    return wrapped


@require_safe
@never_cache
@_administrators
def status(request: HttpRequest) -> HttpResponse:
    now = metrics.figures()
    live = now.live
    context: dict[str, Any] = {
        "nav": "status",
        "now": now,
        "cards": sorted((_card(one, one in live) for one in now.workers), key=lambda card: not card.is_live),
        "idle": now.idle_shards,
        "shards": settings.SEND_SHARDS,
        "waiting": now.open["queued"],
    }
    if request.htmx:
        return render(request, "whatsappapi/status.html#live", context)
    context["campaigns"] = _under_way()
    return render(request, "whatsappapi/status.html", context)


@require_safe
@never_cache
@_administrators
def check_counters(request: HttpRequest, public_id: str) -> HttpResponse:
    """Counts the rows of one campaign, whoever's it is, against its counters."""
    campaign = get_object_or_404(Campaign, public_id=public_id)
    drift = [(one, LABELS.get(one.state, one.state)) for one in operations.drift(campaign)]
    context = {"nav": "status", "campaign": campaign, "drift": drift, "is_checked": True}
    template = "whatsappapi/status_check.html"
    return render(request, f"{template}#line" if request.htmx else template, context)


@require_POST
@_administrators
def stop(request: HttpRequest) -> HttpResponse:
    if _typed(request, "STOP"):
        done = _("Nothing is sent any more, for anybody. What is queued is kept.")
        act(request, operations.stop_everything, done, reason=request.POST.get("reason", ""))
    return redirect("whatsappapi:status")


@require_POST
@_administrators
def resume(request: HttpRequest) -> HttpResponse:
    if _typed(request, "RESUME"):
        act(request, operations.resume_everything, _("Sending goes on where it was."))
    return redirect("whatsappapi:status")


@login_not_required
@require_safe
@never_cache
def prometheus(request: HttpRequest) -> HttpResponse:
    """The metrics: with METRICS_TOKEN as the bearer token, or for an administrator who is logged in."""
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    has_token = bool(settings.METRICS_TOKEN) and constant_time_compare(shown, settings.METRICS_TOKEN)
    if not has_token and not (request.user.is_authenticated and request.user.is_superuser):
        raise Http404
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


def _typed(request: HttpRequest, word: str) -> bool:
    if request.POST.get("typed", "").strip().upper() == word:
        return True
    messages.error(request, _("To confirm, type %(word)s. Nothing was changed.") % {"word": word})
    return False


def _under_way() -> list[Campaign]:
    live = Campaign.objects.filter(state__in=[Campaign.State.DEALING, Campaign.State.RUNNING, Campaign.State.PAUSED])
    return list(live.select_related("user").order_by("-started_at", "-pk")[:SHOWN])


def _card(report: WorkerReport, is_live: bool) -> WorkerCard:
    held = set(report.shards) if is_live else set()
    cells = [Cell(n, n % COLUMNS, n // COLUMNS, n in held) for n in range(settings.SEND_SHARDS)]
    scale = max([SCALE, *report.recent])
    bars = []
    for i, seconds in enumerate(report.recent[-30:]):
        height = max(0.3, 10 * seconds / scale)
        fill = "fill-red" if seconds >= 1 else "fill-yellow" if seconds >= 0.3 else "fill-accent"
        bars.append(Bar(i, f"{10 - height:.2f}", f"{height:.2f}", fill))
    return WorkerCard(report, is_live, cells, -(-settings.SEND_SHARDS // COLUMNS), bars)
