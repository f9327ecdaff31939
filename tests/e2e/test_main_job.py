"""The main job by hand, from an empty installation to the last recipient."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from playwright.sync_api import Page, expect

from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.services import make_link
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Campaign, Message, Suppression, WaSenderSession
from phonebank.whatsappapi.services import gateways
from tests.scenes.conftest import AREAS, Scene

from .conftest import JOURNEY, Visitor

pytestmark = JOURNEY

PASSWORD = "a long enough phrase"
NUMBERS = {"Sales": "+16465550101", "Support": "+16465550102", "Shop": "+16465550103"}
PEOPLE = [f"+1{area}55501{i:02d}" for area in AREAS[:6] for i in range(10)]
NAMES = [f"Guest {i:02d}" for i in range(len(PEOPLE))]
BODY = "Hi {{ name|there }}, see you in {{ city|town }}. Reply STOP to end this."
RATE = 60  # messages a minute and session: slow enough to look at, fast enough to wait for


def test_the_main_job(scene: Scene, visit: Callable[[], Visitor]) -> None:
    admin, ana = visit(), visit()
    become_administrator(scene, admin)
    join(admin, ana, "ana@shop.example")
    give_plan(admin, "ana@shop.example", "Pro")
    user = User.objects.get(email="ana@shop.example")
    account = gateways.ensure_sandbox_account(owner=user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    account.rate_per_minute = RATE
    account.save()
    for name, number in NUMBERS.items():
        link_session(scene, ana, name, number)
    import_people(ana)
    first = start_campaign(ana, "Opening", 60)
    watch_to_the_end(ana.page)
    check_figures(scene, ana.page, first)
    path = f"/whatsappapi/campaigns/{first.public_id}/"
    nothing_for_others(scene, visit(), user, path)
    say_stop(scene, user, PEOPLE[11])
    second = start_campaign(ana, "Reminder", 59)
    pause_and_resume(scene, ana.page, second)
    watch_to_the_end(ana.page)
    shown_as_skipped(scene, ana.page, second)


def become_administrator(scene: Scene, admin: Visitor) -> None:
    page = admin.goto(f"/accounts/link/{make_link(purpose=OneTimeLink.Purpose.SETUP)}/")
    expect(page.get_by_label("Time zone")).to_have_value("America/New_York")  # the browser's own
    page.get_by_label("E-mail").fill("boss@shop.example")
    page.get_by_label("Password").fill("short")
    with admin.expecting(422):
        admin.press("Make me the administrator")
        expect(page.get_by_text("too short")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    admin.press("Make me the administrator")
    expect(page.get_by_role("heading", name="Connect your first number")).to_be_visible()
    assert User.objects.get(email="boss@shop.example").is_superuser


def join(admin: Visitor, newcomer: Visitor, email: str) -> None:
    """By an invitation that the administrator hands over."""
    page = admin.goto("/whatsappapi/administration/")
    page.get_by_label("E-mail of the new person").fill(email)
    admin.press("Make the link")
    link = page.get_by_label("The link", exact=True).input_value()
    page = newcomer.goto(link)
    page.get_by_label("Name").fill(email.split("@")[0].title())
    page.get_by_label("Password").fill(PASSWORD)
    newcomer.press("Join")
    expect(page.get_by_text("Free plan")).to_be_visible()


def give_plan(admin: Visitor, email: str, plan: str) -> None:
    page = admin.goto(f"/whatsappapi/administration/?q={email}")
    page.locator("tbody").get_by_role("link").first.click()
    page.get_by_label("Plan", exact=True).select_option(label=plan)
    page.get_by_role("button", name="Save the plan").click()
    expect(page.get_by_text("is told")).to_be_visible()
    admin.goto("/whatsappapi/")


def link_session(scene: Scene, ana: Visitor, name: str, number: str) -> None:
    """The page shows a code, and turns by itself when a phone has scanned it."""
    page = ana.goto("/whatsappapi/")
    page.get_by_role("link", name="Add new session").click()
    page.get_by_label("Phone number").fill(number)
    page.get_by_label(re.compile("^Name")).fill(name)
    page.get_by_label("Account protection").uncheck()
    ana.press("Create and show the code")
    expect(page.get_by_role("img", name="QR code for linking this session").locator("svg")).to_be_visible()
    mark(page)
    scene.sandbox.scan(WaSenderSession.objects.get(session_name=name).wasender_id or 0)
    expect(page.get_by_role("heading", name="Linked")).to_be_visible()
    assert is_marked(page)
    ana.goto("/whatsappapi/")
    card = page.get_by_role("article", name=name)
    expect(card.get_by_text("Connected")).to_be_visible()
    expect(card.get_by_text("0 of 1,000 today")).to_be_visible()


def import_people(ana: Visitor) -> None:
    lines = [f"{number},{name},Boston" for number, name in zip(PEOPLE, NAMES, strict=True)]
    lines += ["hello,Nobody,Boston", f"{PEOPLE[0]},Twice,Boston", "+1 646,Short,Boston"]
    page = ana.goto("/whatsappapi/contacts/import/")
    page.get_by_label("List").fill("Regulars")
    page.locator("#id_file").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": "\n".join(["phone,name,city", *lines]).encode()}
    )
    ana.press("Continue")
    expect(page.get_by_text(PEOPLE[0]).first).to_be_visible()
    page.get_by_label("How did these people agree?").fill("Form at the counter")
    page.get_by_label("I declare that each of them agreed").check()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name="60 people imported")).to_be_visible()
    for line, why in ((62, "hello"), (63, "The same number as in line 2."), (64, "+1 646")):
        row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=str(line), exact=True))
        expect(row).to_contain_text(why)
    for number, what in (("60 of 63", "lines imported"), ("1", "twice in the file"), ("2", "not usable")):
        expect(page.locator(".card-body", has_text=what)).to_contain_text(number)


def start_campaign(ana: Visitor, name: str, people: int) -> Campaign:
    """Writes, previews, chooses, reviews, starts."""
    page = ana.goto("/whatsappapi/send-campaign/")
    page.get_by_label("Name").fill(name)
    ana.press("New campaign")
    page.get_by_role("checkbox", name=re.compile("^Regulars")).check()
    expect(page.locator("#count")).to_contain_text(f"{people}")
    ana.press("Next: what it says")
    page.get_by_label("Message").fill(BODY)
    page.get_by_label("Preview as").select_option(label=NAMES[7])
    bubble = page.locator("#preview .bubble")
    expect(bubble).to_have_text(f"Hi {NAMES[7]}, see you in Boston. Reply STOP to end this.")
    page.get_by_label("Preview as").select_option(label="Somebody without a name")
    expect(bubble).to_have_text("Hi there, see you in town. Reply STOP to end this.")
    ana.press("Next: who sends it")
    for session in NUMBERS:
        choice = page.locator(".pick", has_text=session)
        expect(choice.locator(".light-green")).to_have_text("Connected")
        choice.get_by_role("checkbox").check()
    expect(page.locator("output")).to_contain_text("3 chosen")
    expect(page.locator("output")).to_contain_text("enough")
    ana.press("Next: when")
    ana.press("Next: review")
    expect(page.locator(".bubble")).to_contain_text("see you in Boston")
    for session in NUMBERS:
        # As the forecast deals them: who already talks with one of the numbers stays with it.
        row = page.get_by_role("listitem").filter(has_text=session)
        expect(row).to_contain_text(re.compile(r"about (19|20|21) people"))
    mark(page)
    ana.press(f"Start - {people} people")
    expect(page.locator("#run")).to_be_visible()
    assert not is_marked(page)
    return Campaign.objects.get(name=name)


def watch_to_the_end(page: Page) -> None:
    """Everything moves by itself, the rows of the people too."""
    mark(page)
    expect(page.locator("#run")).to_have_text("Running")
    expect(page.get_by_text(re.compile(r"\d a minute"))).to_be_visible()
    expect(page.locator("#rows tbody tr")).to_have_count(50)
    expect(page.locator("#run")).to_have_text("Finished", timeout=90_000)
    expect(page.get_by_text("of 60 people done, 100 %")).to_be_visible()
    expect(page.locator("#rows tbody .light", has_text=re.compile("Waiting|Sending"))).to_have_count(0, timeout=40_000)
    assert is_marked(page)


def check_figures(scene: Scene, page: Page, campaign: Campaign) -> None:
    """The page, the database and the gateway's own ledger say the same."""
    table = lanes(page)
    assert [table[name]["People"] for name in NUMBERS] == [20, 20, 20]
    assert table["All"] == {
        column: sum(table[name][column] for name in NUMBERS) for column in table["All"]
    }  # fmt: skip
    by_session = {}
    for one in WaSenderSession.objects.filter(user=campaign.user):
        entries = scene.sandbox.call("GET", f"/sandbox/ledger?session={one.wasender_id}")
        by_session[one.session_name] = entries["accepted"]
    assert {name: table[name]["Sent"] for name in NUMBERS} == by_session
    scene.check(campaign)
    texts = {f"+{entry['to']}".replace("++", "+"): entry["text"] for entry in scene.entries()}
    assert texts[PEOPLE[7]] == f"Hi {NAMES[7]}, see you in Boston. Reply STOP to end this."
    row = page.locator("#rows tbody tr", has_text=NAMES[7])
    sender = Message.objects.get(campaign=campaign, phone=PEOPLE[7]).session
    expect(row.locator("td[data-label=Session]")).to_have_text(re.compile(rf"{sender.session_name}\s*Dealt in turn"))


# All cells at one moment: the table refreshes itself.
READ = """(table) => [...table.querySelectorAll("tbody tr, tfoot tr")].map((row) => [
  row.querySelector("td").innerText,
  [...row.querySelectorAll("td[data-label]")].map((cell) => [cell.dataset.label, cell.innerText]),
])"""


def lanes(page: Page) -> dict[str, dict[str, int]]:
    """The table of sessions: name -> column -> number."""
    found = {}
    for name, cells in page.locator("table.lanes").evaluate(READ):
        words = {label: word.replace(",", "").strip() for label, word in cells}
        found[name.strip()] = {label: int(word) for label, word in words.items() if word.isdecimal()}
    return found


def nothing_for_others(scene: Scene, stranger: Visitor, user: User, campaign: str) -> None:
    """Somebody else sees none of it, by menu or by address."""
    link = make_link(purpose=OneTimeLink.Purpose.LOGIN, user=scene.user)
    stranger.use_link(f"/accounts/link/{link}/")
    page = stranger.page
    expect(page.get_by_role("heading", name="Connect your first number")).to_be_visible()
    for path in ("sessions/", "campaigns/", "contacts/", "send-campaign/"):
        content = stranger.goto(f"/whatsappapi/{path}").locator("main").inner_text()
        assert not [word for word in (*NUMBERS, "Regulars", "Opening") if word in content], path
    own = user.wa_sessions.values_list("public_id", flat=True)
    paths = [campaign, *(f"/whatsappapi/sessions/{one}/{end}" for one in own for end in ("", "link/", "delete/"))]
    with stranger.expecting(404):
        for path in paths:
            assert stranger.page.goto(path).status == 404, path
            expect(page.get_by_role("heading", name="There is nothing here.")).to_be_visible()
        assert stranger.page.goto("/whatsappapi/administration/").status == 404


def say_stop(scene: Scene, user: User, phone: str) -> None:
    """A person answers STOP to the session that wrote to them."""
    message = Message.objects.select_related("session").get(user=user, phone=phone)
    scene.sandbox.call("POST", f"/sandbox/sessions/{message.session.wasender_id}/stop", {"from": phone})
    stopped = Suppression.objects.filter(user=user, phone=phone, lifted_at=None)
    scene.until("the stop", stopped.exists)


def pause_and_resume(scene: Scene, page: Page, campaign: Campaign) -> None:
    """In the middle of it, from the page."""
    scene.until("some sent", lambda: scene.sent(campaign) >= 6)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#run")).to_have_text("Paused")
    scene.until("nothing under way", lambda: not scene.counts(campaign).get("sending"))
    gone = scene.sent(campaign)
    assert 6 <= gone < 59
    campaign.refresh_from_db()
    assert campaign.state == "paused"
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#run")).to_have_text("Running")


def shown_as_skipped(scene: Scene, page: Page, campaign: Campaign) -> None:
    """Who said stop: PEOPLE[11]."""
    assert scene.sent(campaign) == 59
    expect(page.locator("#progress .legend")).to_contain_text("Not written to 1")
    assert lanes(page)["All"]["Skipped"] == 1
    page.get_by_label("Show").select_option(label="Not written to")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    row = page.locator("#rows tbody tr")
    expect(row).to_contain_text(NAMES[11])
    expect(row).to_contain_text("Skipped")
    per_person = Counter(str(entry["to"])[-10:] for entry in scene.entries() if "see you" in str(entry["text"]))
    assert per_person[PEOPLE[11][-10:]] == 1
    assert set(per_person.values()) == {1, 2}


def mark(page: Page) -> None:
    """Leaves a trace that a reload would lose."""
    page.evaluate("window.here = true")


def is_marked(page: Page) -> bool:
    return bool(page.evaluate("window.here === true"))
