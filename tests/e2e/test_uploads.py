"""From a file to people: files that are none get a sentence, a good one is read, mapped, checked and imported."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from datetime import UTC, datetime

import xlsxwriter
from playwright.sync_api import expect

from phonebank.whatsappapi.models import Contact, ContactImport, ContactList, InboundMessage, Suppression
from phonebank.whatsappapi.services import contacts, optout
from tests.scenes.conftest import Scene

from .conftest import JOURNEY, Visitor, check_page, look

pytestmark = JOURNEY

NOISE = random.Random(1).randbytes(20_000)
FILES = {
    "empty.csv": (b"", "The submitted file is empty."),
    "blank.csv": (b"\n\n  \n", "The file is empty."),
    "setup.csv": (b"MZ\x90\x00\x03\x00\x00\x00\x04\x00" + NOISE, "This is not a text file."),
    "people.xlsx": (b"PK\x03\x04" + NOISE, "The workbook is damaged"),
    "one-line.csv": (b"1" * 5_000_000, "cell of more than 131,072 characters"),
    "twice.csv": (b"phone,name,Phone\n", "Two columns are named"),
}
LONG = "Annabella Maximiliana von und zu Hohenlohe-Schillingsfürst " * 2


def test_files_that_are_none(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    for name, (content, sentence) in FILES.items():
        page = me.goto("/whatsappapi/contacts/import/")
        page.get_by_label("List").fill("Regulars")
        page.locator("#id_file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})
        with me.expecting(422):
            me.press("Continue")
            error = page.locator("#id_file_error")
            expect(error, name).to_contain_text(sentence)
        expect(page.get_by_label("List")).to_have_value("Regulars")
        expect(page.locator("#id_file")).to_have_attribute("aria-describedby", "id_file_error id_file_help")
        assert not ContactList.objects.exists() and not Contact.objects.exists(), name


def workbook() -> bytes:
    """1,000 rows, 60 of them bad: 20 no numbers, 20 twice, 20 without consent."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet("Guests")
        sheet.write_row(0, 0, ["Guest", "Where to", "How they agreed", "City"])
        for n in range(1000):
            number = (
                "hello" if n < 20 else f"212 {600 + (n - 20 if n < 980 else n - 980) // 100:03} {1000 + n % 100:04}"
            )
            if n >= 980:
                number = f"212 {600 + (n - 980) // 100:03} {1000 + (n - 960) % 100:04}"
            sheet.write_row(n + 1, 0, [f"Guest {n}", number, "no" if 20 <= n < 40 else "till", "Boston"])
    return out.getvalue()


def test_a_workbook_from_columns_to_report(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    page = me.goto("/whatsappapi/contacts/import/")
    page.get_by_label("List").fill("Guests")
    page.locator("#id_file").set_input_files(
        {"name": "guests.xlsx", "mimeType": "application/zip", "buffer": workbook()}
    )
    me.press("Continue")
    expect(page.get_by_role("heading", name="What guests.xlsx holds")).to_be_visible()
    page.get_by_label("Phone numbers are in").select_option(label="Where to")
    page.get_by_label("Numbers without a country code are from").select_option("US")
    page.get_by_label("Names are in").select_option(label="Guest")
    page.get_by_label("How each of them agreed is in").select_option(label="How they agreed")
    me.press("Only check it")
    expect(page.get_by_role("heading", name="Checked, nothing imported yet")).to_be_visible()
    assert not Contact.objects.exists()
    me.press("Import now")
    expect(page.get_by_role("heading", name="960 people imported")).to_be_visible()
    job = ContactImport.objects.get()
    assert (job.total, job.invalid, job.duplicate, job.no_consent) == (1000, 20, 20, 20)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.path().read_bytes().count(b"\r\n") == 61
    assert check_page(page, "report") == []


def furnish(scene: Scene) -> str:
    """People with long names, stops, reviews, a file waiting for its columns; returns the person's address."""
    user = scene.user
    text = "phone,name,city\n" + "".join(f"+1212{600 + n // 100}{1000 + n % 100},{LONG}{n},Boston\n" for n in range(60))
    contacts.import_csv(actor=user, list_name=LONG[:80], filename="x.csv", data=text.encode(), consent_source="till")
    one = Contact.objects.order_by("-pk").first()
    for n, words in enumerate(("Who gave you my number? " * 8, "no interest")):
        optout.hold_for_review(user=user, phone=f"+1310555010{n}", words=words, source="message to “Desk”")
    optout.hold_for_review(user=user, phone=one.phone, words="hm", source="message to “Desk”")
    for n in range(12):
        optout.opt_out(user=user, phone=f"+1310555012{n % 10}", source=LONG, actor=user)
    [session] = scene.link(1)
    InboundMessage.objects.create(
        user=user, session=session, contact=one, phone=one.phone, key_id="k", text=LONG, sent_at=datetime.now(UTC)
    )
    return f"/whatsappapi/contacts/people/{one.public_id}/"


def test_every_eye(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    at = "/whatsappapi/contacts/"
    wrong = look(
        me, {at: "No lists yet", f"{at}people/": "Nobody yet", f"{at}opt-outs/": "Nobody has opted out"}, note="empty"
    )
    person = furnish(scene)
    page = me.goto(f"{at}import/")
    page.get_by_label("List").fill("Guests")
    page.locator("#id_file").set_input_files(
        {"name": "guests.xlsx", "mimeType": "application/zip", "buffer": workbook()}
    )
    me.press("Continue")
    expect(page.get_by_role("heading", name="What guests.xlsx holds")).to_be_visible()
    full = {
        at: "Can be written to", f"{at}people/": "60 people", f"{at}people/?q=zzz": "Nobody found", person: "Consent",
        f"{person}edit/": "For merge tags", f"{person}erase/": "Erase this person", f"{at}opt-outs/": "Did they ask",
        f"{at}import/": "Your last imports", page.url.partition(scene.web)[2]: "The first rows",
        f"{at}lists/{ContactList.objects.get().public_id}/": "Rename",
    }  # fmt: skip
    wrong += look(me, full, note="full")
    assert wrong == []
    assert Suppression.objects.filter(lifted_at=None).count() == 13
