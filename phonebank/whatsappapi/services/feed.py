"""The last things that happened in a campaign."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.audit.sentences import lines
from phonebank.whatsappapi.models import Campaign

SHOWN = 12
LATEST = 10  # sessions looked at: those that sent last

# Of the sessions that sent last, their last attempts in this campaign.
ATTEMPTS = """
SELECT m.phone, coalesce(k.name, ''), k.public_id, s.session_name, a.outcome, m.reason, a.started_at,
  a.finished_at, a.sent_at, a.delivered_at, a.read_at
FROM (
  SELECT s.id, s.session_name FROM whatsappapi_campaignsession l
  JOIN whatsappapi_wasendersession s ON s.id = l.session_id
  WHERE l.campaign_id = %(campaign)s ORDER BY s.last_used_at DESC NULLS LAST, s.id LIMIT %(latest)s
) s CROSS JOIN LATERAL (
  SELECT * FROM whatsappapi_attempt a WHERE a.session_id = s.id ORDER BY a.started_at DESC LIMIT 20
) a
JOIN whatsappapi_message m ON m.id = a.message_id AND m.campaign_id = %(campaign)s
LEFT JOIN whatsappapi_contact k ON k.id = m.contact_id
"""
WORDS = {
    "rejected": (pgettext_lazy("one message", "Failed"), "red"),
    "unknown": (gettext_lazy("No clear answer"), "yellow"),
    "deferred": (gettext_lazy("Put off"), ""),
    "not_sent": (gettext_lazy("Not sent"), ""),
}


@dataclass(frozen=True, slots=True)
class News:
    """`who`: the person written to, else empty; `contact` leads to what happened to them."""

    at: datetime
    light: str
    word: str
    who: str = ""
    contact: uuid.UUID | None = None
    session: str = ""
    detail: str = ""


def feed(campaign: Campaign, viewer: User) -> list[News]:
    """Newest first: what left, what arrived, what failed, and what people did. Two queries (three with names)."""
    with connection.cursor() as cursor:
        cursor.execute(ATTEMPTS, {"campaign": campaign.pk, "latest": LATEST})
        rows = cursor.fetchall()
    found = [news for row in rows for news in _of_attempt(*row)] + list(_acts(campaign, viewer))
    return sorted(found, key=lambda one: one.at, reverse=True)[:SHOWN]


def _of_attempt(
    phone: str, name: str, contact: uuid.UUID | None, session: str, outcome: str, reason: str, started: datetime,
    finished: datetime | None, sent: datetime | None, delivered: datetime | None, read: datetime | None,
) -> Iterable[News]:  # fmt: skip
    who = name or phone
    if outcome in WORDS and finished:
        word, light = WORDS[outcome]
        yield News(finished, light, word, who, contact, session, reason)
        return
    was_sent = pgettext("one message", "Sent")
    times = [
        (read, "green", pgettext("one message", "Read")),
        (delivered, "green", pgettext("one message", "Delivered")),
        (sent, "blue", was_sent),
    ]
    known = [(at, light, word) for at, light, word in times if at]
    at, light, word = known[0] if known else (started, "blue", was_sent if finished else _("Sending"))
    yield News(at, light, word, who, contact, session)


def _acts(campaign: Campaign, viewer: User) -> Iterable[News]:
    it = pgettext("the campaign, as what somebody did something to", "it")
    events = Event.objects.filter(target_id=str(campaign.public_id)).order_by("-id")[:5]
    for line in lines(events, viewer):
        yield News(line.event.at, "", line.told_of(it))
