"""Replies: somebody writes back, the page shows it while one types, the answer arrives, STOP is marked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from phonebank.whatsappapi.models import Conversation
from tests.scenes.conftest import Scene

from .conftest import CORNERS, JOURNEY, Visitor, look

pytestmark = JOURNEY
ANA = "12015550100"


def write(scene: Scene, number: int | None, text: str, digits: str = ANA, **more: Any) -> None:
    """A simulated phone writes to a session."""
    scene.sandbox.call("POST", f"/sandbox/sessions/{number}/inbound", {"from": digits, "text": text, **more})


def send_photo(scene: Scene, number: int | None) -> None:
    """As a phone's picture without words is reported (contract 7.7)."""
    jid = "12025550143@s.whatsapp.net"
    key = {"id": "3EB0PHOTO", "fromMe": False, "remoteJid": jid, "senderPn": jid, "cleanedSenderPn": jid.split("@")[0]}
    message = {"key": key, "pushName": "Ben", "message": {"imageMessage": {"url": "https://mmg.example/x"}}}
    event = {"event": "messages.received", "data": {"messages": message}}
    scene.sandbox.call("POST", f"/sandbox/sessions/{number}/event", event)


def test_somebody_writes_back(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    wrong = look(
        me, {"/whatsappapi/replies/": "Nobody has written yet", "/whatsappapi/templates/": "No templates yet"}, CORNERS
    )
    [row] = scene.link(1)
    scene.completed(scene.campaign(scene.people(2), [row]))
    page = me.goto("/whatsappapi/replies/")
    write(scene, row.wasender_id, "Is the blue one still there?")
    expect(page.locator("#conversations")).to_contain_text("1 new")  # by itself
    page.get_by_role("link", name="P550100").click()
    box = page.get_by_label("Your answer")
    box.fill("Yes, we keep")
    box.focus()
    write(scene, row.wasender_id, "In size M?")
    expect(page.locator("#thread")).to_contain_text("In size M?")
    expect(box).to_be_focused()
    expect(box).to_have_value("Yes, we keep")
    page.keyboard.type(" one for you")
    me.press("Send")
    expect(page.locator("#thread .ours").last).to_contain_text("Yes, we keep one for you")
    scene.until("the answer", lambda: scene.ledger()[f"+{ANA}"] == 2)
    expect(page.locator("#thread .ours").last).to_contain_text(re.compile("Delivered|Read"))
    write(scene, row.wasender_id, "Who is this?", "13035550142", lid_only=True)
    send_photo(scene, row.wasender_id)
    write(scene, row.wasender_id, "STOP")
    expect(page.locator("#thread")).to_contain_text("Asked not to be written to")
    page.get_by_label("Your answer").fill("Please stay")
    with me.expecting(422):
        me.press("Send")
        expect(page.locator("main")).to_contain_text("asked not to be written to. Nothing was sent.")
    scene.until("three conversations", lambda: Conversation.objects.count() == 3)
    hidden = Conversation.objects.get(phone="")
    page.goto("/whatsappapi/templates/add/")
    page.locator("#id_name").fill("Opening hours")
    page.locator("#id_body").fill("Hi {{ name|there }}, we open at nine.")
    page.locator("#id_media_kind").select_option("document")
    page.locator("#id_media_file").set_input_files(
        {"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"}
    )
    me.press("Save")
    expect(page.locator("main")).to_contain_text("a.pdf")
    pages = {
        "/whatsappapi/replies/": "Photo",
        f"/whatsappapi/replies/{Conversation.objects.get(phone=f'+{ANA}').public_id}/": "Yes, we keep",
        f"/whatsappapi/replies/{hidden.public_id}/": "hides this person",
        "/whatsappapi/templates/": "Opening hours",
        page.url.removeprefix(scene.web): "a.pdf",
    }
    assert wrong + look(me, pages, CORNERS) == []
