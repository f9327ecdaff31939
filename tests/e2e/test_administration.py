"""An administrator and a person before the real processes: a plan with its end, an approval, and a way out."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.services import make_link
from phonebank.whatsappapi.models import AccountDeletion, Approval, Campaign, Installation, OwnerDay
from phonebank.whatsappapi.services import campaigns
from tests.e2e.conftest import CORNERS, JOURNEY, Visitor, look
from tests.scenes.conftest import Scene

pytestmark = JOURNEY
HOME = "/whatsappapi/administration/"


def test_a_plan_an_approval_and_a_farewell(scene: Scene, visit: Callable[[], Visitor]) -> None:
    boss = User.objects.create_superuser("boss@phonebank.example", name="Berta Boss")
    admin, owner = visit(), visit()
    admin.use_link(f"/accounts/link/{make_link(purpose=OneTimeLink.Purpose.LOGIN, user=boss)}/")
    owner.log_in(scene)
    give_plan(scene, admin, owner)
    ask_for_approval(scene, admin, owner)
    busy(scene)
    pictures(scene, admin, owner)
    farewell(scene, owner)


def give_plan(scene: Scene, admin: Visitor, owner: Visitor) -> None:
    page = admin.goto(HOME)
    page.get_by_role("link", name=scene.user.email).click()
    page.get_by_label("Plan", exact=True).select_option(label="Pro")
    until = timezone.localdate() + timedelta(days=3)
    page.get_by_label("Until").fill(until.isoformat())
    admin.press("Save the plan")
    expect(page.get_by_text("is told")).to_be_visible()
    expect(owner.goto("/whatsappapi/").get_by_text("Your Pro plan ends on").first).to_be_visible()


def ask_for_approval(scene: Scene, admin: Visitor, owner: Visitor) -> None:
    page = admin.goto(f"{HOME}settings/")
    page.get_by_role("spinbutton").fill("10")
    admin.press("Save")
    expect(page.get_by_text("Saved.")).to_be_visible()
    page = admin.goto(f"{HOME}announcements/")
    page.get_by_role("textbox", name="Text").fill("A pause for maintenance on Sunday, from 8 to 9.")
    page.get_by_label("How serious").select_option("warning")
    admin.press("Announce")
    expect(page.get_by_text("Showing")).to_be_visible()
    made = campaigns.create_campaign(
        actor=scene.user, name="Spring sale", body="Hi {{ name|there }}, STOP ends it", wa_sessions=scene.link(2),
        contact_list=scene.people(30),
    )  # fmt: skip
    page = owner.goto(f"/whatsappapi/send-campaign/{made.public_id}/review/")
    expect(page.get_by_text("an administrator looks at it before anything is sent")).to_be_visible()
    page.get_by_role("button", name="Start - 30 people").click()
    expect(page.get_by_text("Waits for an administrator").first).to_be_visible()
    page.get_by_role("button", name="I have read it").click()
    expect(page.get_by_text("A pause for maintenance")).to_have_count(0)
    assert scene.entries() == []
    assert look(admin, {f"{HOME}approvals/": "Spring sale"}, CORNERS, note="waiting") == []
    assert look(owner, {f"/whatsappapi/campaigns/{made.public_id}/": "Waits for"}, CORNERS, note="waits") == []
    page = admin.goto(f"{HOME}approvals/")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Its owner is told")).to_be_visible()
    scene.completed(made)
    scene.check(made)
    assert Approval.objects.get().state == "approved" and scene.sent(made) == 30


def busy(scene: Scene) -> None:
    """Thirty days of figures, and some people with long names."""
    OwnerDay.objects.filter(user=scene.user).delete()
    today = timezone.localdate()
    for n in range(1, 30):
        sent = 400 + 37 * (n * 7 % 19)
        OwnerDay.objects.create(
            user=scene.user,
            date=today - timedelta(days=n),
            sent=sent,
            delivered=sent - 20,
            failed=n * 5,
            opted_out=n % 4,
        )
    for name in ("Maximiliane Charlotte von und zu Hohenstein-Waldburg", "علي حسن", ""):
        User.objects.create_user(f"{len(name)}-a-rather-long-address@some-company.example", name=name)
    User.objects.filter(email__startswith="0-").update(is_active=False)


def pictures(scene: Scene, admin: Visitor, owner: Visitor) -> None:
    person, off = scene.user.public_id, User.objects.get(email__startswith="0-").public_id
    wrong = look(admin, {HOME: "Invite somebody", f"{HOME}users/{person}/": "Last 30 days"})
    wrong += look(
        admin,
        {
            f"{HOME}users/{off}/": "Switch on", f"{HOME}users/{off}/delete/": "Type their address",
            f"{HOME}plans/": "Enterprise", f"{HOME}plans/pro/": "Messages a day", f"{HOME}approvals/": "Decided lately",
            f"{HOME}announcements/": "Tell everybody", f"{HOME}settings/": "FIELD_ENCRYPTION_KEYS",
        },
        CORNERS,
    )  # fmt: skip
    wrong += look(
        owner,
        {
            "/accounts/settings/": "Your data", "/whatsappapi/account/export/": "One ZIP",
            "/whatsappapi/account/delete/": "This cannot be undone",
        },
        CORNERS,
    )  # fmt: skip
    page = admin.goto(f"{HOME}plans/pro/")
    page.get_by_role("spinbutton", name="Sessions").fill("1")
    admin.press("Save")
    expect(page.get_by_text("Nothing is saved yet")).to_be_visible()
    assert wrong == []


def farewell(scene: Scene, owner: Visitor) -> None:
    """With the data under the arm."""
    page = owner.goto("/accounts/settings/")
    page.get_by_role("link", name="Download it all").click()
    with page.expect_download() as waiting:
        owner.press("Download")
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None and "messages.csv" in archive.namelist()
    page.goto("/whatsappapi/account/delete/")
    page.get_by_label("Type DELETE").fill("DELETE")
    owner.press("Delete it for good")
    expect(page.get_by_role("heading", name="Your account is closed")).to_be_visible()
    scene.until("the account to be erased", lambda: AccountDeletion.objects.filter(finished_at__isnull=False).exists())
    assert not User.objects.filter(pk=scene.user.pk).exists() and not Campaign.objects.exists()
    assert scene.sandbox.call("GET", "/sandbox/sessions") == []
    assert Installation.objects.get().approval_above == 10
