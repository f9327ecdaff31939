"""How pages reach things and act on them. Somebody else's id is simply not there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError


def sessions_of(user: User) -> QuerySet[WaSenderSession]:
    """What a page shows of a session, in one query however many there are."""
    rows = WaSenderSession.objects.visible_to(user).with_limit()
    return rows.select_related("account", "user__subscription__plan", "doubt")


def session_or_404(user: User, public_id: uuid.UUID) -> WaSenderSession:
    return get_object_or_404(sessions_of(user), public_id=public_id)


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
