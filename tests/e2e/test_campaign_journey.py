"""From a spreadsheet to an honest result, by the pages; and every step of the wizard before every eye."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

import xlsxwriter
from django.utils import timezone
from playwright.sync_api import Page, expect

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Campaign,
    CampaignSession,
    Contact,
    ContactTag,
    GatewayAccount,
    Message,
    MessageTemplate,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import drafts, groups
from tests.scenes.conftest import AREAS, Scene

from .conftest import CORNERS, JOURNEY, Visitor, check_page, look

pytestmark = JOURNEY

GOOD = [f"{area} 55501{i:02d}" for area in AREAS for i in range(100)][:940]
RATE = 240  # messages a minute and session: slow enough to act on, fast enough to wait for
BODY = "Hi *{{ name|there }}*, see you in {{ City|town }}. Reply STOP to end this."


def workbook() -> bytes:
    """1,000 rows, 60 of them bad: 30 no numbers, 30 twice."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("Guests")
        sheet.write_row(0, 0, ["Guest", "Where to", "City"])
        numbers = [*GOOD, *(f"none {i}" for i in range(30)), *GOOD[:30]]
        for n, number in enumerate(numbers, 1):
            sheet.write_row(n, 0, [f"Guest {n}", number, "Boston"])
    return out.getvalue()


def test_from_a_spreadsheet_to_an_export_that_the_ledger_confirms(scene: Scene, visit: Callable[[], Visitor]) -> None:
    linked = scene.link(5, rate=RATE)
    groups.create_group(actor=scene.user, name="Evening", wa_sessions=linked[3:])
    me = visit()
    me.log_in(scene)
    bring_people(me)
    one = build(me, linked)
    schedule(me.page, one)
    stopped = steer(scene, me, one, linked)
    finish(scene, me.page, one)
    compare(scene, me.page, one, linked[0], stopped)


def bring_people(me: Visitor) -> None:
    page = me.goto("/whatsappapi/contacts/import/")
    page.get_by_label("List").fill("Guests")
    page.locator("#id_file").set_input_files(
        {"name": "guests.xlsx", "mimeType": "application/zip", "buffer": workbook()}
    )
    me.press("Continue")
    page.get_by_label("Phone numbers are in").select_option(label="Where to")
    page.get_by_label("Numbers without a country code are from").select_option("US")
    page.get_by_label("Names are in").select_option(label="Guest")
    page.get_by_label("How did these people agree?").fill("Form at the counter")
    page.get_by_label("I declare that each of them agreed").check()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name="940 people imported")).to_be_visible()
    page.get_by_role("link", name="Send campaign").last.click()


def build(me: Visitor, linked: list[WaSenderSession]) -> Campaign:
    """By the steps; three sessions by themselves, two more by their group."""
    page = me.page
    steps = page.get_by_role("navigation", name="Steps of this campaign")
    page.get_by_label("Name").fill("Spring opening")
    me.press("New campaign")
    expect(page.get_by_role("checkbox", name=re.compile("^Guests"))).to_be_checked()
    expect(page.locator("#count")).to_contain_text("940")
    page.get_by_text("Conditions", exact=True).click()
    page.get_by_label("Column of condition 1").fill("City")
    page.get_by_label("Value of condition 1").fill("Paris")
    expect(page.locator("#count")).to_contain_text("Nobody there meets the conditions")
    page.get_by_label("Value of condition 1").fill("boston")
    expect(page.locator("#count")).to_contain_text("940")
    me.press("Next: what it says")
    page.get_by_label("Message").fill(BODY)
    page.get_by_label("Preview as").select_option(label="Guest 2")
    expect(page.locator("#preview .bubble")).to_have_text("Hi Guest 2, see you in Boston. Reply STOP to end this.")
    expect(page.locator("#preview .bubble strong")).to_have_text("Guest 2")
    # Away by the indicator and back: nothing is lost.
    steps.get_by_role("button", name="Who gets it").click()
    expect(page.get_by_label("Value of condition 1")).to_have_value("boston")
    steps.get_by_role("button", name="What it says").click()
    expect(page.get_by_label("Message")).to_have_value(BODY)
    me.press("Next: who sends it")
    for one in linked[:3]:
        page.get_by_role("checkbox", name=re.compile(one.session_name)).check()
    expect(page.locator("output")).to_contain_text("no daily limit")
    page.get_by_role("checkbox", name=re.compile("Evening")).check()
    page.get_by_text("Wait for the session to come back").click()
    me.press("Next: when")
    expect(page.get_by_text("America/New_York").or_(page.get_by_text("UTC")).first).to_be_visible()
    return Campaign.objects.get(name="Spring opening")


def schedule(page: Page, one: Campaign) -> None:
    """Some minutes ahead, on the page."""
    at = timezone.now().astimezone(ZoneInfo(one.user.time_zone)) + timedelta(minutes=5)
    page.get_by_label("At a time").check()
    page.get_by_label("Start", exact=False).and_(page.locator("#id_at")).fill(f"{at:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Next: review").click()
    expect(page.get_by_role("heading", name="How it will go")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="about 188 people")).to_have_count(5)
    page.get_by_role("button", name=re.compile("Schedule for .* - 940 people")).click()
    expect(page.locator("#run")).to_have_text("Scheduled")
    one.refresh_from_db()
    assert one.scheduled_at == at.replace(second=0, microsecond=0)
    # Minutes are long for a test: the rest of them pass at once.
    Campaign.objects.filter(pk=one.pk).update(scheduled_at=timezone.now())


def steer(scene: Scene, me: Visitor, one: Campaign, linked: list[WaSenderSession]) -> str:
    """Starts by itself; paused, a session taken out, somebody says stop, resumed. Returns who stopped."""
    page = me.page
    expect(page.locator("#run")).to_have_text("Running", timeout=60_000)
    scene.until("some sent", lambda: scene.sent(one) >= 20)
    me.press("Pause")
    expect(page.locator("#run")).to_have_text("Paused")
    scene.until("nothing under way", lambda: not scene.counts(one).get("sending"))
    waiting = one.messages.filter(state="queued", session=linked[1])
    phone = waiting.order_by("-position").values_list("phone", flat=True)[0]
    scene.sandbox.call("POST", f"/sandbox/sessions/{linked[1].wasender_id}/stop", {"from": phone})
    scene.until("the stop", Suppression.objects.filter(user=scene.user, phone=phone, lifted_at=None).exists)
    page.get_by_role("button", name=f"Take out {linked[0].session_name}").click()
    expect(page.get_by_role("button", name=f"Take out {linked[0].session_name}")).to_have_count(0)
    assert not CampaignSession.objects.get(campaign=one, session=linked[0]).is_active
    GatewayAccount.objects.update(rate_per_minute=0)
    me.press("Resume")
    return phone


def finish(scene: Scene, page: Page, one: Campaign) -> None:
    expect(page.locator("#run")).to_have_text("Finished", timeout=90_000)
    scene.until(
        "the last news", lambda: not Message.objects.filter(campaign=one, state="accepted", rank__lt=3).exists()
    )
    scene.check_counters(one)


def compare(scene: Scene, page: Page, one: Campaign, left: WaSenderSession, stopped: str) -> None:
    """The export, row by row, against what the gateway delivered."""
    page.reload()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^CSV")).click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert len(rows) == 940
    names = {row.wasender_id: row.session_name for row in WaSenderSession.objects.all()}
    entries = [entry | {"to": "+" + str(entry["to"]).lstrip("+")} for entry in scene.entries()]
    sent = {entry["to"]: entry for entry in entries if "see you in Boston" in str(entry["text"])}
    assert len(sent) == 939 and stopped not in sent
    # Nobody got it twice; and who said stop got the one line that confirms it.
    assert [entry["to"] for entry in entries if entry["to"] not in sent] == [stopped] and len(entries) == 940
    for row in rows:
        entry = sent.get(row["phone"].lstrip("'"))
        if entry is None:
            assert row["phone"].lstrip("'") == stopped and row["attempts"] == "0", row
            continue
        assert row["state"].lower() in ("delivered", "read"), row
        assert row["session"] == names[entry["session"]] and row["attempts"] == "1", (row, entry)
        assert row["name"] in str(entry["text"])
    by_session = {name: sum(row["session"] == name for row in rows) for name in names.values()}
    assert 0 < by_session[left.session_name] < 188
    verbs = set(Event.objects.filter(target_id=str(one.public_id)).values_list("verb", flat=True))
    assert verbs >= {"campaign.saved", "campaign.schedule", "campaign.pause", "campaign.remove_session"}


# --- every eye --------------------------------------------------------------------------------------------------------


def furnish(scene: Scene) -> tuple[Campaign, Campaign]:
    """A draft with everything in it, and one with nothing."""
    linked = scene.link(3)
    WaSenderSession.objects.filter(pk=linked[2].pk).update(daily_limit=20)
    groups.create_group(actor=scene.user, name="Evening", wa_sessions=linked[1:])
    groups.create_group(actor=scene.user, name="A group with a rather long name", colour="pink", wa_sessions=linked)
    people, others = scene.people(300, "Regulars of the shop in the old town"), scene.people(0, "Staff")
    everybody = list(people.contacts.order_by("pk"))
    others.contacts.set(everybody[:4])
    ContactTag.objects.create(user=scene.user, name="vip").contacts.set(everybody[:40])
    ContactTag.objects.create(user=scene.user, name="newsletter").contacts.set(everybody)
    Contact.objects.filter(pk__in=[row.pk for row in everybody[10:]]).update(attributes={"city": "Boston"})
    Contact.objects.filter(pk__in=[row.pk for row in everybody[20:60]]).update(consent="unknown")
    Suppression.objects.create(user=scene.user, phone=everybody[70].phone)
    Suppression.objects.create(user=scene.user, phone=everybody[71].phone, reason="review")
    MessageTemplate.objects.create(user=scene.user, name="Thanks", body="Thank you, {{ name }}")
    whole = drafts.create_draft(actor=scene.user, name="Spring opening", contact_list=people)
    drafts.save(
        actor=scene.user,
        campaign=whole,
        changes={
            "body": "*Hello {{ name|there }}*,\nwe open in {{ city }} on _Friday_.\n\nReply STOP to end this.",
            "audience": {**whole.audience, "without": [others.pk],
                         "filters": [{"field": "name", "test": "contains", "value": "p"}]},
            "scheduled_at": timezone.now() + timedelta(days=1), "pace": 30,
            "windows": [[540, 1080]] * 5 + [None, None],
        },
        senders=drafts.Senders(linked, [], []),
    )  # fmt: skip
    return whole, drafts.create_draft(actor=scene.user, name="Nothing yet")


def test_every_eye(scene: Scene, visit: Callable[[], Visitor]) -> None:
    whole, bare = furnish(scene)
    me = visit()
    me.log_in(scene)
    base, empty = (f"/whatsappapi/send-campaign/{one.public_id}/" for one in (whole, bare))
    words = {
        "audience": "How many",
        "message": "How it looks",
        "senders": "How they share it",
        "schedule": "When it sends",
    }
    steps = {f"{base}{step}/": text for step, text in words.items()} | {f"{base}review/": "How it will go"}
    wrong = look(me, {"/whatsappapi/send-campaign/": "Drafts"} | steps, CORNERS)
    wrong += look(me, {f"{empty}review/": "Before it can start"}, CORNERS[:1], note="bare")
    page = me.goto(f"{base}message/")
    page.get_by_label("Message").fill("Mine")
    drafts.save(actor=scene.user, campaign=whole, changes={"body": "Theirs"})
    with me.expecting(409):
        me.press("Next: who sends it")
        expect(page.get_by_text("changed in another tab at")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_value("Mine")
    wrong += check_page(page, "conflict")
    me.press("Next: who sends it")
    expect(page.get_by_role("heading", name="How they share it")).to_be_visible()
    assert Campaign.objects.get(pk=whole.pk).body == "Mine"
    assert wrong == []
