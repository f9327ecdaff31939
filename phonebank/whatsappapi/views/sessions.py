"""Pages of sessions: the table, creating one, linking it by QR, and what is done to it."""

from __future__ import annotations

import time
import uuid

import segno
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.forms import CreateSessionForm, DeleteSessionForm
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.services import sessions as service
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import accounts_for
from phonebank.whatsappapi.views.access import act, session_or_404, sessions_of
from phonebank.whatsappapi.views.cards import LINKING, cards, deaf_accounts

Status = WaSenderSession.Status
ROWS = 50
# Which field of the form a refusal is about.
FIELDS = {"phone_number": "phone_number", "phone_taken": "phone_number", "name": "name", "name_taken": "name",
          "daily_limit": "daily_limit"}  # fmt: skip
WATCHED = 120  # seconds that a page asks for new codes by itself; then a click goes on (contract 2.2)


@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    page = Paginator(sessions_of(request.user), ROWS).get_page(request.GET.get("page"))
    used, most = service.slots(request.user)
    context = {
        "nav": "sessions",
        "page": page,
        "cards": cards(page.object_list, request.user),
        "used": used,
        "most": most,
    }
    return render(request, "whatsappapi/sessions.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def create_session(request: HttpRequest) -> HttpResponse:
    accounts = accounts_for(request.user)
    used, most = service.slots(request.user)
    form = CreateSessionForm(request.POST or None, accounts=accounts, initial={"is_default": used == 0})
    if request.method == "POST" and form.is_valid():
        try:
            wa_session = service.create_session(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            act(request, service.connect, wa_session=wa_session)
            return redirect("whatsappapi:session", wa_session.public_id)
    context = {"nav": "sessions", "form": form, "accounts": list(accounts), "used": used, "most": most}
    return render(request, "whatsappapi/create_session.html", context, status=422 if form.errors else 200)


@require_safe
def session(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    context = {"nav": "sessions", "deaf": deaf_accounts(request.user), **_link(request, wa_session, time.time())}
    return render(request, "whatsappapi/session.html", context)


@require_safe
def session_link(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The linking panel, polled by the session's page: a new code each 15 s, the end as soon as it is linked."""
    wa_session = session_or_404(request.user, public_id)
    asked = request.GET.get("since", "")
    since = float(asked) if asked.isdecimal() and len(asked) < 12 else 0.0
    if "watch" in request.GET and not _has_moved(request, wa_session, since):
        return HttpResponse(status=204)
    return render(request, "whatsappapi/session.html#link", _link(request, wa_session, since))


def _has_moved(request: HttpRequest, wa_session: WaSenderSession, since: float) -> bool:
    """Whether the page shows another status than there is, or waits too long. Asks the gateway each second time."""
    waited = time.time() - since
    if waited > WATCHED:
        return True
    if int(waited) // 3 % 2:
        try:
            wa_session.status = service.refresh_status(wa_session=wa_session).status
        except ServiceError:
            return False  # the panel's own look at the code will say it
    return wa_session.status != request.GET["watch"]


def _link(request: HttpRequest, wa_session: WaSenderSession, since: float) -> dict[str, object]:
    """What the page shows of linking. `since` is when the person began to wait (seconds since 1970)."""
    context: dict[str, object] = {"since": f"{since:.0f}"}
    if wa_session.status in LINKING:
        if 0 <= time.time() - since < WATCHED:
            context |= _look(request, wa_session)
            wa_session = session_or_404(request.user, wa_session.public_id)
        else:
            context["timed_out"] = True
    if wa_session.account.is_sandbox:
        context["phones"] = wa_session.account.base_url.removesuffix("api")
    return {**context, "wa_session": wa_session, "card": cards([wa_session], request.user)[0]}


def _look(request: HttpRequest, wa_session: WaSenderSession) -> dict[str, object]:
    """The present code, or why there is none. Brings the stored status up to date."""
    try:
        if wa_session.status == Status.NEED_SCAN:
            text = service.current_qr(actor=request.user, wa_session=wa_session)
            return {"qr": _draw(text) if text else None}
        service.refresh_status(wa_session=wa_session)
    except ServiceError as error:
        return {"error": error.message}
    return {}


def _draw(text: str) -> SafeString:
    """The code as inline SVG: black on the white quiet zone that cameras need, in both themes."""
    svg = segno.make(text, error="m").svg_inline(border=4, omitsize=True, light="#fff", svgclass=None, lineclass=None)
    return mark_safe(svg)  # noqa: S308  (drawn by segno: holds squares, not the text)


@require_POST
def session_connect(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    act(request, service.connect, wa_session=wa_session)
    return redirect("whatsappapi:session", public_id)


@require_POST
def session_disconnect(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    act(request, service.disconnect, f"{wa_session.session_name} is disconnected.", wa_session=wa_session)
    return redirect("whatsappapi:session", public_id)


@require_POST
def session_set_default(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    act(request, service.set_default, f"{wa_session.session_name} is the default now.", wa_session=wa_session)
    return redirect("whatsappapi:session", public_id)


@require_http_methods(["GET", "HEAD", "POST"])
def session_delete(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    form = DeleteSessionForm(request.POST or None, wa_session=wa_session)
    if request.method == "POST" and form.is_valid():
        try:
            service.delete(actor=request.user, wa_session=wa_session, at_gateway=form.cleaned_data["at_gateway"])
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"{wa_session.session_name} is deleted. What it sent stays in the records.")
            return redirect("whatsappapi:sessions")
    context = {"nav": "sessions", "form": form, "card": cards([wa_session], request.user)[0], "wa_session": wa_session}
    return render(request, "whatsappapi/delete_session.html", context, status=422 if form.errors else 200)
