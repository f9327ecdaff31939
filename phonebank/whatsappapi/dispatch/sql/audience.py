"""Who is meant by a campaign's audience, as SQL over whatsappapi_contact `c`. What it holds: services/audience.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Lists and tags that an audience names and that are still the user's.
KNOWN = """
SELECT (SELECT count(*) FROM whatsappapi_contactlist WHERE user_id = %(user)s AND id = ANY(%(lists)s))
     + (SELECT count(*) FROM whatsappapi_contacttag WHERE user_id = %(user)s AND id = ANY(%(tags)s))
"""
# Those whom another campaign could not reach; whom it skipped on purpose is not among them.
FAILED = "JOIN whatsappapi_message f ON f.contact_id = c.id AND f.campaign_id = %(parent)s WHERE f.state = 'failed'"
# Of each table that is gone through in the order of people: from here on, or a chunk reads all that came before it.
_AFTER = " AND {0}.contact_id > %(after)s"

_TESTS = {
    "is": "{0} = lower(%({1})s)",
    "is_not": "{0} <> lower(%({1})s)",
    "contains": "strpos({0}, lower(%({1})s)) > 0",
    "starts": "starts_with({0}, lower(%({1})s))",
}


def named_things(audience: Mapping[str, Any]) -> dict[str, list[int]]:
    """Ids of the lists (left-out ones too) and tags that an audience names: what must exist for it to mean anything."""
    lists = {*audience.get("lists", ()), *audience.get("without", ())}
    return {"lists": sorted(lists), "tags": sorted(set(audience.get("tags", ())))}


def people_of(
    audience: Mapping[str, Any], contact_list: int | None, parent: int | None = None, after: int | None = None
) -> tuple[str, dict[str, Any]]:
    """Joins and conditions after `FROM whatsappapi_contact c`, up to an AND that may follow, and their parameters.

    `after`: only people with a higher id. The caller restricts `c.user_id`: people of somebody else's list are
    nobody's. Each person comes once.
    """
    beyond = "" if after is None else _AFTER
    named: dict[str, Any] = {} if after is None else {"after": after}
    if parent is not None:
        return FAILED + beyond.format("f"), named | {"parent": parent}
    audience = audience or {"lists": [] if contact_list is None else [contact_list]}
    lists, tags = audience.get("lists", []), audience.get("tags", [])
    joins, wheres = _of_lists(lists, beyond.format("t"), named)
    if tags:
        wheres.append(
            "c.id IN (SELECT g.contact_id FROM whatsappapi_contact_tags g"
            f" WHERE g.contacttag_id = ANY(%(tags)s){beyond.format('g')})"
        )
        named["tags"] = tags
    if not lists and not tags:
        wheres.append("false")
    if without := audience.get("without"):
        wheres.append(
            "NOT EXISTS (SELECT 1 FROM whatsappapi_contact_lists w"
            " WHERE w.contact_id = c.id AND w.contactlist_id = ANY(%(without)s))"
        )
        named["without"] = without
    if after is not None:
        wheres.append("c.id > %(after)s")
    wheres += _filters(audience.get("filters", []), named)
    return f"{joins}WHERE {' AND '.join(wheres)}", named


def _of_lists(lists: Sequence[int], beyond: str, named: dict[str, Any]) -> tuple[str, list[str]]:
    if len(lists) == 1:
        # As a join: the database walks the list's own index.
        named["list"] = lists[0]
        return "JOIN whatsappapi_contact_lists t ON t.contact_id = c.id ", [f"t.contactlist_id = %(list)s{beyond}"]
    if not lists:
        return "", []
    named["lists"] = list(lists)
    return "", [
        "c.id IN (SELECT t.contact_id FROM whatsappapi_contact_lists t"
        f" WHERE t.contactlist_id = ANY(%(lists)s){beyond})"
    ]


def _filters(filters: Sequence[Mapping[str, str]], named: dict[str, Any]) -> list[str]:
    found = []
    for i, one in enumerate(filters):
        key, value = f"field{i}", f"value{i}"
        named[value] = one["value"]
        if one["field"] == "phone":
            subject = "c.phone"
        elif one["field"] == "name":
            subject = "lower(c.name)"
        else:
            subject = f"lower(coalesce(c.attributes ->> %({key})s::text, ''))"
            named[key] = one["field"]
        found.append(_TESTS[one["test"]].format(subject, value))
    return found
