"""Pages about alerts: incidents, rules, channels, the log of what was sent."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.alert_forms import AlertSettingsForm, ChannelForm, RuleForm
from phonebank.whatsappapi.models import AlertKind, AlertRule, Channel, Delivery, Incident
from phonebank.whatsappapi.services import channels as service
from phonebank.whatsappapi.services import incidents
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.live import render_live

ROWS = 25
OPEN = 50  # open incidents on one page


@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """What is the matter now, and what was."""
    mine = Incident.objects.visible_to(request.user)
    page = Paginator(mine.exclude(closed_at=None), ROWS).get_page(request.GET.get("page"))
    page.object_list = incidents.in_words(page.object_list)
    context = {
        "nav": "alerts",
        "tab": "incidents",
        "open": incidents.in_words(mine.open().order_by("acknowledged_at", "-opened_at")[:OPEN]),
        "unseen": incidents.unseen(request.user),
        "page": page,
    }
    return render_live(request, "whatsappapi/alerts.html", "live", context, request.get_full_path())


@require_POST
def acknowledge_all(request: HttpRequest) -> HttpResponse:
    incidents.acknowledge_all(actor=request.user)
    return redirect("whatsappapi:alerts")


@require_safe
def incident(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Incident.objects.visible_to(request.user), public_id=public_id)
    [told] = incidents.in_words([found])
    context = {
        "nav": "alerts",
        "told": told,
        "incident": found,
        "page": Paginator(incidents.members(found), 100).get_page(request.GET.get("page")),
        "deliveries": found.deliveries.select_related("channel"),
        "needs_scan": found.kind == AlertKind.SCAN,
    }
    return render_live(request, "whatsappapi/incident.html", "live", context, request.get_full_path())


@require_POST
def incident_acknowledge(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Incident.objects.visible_to(request.user), public_id=public_id)
    act(request, incidents.acknowledge, _("You have taken it on. Nobody else is told."), incident=found)
    return redirect("whatsappapi:incident", public_id)


# --- rules ------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: HttpRequest) -> HttpResponse:
    """The rules, and the quiet hours above them."""
    stored = service.settings_of(request.user)
    has_mail = bool(settings.EMAIL_URL)
    initial = {name: getattr(stored, name) for name in ("quiet_from", "quiet_until", "wants_digest")}
    form = AlertSettingsForm(request.POST or None, initial=initial, has_mail=has_mail)
    if (
        request.method == "POST"
        and form.is_valid()
        and act(request, service.change_settings, _("Saved."), **form.cleaned_data)
    ):
        return redirect("whatsappapi:alert_rules")
    context = {
        "nav": "alerts",
        "tab": "rules",
        "rules": [(one, [AlertKind(kind).label for kind in one.kinds]) for one in service.rules_of(request.user)],
        "form": form,
        "zone": request.user.time_zone,
    }
    return render(request, "whatsappapi/alert_rules.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def rule(request: HttpRequest, public_id: uuid.UUID | None = None) -> HttpResponse:
    """A rule's own page, and a new one's."""
    service.settings_of(request.user)
    found = get_object_or_404(service.rules_of(request.user), public_id=public_id) if public_id else None
    form = RuleForm(request.POST or None, user=request.user, rule=found)
    if request.method == "POST" and form.is_valid():
        try:
            service.save_rule(actor=request.user, rule=found, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("whatsappapi:alert_rules")
    chosen = {str(one) for one in form["channels"].value() or ()}
    context = {
        "nav": "alerts",
        "rule": found,
        "form": form,
        "kinds": [(value, label, value in (form["kinds"].value() or ())) for value, label in AlertKind.choices],
        "offered": [(one, str(one.public_id) in chosen) for one in Channel.objects.visible_to(request.user)],
    }
    return render(request, "whatsappapi/alert_rule.html", context, status=422 if form.errors else 200)


@require_POST
def rule_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(AlertRule.objects.visible_to(request.user), public_id=public_id)
    act(request, service.remove_rule, _("The rule is gone."), rule=found)
    return redirect("whatsappapi:alert_rules")


# --- channels ---------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def channels(request: HttpRequest) -> HttpResponse:
    """The channels with what came of their last message, and a new one. A webhook's secret is shown this once."""
    service.settings_of(request.user)
    form, made = ChannelForm(request.POST or None), None
    if request.method == "POST" and form.is_valid():
        try:
            made = service.add(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error("address" if error.code == "address" else None, error.message)
        else:
            form = ChannelForm()
            if made.kind != Channel.Kind.WEBHOOK:
                messages.success(
                    request, _("%(name)s is there. Test it, then choose it in a rule.") % {"name": made.name}
                )
                return redirect("whatsappapi:alert_channels")
    rows = list(Channel.objects.visible_to(request.user))
    last: dict[int, Delivery] = {}
    for one in (
        Delivery.objects.filter(channel__in=rows).order_by("channel_id", "-created_at", "-pk").distinct("channel_id")
    ):
        last[one.channel_id] = one
    context = {
        "nav": "alerts",
        "tab": "channels",
        "channels": [(one, last.get(one.pk)) for one in rows],
        "form": form,
        "made": made,
        "mail_is_off": not settings.EMAIL_URL,
    }
    status = 422 if form.errors else 200
    if request.htmx:
        return render_live(request, "whatsappapi/alert_channels.html", "live", context, request.path)
    context["poll"] = f"{request.path}?live"
    return render(request, "whatsappapi/alert_channels.html", context, status=status)


@require_POST
def channel_test(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Channel.objects.visible_to(request.user), public_id=public_id)
    act(request, service.test, _("A test is on its way to %(name)s.") % {"name": found.name}, channel=found)
    return redirect("whatsappapi:alert_channels")


@require_POST
def channel_switch(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Channel.objects.visible_to(request.user), public_id=public_id)
    act(request, service.switch, channel=found, is_active="on" in request.POST)
    return redirect("whatsappapi:alert_channels")


@require_POST
def channel_remove(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Channel.objects.visible_to(request.user), public_id=public_id)
    act(request, service.remove, _("%(name)s is gone.") % {"name": found.name}, channel=found)
    return redirect("whatsappapi:alert_channels")


# --- the log ----------------------------------------------------------------------------------------------------------


@require_safe
def log(request: HttpRequest) -> HttpResponse:
    """What was sent, what could not be, and why."""
    rows = Delivery.objects.visible_to(request.user).select_related("channel", "incident")
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    context = {"nav": "alerts", "tab": "log", "page": page}
    return render_live(request, "whatsappapi/alert_log.html", "live", context, request.get_full_path())


@require_POST
def replay(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Delivery.objects.visible_to(request.user), public_id=public_id)
    act(request, service.replay, _("It is sent once more."), delivery=found)
    return redirect("whatsappapi:alert_log")
