"""The first page: how the sessions are, what is running, what needs a person."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from phonebank.accounts.models import User
from phonebank.whatsappapi.filters import STANDINGS
from phonebank.whatsappapi.models import Alert, Campaign, CampaignCount, Incident
from phonebank.whatsappapi.services.health import with_light
from phonebank.whatsappapi.services.incidents import Told, in_words
from phonebank.whatsappapi.services.sessions import slots
from phonebank.whatsappapi.services.sharing import invitations_of
from phonebank.whatsappapi.views.access import sessions_of
from phonebank.whatsappapi.views.cards import deaf_accounts
from phonebank.whatsappapi.views.choices import choices, read_choice, shown
from phonebank.whatsappapi.views.first_steps import first_steps
from phonebank.whatsappapi.views.live import render_live
from phonebank.whatsappapi.views.tallies import tallies

CARDS = 24
FEW = 4  # sessions that need no search
LIVE = [Campaign.State.DEALING, Campaign.State.SCHEDULED, Campaign.State.RUNNING, Campaign.State.PAUSED]


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    user = request.user
    chosen = read_choice(user, request.GET)
    context = {
        "nav": "dashboard",
        **_numbers(user),
        **_under_way(user),
        **choices(user, chosen),
        **shown(request, user, chosen, CARDS),
        "alerts": _alerts(user),
        "incidents": _incidents(user),
        "deaf": deaf_accounts(user),
        "invitations": list(invitations_of(user)[:3]),
        **_steps(user),
    }
    context["has_any"] = context["counters"]["total"] > 0 or context["has_shared"]
    context["has_search"] = context["counters"]["total"] > FEW or chosen.is_narrow or context["has_shared"]
    return render_live(request, "whatsappapi/dashboard.html", "live", context, context["here"])


def _numbers(user: User) -> dict[str, Any]:
    own = with_light(sessions_of(user), timezone.now(), zoneinfo.ZoneInfo(user.time_zone))
    counters = own.aggregate(
        total=Count("pk"),
        **{word: Count("pk", filter=rule) for word, (_, rule) in STANDINGS.items()},
        doubts=Count("pk", filter=Q(light=1)),
        sent=Sum("used_today", default=0),
    )
    used, most = slots(user)
    return {"counters": counters, "used": used, "most": most}


def _under_way(user: User) -> dict[str, Any]:
    campaigns = list(Campaign.objects.visible_to(user).filter(state__in=LIVE)[:4])
    numbers = tallies(campaigns)
    queued = CampaignCount.objects.filter(campaign__user=user, campaign__state__in=LIVE, state="queued")
    return {
        "live": [(campaign, numbers[campaign.pk]) for campaign in campaigns],
        "waiting": queued.aggregate(n=Sum("n", default=0))["n"],
    }


def _alerts(user: User) -> list[Alert]:
    """Those of one thing each; what is about several is told once, as an incident."""
    single = Alert.objects.filter(user=user, closed_at=None).exclude(incident__size__gt=1)
    single = single.exclude(incident__acknowledged_at__isnull=False)
    return list(single.select_related("session").order_by("-created_at")[:5])


def _incidents(user: User) -> list[Told]:
    return in_words(Incident.objects.visible_to(user).unseen().filter(size__gt=1)[:3])


def _steps(user: User) -> dict[str, Any]:
    steps = first_steps(user)
    return {
        "steps": steps,
        "steps_done": sum(one.is_done for one in steps),
        "next_step": next((one for one in steps if not one.is_done), None),
    }
