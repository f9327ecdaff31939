"""The steps of a campaign. Each saves its part of the draft on every way that leads out of it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.whatsappapi.campaign_forms import AudienceForm, MessageForm, ScheduleForm, SendersForm, StepForm
from phonebank.whatsappapi.models import Campaign, MessageTemplate
from phonebank.whatsappapi.services import audience, drafts, readiness, runs, single
from phonebank.whatsappapi.services.drafts import Conflict
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.senders import noting_refusals
from phonebank.whatsappapi.views import wizard_pages as pages
from phonebank.whatsappapi.views.wizard_pages import STEPS

FORMS: dict[str, type[StepForm]] = {
    "audience": AudienceForm, "message": MessageForm, "senders": SendersForm, "schedule": ScheduleForm,
}  # fmt: skip
UNFINISHED = {
    "audience": gettext_lazy("Saved. Choose a list or a tag before you go on."),
    "message": gettext_lazy("Saved. Write a message before you go on."),
    "senders": gettext_lazy("Saved. Choose at least one session that can be sent from before you go on."),
}
# Which field of a step a refusal is about.
FIELDS = {"name": "name", "too_long": "body", "pace": "pace", "scheduled_at": "at", "expires_at": "expires_at",
          "quiet_end": "quiet_end", "cap_day": "cap_day", "cap_month": "cap_month"}  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
def wizard(request: HttpRequest, public_id: uuid.UUID, step: str) -> HttpResponse:
    if step not in STEPS:
        raise Http404
    rows = Campaign.objects.visible_to(request.user).select_related("user", "parent")
    one = rows.filter(public_id=public_id).first()
    if one is None:
        return _gone(request, step)
    if one.state != Campaign.State.DRAFT and request.method != "POST":
        return redirect("whatsappapi:campaign", public_id)
    if step == "review":
        return _start(request, one) if request.method == "POST" else _review(request, one)
    if request.method == "POST":
        return _save(request, one, step)
    return _page(request, one, step, FORMS[step](user=request.user, campaign=one))


def _gone(request: HttpRequest, step: str) -> HttpResponse:
    """There is no such draft (any more). What an open tab posts is shown, and becomes a draft if wanted."""
    if request.method != "POST" or step == "review":
        raise Http404
    if request.POST.get("go") == "anew":
        return _save(request, drafts.create_draft(actor=request.user, name=request.POST.get("name", "")), step)
    typed = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name not in ("csrfmiddlewaretoken", "version", "go")
    ]
    context = {"nav": "campaigns", "title": STEPS[step], "typed": typed, "body": request.POST.get("body", "")}
    return render(request, "whatsappapi/draft_gone.html", context, status=404)


def _page(request: HttpRequest, one: Campaign, step: str, form: StepForm, **more: Any) -> HttpResponse:
    status = more.pop("status", 422 if form.is_bound and form.errors else 200)
    context = pages.frame(one, step) | {"form": form} | pages.PAGES[step](request, one, form) | more
    return render(request, f"whatsappapi/wizard_{step}.html", context, status=status)


def _save(request: HttpRequest, one: Campaign, step: str) -> HttpResponse:
    form = FORMS[step](request.POST, request.FILES, user=request.user, campaign=one)
    go = request.POST.get("go", "next")
    leaving = go if go in STEPS else ""
    if go in ("look", "template"):
        return _unsaved(request, one, step, form, go)
    if not form.is_valid():
        return _page(request, one, step, form, leaving=leaving)
    changes: dict[str, Any] = {}
    try:
        with noting_refusals(request.user, one):
            changes, senders = form.changes()
        saved = drafts.save(
            actor=request.user, campaign=one, changes=changes, senders=senders, version=form.cleaned_data["version"]
        )
    except Conflict as conflict:
        return _conflict(request, conflict, step, form, changes, senders)
    except ServiceError as error:
        if error.code == "not_found":
            raise Http404 from None
        field = FIELDS.get(error.code)
        form.add_error(field if field in form.fields else None, error.message)
        started = error.code == "wrong_state"
        return _page(request, one, step, form, leaving=leaving, started=started, status=409 if started else 422)
    for words in senders.left_out if senders else ():
        messages.warning(request, _("Left out: %(words)s") % {"words": words})
    if go == "test":
        _test(request, saved)
    elif go == "next" and not readiness.is_done(saved, step):
        form = FORMS[step](user=request.user, campaign=saved)
        return _page(request, saved, step, form, problem=UNFINISHED[step], status=422)
    return redirect("whatsappapi:wizard", saved.public_id, pages.target(step, go))


def _unsaved(request: HttpRequest, one: Campaign, step: str, form: StepForm, go: str) -> HttpResponse:
    """The page again with what is typed: to look at it, or with a template's text in its place."""
    more: dict[str, Any] = {}
    if go == "template":
        try:
            wanted = uuid.UUID(request.POST.get("template", ""))
        except ValueError:
            wanted = uuid.UUID(int=0)
        text = get_object_or_404(MessageTemplate.objects.visible_to(request.user), public_id=wanted)
        data = request.POST.copy()
        before = data.get("body", "")
        for name, value in {"body": text.body, **MessageForm.media_initial(text)}.items():
            data[name] = value
        form = MessageForm(data, user=request.user, campaign=one)
        more = {"taken": text, "before": before if before.strip() not in ("", text.body.strip()) else ""}
    form.is_valid()
    form.errors.clear()
    return _page(request, one, step, form, version=request.POST.get("version", one.version), **more)


def _conflict(
    request: HttpRequest, conflict: Conflict, step: str, form: StepForm, changes: dict[str, Any], senders: Any
) -> HttpResponse:
    """Both versions side by side. What was typed stays in the form; saving it again is then a choice."""
    rows = pages.differences(conflict.campaign, changes, senders)
    return _page(request, conflict.campaign, step, form, status=409, conflict=conflict.message, differences=rows)


def _test(request: HttpRequest, one: Campaign) -> None:
    """The message as the chosen person would get it, to one of the sender's own phones."""
    text = pages.preview_of(request.POST, request.user)["preview"]
    to = request.POST.get("to", "")
    if not text.strip():
        messages.error(request, _("Write a text first. Nothing was sent."))
        return
    try:
        sent = single.send_test(actor=request.user, to=to, body=text)
    except ServiceError as error:
        messages.error(request, error.message)
    else:
        name = sent.session.session_name if sent.session else ""
        messages.success(request, _("The test message leaves from %(name)s. Look at the phone.") % {"name": name})


def _review(request: HttpRequest, one: Campaign, **more: Any) -> HttpResponse:
    status = more.pop("status", 200)
    context = pages.frame(one, "review") | pages.review(request, one) | more
    return render(request, "whatsappapi/review_campaign.html", context, status=status)


def _start(request: HttpRequest, one: Campaign) -> HttpResponse:
    version = request.POST.get("version", "")
    try:
        runs.start(actor=request.user, campaign=one, version=int(version) if version.isdecimal() else -1)
    except Conflict as conflict:
        words = _("It was not started: look through it once more, it is shown as it is now.")
        return _review(request, conflict.campaign, status=409, conflict=f"{conflict.message.split('. ')[0]}. {words}")
    except ServiceError as error:
        one.refresh_from_db()
        if one.state == Campaign.State.DRAFT:
            return _review(request, one, refused=error.message, status=409)
        messages.error(request, error.message)
    return redirect("whatsappapi:campaign", one.public_id)


@require_POST
def count(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """How many the choices on the audience page mean, before they are saved."""
    one = get_object_or_404(Campaign.objects.visible_to(request.user), public_id=public_id)
    form = AudienceForm(request.POST, user=request.user, campaign=one)
    form.is_valid()
    try:
        chosen = form.audience()
        is_empty = not chosen.get("lists") and not chosen.get("tags")
        counted = audience.count(request.user, chosen, one.parent_id)
    except ServiceError as error:
        return render(request, "whatsappapi/_wizard_count.html", {"problem": error.message})
    return render(request, "whatsappapi/_wizard_count.html", {"count": counted, "is_empty": is_empty})
