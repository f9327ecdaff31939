"""Pages of session groups."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.whatsappapi.forms import GroupForm
from phonebank.whatsappapi.models import SessionGroup
from phonebank.whatsappapi.services import groups as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.senders import note_missing
from phonebank.whatsappapi.views.access import act, sessions_of
from phonebank.whatsappapi.views.cards import Card, cards

FIELDS = {"name": "name", "name_taken": "name"}
SHOWN = 1000  # sessions offered for a group; plans end far below


@require_http_methods(["GET", "HEAD", "POST"])
def groups(request: HttpRequest) -> HttpResponse:
    """The list with everybody's lights, and a new group."""
    form = GroupForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        try:
            group = service.create_group(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            messages.success(request, _("The group %(name)s is there. Choose who is in it.") % {"name": group.name})
            return redirect("whatsappapi:group", group.public_id)
    _note(request, form)
    mine = list(service.groups_of(request.user))
    context = {"nav": "groups", "form": form, "groups": [(one, lights) for one, lights in _lights(request, mine)]}
    return render(request, "whatsappapi/groups.html", context, status=422 if form.errors else 200)


def _lights(request: HttpRequest, mine: list[SessionGroup]) -> list[tuple[SessionGroup, list[Card]]]:
    """Each group with the cards of its sessions; a fixed number of queries."""
    members: dict[int, list[Card]] = {one.pk: [] for one in mine}
    rows = sessions_of(request.user).filter(groups__in=mine).distinct()
    for card in cards(rows, request.user):
        for group in card.groups:
            if group.pk in members:
                members[group.pk].append(card)
    return [(one, members[one.pk]) for one in mine]


@require_http_methods(["GET", "HEAD", "POST"])
def group(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(service.groups_of(request.user), public_id=public_id)
    inside = set(found.sessions.filter(deleted_at=None).values_list("public_id", flat=True))
    form = GroupForm(request.POST or None, user=request.user, initial={"name": found.name, "colour": found.colour})
    if request.method == "POST" and form.is_valid():
        try:
            service.update_group(actor=request.user, group=found, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("whatsappapi:group", public_id)
    _note(request, form)
    if form.is_bound:
        inside = {str(one) for one in request.POST.getlist("wa_sessions")}
    offered = cards(sessions_of(request.user)[:SHOWN], request.user)
    context = {
        "nav": "groups",
        "group": found,
        "form": form,
        "offered": [(card, str(card.wa_session.public_id) in {str(one) for one in inside}) for card in offered],
    }
    return render(request, "whatsappapi/group.html", context, status=422 if form.errors else 200)


def _note(request: HttpRequest, form: GroupForm) -> None:
    """The form offers one's own sessions only: another one was written into it."""
    if form.is_bound and "wa_sessions" in form.errors:
        own = {str(one) for one in form.fields["wa_sessions"].queryset.values_list("public_id", flat=True)}
        note_missing(request.user, [one for one in request.POST.getlist("wa_sessions") if one not in own], "a group")


@require_POST
def group_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(SessionGroup.objects.visible_to(request.user), public_id=public_id)
    act(
        request,
        service.delete_group,
        _("The group %(name)s is gone. Its sessions stay.") % {"name": found.name},
        group=found,
    )
    return redirect("whatsappapi:groups")
