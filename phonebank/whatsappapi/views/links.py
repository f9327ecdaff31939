"""The one-time link: its page, which needs no account, and the owner's buttons about it."""

from __future__ import annotations

import time
import uuid

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from phonebank.whatsappapi.models import PhoneLink, WaSenderSession
from phonebank.whatsappapi.services import links, probes, reconnect
from phonebank.whatsappapi.services.deliveries import base, masked
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.views.access import act, session_or_404
from phonebank.whatsappapi.views.session_pages import WATCHED, draw

Status = WaSenderSession.Status


@login_not_required
@csrf_exempt  # whoever knows the address may do what it does; no-referrer pages send no origin to check
@require_http_methods(["GET", "HEAD", "POST"])
def phone_link(request: HttpRequest, token: str) -> HttpResponse:
    """A GET only looks, so that a preview of the link starts nothing; the button starts, and then the page watches."""
    link = links.find(token)
    if link is None:
        response = render(request, "whatsappapi/phone_link_ended.html", status=410)
    elif not links.may_view(link):
        response = HttpResponse(_("Too many requests. Wait a minute."), status=429, content_type="text/plain")
        response["Retry-After"] = "60"
    else:
        response = _answer(request, token, link)
    response._has_been_logged = True  # a refusal is logged with its path, which is the secret
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    return response


def _answer(request: HttpRequest, token: str, link: PhoneLink) -> HttpResponse:
    path = reverse("phone_link", args=[token])
    if request.method == "POST":
        try:
            links.start(link)
        except ServiceError as error:
            return render(request, "whatsappapi/phone_link.html", _said(link, path, error=error.message), status=409)
        return redirect(f"{path}?since={int(time.time())}")
    asked = request.GET.get("since", "")
    since = int(asked) if asked.isdecimal() and len(asked) < 12 else 0
    context = _look(link, path, since)
    if not request.htmx:
        return render(request, "whatsappapi/phone_link.html", context)
    if request.GET.get("watch") == context["state"]:
        return HttpResponse(status=204)
    return render(request, "whatsappapi/phone_link.html#panel", context)


def _look(link: PhoneLink, path: str, since: int) -> dict[str, object]:
    if link.ended_at is not None:
        return _said(link, path, state="linked")
    waited = time.time() - since
    if not since or not 0 <= waited + 1 < WATCHED:
        return _said(link, path, state="rest" if since else "begin")
    try:
        row = links.look(link)
        if row.status == Status.CONNECTED:
            return _said(link, path, state="linked")
        if row.status == Status.NEED_SCAN:
            text = links.current_qr(link)
            return _said(link, path, state="scan", since=since, qr=draw(text) if text else None)
        if row.status in (Status.CONNECTING, Status.NEED_PASSKEY):
            return _said(link, path, state=row.status, since=since)
    except ServiceError as error:
        return _said(link, path, error=error.message)
    return _said(link, path, state="rest")


def _said(link: PhoneLink, path: str, **more: object) -> dict[str, object]:
    """All that the page says of a session: its name and the ends of its number."""
    one = link.session
    return {"name": one.session_name, "number": masked(one), "path": path, "state": "error", **more}


# --- the owner's buttons ----------------------------------------------------------------------------------------------


@require_POST
def phone_link_make(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Makes a link and shows it, this once."""
    wa_session = session_or_404(request.user, public_id, "link")
    made: list[str] = []
    act(request, lambda **named: made.append(links.make(**named)), wa_session=wa_session)
    if not made:
        return redirect("whatsappapi:session", public_id)
    url = f"{base()}{reverse('phone_link', args=[made[0]])}"
    context = {"nav": "sessions", "wa_session": wa_session, "url": url}
    return render(request, "whatsappapi/phone_link_made.html", context)


@require_POST
def phone_link_revoke(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    wa_session = session_or_404(request.user, public_id, "link")
    act(request, links.revoke, _("Its links have ended."), wa_session=wa_session)
    return redirect("whatsappapi:session", public_id)


@require_POST
def session_probe(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The self-check, with another of one's sessions or (no partner) off."""
    wa_session, asked = session_or_404(request.user, public_id), request.POST.get("partner", "")
    partner = None
    if asked:
        try:
            partner = session_or_404(request.user, uuid.UUID(asked))
        except ValueError:
            raise Http404 from None
    done = _("The first one leaves within a minute.") if partner else _("The self-check is off.")
    act(request, probes.switch, done, wa_session=wa_session, partner=partner)
    return redirect(reverse("whatsappapi:session_history", args=[public_id]) + "#probe")


@require_POST
def session_reconnects(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Reconnecting by itself, on or off."""
    wa_session = session_or_404(request.user, public_id)
    act(request, reconnect.switch, _("Saved."), wa_session=wa_session, is_on="on" in request.POST)
    return redirect("whatsappapi:session_settings", public_id)
