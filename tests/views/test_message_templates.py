"""Pages of message templates."""

from __future__ import annotations

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phonebank.whatsappapi.models import Contact, MediaFile, MessageTemplate
from tests.views.conftest import Desk

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
LIST = "/whatsappapi/templates/"


def test_from_nothing_to_a_template_with_a_picture_and_back(desk: Desk) -> None:
    assert "No templates yet" in desk.client.get(LIST).text
    form = {"name": "Menu", "body": "Hi {{ name|there }}", "media_kind": "image"}
    saved = desk.client.post(f"{LIST}add/", form | {"media_file": SimpleUploadedFile("menu.png", PNG)})
    template = MessageTemplate.objects.get()
    assert saved.headers["Location"] == f"{LIST}{template.public_id}/"
    assert (template.media_kind, template.media_name) == ("image", "menu.png")
    assert template.media_url == f"file:{MediaFile.objects.get().public_id}"
    page = desk.client.get(LIST)
    assert all(word in page.text for word in ("Menu", "Picture", "menu.png", "Fills in"))
    # Saved again as the page shows it: the file stays.
    url = f"{LIST}{template.public_id}/"
    assert "menu.png" in desk.client.get(url).text
    desk.client.post(url, form | {"body": "Hello", "media_url": template.media_url})
    template.refresh_from_db()
    assert (template.body, template.media_name) == ("Hello", "menu.png")
    # An address takes its place, nothing takes that of the address.
    desk.client.post(url, form | {"media_kind": "document", "media_link": "https://example.com/menu.pdf"})
    template.refresh_from_db()
    assert (template.media_kind, template.media_url) == ("document", "https://example.com/menu.pdf")
    desk.client.post(url, {"name": "Menu", "body": "Hello", "media_kind": ""})
    template.refresh_from_db()
    assert (template.media_kind, template.media_url, template.media_name) == ("", "", "")
    assert desk.client.post(f"{url}delete/").status_code == 302
    assert not MessageTemplate.objects.exists()


def test_what_cannot_be_saved_is_said_at_its_field(desk: Desk) -> None:
    MessageTemplate.objects.create(user=desk.user, name="Menu", body="Hi")
    wrong = [
        ({"name": "MENU", "body": "Hi"}, "name", "already have a template"),
        ({"name": "New", "body": ""}, "body", "empty"),
        ({"name": "New", "body": "Hi", "media_kind": "image"}, "media_file", "Choose a file"),
        (
            {"name": "New", "body": "Hi", "media_kind": "audio", "media_link": "https://example.com/a.mp3"},
            "body",
            "voice",
        ),
        (
            {"name": "New", "body": "Hi", "media_kind": "image", "media_link": "http://127.0.0.1/"},
            "media_link",
            "https",
        ),
        ({"name": "New", "body": "Hi", "media_kind": "image", "media_link": "x" * 2001}, "media_link", "2000"),
        (
            {"name": "New", "body": "Hi", "media_kind": "image", "media_file": SimpleUploadedFile("a.png", b"%PDF-")},
            "media_file",
            "JPEG or PNG",
        ),
        (
            {"name": "New", "body": "Hi", "media_kind": "image", "media_url": "file:nonsense"},
            "media_file",
            "no such file",
        ),
    ]
    for form, field, words in wrong:
        page = desk.client.post(f"{LIST}add/", form)
        assert page.status_code == 422
        assert words in " ".join(page.context["form"].errors[field]), (field, page.context["form"].errors)
    assert MessageTemplate.objects.count() == 1
    assert not MediaFile.objects.exists()


def test_the_preview_fills_in_the_newest_contact(desk: Desk) -> None:
    Contact.objects.create(user=desk.user, phone="+12125550141", name="Ana", attributes={"city": "Boston"})
    shown = desk.client.post(f"{LIST}preview/", {"body": "Hi {{ name }} in {{ city }}"})
    assert "Hi Ana in Boston" in shown.text and "<html" not in shown.text
    looked = desk.client.post(f"{LIST}add/", {"body": "Hi {{ name }}", "action": "look"})
    assert looked.status_code == 200 and "Hi Ana" in looked.text
    assert not MessageTemplate.objects.exists()


def test_strangers_and_queries(desk: Desk, other: Desk) -> None:
    theirs = MessageTemplate.objects.create(user=other.user, name="Secret", body="Hi")
    url = f"{LIST}{theirs.public_id}/"
    assert desk.client.get(url).status_code == 404
    assert desk.client.post(url, {"name": "Mine", "body": "x"}).status_code == 404
    assert desk.client.post(f"{url}delete/").status_code == 404
    assert "Secret" not in desk.client.get(LIST).text
    held = MediaFile.objects.create(
        user=other.user, kind="image", mime="image/png", name="a", size=1, digest=b"x", content=PNG
    )
    form = {"name": "New", "body": "Hi", "media_kind": "image", "media_url": held.ref}
    assert desk.client.post(f"{LIST}add/", form).status_code == 422

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            desk.client.get(LIST)
        return len(queries)

    MessageTemplate.objects.create(user=desk.user, name="One", body="Hi")
    before = asked()
    MessageTemplate.objects.bulk_create(MessageTemplate(user=desk.user, name=f"T {i}", body="Hi") for i in range(20))
    assert asked() == before
