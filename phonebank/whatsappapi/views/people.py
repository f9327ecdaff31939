"""Pages of people: finding them, adding one, and everything known about one."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.contact_forms import ContactForm, GrantForm, PeopleForm, WithdrawForm
from phonebank.whatsappapi.models import Contact
from phonebank.whatsappapi.services import consent, erasure
from phonebank.whatsappapi.services import contacts as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.people import COUNTED, at_most, find_people, record_of, with_stops
from phonebank.whatsappapi.views.access import act
from phonebank.whatsappapi.views.tallies import LABELS

PEOPLE = 50


@require_safe
def people(request: HttpRequest) -> HttpResponse:
    form, rows = chosen_people(request)
    count = at_most(rows)
    page = with_stops(rows, request.user).prefetch_related("tags")
    if after := _place(request, rows):
        page = page.filter(pk__lt=after)
    shown = list(page[: PEOPLE + 1])
    query = request.GET.copy()
    query.pop("after", None)
    context = {
        "nav": "contacts", "tab": "people", "form": form, "people": shown[:PEOPLE], "count": min(count, COUNTED),
        "is_more": count > COUNTED, "query": query.urlencode(), "is_first": not after,
        "next": shown[PEOPLE - 1].public_id if len(shown) > PEOPLE else None,
        "is_search": any(form.cleaned_data.values()) if form.is_valid() else True,
    }  # fmt: skip
    return render(request, "whatsappapi/people.html", context)


def chosen_people(request: HttpRequest) -> tuple[PeopleForm, QuerySet[Contact]]:
    """The search in the address, and whom it finds; nobody when it makes no sense (somebody else's list, say)."""
    form = PeopleForm(request.GET, user=request.user)
    if not form.is_valid():
        return form, Contact.objects.none()
    data = form.cleaned_data
    return form, find_people(
        request.user, q=data["q"], contact_list=data["list"], tag=data["tag"], consent=data["consent"]
    )


@require_http_methods(["GET", "HEAD", "POST"])
def add_person(request: HttpRequest) -> HttpResponse:
    form = ContactForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made = service.add_contact(
                actor=request.user, phone=data["phone"], name=data["name"], lists=data["lists"], tags=data["tags"]
            )
        except ServiceError as error:
            form.add_error("phone", error.message)
        else:
            messages.success(request, _("Added. They can be written to once you note how they agreed."))
            return redirect("whatsappapi:person", made.public_id)
    context = {"nav": "contacts", "form": form}
    return render(request, "whatsappapi/person_form.html", context, status=422 if form.errors else 200)


@require_safe
def person(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _record(request, _person_or_404(request, public_id))


@require_http_methods(["GET", "HEAD", "POST"])
def edit_person(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one = _person_or_404(request, public_id)
    initial = {
        "phone": one.phone, "name": one.name, "tags": [tag.name for tag in one.tags.all()],
        "lists": [row.public_id for row in one.lists.all()],
    }  # fmt: skip
    form = ContactForm(request.POST or None, user=request.user, contact=one, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            left = service.edit_contact(
                actor=request.user, contact=one, phone=data["phone"], name=data["name"], attributes=form.attributes,
                lists=data["lists"], tags=data["tags"],
            )  # fmt: skip
        except ServiceError as error:
            form.add_error("phone", error.message)
        else:
            merged = _("You had two contacts with this number: they are one now.") if left.pk != one.pk else _("Saved.")
            messages.success(request, merged)
            return redirect("whatsappapi:person", left.public_id)
    context = {"nav": "contacts", "form": form, "person": one}
    return render(request, "whatsappapi/person_form.html", context, status=422 if form.errors else 200)


@require_POST
def grant_consent(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one, form = _person_or_404(request, public_id), GrantForm(request.POST)
    if not form.is_valid():
        return _record(request, one, grant=form)
    act(request, consent.grant, _("Noted. They can be written to."), contact=one, **form.cleaned_data)
    return redirect("whatsappapi:person", one.public_id)


@require_POST
def withdraw_consent(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    one, form = _person_or_404(request, public_id), WithdrawForm(request.POST)
    if not form.is_valid():
        return _record(request, one, withdraw=form)
    done = _("Noted. Nothing more is sent to them, by any of your sessions.")
    act(request, consent.withdraw, done, contact=one, **form.cleaned_data)
    return redirect("whatsappapi:person", one.public_id)


@require_http_methods(["GET", "HEAD", "POST"])
def erase_person(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Asks first: nobody can bring them back."""
    one = _person_or_404(request, public_id)
    if request.method == "POST":
        done = _("Nothing more is sent to them. They are being erased; this takes a moment.")
        act(request, erasure.erase, done, contact=one)
        return redirect("whatsappapi:people")
    return render(request, "whatsappapi/person_erase.html", {"nav": "contacts", "person": one})


def _person_or_404(request: HttpRequest, public_id: uuid.UUID) -> Contact:
    rows = Contact.objects.visible_to(request.user).prefetch_related("lists", "tags")
    return get_object_or_404(rows.select_related("last_session", "user"), public_id=public_id)


def _place(request: HttpRequest, rows: QuerySet[Contact]) -> int | None:
    try:
        after = uuid.UUID(request.GET.get("after", ""))
    except ValueError:
        return None
    return Contact.objects.visible_to(request.user).filter(public_id=after).values_list("pk", flat=True).first()


def _record(request: HttpRequest, one: Contact, **forms: Any) -> HttpResponse:
    known = record_of(one)
    sent = [(message, LABELS[message.word]) for message in known.messages]
    context = {"nav": "contacts", "person": one, "record": known, "sent": sent, "grant": GrantForm(),
               "withdraw": WithdrawForm()}  # fmt: skip
    return render(request, "whatsappapi/person.html", context | forms, status=422 if forms else 200)
