"""Pages of sharing: a session's people, one's invitations, giving a session back."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from phonebank.whatsappapi.models import SessionShare, WaSenderSession
from phonebank.whatsappapi.services import sharing as service
from phonebank.whatsappapi.services.capabilities import CAPABILITIES, As, role_of
from phonebank.whatsappapi.services.deliveries import base
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.sharing_forms import InviteForm, TermsForm
from phonebank.whatsappapi.views.access import act, session_or_404
from phonebank.whatsappapi.views.cards import cards

FIELDS = {"email": "email", "duplicate": "email", "role": "role", "until": "until"}


@require_http_methods(["GET", "HEAD", "POST"])
def session_sharing(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Who may use the session and what they did; a POST invites somebody and shows the link, this once."""
    wa_session = session_or_404(request.user, public_id, "share")
    form, link = InviteForm(request.POST or None, initial={"role": "viewer"}), ""
    if request.method == "POST" and form.is_valid():
        try:
            share, token = service.invite(actor=request.user, wa_session=wa_session, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            link = base() + reverse("whatsappapi:invitation", args=[token])
            return _page(request, wa_session, InviteForm(initial={"role": "viewer"}), link=link, invited=share.email)
    return _page(request, wa_session, form, status=422 if form.errors else 200)


def _page(request: HttpRequest, wa_session: WaSenderSession, form: InviteForm, **more: Any) -> HttpResponse:
    status = more.pop("status", 200)
    changed = more.pop("changed", None)
    done = service.work_of(wa_session)
    rows = list(service.shares_of(wa_session))
    people = [
        {
            "share": one,
            "form": changed if changed and changed.prefix == one.public_id.hex else TermsForm.of(one),
            "work": done.pop(one.user_id, None) if one.user_id else None,
        }
        for one in rows
    ]
    context = {
        "nav": "sessions",
        "tab": "sharing",
        "wa_session": wa_session,
        "card": cards([wa_session], request.user)[0],
        "form": form,
        "people": people,
        "gone": list(done.values()),
        "rules": [(rule.what, As.OPERATOR in rule.roles, As.VIEWER in rule.roles) for rule in CAPABILITIES.values()],
        "zone": request.user.time_zone,
        **more,
    }
    response = render(request, "whatsappapi/session_sharing.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def share_change(request: HttpRequest, public_id: uuid.UUID, share: uuid.UUID) -> HttpResponse:
    """Another role or end."""
    wa_session = session_or_404(request.user, public_id, "share")
    row = _share_or_404(request, wa_session, share)
    form = TermsForm.of(row, request.POST)
    if form.is_valid():
        try:
            service.change(actor=request.user, share=row, **form.changes())
        except ServiceError as error:
            form.add_error(FIELDS.get(error.code), error.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("whatsappapi:session_sharing", public_id)
    return _page(request, wa_session, InviteForm(initial={"role": "viewer"}), changed=form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def share_revoke(request: HttpRequest, public_id: uuid.UUID, share: uuid.UUID) -> HttpResponse:
    """Asks, then ends a share or takes an invitation back."""
    wa_session = session_or_404(request.user, public_id, "share")
    row = _share_or_404(request, wa_session, share)
    if request.method == "POST":
        done = _("%(email)s can no longer use %(session)s.") % {"email": row.email, "session": wa_session.session_name}
        act(request, service.revoke, done, share=row)
        return redirect("whatsappapi:session_sharing", public_id)
    context = {"nav": "sessions", "wa_session": wa_session, "share": row}
    return render(request, "whatsappapi/share_revoke.html", context)


def _share_or_404(request: HttpRequest, wa_session: WaSenderSession, share: uuid.UUID) -> SessionShare:
    row = service.share_of(request.user, share)
    if row is None or row.session_id != wa_session.pk:
        raise Http404
    return row


# --- the other side ---------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def session_leave(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Asks, then gives a shared session back."""
    wa_session = session_or_404(request.user, public_id, "see")
    if role_of(request.user, wa_session) == As.OWNER:
        raise Http404
    if request.method == "POST":
        act(
            request,
            service.leave,
            _("You gave %(session)s back.") % {"session": wa_session.session_name},
            wa_session=wa_session,
        )
        return redirect("whatsappapi:sessions")
    context = {"nav": "sessions", "wa_session": wa_session, "card": cards([wa_session], request.user)[0]}
    return render(request, "whatsappapi/session_leave.html", context)


@require_safe
def invitations(request: HttpRequest) -> HttpResponse:
    """What others want to share with the person."""
    context = {"nav": "sessions", "invitations": service.invitations_of(request.user)}
    return render(request, "whatsappapi/invitations.html", context)


@require_POST
def invitation_answer(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(service.invitations_of(request.user), public_id=public_id)
    return _answered(request, row, "")


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The one-time link. A GET only looks, so that a preview of the link uses nothing up."""
    row = service.find_invitation(request.user, token)
    if row is None:
        response = render(request, "whatsappapi/invitation_ended.html", {"nav": "sessions"}, status=410)
    elif request.method == "POST":
        response = _answered(request, row, token)
    else:
        context = {"nav": "sessions", "share": row, "path": request.path}
        response = render(request, "whatsappapi/invitation.html", context)
    response._has_been_logged = True  # type: ignore[attr-defined]  # a refusal is logged with its path: the secret
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "same-origin"
    return response


def _answered(request: HttpRequest, row: SessionShare, token: str) -> HttpResponse:
    name = row.session.session_name
    if request.POST.get("answer") == "decline":
        act(request, service.decline, _("You declined %(name)s.") % {"name": name}, share=row, token=token)
        return redirect("whatsappapi:sessions")
    done = _("You may use %(name)s now, as %(get_role_display)s.") % {
        "name": name,
        "get_role_display": row.get_role_display().lower(),
    }
    if act(request, service.accept, done, share=row, token=token):
        return redirect("whatsappapi:session", row.session.public_id)
    return redirect("whatsappapi:invitations")
