"""Whom a campaign is meant for: `Campaign.audience`, and how many of them can be written to.

It is a JSON object of ids and words, all of it optional:

    {"lists": [1, 2],      # people of at least one of these lists,
     "tags": [7],          # who carry at least one of these tags,
     "filters": [{"field": "city", "test": "is", "value": "Boston"}],   # and pass all of these,
     "without": [3]}       # and are on none of these lists

Without lists and tags it means nobody; empty as a whole, it means the people of the campaign's `contact_list`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.whatsappapi.dispatch.kinds import kinds_with
from phonebank.whatsappapi.dispatch.sql.audience import named_things, people_of
from phonebank.whatsappapi.models import Campaign, Contact, ContactList, ContactTag
from phonebank.whatsappapi.services.errors import ServiceError

TESTS = {
    "is": gettext_lazy("is"),
    "is_not": gettext_lazy("is not"),
    "contains": gettext_lazy("contains"),
    "starts": gettext_lazy("begins with"),
}
MOST_FILTERS = 5
MOST_NAMED = 100  # lists, and tags
LOOKED_AT = 10_000  # people whose earlier messages are counted, at most
# Why somebody is left out, in the order in which the deal looks.
REASONS = {
    "stopped": gettext_lazy("asked not to be written to"),
    "withdrawn": gettext_lazy("took their consent back"),
    "unknown": gettext_lazy("no consent on record"),
    "review": gettext_lazy("held until somebody has read their answer"),
}

# As sets, not person by person: the database reads the opt-outs once, however many people there are.
_JUDGED = """
WITH who AS (
  SELECT c.id, c.name, c.phone, c.attributes, CASE
    WHEN c.phone IN (SELECT phone FROM whatsappapi_suppression WHERE user_id = %(user)s AND lifted_at IS NULL
                     AND reason <> 'review' AND phone <> '')
      OR c.lid <> '' AND c.lid IN (SELECT lid FROM whatsappapi_suppression WHERE user_id = %(user)s
                                   AND lifted_at IS NULL AND reason <> 'review' AND lid <> '') THEN 'stopped'
    WHEN c.consent = 'withdrawn' THEN 'withdrawn'
    WHEN c.consent <> 'granted' THEN 'unknown'
    WHEN c.phone IN (SELECT phone FROM whatsappapi_suppression WHERE user_id = %(user)s AND lifted_at IS NULL
                     AND reason = 'review' AND phone <> '')
      OR c.lid <> '' AND c.lid IN (SELECT lid FROM whatsappapi_suppression WHERE user_id = %(user)s
                                   AND lifted_at IS NULL AND reason = 'review' AND lid <> '') THEN 'review'
    END AS reason
  FROM whatsappapi_contact c @people AND c.user_id = %(user)s
)
@ask
"""
_COUNT = "SELECT coalesce(reason, ''), count(*) FROM who GROUP BY 1"
_SOME = """
SELECT reason, name, phone FROM (
  SELECT reason, name, phone, row_number() OVER (PARTITION BY reason ORDER BY id) AS n FROM who WHERE reason IS NOT NULL
) x WHERE n <= %(most)s ORDER BY reason, n
"""
_LACK = "SELECT @counts FROM who WHERE reason IS NULL"
# Of every nth of those who get it: how many have had all that the cap allows, as the claim counts it (sql/tick.py).
_CAPPED = """
SELECT count(*), count(*) FILTER (WHERE n.today >= %(cap_day)s),
  count(*) FILTER (WHERE n.lately >= %(cap_month)s AND n.today >= %(cap_day)s IS NOT TRUE)
FROM (SELECT phone FROM who WHERE reason IS NULL AND id %% %(nth)s = 0) w CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE a.started_at > %(at)s - interval '1 day') AS today, count(*) AS lately
  FROM whatsappapi_message y JOIN whatsappapi_attempt a ON a.id = y.attempt
  WHERE y.user_id = %(user)s AND y.phone = w.phone AND y.kind = ANY(%(counted)s)
    AND a.started_at > %(at)s - interval '30 days'
) n
"""
_FIRST = "SELECT c.id FROM whatsappapi_contact c @people AND c.user_id = %(user)s ORDER BY c.id LIMIT %(most)s"


@dataclass(frozen=True, slots=True)
class Count:
    """People of an audience: `sendable` and those of `skipped` (reason -> how many) make up `people`."""

    people: int
    sendable: int
    skipped: Mapping[str, int]

    @property
    def why(self) -> list[tuple[str, int]]:
        """The reasons in words, with how many."""
        return [(words, self.skipped[word]) for word, words in REASONS.items() if self.skipped.get(word)]

    @property
    def left_out(self) -> int:
        return self.people - self.sendable


@dataclass(frozen=True, slots=True)
class Capped:
    """Who has had a day's (`day`) or else a month's (`month`) messages when it starts, so that theirs waits.

    `is_rough`: reckoned from a part of a large audience.
    """

    day: int
    month: int
    is_rough: bool

    @property
    def people(self) -> int:
        return self.day + self.month


@dataclass(frozen=True, slots=True)
class Chosen:
    """An audience with its things looked up. `missing`: how many lists and tags it names that are gone."""

    lists: list[ContactList]
    tags: list[ContactTag]
    filters: list[dict[str, str]]
    without: list[ContactList]
    missing: int

    @property
    def words(self) -> str:
        """For a person: “Regulars or Guests, tagged vip, city is Boston, but not Staff”."""
        parts = [_(" or ").join(one.name for one in self.lists)] if self.lists else [_("everybody")]
        if self.tags:
            parts.append(_("tagged %(names)s") % {"names": _(" or ").join(one.name for one in self.tags)})
        parts += [f"{one['field']} {TESTS[one['test']]} {one['value']}" for one in self.filters]
        if self.without:
            parts.append(_("but not %(names)s") % {"names": _(" or ").join(one.name for one in self.without)})
        return ", ".join(parts) if self.lists or self.tags else ""


def build(
    *,
    actor: User,
    lists: Iterable[uuid.UUID | str] = (),
    tags: Iterable[str] = (),
    filters: Iterable[Mapping[str, str]] = (),
    without: Iterable[uuid.UUID | str] = (),
) -> dict[str, Any]:
    """An audience from public ids of lists and names of tags. Somebody else's are not there (`not_found`)."""
    wanted, left = _ids(lists), _ids(without)
    names = list(dict.fromkeys(tags))
    if max(len(wanted), len(left), len(names)) > MOST_NAMED:
        raise ServiceError(
            _("At most %(most)s lists and %(most)s tags can be chosen.") % {"most": MOST_NAMED}, code="audience"
        )
    rows = ContactList.objects.visible_to(actor).filter(public_id__in={*wanted, *left})
    known = dict(rows.values_list("public_id", "pk"))
    tagged = dict(ContactTag.objects.visible_to(actor).filter(name__in=names).values_list("name", "pk"))
    if {*wanted, *left} - known.keys():
        raise ServiceError(_("There is no such list. Nothing was changed."), code="not_found")
    if set(names) - tagged.keys():
        raise ServiceError(_("There is no such tag. Nothing was changed."), code="not_found")
    if set(wanted) & set(left):
        raise ServiceError(
            _("A list cannot be chosen and left out at once. Take one of the two away."), code="audience"
        )
    found = {
        "lists": [known[one] for one in wanted],
        "tags": [tagged[name] for name in names],
        "filters": [_filter(one) for one in filters],
        "without": [known[one] for one in left],
    }
    if len(found["filters"]) > MOST_FILTERS:
        raise ServiceError(
            _("At most %(most_filters)s conditions can be set.") % {"most_filters": MOST_FILTERS}, code="audience"
        )
    return {key: value for key, value in found.items() if value}


def of_list(contact_list: ContactList) -> dict[str, Any]:
    return {"lists": [contact_list.pk]}


def is_empty(campaign: Campaign) -> bool:
    """Whether nobody was chosen yet."""
    if campaign.parent_id is not None:
        return False
    audience = campaign.audience or ({"lists": [1]} if campaign.contact_list_id else {})
    return not audience.get("lists") and not audience.get("tags")


def chosen(campaign: Campaign) -> Chosen:
    """What a campaign's audience names, in two queries."""
    audience = _effective(campaign)
    ids = named_things(audience)
    lists = ContactList.objects.filter(user=campaign.user_id).in_bulk(ids["lists"])
    tags = ContactTag.objects.filter(user=campaign.user_id).in_bulk(ids["tags"])
    return Chosen(
        lists=[lists[pk] for pk in audience.get("lists", ()) if pk in lists],
        tags=[tags[pk] for pk in audience.get("tags", ()) if pk in tags],
        filters=list(audience.get("filters", ())),
        without=[lists[pk] for pk in audience.get("without", ()) if pk in lists],
        missing=len(ids["lists"]) - len(lists) + len(ids["tags"]) - len(tags),
    )


def count(user: User | int, audience: Mapping[str, Any], parent: int | None = None) -> Count:
    """Everybody an audience means, by whether they can be written to; of `parent`: whom that campaign failed."""
    rows = dict(_run(_COUNT, user, audience, parent))
    sendable = rows.pop("", 0)
    return Count(people=sendable + sum(rows.values()), sendable=sendable, skipped=rows)


def count_of(campaign: Campaign) -> Count:
    return count(campaign.user_id, _effective(campaign), campaign.parent_id)


def some_left_out(campaign: Campaign, most: int = 3) -> dict[str, list[tuple[str, str]]]:
    """Reason in words -> the first few people left out for it: (name, phone)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for reason, name, phone in _run(_SOME, campaign.user_id, _effective(campaign), campaign.parent_id, most=most):
        found.setdefault(REASONS[reason], []).append((name, phone))
    return found


def capped(campaign: Campaign, sendable: int, now: datetime | None = None) -> Capped:
    """Whom the frequency cap holds back at the start. However large the audience, some `LOOKED_AT` are looked up."""
    if not sendable or (campaign.cap_day is None and campaign.cap_month is None):
        return Capped(0, 0, is_rough=False)
    at = max(now or timezone.now(), campaign.scheduled_at or datetime.min.replace(tzinfo=UTC))
    nth = -(-sendable // LOOKED_AT)
    caps = {"cap_day": campaign.cap_day, "cap_month": campaign.cap_month, "counted": kinds_with("counted")}
    [row] = _run(_CAPPED, campaign.user_id, _effective(campaign), campaign.parent_id, at=at, nth=nth, **caps)
    looked, day, month = row
    day, month = (round(n * sendable / looked) if looked else 0 for n in (day, month))
    return Capped(day, month, is_rough=nth > 1)


def lacking(campaign: Campaign, fields: Iterable[str]) -> dict[str, int]:
    """Field -> how many of those who get the message have nothing in it."""
    names = list(fields)[:20]
    if not names:
        return {}
    named = {f"lack{i}": name for i, name in enumerate(names)}
    subject = {"name": "who.name"}
    counts = ", ".join(
        f"count(*) FILTER (WHERE btrim(coalesce({subject.get(name, f'who.attributes ->> %({key})s::text')}, '')) = '')"
        for key, name in named.items()
    )
    sql = _LACK.replace("@counts", counts)
    [row] = _run(sql, campaign.user_id, _effective(campaign), campaign.parent_id, **named)
    return {name: n for name, n in zip(names, row, strict=True) if n}


def first_people(campaign: Campaign, most: int = 12) -> list[Contact]:
    """The first contacts of the audience, whether or not they can be written to."""
    where, named = people_of(_effective(campaign), None, campaign.parent_id)
    with connection.cursor() as cursor:
        cursor.execute(_FIRST.replace("@people", where), named | {"user": campaign.user_id, "most": most})
        ids = [row[0] for row in cursor.fetchall()]
    return list(Contact.objects.filter(pk__in=ids).order_by("pk"))


def fields_of(user: User) -> list[str]:
    """Names of the further columns that people came with: what a merge tag or a condition can ask for."""
    found: dict[str, None] = {}
    for attributes in Contact.objects.visible_to(user).order_by("-pk").values_list("attributes", flat=True)[:200]:
        found |= dict.fromkeys(attributes)
    return sorted(found)[:30]


def _effective(campaign: Campaign) -> dict[str, Any]:
    if campaign.audience or campaign.contact_list_id is None:
        return campaign.audience
    return {"lists": [campaign.contact_list_id]}


def _run(ask: str, user: User | int, audience: Mapping[str, Any], parent: int | None, **more: Any) -> list[Any]:
    where, named = people_of(audience, None, parent)
    with connection.cursor() as cursor:
        sql = _JUDGED.replace("@ask", ask).replace("@people", where)
        cursor.execute(sql, named | more | {"user": getattr(user, "pk", user)})
        return cursor.fetchall()


def _ids(ids: Iterable[uuid.UUID | str]) -> list[uuid.UUID]:
    try:
        return list(dict.fromkeys(one if isinstance(one, uuid.UUID) else uuid.UUID(one) for one in ids))
    except ValueError:
        raise ServiceError(_("There is no such list. Nothing was changed."), code="not_found") from None


def _filter(given: Mapping[str, str]) -> dict[str, str]:
    field, test, value = (" ".join(str(given.get(key, "")).split()) for key in ("field", "test", "value"))
    if not field or len(field) > 60 or "\x00" in field + value:
        raise ServiceError(_("A condition needs the name of a column, such as city."), code="audience")
    if test not in TESTS:
        raise ServiceError(_("A condition is one of: %(names)s.") % {"names": ", ".join(TESTS)}, code="audience")
    if not value or len(value) > 200:
        raise ServiceError(
            _("Say what %(field)s has to be, in at most 200 characters.") % {"field": field}, code="audience"
        )
    if field == "phone":
        value = "+" * value.startswith("+") + "".join(one for one in value if one.isdecimal() and one.isascii())
    return {"field": field, "test": test, "value": value}
