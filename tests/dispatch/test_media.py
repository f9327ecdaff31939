"""Media on the wire: what the sandbox got, and how a lost answer about a picture is found again."""

from __future__ import annotations

import asyncio
import io
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from phonebank.whatsappapi.dispatch import reconcile
from phonebank.whatsappapi.models import Attempt, Campaign, Contact, ContactList, MediaLink, Message
from phonebank.whatsappapi.services import campaigns, media, single
from phonebank.whatsappapi.services.media import Media
from tests.dispatch.kinds import World
from tests.services.conftest import Sandbox, _sandbox, sandbox

__all__ = ["_sandbox", "sandbox"]
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
URL = "https://example.com/menu.pdf"


@pytest.fixture
def world(db: None, sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    settings.LOCAL_URL = ""
    monkeypatch.setattr(media, "_tried", {})
    return World(sandbox, 1)


def person(world: World, last: int) -> Contact:
    return Contact.objects.create(user=world.user, phone=f"+12125550{last}", name="Ana", consent="granted")


def write(world: World, contact: Contact, body: str, carried: Media | None) -> Message:
    return single.send_single(
        actor=world.user, kind="transactional", body=body, contact=contact, wa_session=world.one, media=carried
    )


def got(world: World) -> dict[str, list[Any]]:
    """Recipient -> what each of their messages was made of."""
    found: dict[str, list[Any]] = {}
    for entry in world.sandbox.pull("GET", "/ledger/entries")["entries"]:
        found.setdefault(f"+{entry['to'].lstrip('+')}", []).append(entry.get("fields", entry["text"]))
    return found


def test_each_kind_as_the_contract_says(world: World) -> None:
    people = [person(world, 110 + i) for i in range(5)]
    write(world, people[0], "Our menu", Media("document", URL, "menu.pdf"))
    write(world, people[1], "", Media("image", URL))
    write(world, people[2], "Look", Media("video", URL, "v.mp4"))
    write(world, people[3], "", Media("audio", URL))
    write(world, people[4], "Only text", None)
    asyncio.run(world.drive([]))
    assert [got(world)[one.phone] for one in people] == [
        [{"documentUrl": URL, "fileName": "menu.pdf", "text": "Our menu"}],
        [{"imageUrl": URL}],
        [{"videoUrl": URL, "text": "Look"}],
        [{"audioUrl": URL}],
        ["Only text"],
    ]


def test_a_campaigns_file_is_sent_by_the_address_that_the_gateway_gave(world: World) -> None:
    people = ContactList.objects.create(user=world.user, name="L")
    people.contacts.set([person(world, 120 + i) for i in range(4)])
    kept = media.store_upload(actor=world.user, kind="image", name="a.png", file=io.BytesIO(PNG))
    campaign = campaigns.create_campaign(
        actor=world.user, name="Sale", body="Hi {{ name }}", contact_list=people, wa_sessions=[world.one, world.two]
    )
    Campaign.objects.filter(pk=campaign.pk).update(**kept.as_fields(), quiet_start=None, quiet_end=None)
    world.deal(campaign)
    asyncio.run(world.drive([campaign.pk]))
    address = MediaLink.objects.get().url
    assert list(got(world).values()) == [[{"imageUrl": address, "text": "Hi Ana"}]] * 4


def test_without_its_file_a_message_waits_and_leaves_when_the_file_is_there(world: World) -> None:
    one = person(world, 130)
    kept = media.store_upload(actor=world.user, kind="image", name="a.png", file=io.BytesIO(PNG))
    MediaLink.objects.update(uploaded_at=timezone.now() - timedelta(hours=24))
    message = write(world, one, "Hi", kept)
    asyncio.run(world.drive([]))
    message.refresh_from_db()
    assert (message.state, got(world)) == ("queued", {})
    assert "does not have its file" in message.reason
    assert media.keep_links() == 1
    Message.objects.update(retry_at=timezone.now())
    asyncio.run(world.drive([]))
    assert list(got(world)) == [one.phone]


@pytest.mark.parametrize("body", ["Our menu", ""])
def test_a_lost_answer_about_a_picture_is_found_in_the_log(body: str, world: World, settings: Any) -> None:
    settings.SEND_SETTLE = 0.0
    one, other = person(world, 140), person(world, 141)
    world.sandbox.fault("drop", "send-message", accept=True, next=1)
    message = write(world, one, body, Media("image", URL))
    asyncio.run(world.drive([]))
    message.refresh_from_db()
    assert message.state == "unknown"
    write(world, other, "", Media("image", URL))  # a textless one of somebody else proves nothing about this one
    asyncio.run(world.drive([]))
    Attempt.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconcile.reconcile(world.one.pk)
    message.refresh_from_db()
    assert message.state == "accepted"
    assert len(got(world)[one.phone]) == 1


def test_a_picture_that_never_left_is_proven_absent(world: World, settings: Any) -> None:
    settings.SEND_SETTLE = 0.0
    one, other = person(world, 150), person(world, 151)
    world.sandbox.fault("drop", "send-message", accept=False, next=1)
    message = write(world, one, "", Media("image", URL))
    asyncio.run(world.drive([]))
    write(world, other, "", Media("image", URL))  # textless in the log, and yet not hidden
    asyncio.run(world.drive([]))
    Attempt.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    reconcile.reconcile(world.one.pk)
    message.refresh_from_db()
    assert message.state == "queued"
