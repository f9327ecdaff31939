"""How pages reach things and act on them. Somebody else's id is simply not there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, WaSenderSession
from phonebank.whatsappapi.models.sessions import WaSenderSessionQuerySet
from phonebank.whatsappapi.services.capabilities import LENT_TO, check, remember
from phonebank.whatsappapi.services.errors import ServiceError


def sessions_of(user: User) -> QuerySet[WaSenderSession]:
    """What a page shows of one's own sessions, in one query however many there are."""
    return _whole(WaSenderSession.objects.visible_to(user))


def usable_sessions(user: User, action: str = "see") -> QuerySet[WaSenderSession]:
    """The same of one's own sessions and of those lent to the user, if they may do `action` with them."""
    return _whole(WaSenderSession.objects.usable_by(user, LENT_TO[action]))


def _whole(rows: WaSenderSessionQuerySet) -> QuerySet[WaSenderSession]:
    return rows.with_limit().select_related("account", "user__subscription__plan", "doubt")


def session_or_404(user: User, public_id: uuid.UUID, action: str = "settings") -> WaSenderSession:
    """A session that the user may do `action` with (services/capabilities.py). A stranger's is not there; whom it is
    lent to hears why not (403)."""
    row = get_object_or_404(_whole(WaSenderSession.objects.alive()), public_id=public_id)
    try:
        remember(user, row, check(user, row, action))
    except ServiceError as error:
        if error.code == "not_found":
            raise Http404 from None
        raise PermissionDenied(error.message) from None
    return row


def seen_session_or_404(user: User, public_id: uuid.UUID) -> WaSenderSession:
    """One whose figures the user may see: their own, deleted ones among them, or one lent to them."""
    own = WaSenderSession.objects.filter(user=user, public_id=public_id).first()
    return own or session_or_404(user, public_id, "analytics")


def campaign_or_404(user: User, public_id: uuid.UUID) -> Campaign:
    return get_object_or_404(Campaign.objects.visible_to(user).select_related("contact_list"), public_id=public_id)


def act(request: HttpRequest, verb: Callable[..., Any], done: str = "", **arguments: Any) -> bool:
    """Calls a service as the logged-in person and tells them what came of it. False when it could not be done."""
    try:
        verb(actor=request.user, **arguments)
    except ServiceError as error:
        messages.error(request, error.message)
        return False
    if done:
        messages.success(request, done)
    return True


def back(request: HttpRequest, *default: Any) -> HttpResponse:
    """To where the person pressed (`next`, a path of ours), else to `default`, as `redirect` takes it."""
    came = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(came, {request.get_host()}, require_https=request.is_secure())
    return redirect(came) if ours else redirect(*default)


def read_moment(text: str) -> datetime | None:
    """A time that one of our links carries; None for anything else. A + of its zone may have become a space."""
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        return None
    return at if at.tzinfo else None
