"""Creating a session, linking it by QR, and its first page."""

from __future__ import annotations

import time
import uuid

import segno
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.forms import CreateSessionForm, TestMessageForm
from phonebank.whatsappapi.models import SessionTemplate, WaSenderSession
from phonebank.whatsappapi.services import sessions as service
from phonebank.whatsappapi.services import single
from phonebank.whatsappapi.services.adopt import accounts_to_adopt_from
from phonebank.whatsappapi.services.capabilities import may, role_of
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import accounts_for
from phonebank.whatsappapi.services.pace import last_sign, pace
from phonebank.whatsappapi.templatetags.phonebank import phone_option
from phonebank.whatsappapi.views.access import act, back, session_or_404
from phonebank.whatsappapi.views.cards import LINKING, Card, cards, deaf_account
from phonebank.whatsappapi.views.live import render_live

Status = WaSenderSession.Status
# Which field of the form a refusal is about.
FIELDS = {"phone_number": "phone_number", "phone_taken": "phone_number", "name": "name", "name_taken": "name",
          "daily_limit": "daily_limit"}  # fmt: skip
WATCHED = 120  # seconds that a page asks for new codes by itself; then a click goes on (contract 2.2)


@require_http_methods(["GET", "HEAD", "POST"])
def create_session(request: HttpRequest) -> HttpResponse:
    accounts = accounts_for(request.user)
    used, most = service.slots(request.user)
    form = CreateSessionForm(
        request.POST or None,
        accounts=accounts,
        most_a_day=request.user.subscription.daily_limit,
        example=_("Session %(used)s") % {"used": used + 1},
        initial={"is_default": used == 0},
    )
    if request.method == "POST" and form.is_valid():
        try:
            wa_session = service.create_session(actor=request.user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            act(request, service.connect, wa_session=wa_session)
            return redirect("whatsappapi:session", wa_session.public_id)
    context = {
        "nav": "sessions",
        "form": form,
        "accounts": list(accounts),
        "adoptable": accounts_to_adopt_from(request.user),
        "templates": SessionTemplate.objects.visible_to(request.user)[:20],
        "used": used,
        "most": most,
        "free": most - used,
        "free_at": service.next_creation_at(request.user),
    }
    return render(request, "whatsappapi/create_session.html", context, status=422 if form.errors else 200)


@require_safe
def session(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "see")
    context = link_panel(request, wa_session, time.time())
    return render(request, "whatsappapi/session.html", _whole(request, context))


@require_POST
def session_test(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Queues a test message to one of the owner's own numbers."""
    wa_session = session_or_404(request.user, public_id, "test")
    form = TestMessageForm(request.POST, numbers=_numbers(request))
    if form.is_valid():
        try:
            single.send_test(actor=request.user, wa_session=wa_session, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(None, error.message)
        else:
            return redirect(reverse("whatsappapi:session", args=[public_id]) + "#tests")
    context = _whole(request, link_panel(request, wa_session, 0), form)
    return render(request, "whatsappapi/session.html", context, status=422)


def _whole(request: HttpRequest, linking: dict[str, object], form: TestMessageForm | None = None) -> dict[str, object]:
    """The page around the linking panel."""
    wa_session = linking["wa_session"]
    card = linking["card"]
    assert isinstance(wa_session, WaSenderSession) and isinstance(card, Card)
    if form is None and card.may["test"]:
        form = TestMessageForm(numbers=_numbers(request), initial={"body": single.TEST_BODY})
    return {
        **linking,
        **_now(request, wa_session),
        "nav": "sessions",
        "tab": "overview",
        "deaf": deaf_account(card),
        "poll": reverse("whatsappapi:session_now", args=[wa_session.public_id]) + "?live",
        "form": form,
    }


def _numbers(request: HttpRequest) -> list[tuple[str, str]]:
    """What a test message may be sent to, as the form offers it."""
    return [(number, f"{phone_option(number)} ({name})") for number, name in single.own_numbers(request.user)]


@require_safe
def session_now(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """What changes by itself beside the linking panel: today, the limits, the test messages."""
    wa_session = session_or_404(request.user, public_id, "see")
    if not request.htmx:
        return redirect("whatsappapi:session", public_id)
    context = {"wa_session": wa_session, "card": cards([wa_session], request.user)[0], **_now(request, wa_session)}
    return render_live(request, "whatsappapi/session.html", "now", context, request.path)


def _now(request: HttpRequest, wa_session: WaSenderSession) -> dict[str, object]:
    tests = [(one, single.in_words(one)) for one in single.tests_of(wa_session, request.user)]
    return {"pace": pace(wa_session), "sign": last_sign(wa_session), "tests": tests}


# --- linking ----------------------------------------------------------------------------------------------------------


@require_safe
def session_link(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The linking panel, polled by the session's page: a new code each 15 s, the end as soon as it is linked."""
    wa_session = session_or_404(request.user, public_id, "connect")
    asked = request.GET.get("since", "")
    since = float(asked) if asked.isdecimal() and len(asked) < 12 else 0.0
    if "watch" in request.GET and not _has_moved(request, wa_session, since):
        return HttpResponse(status=204)
    return render(request, "whatsappapi/session.html#link", link_panel(request, wa_session, since))


def _has_moved(request: HttpRequest, wa_session: WaSenderSession, since: float) -> bool:
    """Whether the page shows another status than there is, or waits too long. Asks the gateway each second time."""
    if request.GET["watch"] not in LINKING:  # at rest: polls and webhooks tell us, no page asks for it
        return wa_session.status != request.GET["watch"]
    waited = time.time() - since
    if waited > WATCHED:
        return True
    if int(waited) // 3 % 2:
        try:
            wa_session.status = service.refresh_status(wa_session=wa_session).status
        except ServiceError:
            return False  # the panel's own look at the code will say it
    return wa_session.status != request.GET["watch"]


def link_panel(request: HttpRequest, wa_session: WaSenderSession, since: float) -> dict[str, object]:
    """What the page shows of linking. `since` is when the person began to wait (seconds since 1970)."""
    context: dict[str, object] = {"since": f"{int(since)}"}  # down, or the first look would come before it
    if wa_session.status in LINKING and may(role_of(request.user, wa_session), "connect"):
        if 0 <= time.time() - since < WATCHED:
            context |= _look(request, wa_session)
            wa_session = session_or_404(request.user, wa_session.public_id, "see")
        else:
            context["timed_out"] = True
    if wa_session.account.is_sandbox:
        context["phones"] = wa_session.account.base_url.removesuffix("api")
    return {**context, "wa_session": wa_session, "card": cards([wa_session], request.user)[0]}


def _look(request: HttpRequest, wa_session: WaSenderSession) -> dict[str, object]:
    """The present code or passkey token, or why there is none. Brings the stored status up to date."""
    try:
        if wa_session.status == Status.NEED_SCAN:
            text = service.current_qr(actor=request.user, wa_session=wa_session)
            return {"qr": draw(text) if text else None}
        if wa_session.status == Status.NEED_PASSKEY:
            return {"passkey": service.passkey_token(actor=request.user, wa_session=wa_session)}
        service.refresh_status(wa_session=wa_session)
    except ServiceError as error:
        return {"error": error.message}
    return {}


def draw(text: str) -> SafeString:
    """The code as inline SVG: black on the white quiet zone that cameras need, in both themes."""
    svg = segno.make(text, error="m").svg_inline(border=4, omitsize=True, light="#fff", svgclass=None, lineclass=None)
    return mark_safe(svg)  # nosec B308, B703 # noqa: S308 - drawn by segno: squares, not the text


# --- verbs ------------------------------------------------------------------------------------------------------------


@require_POST
def session_connect(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "connect")
    act(request, service.connect, wa_session=wa_session)
    return redirect("whatsappapi:session", public_id)


@require_POST
def session_relink(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "disconnect")
    act(request, service.relink, wa_session=wa_session)
    return redirect("whatsappapi:session", public_id)


@require_POST
def session_restart(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "disconnect")
    act(
        request,
        service.restart,
        _("%(session)s is being restarted.") % {"session": wa_session.session_name},
        wa_session=wa_session,
    )
    return redirect("whatsappapi:session", public_id)


@require_POST
def session_disconnect(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "disconnect")
    act(
        request,
        service.disconnect,
        _("%(session)s is disconnected.") % {"session": wa_session.session_name},
        wa_session=wa_session,
    )
    return back(request, "whatsappapi:session", public_id)


@require_POST
def session_set_default(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id)
    act(
        request,
        service.set_default,
        _("%(session)s is the default now.") % {"session": wa_session.session_name},
        wa_session=wa_session,
    )
    return back(request, "whatsappapi:session", public_id)
