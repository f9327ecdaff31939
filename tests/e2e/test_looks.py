"""The pages that matter most, for everybody's eyes: axe finds nothing, and nothing sticks out of a narrow screen."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Campaign
from phonebank.whatsappapi.services import campaigns, gateways
from tests.scenes.conftest import Scene

from .conftest import CORNERS, JOURNEY, PHONE, Visitor, check_page, look

pytestmark = JOURNEY


def test_every_eye(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    wrong = look(me, {"/accounts/login/": "Many WhatsApp numbers, one desk."})
    gateways.ensure_sandbox_account(owner=scene.user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    me.log_in(scene)
    wrong += look(me, EMPTY, CORNERS)
    finished, running, draft, code = furnish(scene, me)
    wrong += look(me, OTHERS | {f"/whatsappapi/campaigns/{draft.public_id}/": "Start - 30 people"}, CORNERS)
    main = {
        code: "New code in",
        "/whatsappapi/": "Under way",
        "/whatsappapi/send-campaign/": "Who sends it",
        f"/whatsappapi/campaigns/{running.public_id}/": "Running",
        f"/whatsappapi/campaigns/{finished.public_id}/": "Finished",
    }
    wrong += look(me, main)
    assert wrong == []


# Path -> words that show that it is the page that was meant.
EMPTY = {
    "/whatsappapi/": "Connect your first number",
    "/whatsappapi/campaigns/": "No campaigns yet",
    "/whatsappapi/send-campaign/": "Two things are needed first",
}
OTHERS = {
    "/whatsappapi/sessions/": "Scan the code",
    "/whatsappapi/create-session/": "Create and show the code",
    "/whatsappapi/contacts/": "Can be written to",
    "/whatsappapi/contacts/import/": "A file that works",
    "/accounts/settings/": "Time zone",
}


def furnish(scene: Scene, me: Visitor) -> tuple[Campaign, Campaign, Campaign, str]:
    """A finished campaign, one that runs for long, a draft, and the address of a session that waits for its scan."""
    linked = scene.link(2)
    finished = scene.campaign(scene.people(30), linked)
    scene.completed(finished)
    scene.sandbox.call("PATCH", "/sandbox/knobs", {"qr_limit": 1000})  # it is looked at for minutes
    page = me.goto("/whatsappapi/create-session/")
    page.get_by_label("Phone number").fill("+1 646 555 0109")
    me.press("Create and show the code")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    linked[0].account.rate_per_minute = 2
    linked[0].account.save()
    people = scene.user.contact_lists.get()
    running, draft = (
        campaigns.create_campaign(
            actor=scene.user, name=f"Number {i}", contact_list=people, body="Hi {{ name|there }}", wa_sessions=linked
        )
        for i in range(2)
    )
    campaigns.launch(actor=scene.user, campaign=running)
    scene.until("it to run", lambda: scene.sent(running) > 0)
    return finished, running, draft, re.sub(r"^https?://[^/]*", "", page.url)


def test_the_menus(scene: Scene, visit: Callable[[], Visitor]) -> None:
    """On a phone, by keyboard alone, and with the other theme chosen."""
    me = visit()
    me.log_in(scene)
    page = me.open(me.screen(PHONE, "light"))
    page.goto("/whatsappapi/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("button", name="Menu").press("Enter")
    page.get_by_text("Enterprise plan").click()
    assert check_page(page, "menus, light") == []
    page.get_by_role("button", name="Dark").press("Enter")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Menu").press("Enter")
    page.get_by_text("Enterprise plan").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    assert check_page(page, "menus, dark") == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()
