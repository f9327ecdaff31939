"""Which sessions a list shows: what the address says, what may be chosen, and the page of cards that comes of it."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.filters import LIGHTS, OFFERED, SORTS, STANDINGS, STATUSES, NoSuchGroup, SessionFilter
from phonebank.whatsappapi.models import SessionGroup, SessionShare
from phonebank.whatsappapi.models.sessions import WaSenderSessionQuerySet
from phonebank.whatsappapi.views.access import usable_sessions
from phonebank.whatsappapi.views.cards import cards


def read_choice(user: User, given: Mapping[str, str]) -> SessionFilter:
    """What an address or a form says. Somebody else's group is not there."""
    groups = list(SessionGroup.objects.visible_to(user)) if given.get("group") else []
    try:
        return SessionFilter.read(given, groups)
    except NoSuchGroup:
        raise Http404 from None


def choices(user: User, chosen: SessionFilter) -> dict[str, Any]:
    """What the search offers."""
    return {
        "chosen": chosen,
        "groups": list(SessionGroup.objects.visible_to(user)),
        "statuses": [*((word, label) for word, (label, _) in STANDINGS.items()), *STATUSES.items()],
        "lights": [(word, label) for word, (label, _) in LIGHTS.items()],
        "has_shared": SessionShare.objects.live().filter(user=user).exists(),
        "sorts": [(word, SORTS[word][0]) for word in OFFERED],
    }


def narrowed(user: User, chosen: SessionFilter) -> WaSenderSessionQuerySet:
    """The rows meant, in their order."""
    rows = usable_sessions(user)
    rows = rows.exclude(user=user) if chosen.shared else rows
    return chosen.narrow(rows, timezone.now(), zoneinfo.ZoneInfo(user.time_zone))


def shown(request: HttpRequest, user: User, chosen: SessionFilter, size: int) -> dict[str, Any]:
    """A page of them as cards, and the address that leads here."""
    page = Paginator(narrowed(user, chosen), size).get_page(request.GET.get("page"))
    query = chosen.query + (f"page={page.number}&" if page.number > 1 else "")
    here = f"{request.path}?{query}".rstrip("?&")
    return {"page": page, "cards": cards(page.object_list, user), "query": chosen.query, "here": here}
