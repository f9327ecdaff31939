"""Ids of others in query, body and bulk list: as if they were not there, and nothing is done."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from phonebank.whatsappapi.models import BulkAction, Campaign, Message, SessionGroup, WaSenderSession
from tests.api.conftest import Owner
from tests.api.test_matrix import ids, snapshot

QUERIES = [
    ("sessions/?group=", "groups"),
    ("contacts/?list=", "lists"),
    ("campaigns/?session=", "sessions"),
    ("campaigns/{campaigns}/recipients/?session=", "sessions"),
    ("deliveries/?channel=", "channels"),
    ("deliveries/?incident=", "incidents"),
]
# Address, method, body of one's own things, and the field into which the stranger's id goes.
BODIES: list[tuple[str, str, dict[str, Any], str]] = [
    ("sessions/", "POST", {"phone_number": "+12125550150"}, "account:accounts"),
    ("groups/", "POST", {"name": "Night"}, "sessions[]:sessions"),
    ("groups/{groups}/", "PATCH", {"name": "Night"}, "sessions[]:sessions"),
    ("bulk-actions/", "POST", {"verb": "delete"}, "sessions[]:sessions"),
    ("campaigns/", "POST", {"body": "Hi", "sessions": ["{sessions}"]}, "contact_list:lists"),
    ("campaigns/", "POST", {"body": "Hi", "contact_list": "{lists}"}, "sessions[]:sessions"),
    ("campaigns/{campaigns}/add-session/", "POST", {}, "session:sessions"),
    ("campaigns/{campaigns}/remove-session/", "POST", {}, "session:sessions"),
    ("messages/", "POST", {"body": "Hi"}, "contact:contacts"),
    ("messages/", "POST", {"body": "Hi", "contact": "{contacts}"}, "session:sessions"),
    ("messages/", "POST", {"body": "Hi", "contact": "{contacts}"}, "group:groups"),
    ("messages/", "POST", {"body": "Hi", "contact": "{contacts}"}, "media.file:media"),
    ("templates/", "POST", {"name": "Menu"}, "media.file:media"),
    ("templates/{templates}/", "PATCH", {}, "media.file:media"),
    ("campaigns/", "POST", {"contact_list": "{lists}", "sessions": ["{sessions}"]}, "media.file:media"),
    ("campaigns/{campaigns}/", "PATCH", {}, "media.file:media"),
    ("conversations/{conversations}/answer/", "POST", {"body": "Hi"}, "media.file:media"),
    ("alert-rules/", "POST", {"name": "R", "kinds": ["lost"]}, "session:sessions"),
    ("alert-rules/", "POST", {"name": "R", "kinds": ["lost"]}, "group:groups"),
    ("alert-rules/", "POST", {"name": "R", "kinds": ["lost"]}, "channels[]:channels"),
    ("alert-rules/{alert-rules}/", "PATCH", {}, "channels[]:channels"),
    ("sessions/{sessions}/self-check/", "PATCH", {}, "partner:sessions"),
]


@pytest.mark.parametrize(("path", "word"), QUERIES)
def test_in_the_query(path: str, word: str, owner: Owner, other: Owner) -> None:
    mine, theirs = ids(owner), ids(other)
    path = path.format(**mine)
    assert owner.api.get(path + mine[word]).status_code == 200
    assert owner.api.get(path + theirs[word]).status_code == 404
    assert owner.api.get(path + str(uuid.uuid4())).status_code == 404


@pytest.mark.parametrize(("path", "method", "body", "field"), BODIES)
def test_in_the_body(path: str, method: str, body: dict[str, Any], field: str, owner: Owner, other: Owner) -> None:
    mine, theirs = ids(owner), ids(other)
    name, word = field.split(":")
    filled = {
        key: [one.format(**mine) for one in value] if isinstance(value, list) else value.format(**mine)
        for key, value in body.items()
    }
    before = snapshot()
    for foreign in (theirs[word], str(uuid.uuid4())):
        # In a list, one among one's own is enough.
        extra: Any = {name[:-2]: [mine[word], foreign]} if name.endswith("[]") else {name: foreign}
        if "." in name:
            extra = {name.split(".")[0]: {name.split(".")[1]: foreign}}
        answer = owner.api(method, path.format(**mine), filled | extra)
        assert answer.status_code == 404, answer.text
    assert snapshot() == before


def test_one_foreign_among_fifty(owner: Owner, other: Owner) -> None:
    mine = [str(owner.session().public_id) for _ in range(49)]
    mixed = [*mine, str(other.session().public_id)]
    for verb in ("connect", "disconnect", "delete"):
        assert owner.api.post("bulk-actions/", {"verb": verb, "sessions": mixed}).status_code == 404
    assert owner.api.post("groups/", {"name": "All", "sessions": mixed}).status_code == 404
    assert not BulkAction.objects.exists() and not SessionGroup.objects.exists()
    assert owner.api.post("bulk-actions/", {"verb": "connect", "sessions": mine}).status_code == 202


def test_lists_show_ones_own_only(owner: Owner, other: Owner) -> None:
    mine, theirs = ids(owner), ids(other)
    for word in mine:
        text = owner.api.get(f"{word}/").text
        assert mine[word] in text
        assert not any(one in text for one in theirs.values()), word


def test_no_answer_names_a_secret_or_a_number_of_the_database(owner: Owner) -> None:
    things = owner.furnish()
    WaSenderSession.objects.update(api_key_digest="d" * 64)
    for row in WaSenderSession.objects.all():
        row.set_api_key("k3y" * 12)
        row.set_webhook_secret("s3cret" * 5)
        row.save()
    for word, thing in things.items():
        answers = [owner.api.get(f"{word}/")]
        if word != "accounts":
            answers.append(owner.api.get(f"{word}/{thing.public_id}/"))
        for answer in answers:
            assert not any(secret in answer.text for secret in ("k3y", "s3cret", "d" * 64, "webhook_token"))
            shown = answer.json()
            for one in shown.get("results", [shown]):
                assert uuid.UUID(one["id"])
    assert Campaign.objects.exists() and Message.objects.exists()
