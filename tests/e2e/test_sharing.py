"""A team before two browsers: sessions from a template, one lent, a campaign over it, and taken back in mid-run."""

from __future__ import annotations

import re
from collections.abc import Callable

from allauth.account.models import EmailAddress
from playwright.sync_api import expect

from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.services import make_link
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    Contact,
    ContactList,
    Message,
    SessionShare,
    SessionTemplate,
    WaSenderSession,
)
from phonebank.whatsappapi.services import gateways, runs, sessions
from tests.scenes.conftest import Scene

from .conftest import CORNERS, JOURNEY, Visitor, look

pytestmark = JOURNEY

PACE = 20  # messages a minute and session: slow enough to end a share in mid-run, whatever else the machine does


def test_lend_send_and_take_back(scene: Scene, visit: Callable[[], Visitor]) -> None:
    ana, ben = visit(), visit()
    ana.log_in(scene)
    three = make_three(scene, ana)
    other = somebody(scene, ben)
    wrong = invite(ana, three[0], other)
    wrong += accept(ben, three[0])
    campaign = start(ben, three[0])
    wrong += end_in_mid_run(scene, ana, three[0], campaign)
    wrong += goes_on(scene, ben, three[0], campaign)
    assert wrong == []


def make_three(scene: Scene, ana: Visitor) -> list[WaSenderSession]:
    account = gateways.ensure_sandbox_account(owner=scene.user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    account.rate_per_minute = 0
    account.save()
    template = SessionTemplate.objects.create(
        user=scene.user, name="Shop", naming="Shop {n}", daily_limit=500, account_protection=False
    )
    page = ana.goto(f"/whatsappapi/session-templates/{template.public_id}/create/")
    page.get_by_label("Phone numbers").fill("\n".join(f"+1 646 555 010{n}" for n in range(1, 4)))
    ana.press("Create")
    expect(page.get_by_role("heading", name="3 of 3 created")).to_be_visible()
    rows = list(WaSenderSession.objects.filter(user=scene.user).order_by("session_name"))
    for one in rows:
        scene.relink(one)
    return rows


def somebody(scene: Scene, ben: Visitor) -> User:
    """Ben, with people and one session of his own."""
    user = User.objects.create_user("ben@phonebank.example", plan="enterprise", name="Ben")
    EmailAddress.objects.create(user=user, email=user.email, verified=True)
    account = gateways.ensure_sandbox_account(owner=user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    account.rate_per_minute = 0
    account.save()
    owner, scene.user = scene.user, user
    own = sessions.create_session(
        actor=user, account=account, phone_number="+16465550109", name="Ben's", account_protection=False
    )
    scene.relink(own)
    people = ContactList.objects.create(user=user, name="Guests")
    people.contacts.set(
        Contact.objects.bulk_create(
            Contact(user=user, phone=f"+121255501{n:02d}", name=f"Guest {n}", consent="granted") for n in range(60)
        )
    )
    ben.use_link(f"/accounts/link/{make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user)}/")
    scene.user = owner
    return user


def invite(ana: Visitor, one: WaSenderSession, other: User) -> list[str]:
    page = ana.goto(f"/whatsappapi/sessions/{one.public_id}/")
    page.get_by_role("link", name="Sharing").click()
    page.get_by_label("E-mail").fill(other.email)
    page.locator("#id_role").select_option("operator")
    ana.press("Invite")
    expect(page.get_by_role("heading", name=f"Invited: {other.email}")).to_be_visible()
    expect(page.get_by_label("The link")).to_have_value(re.compile("/whatsappapi/invitation/"))
    return look(ana, {f"/whatsappapi/sessions/{one.public_id}/sharing/": other.email})


def accept(ben: Visitor, one: WaSenderSession) -> list[str]:
    page = ben.goto("/whatsappapi/")
    expect(page.get_by_text("wants to share the session")).to_be_visible()
    wrong = look(ben, {"/whatsappapi/invitations/": one.session_name}, CORNERS)
    page.get_by_role("link", name="Accept or decline").click()
    ben.press(f"Accept {one.session_name}")
    expect(page.get_by_text("shares this session with you as operator")).to_be_visible()
    here = f"/whatsappapi/sessions/{one.public_id}/"
    lists = {"/whatsappapi/": "Shared by", "/whatsappapi/sessions/?shared=1": "Shared by"}
    return wrong + look(
        ben, {here: "Linked", f"{here}leave/": "Give it back", f"{here}history/": "What happened"} | lists, CORNERS
    )


def start(ben: Visitor, one: WaSenderSession) -> Campaign:
    page = ben.goto("/whatsappapi/send-campaign/")
    page.get_by_label("Name").fill("Ben's sale")
    ben.press("New campaign")
    page.get_by_role("checkbox", name=re.compile("^Guests")).check()
    ben.press("Next: what it says")
    page.get_by_label("Message").fill("Hi {{ name|there }}. Reply STOP to end this.")
    ben.press("Next: who sends it")
    expect(page.locator(".pick", has_text=one.session_name)).to_contain_text("Shared by")
    for name in (one.session_name, "Ben's"):
        page.locator(".pick", has_text=name).get_by_role("checkbox").check()
    page.get_by_label("Messages a minute").fill(str(PACE))
    ben.press("Next: when")
    ben.press("Next: review")
    ben.press("Start - 60 people")
    expect(page.locator("#run")).to_be_visible()
    return Campaign.objects.get(name="Ben's sale")


def end_in_mid_run(scene: Scene, ana: Visitor, one: WaSenderSession, campaign: Campaign) -> list[str]:
    scene.until("some sent over it", lambda: Attempt.objects.filter(session=one, outcome="accepted").count() >= 2)
    page = ana.goto(f"/whatsappapi/sessions/{one.public_id}/sharing/")
    expect(page.get_by_text("Ben's sale")).to_be_visible()
    page.locator("summary", has_text="Change or end").click()
    page.get_by_role("link", name="End it…").click()
    ana.press("End it")
    expect(page.get_by_text("Nobody but you")).to_be_visible()
    expect(page.get_by_role("heading", name="Who used it before")).to_be_visible()
    assert SessionShare.objects.get().end == "revoked"
    return look(ana, {f"/whatsappapi/sessions/{one.public_id}/sharing/": "Who used it before"}, CORNERS)


def goes_on(scene: Scene, ben: Visitor, one: WaSenderSession, campaign: Campaign) -> list[str]:
    runs.set_pace(actor=campaign.user, campaign=campaign, pace=None)
    expect(ben.page.locator("#run")).to_have_text("Finished", timeout=90_000)
    moved = Message.objects.filter(campaign=campaign, why__startswith="Moved:", why__endswith="is not shared any more")
    assert moved.exists() and not moved.filter(session=one).exists()
    scene.check(campaign)
    assert scene.sent(campaign) == 60
    with ben.expecting(404):
        assert ben.page.goto(f"/whatsappapi/sessions/{one.public_id}/").status == 404  # type: ignore[union-attr]
    ben.goto("/whatsappapi/sessions/?shared=1")
    expect(ben.page.get_by_role("heading", name="No session is like this")).to_be_visible()
    path = f"/whatsappapi/campaigns/{campaign.public_id}/"
    return look(ben, {path: one.session_name}, CORNERS)
