"""What a message may carry, and that the gateway has it whenever it is needed."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    Campaign,
    CampaignSession,
    Contact,
    GatewayAccount,
    MediaFile,
    MediaLink,
    Message,
    MessageTemplate,
    WaSenderSession,
)
from phonebank.whatsappapi.services import media, message_templates, sessions, single
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.media import Media
from tests.services.conftest import Sandbox, make_session

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 40
MP3 = b"ID3\x04" + b"\x00" * 40
PDF = b"%PDF-1.7 ..."


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/menu.png",
        "https://8.8.8.8/a.jpg",
        "https://example.com:443/a?b=c",
        "https://xn--bcher-kva.example.net/a.png",
    ],
)
def test_public_addresses(url: str) -> None:
    assert media.check_url(kind="image", url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png", "https://127.0.0.1/a", "https://10.1.2.3/a", "https://[::1]/a", "https://localhost/a",
        "https://169.254.169.254/latest/meta-data", "https://[fd00::1]/a", "https://nas.local/a", "https://printer/a",
        "https://user:pass@example.com/a", "https://example.com:8080/a", "https://2130706433/a", "https://127.1/a",
        "https://0x7f.0.0.1/a", "https://0x7f.1/a", "https://metadata.google.internal/a", "https://[::ffff:127.0.0.1]/a",
        "https://example.com/a\nb", "https://exämple.com/a", "https://", "javascript:alert(1)", "file:x", "https://[::1",
        "https://100.64.0.1/a", "https://localhost./a", "https://a.b.localhost/x", "https://example.com/" + "a" * 2000,
    ],
)  # fmt: skip
def test_addresses_that_the_internet_cannot_open(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        media.check_url(kind="image", url=url)
    assert caught.value.code == "media"


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("image", "a.png", JPEG[:3] + b"x"), ("image", "a.jpg", PNG), ("audio", "a.mp3", MP3),
        ("document", "a.pdf", PDF),
        ("video", "a.mp4", b"\x00\x00\x00\x18ftypmp42"), ("document", "a.csv", b"a,b\n1,2"),
        ("document", "a.docx", b"PK\x03\x04xx"), ("audio", "a.ogg", b"OggS\x00"),
    ],
)  # fmt: skip
def test_files_are_told_by_their_content(kind: str, name: str, content: bytes, user: User) -> None:
    kept = media.store_upload(actor=user, kind=kind, name=name, file=io.BytesIO(content))
    row = MediaFile.objects.get()
    assert (kept.kind, kept.url, kept.name, bytes(row.content)) == (kind, f"file:{row.public_id}", name, content)


@pytest.mark.parametrize(
    ("kind", "name", "content", "word"),
    [
        ("image", "a.png", b"<svg onload=x>", "JPEG or PNG"), ("image", "a.png", PDF, "JPEG or PNG"),
        ("video", "a.mp4", PNG, "MP4"), ("document", "a.exe", b"MZ\x90", "PDF"),
        ("document", "a.txt", b"a\x00b", "PDF"),
        ("image", "a.png", b"", "empty"), ("image", "a.png", PNG + b"x" * 5 * 1024 * 1024, "larger than 5 MB"),
        ("sticker", "a.webp", b"RIFF", "one of these"),
    ],
)  # fmt: skip
def test_files_that_are_refused(kind: str, name: str, content: bytes, word: str, user: User) -> None:
    with pytest.raises(ServiceError, match=word):
        media.store_upload(actor=user, kind=kind, name=name, file=io.BytesIO(content))
    assert not MediaFile.objects.exists()


def test_the_same_file_is_kept_once(user: User, stranger: User) -> None:
    one, two = (media.store_upload(actor=user, kind="image", name=name, file=io.BytesIO(PNG)) for name in ("a", "b"))
    assert one.url == two.url
    with pytest.raises(ServiceError, match="no such file"):
        media.read(actor=stranger, kind="image", url=one.url)
    assert media.read(actor=user, kind="image", url=one.url, name="c.png") == Media("image", one.url, "c.png")


def test_text_beside_media() -> None:
    picture, voice = Media("image", "https://example.com/a"), Media("audio", "https://example.com/a")
    assert media.check_text("  ", picture) == ""
    for body, carried in (("", None), ("Hi", voice), ("x" * 4097, picture)):
        with pytest.raises(ServiceError):
            media.check_text(body, carried)


@pytest.fixture
def connected(sandbox: Sandbox, user: User, settings: object) -> WaSenderSession:
    """A session that is linked at the sandbox."""
    settings.LOCAL_URL = ""  # type: ignore[attr-defined]
    account = GatewayAccount.objects.create(
        user=user, name="Box", base_url=f"{sandbox.url}/api", token=sandbox.token, is_sandbox=True
    )
    row = sessions.create_session(actor=user, account=account, phone_number="+12125550100")
    sessions.connect(actor=user, wa_session=row)

    def settled() -> bool:
        sessions.refresh_status(wa_session=row)
        return WaSenderSession.objects.get(pk=row.pk).status == "connected"

    sandbox.link(row.wasender_id or 0, settled)
    return WaSenderSession.objects.get(pk=row.pk)


def test_the_gateway_has_a_file_at_once_and_anew_before_its_day_is_over(
    connected: WaSenderSession, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "_tried", {})
    kept = media.store_upload(actor=user, kind="image", name="a.png", file=io.BytesIO(PNG))
    first = MediaLink.objects.get()
    assert first.url.startswith("http") and first.base_url == connected.account.base_url
    assert media.keep_links() == 0
    MediaLink.objects.update(uploaded_at=timezone.now() - timedelta(hours=21))
    assert media.keep_links() == 0  # nothing is about to be sent
    campaign = Campaign.objects.create(user=user, name="S", body="", state="running", **kept.as_fields())
    CampaignSession.objects.create(campaign=campaign, session=connected, position=0)
    assert media.keep_links() == 1
    again = MediaLink.objects.get()
    assert again.url != first.url and again.uploaded_at > timezone.now() - timedelta(minutes=1)
    assert media.keep_links() == 0


def test_what_the_gateway_refuses_is_not_kept(connected: WaSenderSession, user: User, sandbox: Sandbox) -> None:
    refusal = '{"success": false, "error": "No pictures today"}'
    sandbox.fault("answer", "upload", status=422, body=refusal)
    with pytest.raises(ServiceError, match="No pictures today"):
        media.store_upload(actor=user, kind="image", name="a.png", file=io.BytesIO(PNG))
    assert not MediaFile.objects.exists()


def test_files_that_nothing_names_are_deleted_after_a_day(user: User, account: GatewayAccount) -> None:
    kept = [media.store_upload(actor=user, kind="image", name="a", file=io.BytesIO(PNG + b"%d" % i)) for i in range(5)]
    row = make_session(account, "a1" * 32, "c0" * 16)
    Contact.objects.create(user=user, phone="+12125550199", consent="granted")
    Campaign.objects.create(user=user, name="S", body="", state="completed", **kept[0].as_fields())
    message_templates.create_template(actor=user, name="T", media=kept[1])
    single.send_single(actor=user, kind="transactional", body="", phone="+12125550199", wa_session=row, media=kept[2])
    MediaFile.objects.exclude(public_id=kept[4].url.removeprefix("file:")).update(
        used_at=timezone.now() - timedelta(days=2)
    )
    media.tidy_files()
    assert {one.ref for one in MediaFile.objects.all()} == {kept[i].url for i in (0, 1, 2, 4)}
    assert Message.objects.get().media == {"kind": "image", "url": kept[2].url, "name": "a"}


def test_template_names_are_once_per_person_whatever_their_case(user: User, stranger: User) -> None:
    made = message_templates.create_template(actor=user, name=" Opening  hours ", body="We open at {{ hour|nine }}")
    assert made.name == "Opening hours"
    with pytest.raises(ServiceError) as caught:
        message_templates.create_template(actor=user, name="OPENING HOURS", body="Hi")
    assert caught.value.code == "name_taken"
    message_templates.create_template(actor=stranger, name="Opening hours", body="Hi")
    with pytest.raises(ServiceError, match="does not exist"):
        message_templates.update_template(actor=stranger, template=made, body="Mine now")
    message_templates.update_template(actor=user, template=made, name="opening hours", body="At ten")
    assert MessageTemplate.objects.get(pk=made.pk).body == "At ten"
