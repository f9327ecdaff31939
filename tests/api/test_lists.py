"""Pages, order, filters; and queries that do not grow with what they show."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phonebank.whatsappapi.models import Contact, WaSenderSession
from tests.api.conftest import Api, Owner
from tests.api.routes import ENTRIES, address
from tests.api.test_matrix import ids

LISTS = [route for route, methods in ENTRIES.items() if "GET" in methods]


def walk(api: Api, path: str, link: str = "next") -> list[list[dict[str, Any]]]:
    pages = []
    while path:
        page = api.get(path).json()
        pages.append(page["results"])
        found = urlsplit(page[link] or "")
        path = found.path.removeprefix("/api/") + "?" + found.query if page[link] else ""
    return pages


def test_every_row_once_forwards_and_back(owner: Owner) -> None:
    people = owner.contact_list(23)
    for sort in ("phone", "-phone", "created_at", "-created_at"):
        pages = walk(owner.api, f"contacts/?page_size=5&sort={sort}&list={people.public_id}")
        assert [len(page) for page in pages] == [5, 5, 5, 5, 3]
        phones = [one["phone"] for page in pages for one in page]
        assert phones == sorted(phones, reverse=sort.startswith("-"))
        last = owner.api.get(f"contacts/?page_size=5&sort={sort}&list={people.public_id}").json()
        while last["next"]:
            last = owner.client.get(last["next"]).json()
        back = [last["results"]]
        while last["previous"]:
            last = owner.client.get(last["previous"]).json()
            back.insert(0, last["results"])
        assert [one["phone"] for page in back for one in page] == phones


def test_ties_lose_nobody(owner: Owner) -> None:
    """All of one status, of one moment: only the key tells them apart."""
    for _ in range(7):
        owner.session()
    WaSenderSession.objects.update(created_at="2026-11-01T00:00Z")
    for sort in ("status", "-created_at", "light", "last_active_at", "-messages_sent_today"):
        found = [one["id"] for page in walk(owner.api, f"sessions/?page_size=2&sort={sort}") for one in page]
        assert len(found) == len(set(found)) == 7


def test_what_comes_meanwhile_moves_nobody(owner: Owner) -> None:
    for _ in range(4):
        owner.session()
    first = owner.api.get("sessions/?page_size=2").json()
    owner.session("Newest")
    second = owner.client.get(first["next"]).json()
    assert not {one["id"] for one in first["results"]} & {one["id"] for one in second["results"]}
    assert len(second["results"]) == 2


@pytest.mark.parametrize("cursor", ["x", "é", "gAAAAA", "a" * 5000])
def test_a_cursor_is_ours(cursor: str, owner: Owner) -> None:
    answer = owner.api.get(f"sessions/?cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "invalid_cursor")


def test_a_cursor_belongs_to_its_order(owner: Owner) -> None:
    owner.session(), owner.session()
    page = owner.api.get("sessions/?page_size=1&sort=session_name").json()
    assert owner.client.get(page["next"].replace("sort=session_name", "sort=status")).status_code == 404


@pytest.mark.parametrize(
    "query",
    ["page_size=0", "page_size=201", "page_size=x", "page_size=1e9", "sort=phone", "sort=pk", "statsu=x", "status=x",
     "light=blue", "is_default=perhaps", "group=1",
     "group=", "status=", "is_default=", "is_default=true&is_default=true", "search=a&search=b"],
)  # fmt: skip
def test_a_parameter_that_is_none(query: str, owner: Owner) -> None:
    answer = owner.api.get(f"sessions/?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == query.split("=")[0]


@pytest.mark.parametrize(
    ("query", "status"),
    [("to=", 400), ("session=", 400), ("offset=", 400), ("too=2026-01-01", 400), ("to=2026-01-01&to=2026-01-02", 400),
     ("from=2026-01-02&to=2026-01-01", 422), ("session={id}&group={id}", 422)],
)  # fmt: skip
def test_what_an_analysis_may_not_be_asked(query: str, status: int, owner: Owner) -> None:
    answer = owner.api.get("analytics/sessions/?" + query.replace("{id}", "7d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a11"))
    assert answer.status_code == status and answer.json()["errors"][0]["attr"], answer.text


def test_a_nul_in_the_address(owner: Owner) -> None:
    for query in ("search=%00", "a%00=1", "group=%00", "sort=%00"):
        answer = owner.api.get(f"sessions/?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "not_text")


def test_filters_of_sessions(owner: Owner) -> None:
    up, down = owner.session("Shop"), owner.session("Store", "need_scan", is_default=True)
    group = owner.api.post("groups/", {"name": "Team", "sessions": [str(up.public_id)]}).json()["id"]

    def found(query: str) -> set[str]:
        return {one["session_name"] for one in owner.api.get(f"sessions/?{query}").json()["results"]}

    assert found("status=connected") == {"Shop"}
    assert found("status=connected&status=need_scan") == {"Shop", "Store"}
    assert found("is_default=true") == {"Store"}
    assert found("light=red") == {"Store"}
    assert found("search=sho") == {"Shop"}
    assert found(f"search={down.phone_number[1:]}") == {"Store"}
    assert found(f"group={group}") == {"Shop"}


def test_filters_of_recipients(owner: Owner) -> None:
    campaign = owner.campaign(3)
    path = f"campaigns/{campaign.public_id}/recipients/"
    assert len(owner.api.get(f"{path}?state=delivered").json()["results"]) == 3
    assert owner.api.get(f"{path}?state=failed").json()["results"] == []
    one = owner.api.get(path).json()["results"][0]
    assert one["state"] == "delivered" and one["session"]


def test_filters_of_contacts(owner: Owner) -> None:
    people = owner.contact_list(2)
    Contact.objects.filter(name="P 0").update(consent="withdrawn")
    owner.contact_list(3, "Others")
    assert len(owner.api.get(f"contacts/?list={people.public_id}").json()["results"]) == 2
    assert len(owner.api.get("contacts/?consent=withdrawn").json()["results"]) == 1


@pytest.mark.parametrize("route", LISTS)
def test_queries_do_not_grow(route: str, owner: Owner) -> None:
    things = ids(owner)
    path = address(route, things)

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert owner.api.get(path).status_code == 200
        return len(asked)

    queries()  # the token's `last_used_at` is written once a minute
    before = queries()
    for n in range(4):
        owner.campaign(2, sessions=2, name=f"Sale {n}")
        group = owner.api.post("groups/", {"name": f"Team {n}", "sessions": [str(owner.session().public_id)]})
        assert group.status_code == 201
        owner.message(owner.session())
    assert queries() <= before
