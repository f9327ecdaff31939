"""Pages of session templates: saved settings, sessions made with them, and linking these one after another."""

from __future__ import annotations

import time
import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import SessionTemplate, WaSenderSession
from phonebank.whatsappapi.services import session_templates as service
from phonebank.whatsappapi.services import sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import accounts_for
from phonebank.whatsappapi.session_template_forms import FromTemplateForm, SessionTemplateForm
from phonebank.whatsappapi.views.access import act, session_or_404, sessions_of
from phonebank.whatsappapi.views.cards import cards
from phonebank.whatsappapi.views.session_pages import link_panel

FIELDS = {"name": "name", "name_taken": "name", "naming": "naming", "daily_limit": "daily_limit",
          "phone_number": "numbers", "too_many": "numbers"}  # fmt: skip
LABELS = {"daily_limit": gettext_lazy("Messages a day"), "account_protection": gettext_lazy("Account protection"),
          "log_messages": gettext_lazy("Message log"), "groups": gettext_lazy("Groups")}  # fmt: skip


def template_or_404(user: User, public_id: uuid.UUID) -> SessionTemplate:
    return get_object_or_404(SessionTemplate.objects.visible_to(user), public_id=public_id)


@require_safe
def session_templates(request: HttpRequest) -> HttpResponse:
    there = Count("uses", filter=Q(uses__session__deleted_at=None), distinct=True)
    rows = SessionTemplate.objects.visible_to(request.user).annotate(size=there).prefetch_related("groups")
    return render(request, "whatsappapi/session_templates.html", {"nav": "sessions", "rows": rows})


@require_http_methods(["GET", "HEAD", "POST"])
def session_template_new(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
def session_template(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _edit(request, template_or_404(request.user, public_id))


def _edit(request: HttpRequest, found: SessionTemplate | None) -> HttpResponse:
    most = request.user.subscription.daily_limit
    form = SessionTemplateForm(request.POST or None, template=found, user=request.user, most_a_day=most)
    if request.method == "POST" and form.is_valid():
        try:
            given = {"actor": request.user, **form.cleaned_data}
            saved = service.update(template=found, **given) if found else service.create(**given)
        except ServiceError as error:
            _tell(form, error)
        else:
            messages.success(request, _("%(name)s is saved.") % {"name": saved.name})
            return redirect("whatsappapi:session_template", saved.public_id)
    context = {
        "nav": "sessions",
        "template": found,
        "form": form,
        "differences": [(one, _in_words(one.changes)) for one in service.differences(found)] if found else [],
        "uses": found.uses.filter(session__deleted_at=None).count() if found else 0,
    }
    return render(request, "whatsappapi/session_template.html", context, status=422 if form.errors else 200)


def _tell(form: forms.Form, error: ServiceError) -> None:
    field = FIELDS.get(error.code or "")
    form.add_error(field if field in form.fields else None, error.message)


def _in_words(changes: dict[str, tuple[Any, Any]]) -> list[tuple[str, str, str]]:
    def word(name: str, value: Any) -> str:
        if name == "groups":
            return ", ".join(value) or _("none")
        if name == "daily_limit":
            return _("as the plan says") if value is None else f"{value:,}"
        return _("on") if value else _("off")

    return [(LABELS[name], word(name, old), word(name, new)) for name, (old, new) in changes.items()]


@require_POST
def session_template_follow(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Has the chosen sessions take the template's settings over."""
    found = template_or_404(request.user, public_id)
    chosen = WaSenderSession.objects.visible_to(request.user).filter(public_id__in=_uuids(request))
    done = _("They follow. Where one could not, it says so below.")
    act(request, service.follow, done, template=found, wa_sessions=list(chosen))
    return redirect("whatsappapi:session_template", public_id)


def _uuids(request: HttpRequest) -> list[uuid.UUID]:
    found = []
    for text in request.POST.getlist("pick")[:1000]:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found


@require_POST
def session_template_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = template_or_404(request.user, public_id)
    if act(
        request,
        service.delete,
        _("%(name)s is deleted. Its sessions stay as they are.") % {"name": found.name},
        template=found,
    ):
        return redirect("whatsappapi:session_templates")
    return redirect("whatsappapi:session_template", public_id)


@require_http_methods(["GET", "HEAD", "POST"])
def session_template_create(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Sessions made with the template, one for each number; POST answers with what became of each."""
    found = template_or_404(request.user, public_id)
    accounts = accounts_for(request.user)
    form = FromTemplateForm(request.POST or None, accounts=accounts)
    made: list[service.Made] = []
    if request.method == "POST" and form.is_valid():
        try:
            made = service.create_sessions(actor=request.user, template=found, **form.cleaned_data)
        except ServiceError as error:
            _tell(form, error)
    used, most = sessions.slots(request.user)
    context = {
        "nav": "sessions",
        "template": found,
        "form": form,
        "accounts": list(accounts),
        "made": made,
        "created": [one.wa_session for one in made if one.wa_session],
        "free": most - used,
        "free_at": sessions.next_creation_at(request.user),
        "at_once": service.AT_ONCE,
    }
    return render(request, "whatsappapi/session_template_create.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def session_template_link(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The codes of the template's sessions one after another. POST asks for the code of one (`s`)."""
    found = template_or_404(request.user, public_id)
    rows = sessions_of(request.user).filter(templated__template=found).order_by("created_at", "pk")
    if request.method == "POST":
        try:
            row = session_or_404(request.user, uuid.UUID(request.POST.get("s", "")))
        except ValueError:
            return redirect("whatsappapi:session_template_link", public_id)
        act(request, sessions.connect, wa_session=row)
        here = reverse("whatsappapi:session_template_link", args=[public_id])
        return redirect(f"{here}?{urlencode({'s': row.public_id})}")
    shown = cards(rows, request.user)
    waiting = [one.wa_session for one in shown if one.wa_session.status != WaSenderSession.Status.CONNECTED]
    asked = request.GET.get("s", "")
    present = next((one.wa_session for one in shown if str(one.wa_session.public_id) == asked), None)
    context: dict[str, Any] = {
        "nav": "sessions",
        "template": found,
        "cards": shown,
        "linked": len(shown) - len(waiting),
        "next": next((one for one in waiting if present is None or one.pk != present.pk), None),
    }
    if present is not None:
        context |= {"present": present, **link_panel(request, present, time.time())}
    return render(request, "whatsappapi/session_template_link.html", context)
