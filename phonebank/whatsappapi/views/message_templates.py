"""Pages of message templates: saved texts with variables and media."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.message_forms import TemplateForm
from phonebank.whatsappapi.models import Contact, MediaKind, MessageTemplate
from phonebank.whatsappapi.services import message_templates as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.media import LONGEST
from phonebank.whatsappapi.services.replies import CARRIED
from phonebank.whatsappapi.views.access import act

ROWS = 30
PAGE = "whatsappapi/message_template.html"


@require_safe
def message_templates(request: HttpRequest) -> HttpResponse:
    """By name."""
    q = request.GET.get("q", "").strip()[:60].replace("\x00", "")
    rows = MessageTemplate.objects.visible_to(request.user)
    if q:
        rows = rows.filter(name__icontains=q)
    page = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    shown = [(one, CARRIED.get(one.media_kind, ""), service.tags_of(one.body)) for one in page]
    query = urlencode({"q": q}) + "&" if q else ""
    context = {"nav": "templates", "rows": shown, "page": page, "q": q, "query": query}
    return render(request, "whatsappapi/message_templates.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def message_template_new(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
def message_template(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Shows and changes one."""
    rows = MessageTemplate.objects.visible_to(request.user)
    return _edit(request, get_object_or_404(rows, public_id=public_id))


@require_POST
def message_template_preview(request: HttpRequest) -> HttpResponse:
    """What is being written, as somebody gets it; an unfinished message is fine."""
    return render(request, f"{PAGE}#preview", _preview(request, TemplateForm(request.POST)))


@require_POST
def message_template_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(MessageTemplate.objects.visible_to(request.user), public_id=public_id)
    act(
        request,
        service.delete_template,
        _("%(name)s is deleted. What was sent with it stays.") % {"name": found.name},
        template=found,
    )
    return redirect("whatsappapi:message_templates")


def _edit(request: HttpRequest, found: MessageTemplate | None) -> HttpResponse:
    initial = {"name": found.name, "body": found.body, **TemplateForm.media_initial(found)} if found else {}
    form = TemplateForm(request.POST or None, request.FILES or None, initial=initial)
    is_look = request.POST.get("action") == "look"
    if request.method == "POST" and not is_look and form.is_valid():
        try:
            data = form.cleaned_data
            media = form.take_media(request.user, found.media_name if found else "")
            given = {"actor": request.user, "name": data["name"], "body": data["body"], "media": media}
            saved = service.update_template(template=found, **given) if found else service.create_template(**given)
        except ServiceError as error:
            form.add_error(error.code if error.code in ("name", "body") else "name" if error.code == "name_taken"
                           else None, error.message)  # fmt: skip
        except ValidationError:
            pass  # the form has it
        else:
            return redirect("whatsappapi:message_template", saved.public_id)
    context = {"nav": "templates", "template": found, "form": form, "held_name": found.media_name if found else ""}
    context |= _preview(request, form)
    status = 422 if form.is_bound and form.errors and not is_look else 200
    return render(request, PAGE, context, status=status)


def _preview(request: HttpRequest, form: TemplateForm) -> dict[str, Any]:
    """As the newest contact gets it."""
    person = Contact.objects.visible_to(request.user).order_by("-pk").first()
    variables = {"name": person.name, "phone": person.phone, **person.attributes} if person else {}
    body = str(form["body"].value() or "")
    kind = form["media_kind"].value() or ""
    return {
        "preview": service.preview(body, variables),
        "preview_for": person,
        "characters": len(body),
        "longest": LONGEST,
        "carried": MediaKind(kind).label if kind in MediaKind.values else "",
    }
