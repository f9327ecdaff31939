"""A session that drops and comes back by itself; one that is logged out and comes back by a link in a mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller
from playwright.sync_api import expect

from phonebank.whatsappapi.management.stage import free_port
from phonebank.whatsappapi.models import AlertRule, Delivery, Incident, PhoneLink, WaSenderSession
from phonebank.whatsappapi.services import channels
from tests.e2e.conftest import BROWSER, PHONE, QUIET, Scene, Visitor, check_page, shoot
from tests.services.test_alerts import Mailbox

ENV = dict(QUIET)
pytestmark = [*BROWSER, pytest.mark.parametrize("scene", [ENV], indirect=True, ids=[""])]
PATIENT = 90_000  # milliseconds: pauses between tries, and two busy cores


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Its address is in ENV: to be asked for before the scene."""
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    ENV["EMAIL_URL"] = f"smtp://127.0.0.1:{port}"
    yield box
    controller.stop()


def test_down_and_up_again(mailbox: Mailbox, scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    [one] = scene.link(1)
    channels.settings_of(scene.user)
    AlertRule.objects.update(delay=0)
    drops_and_comes_back(scene, me, one, mailbox)
    mailbox.letters.clear()
    AlertRule.objects.update(cool_down=0)
    wrong = is_logged_out_and_scanned(scene, me, visit(), one, mailbox)
    assert wrong == []


def drops_and_comes_back(scene: Scene, me: Visitor, one: WaSenderSession, mailbox: Mailbox) -> None:
    page = me.goto(f"/whatsappapi/sessions/{one.public_id}/")
    expect(page.locator("#link")).to_contain_text("This number can send")
    refused = scene.sandbox.call("POST", "/sandbox/faults", {"kind": "error", "endpoint": "connect", "accept": False})
    scene.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/drop", {})
    expect(page.locator("#link")).to_contain_text("Not linked", timeout=PATIENT)  # without a reload
    scene.until("a try in vain", lambda: one.events.filter(reason__startswith="It could not be reconnected").exists())
    scene.sandbox.call("DELETE", f"/sandbox/faults/{refused['id']}")
    expect(page.locator("#link")).to_contain_text("This number can send", timeout=PATIENT)  # by itself
    shoot(page, "back-by-itself")
    page = me.goto(f"/whatsappapi/sessions/{one.public_id}/history/")
    expect(page.locator("main")).to_contain_text("Reconnecting by itself")
    expect(page.locator("main")).to_contain_text("It could not be reconnected")
    scene.until("both mails", lambda: len(mailbox.letters) == 2)
    assert [str(letter["Subject"]).split(" “")[0] for letter in mailbox.letters][1] == "Over:"


def is_logged_out_and_scanned(
    scene: Scene, me: Visitor, holder: Visitor, one: WaSenderSession, mailbox: Mailbox
) -> list[str]:
    """Returns what is wrong with the pages."""
    page = me.goto(f"/whatsappapi/sessions/{one.public_id}/")
    scene.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/logout", {})
    expect(page.locator("#link")).to_contain_text("Not linked", timeout=PATIENT)
    scene.until("the mail", lambda: mailbox.letters)
    incident = Incident.objects.get(kind="scan")
    told = Delivery.objects.filter(incident=incident).values_list("event", "state")
    scene.until("it to be on record", lambda: set(told.all()) == {("opened", "sent")})
    me.goto("/whatsappapi/alerts/")
    expect(me.page.locator(".bell")).to_have_text(re.compile(r"^1\b"))
    expect(me.page.locator("main")).to_contain_text("needs a scan")
    wrong = check_page(me.goto(f"/whatsappapi/alerts/{incident.public_id}/"), "the incident")
    expect(me.page.locator("main")).to_contain_text("Nobody looks after it yet")
    expect(me.page.locator("main")).to_contain_text("The mail server took it.")
    shoot(me.page, "incident-scan")

    [letter] = mailbox.letters
    url = re.search(r"http\S+/link/\S+/", letter.get_content())[0]
    context = holder.screen(PHONE, "light")  # a fresh browser: no cookie of anybody
    assert context.cookies() == []
    phone = holder.open(context)
    phone.goto(url)
    wrong += check_page(phone, "the link")
    shoot(phone, "link-from-the-mail")
    phone.get_by_role("button", name="Show the code").click()
    expect(phone.locator(".qr svg")).to_be_visible()
    scene.sandbox.scan(one.wasender_id or 0)
    expect(phone.locator("main")).to_contain_text("is connected again", timeout=PATIENT)
    wrong += check_page(phone, "the link, scanned")
    shoot(phone, "link-scanned")
    assert PhoneLink.objects.get().end == "linked"

    expect(me.page.locator("#what")).to_have_text("Over", timeout=PATIENT)  # the incident's page, by itself
    me.goto(f"/whatsappapi/sessions/{one.public_id}/")
    expect(me.page.locator("#link .light-green")).to_be_visible()
    scene.until("the end to be told", lambda: len(mailbox.letters) == 2)
    assert mailbox.letters[1]["Subject"].startswith("Over: ")
    ends = [("opened", "sent"), ("recovered", "sent")]  # on record after the mail server has the letter
    scene.until("both to be on record", lambda: sorted(told.all()) == ends)
    assert Incident.objects.filter(kind="scan").count() == 1 and not Incident.objects.open().exists()
    spent(holder, url)
    return wrong


def spent(holder: Visitor, url: str) -> None:
    """The link says that it is done, starts nothing any more, and soon says nothing at all."""
    before = PhoneLink.objects.get()
    other = holder.open(holder.screen(PHONE, "dark"))
    other.goto(url)
    expect(other.get_by_role("button")).to_have_count(0)
    expect(other.locator("main")).to_contain_text("This link has ended")
    PhoneLink.objects.update(ended_at=before.ended_at - timedelta(hours=1))
    with holder.expecting(410):
        other.goto(url)
        expect(other.locator("h1")).to_have_text("This link has ended")
