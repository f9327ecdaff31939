"""Where campaigns begin: a new draft, or one that waits to be finished. The steps are in wizard.py."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.whatsappapi.models import Campaign, ContactList, WaSenderSession
from phonebank.whatsappapi.services import drafts
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.cards import deaf_accounts
from phonebank.whatsappapi.views.wizard_pages import preview_of

DRAFTS = 20


@require_http_methods(["GET", "HEAD", "POST"])
def send_campaign(request: HttpRequest) -> HttpResponse:
    """Makes a draft; before that, shows those that there are."""
    user = request.user
    if request.method == "POST":
        chosen = request.POST.get("list", "")
        people = _list_or_404(request, chosen) if chosen else None
        try:
            made = drafts.create_draft(actor=user, name=request.POST.get("name", ""), contact_list=people)
        except ServiceError as error:
            context = _context(request) | {"error": error.message}
            return render(request, "whatsappapi/send_campaign.html", context, status=422)
        return redirect("whatsappapi:wizard", made.public_id, "audience")
    return render(request, "whatsappapi/send_campaign.html", _context(request))


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """The message as one person gets it, while it is being written."""
    return render(request, "whatsappapi/_preview.html", preview_of(request.POST, request.user))


@require_POST
def draft_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = get_object_or_404(Campaign.objects.visible_to(request.user).select_related("user"), public_id=public_id)
    version = request.POST.get("version", "")
    try:
        drafts.delete_draft(actor=request.user, campaign=one, version=int(version) if version.isdecimal() else None)
    except drafts.Conflict as conflict:
        words = _("It was not deleted: this is what it holds now.")
        messages.error(request, f"{conflict.message.split('. ')[0]}. {words}")
        return redirect("whatsappapi:wizard", public_id, "review")
    except ServiceError as error:
        messages.error(request, error.message)
        return redirect("whatsappapi:campaign", public_id)
    messages.success(request, _("The draft %(name)s is deleted.") % {"name": one.name})
    return redirect("whatsappapi:send_campaign")


def _list_or_404(request: HttpRequest, chosen: str) -> ContactList:
    try:
        public_id = uuid.UUID(chosen)
    except ValueError:
        public_id = uuid.UUID(int=0)
    return get_object_or_404(ContactList.objects.visible_to(request.user), public_id=public_id)


def _context(request: HttpRequest) -> dict[str, Any]:
    user = request.user
    rows = Campaign.objects.visible_to(user).filter(state=Campaign.State.DRAFT)
    chosen = request.GET.get("list", "")
    return {
        "nav": "campaigns",
        "drafts": list(rows.order_by("-saved_at")[:DRAFTS]),
        "list": _list_or_404(request, chosen) if chosen else None,
        "has_people": ContactList.objects.visible_to(user).exists(),
        "has_sessions": WaSenderSession.objects.usable_by(user, LENT_TO["send"]).exists(),
        "deaf": deaf_accounts(user),
        "name": request.POST.get("name", ""),
    }
