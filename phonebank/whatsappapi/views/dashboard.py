"""The first page: how the sessions are, what is running, what needs a person."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from phonebank.whatsappapi.models import Alert, Campaign, WaSenderSession
from phonebank.whatsappapi.services.sessions import slots
from phonebank.whatsappapi.views.access import sessions_of
from phonebank.whatsappapi.views.cards import cards, deaf_accounts
from phonebank.whatsappapi.views.tallies import tallies

CARDS = 24
LIVE = [Campaign.State.DEALING, Campaign.State.SCHEDULED, Campaign.State.RUNNING, Campaign.State.PAUSED]


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    user = request.user
    page = Paginator(sessions_of(user), CARDS).get_page(request.GET.get("page"))
    connected = Q(status=WaSenderSession.Status.CONNECTED)
    counters = WaSenderSession.objects.visible_to(user).aggregate(
        total=Count("pk"),
        connected=Count("pk", filter=connected),
        sent=Sum("messages_sent_today", filter=Q(usage_date=timezone.localdate()), default=0),
    )
    live = list(Campaign.objects.visible_to(user).filter(state__in=LIVE)[:4])
    numbers = tallies(live)
    used, most = slots(user)
    context = {
        "nav": "dashboard",
        "page": page,
        "cards": cards(page.object_list, user),
        "counters": counters,
        "attention": counters["total"] - counters["connected"],
        "waiting": sum(one.total - one.done for one in numbers.values()),
        "live": [(campaign, numbers[campaign.pk]) for campaign in live],
        "alerts": Alert.objects.filter(user=user, closed_at=None).select_related("session").order_by("-created_at")[:5],
        "deaf": deaf_accounts(user),
        "used": used,
        "most": most,
    }
    template = "whatsappapi/dashboard.html#live" if request.htmx else "whatsappapi/dashboard.html"
    return render(request, template, context)
