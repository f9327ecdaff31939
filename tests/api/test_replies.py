"""Replies, answers, templates and media over the API."""

from __future__ import annotations

from phonebank.whatsappapi.models import Conversation, Message
from tests.api.conftest import Owner

PICTURE = {"kind": "image", "url": "https://example.com/a.png", "name": "a.png"}


def test_an_answer_and_what_became_of_it(owner: Owner) -> None:
    row = owner.session()
    found = owner.conversation(row)
    [reply] = owner.api.get("replies/").json()["results"]
    assert (reply["text"], reply["conversation"], reply["session"]) == (
        "Hello", str(found.public_id), str(row.public_id)
    )  # fmt: skip
    sent = owner.api.post(f"conversations/{found.public_id}/answer/", {"body": "Look", "media": PICTURE})
    assert sent.status_code == 201 and sent.json()["media"] == PICTURE
    queued = Message.objects.get()
    assert (queued.kind, queued.session, queued.media) == ("reply", row, PICTURE)
    thread = owner.api.get(f"conversations/{found.public_id}/messages/").json()
    assert [(one["is_ours"], one["text"], one["media"]) for one in thread["results"]] == [
        (False, "Hello", ""), (True, "Look", "Picture"),
    ]  # fmt: skip
    assert owner.api.get(sent["Location"].removeprefix("/api/")).json()["state"] == "queued"
    assert owner.api.get(f"conversations/{found.public_id}/messages/?before=yesterday").status_code == 422


def test_what_cannot_be_answered(owner: Owner) -> None:
    found = owner.conversation(owner.session())
    Conversation.objects.update(phone="")
    refused = owner.api.post(f"conversations/{found.public_id}/answer/", {"body": "Hi"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "no_number")
    assert not Message.objects.exists()


def test_media_of_messages_and_templates(owner: Owner, other: Owner) -> None:
    owner.session()
    person = owner.contact_list(1).contacts.get()
    for media, status in ((PICTURE, 201), ({**PICTURE, "url": "http://127.0.0.1/a"}, 422), ({"kind": "image"}, 422)):
        sent = owner.api.post("messages/", {"contact": str(person.public_id), "media": media})
        assert sent.status_code == status, sent.content
    assert Message.objects.count() == 1
    made = owner.api.post("templates/", {"name": "Menu", "body": "Hi {{ name }}", "media": PICTURE})
    assert (made.status_code, made.json()["media"], made.json()["tags"]) == (201, PICTURE, ["name"])
    path = f"templates/{made.json()['id']}/"
    assert owner.api("PATCH", path, {"media": None}).json()["media"] is None
    assert owner.api("PATCH", path, {"body": ""}).json()["errors"][0]["attr"] == "body"
    assert owner.api.post("templates/", {"name": "MENU", "body": "Hi"}).status_code == 409
    assert other.api.get(path).status_code == 404
