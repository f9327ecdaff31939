"""The page that prepares a campaign. Its result is a draft; the draft's own page reviews and starts it."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.accounts.models import User
from phonebank.whatsappapi.dispatch.render import render as render_message
from phonebank.whatsappapi.forms import PreviewForm, SendCampaignForm
from phonebank.whatsappapi.models import Campaign, Contact, ContactList
from phonebank.whatsappapi.services import campaigns as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act, sessions_of
from phonebank.whatsappapi.views.audience import lists_with_counts
from phonebank.whatsappapi.views.cards import cards, deaf_accounts

LONGEST = 4096  # characters of a WhatsApp text
CHOICES = 12  # people offered for the preview
CARDS = 60


@require_http_methods(["GET", "HEAD", "POST"])
def send_campaign(request: HttpRequest) -> HttpResponse:
    old = _draft(request)
    form = SendCampaignForm(request.POST or None, user=request.user, initial=_initial(request, old))
    if request.method == "POST" and request.POST.get("action") != "look" and form.is_valid():
        try:
            campaign = service.create_campaign(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            if old:
                act(request, service.cancel, campaign=old)  # the new draft stands in its place
            return redirect("whatsappapi:campaign", campaign.public_id)
    looking = request.POST.get("action") == "look"
    if looking:
        form.errors.clear()
    context = _context(request, form, old)
    return render(request, "whatsappapi/send_campaign.html", context, status=422 if form.errors else 200)


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """The message as one person gets it, while it is being written."""
    return render(request, "whatsappapi/_preview.html", _preview(request.POST, request.user))


def _draft(request: HttpRequest) -> Campaign | None:
    """The draft that the person went back from, to change it."""
    try:
        public_id = uuid.UUID(request.POST.get("draft") or request.GET.get("draft", ""))
    except ValueError:
        return None
    drafts = Campaign.objects.visible_to(request.user).filter(state=Campaign.State.DRAFT)
    return drafts.filter(public_id=public_id).select_related("contact_list").first()


def _initial(request: HttpRequest, old: Campaign | None) -> dict[str, Any]:
    if old is None:
        return {"contact_list": request.GET.get("list", "")}
    return {
        "name": old.name,
        "contact_list": old.contact_list.public_id if old.contact_list else "",
        "body": old.body,
        "wa_sessions": list(old.lanes.values_list("session__public_id", flat=True)),
        "policy": old.policy,
    }


def _context(request: HttpRequest, form: SendCampaignForm, old: Campaign | None) -> dict[str, Any]:
    lists = list(lists_with_counts(request.user))
    chosen = str(form["contact_list"].value() or (lists[0].public_id if lists else ""))
    picked = next((one for one in lists if str(one.public_id) == chosen), None)
    chosen_sessions = {str(one) for one in form["wa_sessions"].value() or []}
    data = request.POST if request.method == "POST" else {"body": form["body"].value() or ""}
    return {
        "nav": "campaigns",
        "form": form,
        "old": old,
        "lists": lists,
        "chosen": chosen,
        "picked": picked,
        "cards": cards(sessions_of(request.user)[:CARDS], request.user),
        "chosen_sessions": chosen_sessions,
        "policy": form["policy"].value(),
        "deaf": deaf_accounts(request.user),
        "people": _people(request.user, picked),
        **_preview(data, request.user, picked),
    }


def _people(user: User, contact_list: ContactList | None) -> list[Contact]:
    """A few of the list to look through the eyes of."""
    rows = Contact.objects.filter(user=user)
    return list((rows.filter(lists=contact_list) if contact_list else rows).order_by("pk")[:CHOICES])


def _preview(data: Any, user: User, contact_list: ContactList | None = None) -> dict[str, Any]:
    form = PreviewForm(data, user=user)
    form.is_valid()
    body = form.cleaned_data.get("body", "")
    contact = form.cleaned_data.get("as_contact")
    if contact is None and "as_contact" not in data:
        contact = next(iter(_people(user, contact_list)), None)
    variables = {"name": contact.name, "phone": contact.phone, **contact.attributes} if contact else {}
    text = render_message(body, variables)
    return {"preview": text, "preview_for": contact, "characters": len(text), "longest": LONGEST}
