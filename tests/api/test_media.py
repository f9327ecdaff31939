"""Files over the API: uploaded once, then named by their id wherever media may be."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from phonebank.whatsappapi.models import Campaign, MediaFile, Message, MessageTemplate
from tests.api.conftest import PNG, Form, Owner

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7 ..."
MB = 2**20


def upload(owner: Owner, file: str = "menu.pdf", content: bytes = PDF, **more: str) -> dict[str, Any]:
    answer = owner.api.post("media/", Form.of(file=(file, content), **more))
    assert answer.status_code == 201, answer.text
    assert answer["Location"] == f"/api/media/{answer.json()['id']}/"
    return answer.json()


def test_a_file_is_kept_and_told_by_its_content(owner: Owner) -> None:
    made = upload(owner, "whatever.exe")
    shown = {name: made[name] for name in ("kind", "mime", "name", "size")}
    assert shown == {"kind": "document", "mime": "application/pdf", "name": "whatever.exe", "size": len(PDF)}
    assert made["url"] == f"file:{made['id']}"
    row = MediaFile.objects.get()
    assert bytes(row.content) == PDF and bytes(row.digest) == hashlib.sha256(PDF).digest()
    assert upload(owner, "again.pdf")["id"] == made["id"]
    assert owner.reader.get("media/?kind=document").json()["results"] == [made]
    assert owner.api.get("media/?kind=image").json()["results"] == []
    table = upload(owner, "list.csv", b"a,b\n1,2\n", name="Prices")
    assert (table["mime"], table["name"]) == ("text/csv", "Prices.csv")


@pytest.mark.parametrize(
    ("body", "status", "code", "attr"),
    [
        (Form.of(file=("a.exe", b"MZ\x90\x00")), 422, "media", "file"),
        (Form.of(file=("a.svg", b"<svg onload=x>"), kind="image"), 422, "media", "file"),
        (Form.of(file=("a.png", PNG), kind="video"), 422, "media", "file"),
        (Form.of(file=("a.png", b"")), 422, "media", "file"),
        (Form.of(file=("a.png", PNG + b"x" * 5 * MB)), 422, "media", "file"),
        (Form.of(file=("a.pdf", PDF + b"x" * 26 * MB)), 413, "too_large", None),
        (Form.of(file=("a.png", PNG), kind="sticker"), 400, "invalid_choice", "kind"),
        (Form.of(file=("a.png", PNG), to="x"), 400, "unknown", "to"),
        (Form.of(file="no file"), 400, "invalid", "file"),
        (Form.of(kind="image"), 400, "required", "file"),
        (Form(Form.of(file=("a.png", PNG))[:-10] + Form.of(file=("b.png", PNG))), 400, "invalid", "file"),
        (Form(b"no parts at all"), 400, "required", "file"),
        (PNG, 415, "unsupported_media_type", None),
    ],
    ids=range(13),
)
def test_what_is_refused(owner: Owner, body: bytes, status: int, code: str, attr: str | None) -> None:
    answer = owner.api.post("media/", body)
    assert answer.status_code == status, answer.text
    found = answer.json()["errors"][0]
    assert (found["code"], found["attr"]) == (code, attr)
    assert not MediaFile.objects.exists()


def test_a_large_file_is_done_once_per_key(owner: Owner) -> None:
    """Larger than what other addresses take, and the boundary between parts is no part of what was sent."""
    content = PDF + b"x" * 3 * MB
    body = Form.of(file=("a.pdf", content))
    first = owner.api.post("media/", body, Idempotency_Key="k")
    other = Form(body.replace(b"--part", b"--limit"))
    other.kind = "multipart/form-data; boundary=limit"
    again = owner.api.post("media/", other, Idempotency_Key="k")
    assert (first.status_code, again.json()) == (201, first.json()) and again["Idempotency-Replayed"] == "true"
    changed = owner.api.post("media/", Form.of(file=("a.pdf", content + b"y")), Idempotency_Key="k")
    assert changed.status_code == 422 and changed.json()["errors"][0]["code"] == "idempotency_mismatch"
    assert MediaFile.objects.count() == 1


def test_a_file_is_named_by_its_id(owner: Owner) -> None:
    things = owner.furnish()
    made = upload(owner)
    carried = {"kind": "document", "url": made["url"], "name": "Menu.pdf"}
    by_id = {"file": made["id"], "name": "Menu.pdf"}
    for media in (by_id, carried):
        sent = owner.api.post("messages/", {"contact": str(things["contacts"].public_id), "media": media})
        assert sent.status_code == 201 and sent.json()["media"] == carried, sent.text
    template = owner.api.post("templates/", {"name": "Menu", "media": by_id}).json()
    path = f"templates/{template['id']}/"
    assert template["media"] == carried
    assert owner.api("PATCH", path, {"media": {"file": made["id"]}}).json()["media"]["name"] == "menu.pdf"
    about = {"contact_list": str(things["lists"].public_id), "sessions": [str(things["sessions"].public_id)]}
    draft = owner.api.post("campaigns/", about | {"media": by_id})
    assert draft.status_code == 201 and draft.json()["media"] == carried, draft.text
    assert Message.objects.filter(media=carried).count() == 2
    assert {Campaign.objects.latest("pk").media_url, MessageTemplate.objects.latest("pk").media_url} == {made["url"]}


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ({"file": "{id}", "kind": "image"}, 422),
        ({"file": "{id}", "url": "https://example.com/a"}, 422),
        ({"kind": "document"}, 422),
        ({"name": "x"}, 422),
        ({"kind": "image", "url": "file:{id}"}, 422),  # it is a document
        ({"kind": "document", "url": "file:1"}, 404),
        ({"kind": "document", "url": "file:7d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a11"}, 404),
    ],
)
def test_media_that_is_not_said_rightly(owner: Owner, media: dict[str, str], status: int) -> None:
    made, things = upload(owner), owner.furnish()
    media = {name: value.format(**made) for name, value in media.items()}
    answer = owner.api.post("messages/", {"contact": str(things["contacts"].public_id), "media": media})
    assert answer.status_code == status, answer.text
    changed = owner.api("PATCH", f"templates/{things['templates'].public_id}/", {"media": media})
    assert changed.status_code == status, changed.text


def test_a_strangers_file_is_not_there(owner: Owner, other: Owner) -> None:
    made, things = upload(other), owner.furnish()
    to = {"contact": str(things["contacts"].public_id)}
    for media in ({"file": made["id"]}, {"kind": "document", "url": made["url"]}):
        assert owner.api.post("messages/", to | {"media": media}).status_code == 404
    assert owner.api.get(f"media/{made['id']}/").status_code == 404
