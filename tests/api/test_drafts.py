"""Drafts by the API: the same audience, rules and refusals as on the pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Campaign, ContactTag, SessionGroup
from tests.api.conftest import Owner


def whole(owner: Owner) -> dict[str, Any]:
    """All that a campaign can be told."""
    people, staff = owner.contact_list(4, "Guests"), owner.contact_list(1, "Staff")
    ContactTag.objects.create(user=owner.user, name="vip").contacts.set(people.contacts.all())
    group = SessionGroup.objects.create(user=owner.user, name="Team")
    group.sessions.set([owner.session("One"), owner.session("Two"), owner.session("Unscanned", "need_scan")])
    return {
        "name": "Spring", "body": "Hi {{ name }}", "sessions": [str(owner.session("Three").public_id)],
        "groups": [str(group.public_id)], "policy": "wait", "is_sticky": False, "pace": 30, "cap_day": 2,
        "cap_month": 9,
        "media": {"kind": "image", "url": "https://files.example.com/a.png", "name": "a.png"},
        "audience": {
            "lists": [str(people.public_id)], "tags": ["vip"], "without": [str(staff.public_id)],
            "filters": [{"field": "name", "test": "starts", "value": "p"}],
        },
        "windows": [[540, 1080], None, None, None, None, None, [0, 1440]],
        "quiet_start": "21:00:00", "quiet_end": "08:00:00", "scheduled_at": "2099-01-01T08:00:00Z",
        "expires_at": "2099-02-01T08:00:00Z",
    }  # fmt: skip


def test_everything_that_the_pages_can_say(owner: Owner) -> None:
    body = whole(owner)
    answer = owner.api.post("campaigns/", body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    for name in set(body) - {"groups", "sessions"}:
        assert made[name] == body[name], name
    names = Campaign.objects.get().lanes.order_by("position").values_list("session__session_name", flat=True)
    assert list(names) == ["Three", "One", "Two"]
    data = Event.objects.filter(verb="campaign.saved").latest("id").data
    assert data["groups"] == body["groups"]
    [listed] = owner.api.get("campaigns/").json()["results"]
    assert listed == made


def test_a_draft_is_changed_once_for_each_version(owner: Owner) -> None:
    made = owner.api.post("campaigns/", whole(owner)).json()
    path = f"campaigns/{made['id']}/"
    first = owner.api("PATCH", path, {"body": "Hello", "media": None, "version": made["version"]})
    assert (first.json()["body"], first.json()["media"], first.json()["version"]) == (
        "Hello",
        None,
        made["version"] + 1,
    )
    late = owner.api("PATCH", path, {"body": "Mine", "version": made["version"]})
    assert (late.status_code, late.json()["errors"][0]["code"]) == (409, "changed")
    assert owner.api("PATCH", path, {"audience": {"tags": ["vip"]}}).json()["audience"]["lists"] == []
    assert owner.api("PATCH", path, {"sessions": made["sessions"][:1]}).json()["sessions"] == made["sessions"][:1]
    Campaign.objects.update(state="running")
    assert owner.api("PATCH", path, {"body": "Late"}).status_code == 409
    assert owner.api("PATCH", path, {"pace": 7}).json()["pace"] == 7
    assert Campaign.objects.get().body == "Hello"


@pytest.mark.parametrize(
    ("change", "status", "attr"),
    [
        ({"windows": [[1080, 540]] * 7}, 422, "windows"),
        ({"windows": [None] * 7}, 422, "windows"),
        ({"windows": [[0, 60]] * 6}, 400, "windows"),
        ({"scheduled_at": "2020-01-01T00:00:00Z"}, 422, "scheduled_at"),
        ({"expires_at": "2098-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"quiet_end": None}, 422, None),
        ({"audience": {"lists": "x"}}, 400, "audience.lists"),
        ({"audience": {"filters": [{"field": "a", "test": "like", "value": "b"}]}}, 400, "audience.filters.0.test"),
        ({"audience": {}, "contact_list": "7d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a11"}, 422, "audience"),
        ({"media": {"kind": "image", "url": "http://10.0.0.1/"}}, 422, None),
        ({"body": "x" * 4097}, 400, "body"),
    ],
)
def test_what_may_not_be(change: dict[str, Any], status: int, attr: str | None, owner: Owner) -> None:
    path = f"campaigns/{owner.api.post('campaigns/', whole(owner)).json()['id']}/"
    before = Campaign.objects.values().get()
    answer = owner.api("PATCH", path, change)
    assert answer.status_code == status, answer.text
    if attr:
        assert answer.json()["errors"][0]["attr"] == attr
    assert Campaign.objects.values().get() == before


def test_what_may_not_send_is_refused_by_every_address_and_noted(owner: Owner, other: Owner) -> None:
    """Foreign, deleted, never linked, over the plan: into a draft, a group's place, and a running campaign."""
    people, row = owner.contact_list(2), owner.session()
    whole = {"body": "Hi", "contact_list": str(people.public_id)}
    foreign = SessionGroup.objects.create(user=other.user, name="Theirs")
    odd = {
        404: [other.session(), owner.session(deleted_at=timezone.now())],
        409: [owner.session("A", "need_scan"), owner.session("B", is_surplus=True), owner.session(wasender_id=None)],
    }
    path = f"campaigns/{owner.api.post('campaigns/', whole | {'sessions': [str(row.public_id)]}).json()['id']}/"
    tries = 0
    for state in ("draft", "running"):
        Campaign.objects.update(state=state)
        for status, rows in odd.items():
            for one in rows:
                key = str(one.public_id)
                answers = [owner.api.post(f"{path}add-session/", {"session": key})]
                if state == "draft":
                    answers.append(owner.api.post("campaigns/", whole | {"sessions": [str(row.public_id), key]}))
                    answers.append(owner.api("PATCH", path, {"sessions": [key]}))
                allowed = {404} if status == 404 or one.wasender_id is None else {409}
                assert {answer.status_code for answer in answers} <= allowed | {status}, (state, answers)
                tries += len(answers)
    Campaign.objects.update(state="draft")
    for answer in (
        owner.api("PATCH", path, {"groups": [str(foreign.public_id)]}),
        owner.api("PATCH", path, {"contact_list": str(other.contact_list(1).public_id)}),
        owner.api("PATCH", path, {"audience": {"tags": ["nobody's"]}}),
    ):
        assert answer.status_code == 404
        tries += 1
    assert Event.objects.filter(verb="campaign.refused", actor=owner.user, how="api").count() == tries
    assert list(Campaign.objects.get().lanes.values_list("session", flat=True)) == [row.pk]


def test_the_start_asks_for_what_is_missing(owner: Owner) -> None:
    draft = owner.campaign(1, state="draft")
    Campaign.objects.update(contact_list=None)
    answer = owner.api.post(f"campaigns/{draft.public_id}/launch/")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "no_audience")
    draft.refresh_from_db()
    assert draft.state == "draft"
