"""Pages of people, lists, imports and opt-outs."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phonebank.whatsappapi.models import Contact, ContactImport, ContactList, ContactTag, Message, Suppression
from phonebank.whatsappapi.services import imports, optout
from phonebank.whatsappapi.services.list_counts import Counts, count_people
from tests.views.conftest import Desk

AT = "/whatsappapi/contacts/"


def page_of(desk: Desk, path: str, status: int = 200) -> str:
    answer = desk.client.get(AT + path)
    assert answer.status_code == status
    return answer.text


def contact(desk: Desk, number: int = 0, **fields: object) -> Contact:
    values = {"phone": f"+1212555{number:04}", "name": f"P {number}", "consent": "granted"}
    return Contact.objects.create(user=desk.user, **values | fields)


def upload(desk: Desk, text: str, **fields: str) -> ContactImport:
    form = {"list_name": "Fair", "file": SimpleUploadedFile("people.csv", text.encode())} | fields
    answer = desk.client.post(AT + "import/", form)
    assert answer.status_code == 302, answer.text
    return ContactImport.objects.latest("id")


PEOPLE = "tel;who;city\n+12125550101;Ann;Rome\n600 111 222;Bob;Oslo\nbad;Cy;\n+12125550101;Dee;\n"
CHOICE = {"phone": "0", "name": "1", "consent": "", "country": "ES", "list_name": "Fair", "tags": "vip, new",
          "consent_source": "form", "consent_wording": "Yes!", "is_declared": "on"}  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_an_import_from_file_to_report(desk: Desk) -> None:
    job = upload(desk, PEOPLE)
    url = f"import/{job.public_id}/"
    page = page_of(desk, url)
    assert "+12125550101" in page and "The country is missing" in page
    looked = desk.client.post(AT + url, CHOICE | {"action": "look"})
    assert looked.status_code == 200 and "+34600111222" in looked.text and ContactImport.objects.get().state == "draft"
    assert desk.client.post(AT + url, CHOICE | {"action": "check"}).status_code == 302
    assert "In line" in page_of(desk, url)
    imports.run(job.pk)
    assert "Checked, nothing imported yet" in page_of(desk, url) and not Contact.objects.exists()
    assert 'value="vip, new"' in page_of(desk, url + "?change")
    desk.client.post(AT + url + "start/")
    imports.run(job.pk)
    page = page_of(desk, url)
    for words in ("2 people imported", "The same number as in line 2.", "This is not a phone number.", "2 new"):
        assert words in page
    assert "The same number" not in page_of(desk, url + "?verdict=invalid")
    rows = list(csv.reader(io.StringIO(desk.client.get(AT + url + "rows.csv").getvalue().decode("utf-8-sig"))))
    assert rows[0][3:] == ["tel", "who", "city"] and [row[0] for row in rows[1:]] == ["4", "5"]
    assert desk.client.get(AT + url + "rows.xlsx").getvalue()[:2] == b"PK"
    assert ContactList.objects.get().contacts.filter(tags__name="vip").count() == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"is_declared": ""}, "Tick this"), ({"name": "0"}, "One column cannot be two things"),
        ({"phone": ""}, "required"), ({"list_name": " "}, "required"), ({"phone": "9"}, "valid choice"),
    ],
)  # fmt: skip
def test_columns_that_make_no_sense(desk: Desk, change: dict[str, str], says: str) -> None:
    job = upload(desk, PEOPLE)
    answer = desk.client.post(f"{AT}import/{job.public_id}/", CHOICE | {"action": "import"} | change)
    assert answer.status_code == 422 and says in answer.text
    assert ContactImport.objects.get().state == "draft"


def test_a_file_that_is_none_says_so(desk: Desk) -> None:
    form = {"list_name": "Fair", "file": SimpleUploadedFile("x.xlsx", b"PK\x03\x04" + b"x" * 100)}
    answer = desk.client.post(AT + "import/", form)
    assert answer.status_code == 422 and "Nothing was imported." in answer.text


def test_throwing_the_file_away(desk: Desk) -> None:
    job = upload(desk, PEOPLE)
    desk.client.post(f"{AT}import/{job.public_id}/cancel/")
    assert ContactImport.objects.get().state == "cancelled" and not job.parts.exists()
    assert "Stopped" in page_of(desk, f"import/{job.public_id}/")


def test_opt_outs_from_a_file(desk: Desk) -> None:
    form = {"file": SimpleUploadedFile("stops.csv", b"phone\n+12125550101\n")}
    desk.client.post(AT + "import/?what=suppressed", form)
    job = ContactImport.objects.get()
    desk.client.post(f"{AT}import/{job.public_id}/", {"phone": "0", "country": "", "action": "import"})
    imports.run(job.pk)
    assert "1 person on the list" in page_of(desk, f"import/{job.public_id}/")
    assert Suppression.objects.get().reason == "import"
    assert "+1 212-555-0101" in page_of(desk, "opt-outs/")


def test_finding_people(desk: Desk) -> None:
    ann = contact(desk, 1, name="Ann Lee")
    contact(desk, 2, name="Bob Ray", consent="unknown")
    ann.tags.add(ContactTag.objects.create(user=desk.user, name="vip"))
    row = desk.contact_list(0, "L")
    row.contacts.add(ann)
    for query in ("q=lee", "q=555-0001", "q=%2B1 (212) 5550001", "tag=vip", f"list={row.public_id}", "consent=granted"):
        page = page_of(desk, f"people/?{query}")
        assert "Ann Lee" in page and "Bob Ray" not in page, query
    for query in ("q=nobody", "tag=none", "list=x", "consent=x"):
        assert "Nobody found" in page_of(desk, f"people/?{query}")
    assert "Nobody yet" in page_of(Desk("new@example.org"), "people/")


def test_pages_of_people_hold_everybody_once(desk: Desk) -> None:
    for number in range(120):
        contact(desk, number)
    seen, path = [], "people/"
    while path:
        page = page_of(desk, path)
        seen += re.findall(r">(P \d+)<", page)
        more = re.search(r'href="\?([^"]*after=[^"]*)" rel="next"', page)
        path = f"people/?{more[1]}" if more else ""
    assert seen == [f"P {number}" for number in reversed(range(120))]


def test_queries_do_not_grow(desk: Desk) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            answer = desk.client.get(AT + path)
            assert answer.getvalue() if answer.streaming else answer.content
        return len(asked)

    tag = ContactTag.objects.create(user=desk.user, name="vip")
    person = contact(desk, 9000)
    paths = ["people/", "opt-outs/", "import/", f"people/{person.public_id}/", "export.csv"]
    counts = []
    for first, last in ((0, 3), (3, 40)):
        for number in range(first, last):
            one = contact(desk, number)
            one.tags.add(tag)
            Suppression.objects.create(user=desk.user, phone=one.phone, reason=["stop", "review"][number % 2])
            person.consent_records.create(user=desk.user, status="granted", source="x", recorded_by=desk.user)
            upload(desk, "phone\n+12125550101\n")
        counts.append([queries(path) for path in paths])
    assert counts[0] == counts[1]


def test_a_person_by_hand(desk: Desk) -> None:
    row = desk.contact_list(0, "L")
    form = {"phone": "+1 212 555 0101", "name": " Ann ", "tags": "vip", "lists": [row.public_id]}
    desk.client.post(AT + "people/add/", form)
    ann = Contact.objects.get()
    assert (ann.phone, ann.name, ann.consent) == ("+12125550101", "Ann", "unknown")
    assert "already" in desk.client.post(AT + "people/add/", form).text
    url = f"people/{ann.public_id}/"
    assert "Nothing says that this person agreed" in page_of(desk, url)
    desk.client.post(AT + url + "grant/", {"source": "counter", "wording": "Yes", "agreed_at": "2026-11-01T10:00"})
    assert "counter" in page_of(desk, url) and Contact.objects.get().consent == "granted"
    assert desk.client.post(AT + url + "withdraw/", {"source": ""}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_withdrawing_reviewing_and_erasing(desk: Desk) -> None:
    ann, bob = contact(desk, 1, name="Ann"), contact(desk, 2, name="Bob")
    desk.client.post(f"{AT}people/{ann.public_id}/withdraw/", {"source": "by telephone", "is_complaint": "on"})
    assert Suppression.objects.get().reason == "complaint"
    answer = desk.client.post(f"{AT}people/{ann.public_id}/grant/", {"source": "counter"}, follow=True)
    assert "Only they can change that" in answer.text
    for verb, state in (("release", "granted"), ("confirm", "withdrawn")):
        held = optout.hold_for_review(user=desk.user, phone=bob.phone, words="hm, no interest", source="message")
        assert "hm, no interest" in page_of(desk, "opt-outs/") and "may have asked" in page_of(
            desk, f"people/{bob.public_id}/"
        )
        desk.client.post(f"{AT}opt-outs/{held.public_id}/{verb}/")
        bob.refresh_from_db()
        assert bob.consent == state
        assert "decided about" in desk.client.post(f"{AT}opt-outs/{held.public_id}/{verb}/", follow=True).text
    desk.client.post(AT + "opt-outs/", {"phone": "+1 212 555 0103", "source": "letter"})
    assert Suppression.objects.get(phone="+12125550103").reason == "manual"
    assert "cannot be" not in page_of(desk, f"people/{ann.public_id}/erase/")
    desk.client.post(f"{AT}people/{ann.public_id}/erase/")
    assert Suppression.objects.get(phone=ann.phone).reason == "erased"


def test_exports_close_formulas_and_keep_numbers(desk: Desk) -> None:
    one = contact(desk, 1, name="=1+1", attributes={"note": "@x", "=k": "-1", "ok": "+x"})
    data = desk.client.get(AT + "export.csv").getvalue().decode("utf-8-sig")
    head, row = csv.reader(io.StringIO(data))
    told = dict(zip(head, row, strict=True))
    assert told["phone"] == one.phone and told["name"] == "'=1+1" and told["note"] == "'@x" and told["ok"] == "'+x"
    assert told["'=k"] == "'-1"
    assert desk.client.get(AT + "export.xlsx").getvalue()[:2] == b"PK"
    assert desk.client.get(AT + "export.pdf").status_code == 404


def test_lists(desk: Desk) -> None:
    desk.client.post(AT, {"name": " Spring  fair "})
    row = ContactList.objects.get()
    assert row.name == "Spring fair"
    assert "already" in desk.client.post(AT, {"name": "Spring fair"}, follow=True).text
    contact(desk, 1).lists.add(row)
    url = f"{AT}lists/{row.public_id}/"
    desk.client.post(url, {"name": "Autumn"})
    assert "Autumn" in desk.client.get(url).text
    desk.client.post(url + "delete/")
    assert not ContactList.objects.exists() and Contact.objects.count() == 1


def test_lists_are_counted_no_further_than_a_page_can_wait(desk: Desk) -> None:
    many, few = desk.contact_list(9, "Many"), desk.contact_list(2, "Few")
    Suppression.objects.create(user=desk.user, phone=few.contacts.first().phone)
    found = count_people([many, few], page=8)
    assert found == {many.pk: Counts(4, 0, 4, is_more=True), few.pk: Counts(2, 1, 1)}
    assert count_people([many, few])[many.pk] == Counts(9, 0, 9)
    assert count_people([]) == {}


def test_strangers_find_nothing(desk: Desk, other: Desk) -> None:
    ann, row = contact(desk, 1, name="Ann Lee"), desk.contact_list(1, "L")
    job = upload(desk, PEOPLE)
    held = Suppression.objects.create(user=desk.user, phone="+12125550109", reason="review", words="hm")
    before = list(Contact.objects.values()), list(Suppression.objects.values()), list(ContactImport.objects.values())
    one, its = f"people/{ann.public_id}/", f"import/{job.public_id}/"
    for path in (one, one + "edit/", one + "erase/", its, its + "rows.csv", f"lists/{row.public_id}/"):
        assert other.client.get(AT + path).status_code == 404, path
    posts = [one + "edit/", one + "erase/", one + "grant/", one + "withdraw/", its, its + "start/", its + "cancel/",
             f"lists/{row.public_id}/", f"lists/{row.public_id}/delete/", f"opt-outs/{held.public_id}/release/",
             f"opt-outs/{held.public_id}/confirm/"]  # fmt: skip
    for path in posts:
        assert other.client.post(AT + path, {"name": "x", "source": "x", "phone": "+12125550101"}).status_code == 404
    page = page_of(other, f"people/?list={row.public_id}&after={ann.public_id}") + page_of(other, "opt-outs/")
    assert "Ann Lee" not in page and "hm" not in re.findall(r"<blockquote[^>]*>([^<]*)", page)
    form = {"phone": "+1 212 555 0777", "lists": [row.public_id]}
    assert other.client.post(AT + "people/add/", form).status_code == 422
    assert before == (
        list(Contact.objects.values()), list(Suppression.objects.values()), list(ContactImport.objects.values()),
    )  # fmt: skip


def test_a_failure_after_it_was_sent_reads_as_failed(desk: Desk) -> None:
    """What the gateway took and WhatsApp then refused for good (send-path.md 1)."""
    campaign = desk.campaign(1)
    message = campaign.messages.get()
    refused = {"state": "failed", "rank": 2, "reason": "WhatsApp refused it"}
    Message.objects.filter(pk=message.pk).update(phone=message.contact.phone, **refused)
    desk.recount(campaign)
    record = desk.client.get(f"{AT}people/{message.contact.public_id}/")
    assert [label for _, label in record.context["sent"]] == ["Failed"]
    page = desk.client.get(f"/whatsappapi/campaigns/{campaign.public_id}/?state=failed")
    assert [one["label"] for one in page.context["people"]] == ["Failed"]
