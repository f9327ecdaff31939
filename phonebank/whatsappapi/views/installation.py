"""For administrators: plans, what waits for approval, announcements, and the settings on one page."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.accounts.models import Plan
from phonebank.whatsappapi.administration_forms import AnnouncementForm, ApprovalForm, PlanForm
from phonebank.whatsappapi.models import Announcement, Approval, Installation
from phonebank.whatsappapi.services import administration, announcements, approval_queue, settings_report, subscriptions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.administration import administrators, frame

SHOWN = 50


@require_safe
@administrators
def plans(request: HttpRequest) -> HttpResponse:
    return render(request, "whatsappapi/administration_plans.html", frame("plans", plans=subscriptions.plans()))


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
def plan(request: HttpRequest, slug: str = "") -> HttpResponse:
    """One plan, or a new one. A first POST shows what saving would do to people; the second one saves."""
    row = get_object_or_404(Plan, slug=slug) if slug else None
    form = PlanForm(request.POST or None, plan=row)
    effect = None
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        effect = subscriptions.effect(row, values) if row else None
        if effect is None or not effect.people or not effect.changes or request.POST.get("sure"):
            try:
                subscriptions.save_plan(actor=request.user, plan=row, values=values)
            except ServiceError as error:
                form.add_error(error.code if error.code in form.fields else None, error.message)
            else:
                messages.success(request, _("Saved."))
                return redirect("whatsappapi:administration_plans")
    context = frame("plans", plan=row, form=form, effect=effect)
    return render(request, "whatsappapi/administration_plan.html", context, status=422 if form.errors else 200)


@require_POST
@administrators
def plan_delete(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Plan, slug=slug)
    act(request, subscriptions.delete_plan, _("The plan %(name)s is deleted.") % {"name": row.name}, plan=row)
    return redirect("whatsappapi:administration_plans")


@require_safe
@administrators
def approvals(request: HttpRequest) -> HttpResponse:
    """What waits, and what was decided lately. Never the message itself, nor whom it goes to."""
    decided = Approval.objects.exclude(state=Approval.State.WAITING).select_related("campaign", "user", "decided_by")
    context = frame(
        "approvals",
        queue=list(approval_queue.waiting()[:SHOWN]),
        decided=list(decided.order_by("-decided_at")[:10]),
        above=Installation.objects.filter(pk=1).values_list("approval_above", flat=True).first(),
    )
    return render(request, "whatsappapi/administration_approvals.html", context)


@require_POST
@administrators
def approval_decide(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    get_object_or_404(Approval, public_id=public_id)
    if request.POST.get("verb") == "approve":
        people = request.POST.get("people", "")
        seen = int(people) if people.isascii() and people.isdecimal() and len(people) < 10 else 0
        act(request, approval_queue.approve, _("Approved. Its owner is told."), public_id=public_id, people=seen)
    else:
        reason = request.POST.get("reason", "")
        done = _("Not approved. Its owner reads why.")
        act(request, approval_queue.refuse, done, public_id=public_id, reason=reason)
    return redirect("whatsappapi:administration_approvals")


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
def banner(request: HttpRequest) -> HttpResponse:
    """The announcements; POST makes one."""
    form = AnnouncementForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            announcements.announce(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(error.code if error.code in form.fields else None, error.message)
        else:
            messages.success(request, _("Everybody reads it from then on."))
            return redirect("whatsappapi:administration_announcements")
    rows = list(Announcement.objects.select_related("made_by")[:SHOWN])
    context = frame("announcements", form=form, rows=rows, now=timezone.now())
    status = 422 if form.errors else 200
    return render(request, "whatsappapi/administration_announcements.html", context, status=status)


@require_POST
@administrators
def banner_take_back(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    act(request, announcements.take_back, _("Nobody sees it any more."), public_id=public_id)
    return redirect("whatsappapi:administration_announcements")


@require_http_methods(["GET", "HEAD", "POST"])
@administrators
def settings(request: HttpRequest) -> HttpResponse:
    """All of them: those of the environment to read, those in the database to change."""
    row = Installation.objects.filter(pk=1).select_related("stopped_by").first()
    form = ApprovalForm(request.POST or None, initial={"above": row.approval_above if row else None})
    if request.method == "POST" and form.is_valid():
        act(request, administration.set_approval, _("Saved."), above=form.cleaned_data["above"])
        return redirect("whatsappapi:administration_settings")
    context: dict[str, Any] = frame("settings", form=form, installation=row, groups=settings_report.report())
    status = 422 if form.errors else 200
    return render(request, "whatsappapi/administration_settings.html", context, status=status)
