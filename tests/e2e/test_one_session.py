"""One session's pages by hand: created, scanned, tried out, changed, grouped; and every eye on them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from phonebank.accounts.models import User
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import GatewayAccount, SessionEvent, WaSenderSession
from phonebank.whatsappapi.services import gateways
from tests.scenes.conftest import Scene

from .conftest import JOURNEY, Visitor, look, shoot

pytestmark = JOURNEY


def test_one_session(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    gateways.ensure_sandbox_account(owner=scene.user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    me.log_in(scene)
    row = link_by_hand(scene, me)
    try_it_out(scene, me, row)
    change(me, row)
    group(me, row)
    restart(scene, me, row)
    assert look(me, furnish(scene, row)) == []


def link_by_hand(scene: Scene, me: Visitor) -> WaSenderSession:
    page = me.goto("/whatsappapi/create-session/")
    page.get_by_label("Phone number").fill("+1 646 555 0109")
    page.get_by_label(re.compile("^Name")).fill("Front desk")
    page.get_by_label("Account protection").uncheck()
    me.press("Create and show the code")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    row = WaSenderSession.objects.get()
    shoot(me.page, "link")
    scene.sandbox.scan(row.wasender_id)
    expect(page.get_by_role("heading", name="Linked")).to_be_visible()  # without a reload
    expect(page.get_by_role("img", name="QR code")).to_be_hidden()
    return row


def try_it_out(scene: Scene, me: Visitor, row: WaSenderSession) -> None:
    page = me.page
    expect(page.get_by_text("Link this one first.")).to_be_visible()
    page.reload()
    page.get_by_label("Message", exact=True).fill("Hello me")
    me.press("Send the test")
    expect(page.locator("#now")).to_contain_text(re.compile(r"\b(Delivered|Read)\b"))  # by itself
    assert scene.sandbox.call("GET", "/sandbox/ledger/recipients") == {"+16465550109": 1}


def change(me: Visitor, row: WaSenderSession) -> None:
    page = me.page
    page.get_by_role("link", name="Settings").last.click()
    page.get_by_label("Name").fill("Reception")
    page.get_by_label("Messages a day").fill("400")
    page.get_by_label("Message log at the gateway").uncheck()
    me.press("Save")
    expect(page.get_by_role("heading", name="Reception")).to_be_visible()
    page.get_by_role("link", name="Make a new key").click()
    me.press("Make a new key")
    expect(page.get_by_text("has a new key")).to_be_visible()
    row.refresh_from_db()
    assert (row.session_name, row.daily_limit, row.log_messages, row.key_version) == ("Reception", 400, False, 2)


def group(me: Visitor, row: WaSenderSession) -> None:
    page = me.goto("/whatsappapi/groups/")
    page.get_by_label("Name").fill("Ground floor")
    page.get_by_label("Purple").check()
    me.press("Create")
    page.get_by_label("Reception").check()
    me.press("Save")
    page.get_by_role("link", name="Groups").first.click()
    expect(page.get_by_role("link", name=re.compile("^Reception ?: Connected"))).to_be_visible()


def restart(scene: Scene, me: Visitor, row: WaSenderSession) -> None:
    me.goto(f"/whatsappapi/sessions/{row.public_id}/settings/")
    me.press("Restart")
    expect(me.page.get_by_role("heading", name="Linked")).to_be_visible()
    scene.sandbox.call("POST", f"/sandbox/sessions/{row.wasender_id}/logout", {})
    expect(me.page.get_by_role("heading", name=re.compile("^Not linked"))).to_be_visible()  # told by a webhook
    expect(me.page.locator("#now")).to_contain_text("Logged out")


def furnish(scene: Scene, row: WaSenderSession) -> dict[str, str]:
    """A past to look at, an account of the operator's, a session to take over. Returns path -> words on it."""
    User.objects.filter(pk=scene.user.pk).update(is_superuser=True)
    house = GatewayAccount.objects.create(user=None, name="House", token="1|not-a-real-one-4242")
    mine = GatewayAccount.objects.get(user=scene.user)
    for name, number in (("Old shop", "+16465550121"), ("مكتب الاستقبال", "+16465550122")):
        gateways.client_call(
            mine,
            lambda gateway, name=name, number=number: gateway.create_session(
                mine.token, name=name, phone_number=number, webhook_url="https://crm.example.org/hook"
            ),
        )
    now = timezone.now()
    for days, status in (
        (6, "connected"),
        (4.2, "disconnected"),
        (4, "connected"),
        (1.5, "need_scan"),
        (1.4, "connected"),
    ):
        SessionEvent.objects.create(session=row, at=now - timedelta(days=days), status=status, source="poll")
    WaSenderSession.objects.filter(pk=row.pk).update(strikes=6, paused_until=now + timedelta(minutes=10))
    session, gateway = f"/whatsappapi/sessions/{row.public_id}/", "/whatsappapi/gateway/"
    return {
        "/whatsappapi/create-session/": "Is it at WaSender already?",
        session: "Closed until",
        f"{session}settings/": "Link anew",
        f"{session}key/": "24 hours",
        f"{session}history/": "The last seven days",
        f"{session}gateway-log/": "session_restarted",
        "/whatsappapi/groups/": "Ground floor",
        f"/whatsappapi/groups/{row.groups.get().public_id}/": "Who is in it",
        gateway: "For the whole installation",
        f"{gateway}{house.public_id}/": "Who may use it",
        f"{gateway}{mine.public_id}/adopt/": "Old shop",
        f"{gateway}{mine.public_id}/remove/": "leaves Phonebank",
    }
