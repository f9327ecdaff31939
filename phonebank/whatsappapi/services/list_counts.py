"""How many people are in each of some lists, counted no further than a page can wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from phonebank.whatsappapi.models import ContactList

PAGE = 500_000  # memberships that are counted for one page; shared evenly by its lists

# Opt-outs as sets, not person by person: they are read once, however many people there are.
COUNT = """
SELECT l.id, c.people, c.stopped, c.sendable
FROM unnest(%(lists)s::bigint[]) AS l (id) CROSS JOIN LATERAL (
  SELECT count(*) AS people,
    count(*) FILTER (WHERE t.is_stopped) AS stopped,
    count(*) FILTER (WHERE NOT t.is_stopped AND t.consent = 'granted') AS sendable
  FROM (
    SELECT p.consent, p.phone IN (SELECT phone FROM stop WHERE phone <> '')
      OR (p.lid <> '' AND p.lid IN (SELECT lid FROM stop WHERE lid <> '')) AS is_stopped
    FROM whatsappapi_contact_lists m JOIN whatsappapi_contact p ON p.id = m.contact_id
    WHERE m.contactlist_id = l.id LIMIT %(most)s
  ) t
) c
"""
STOP = """
WITH stop AS MATERIALIZED (
  SELECT phone, lid FROM whatsappapi_suppression WHERE user_id = %(user)s AND lifted_at IS NULL
)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a list's people; `is_more`: not all were looked at, so each figure is the least it can be."""

    people: int = 0
    stopped: int = 0
    sendable: int = 0
    is_more: bool = False

    @property
    def without_consent(self) -> int:
        return self.people - self.stopped - self.sendable


def count_people(lists: Sequence[ContactList], page: int = PAGE) -> dict[int, Counts]:
    """Counts by the lists' keys, in one query. All of them belong to one user."""
    if not lists:
        return {}
    most = max(1, page // len(lists))
    with connection.cursor() as cursor:
        values = {"lists": [one.pk for one in lists], "most": most, "user": lists[0].user_id}
        cursor.execute(STOP + COUNT, values)
        found = {key: tuple(counts) for key, *counts in cursor.fetchall()}
    return {one.pk: Counts(*found[one.pk], is_more=found[one.pk][0] == most) for one in lists}
