"""Pages of campaigns: the list, and one campaign from its start to its last recipient."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from phonebank.whatsappapi.models import Campaign, CampaignCount
from phonebank.whatsappapi.services import campaigns as service
from phonebank.whatsappapi.services.binding import in_short
from phonebank.whatsappapi.services.progress import glance
from phonebank.whatsappapi.views.access import act, campaign_or_404
from phonebank.whatsappapi.views.progress import CHIPS, progress_of
from phonebank.whatsappapi.views.recipients import people_of
from phonebank.whatsappapi.views.tallies import tallies

State = Campaign.State
PAGE = 25


@require_safe
def campaigns(request: HttpRequest) -> HttpResponse:
    discarded = Q(state=State.CANCELLED) & ~Exists(CampaignCount.objects.filter(campaign=OuterRef("pk")))
    rows = Campaign.objects.visible_to(request.user).exclude(discarded)
    page = Paginator(rows.select_related("contact_list", "user"), PAGE).get_page(request.GET.get("page"))
    numbers = tallies(page.object_list)
    waits = in_short(page.object_list, timezone.now())
    shown = [(one, CHIPS[State(one.state)], numbers[one.pk], waits.get(one.pk, "")) for one in page.object_list]
    return render(request, "whatsappapi/campaigns.html", {"nav": "campaigns", "page": page, "shown": shown})


@require_safe
def campaign(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The page; to htmx the part that it asks for: the run, its forecast, or its people."""
    one = campaign_or_404(request.user, public_id)
    template = "whatsappapi/campaign.html"
    if one.state == State.DRAFT:
        return redirect("whatsappapi:wizard", public_id, "review")
    if request.htmx and "rows" in request.GET:
        return render(request, f"{template}#rows", {"campaign": one} | people_of(request, one, glance(one).counts))
    if request.htmx and "forecast" in request.GET:
        told = glance(one).forecast
        return render(request, f"{template}#forecast", {"campaign": one, "forecast": told})
    context = progress_of(request, one)
    if request.htmx:
        return render(request, f"{template}#progress", context)
    people = people_of(request, one, context["progress"].counts)
    return render(request, template, {**context, **people})


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
    act(request, service.cancel, _("The draft %(name)s is discarded.") % {"name": one.name}, campaign=one)
    return redirect("whatsappapi:campaigns")


def _act(request: HttpRequest, public_id: uuid.UUID, verb: Any) -> HttpResponse:
    act(request, verb, campaign=campaign_or_404(request.user, public_id))
    return redirect("whatsappapi:campaign", public_id)
