from __future__ import annotations

import csv
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import ConsentRecord, Contact, ContactList, Suppression
from phonebank.whatsappapi.services import contacts, optout
from phonebank.whatsappapi.services.consent_words import source_of
from phonebank.whatsappapi.services.errors import ServiceError

pytestmark = pytest.mark.django_db(transaction=True)
FORM = "newsletter form"


def imported(user: User, text: str | bytes, **more: object) -> contacts.ImportReport:
    data = text if isinstance(text, bytes) else text.encode()
    fields = {"list_name": "Spring", "filename": "people.csv", "consent_source": FORM} | more
    return contacts.import_csv(actor=user, data=data, **fields)


def people(user: User) -> dict[str, tuple[str, str]]:
    return {one.phone: (one.name, one.consent) for one in Contact.objects.filter(user=user)}


def test_an_import(user: User) -> None:
    text = "Phone,Name,City\n+12125550101,Ann,Rome\n+1 212 555 0102,Bob,\n\n"
    text += "+12125550101,Ann again,\n+34 600,Zed,Oslo\nabc,,\n"
    report = imported(user, text)
    assert (report.total, report.valid, report.duplicate, report.invalid, report.new, report.updated) == (
        5,
        2,
        1,
        2,
        2,
        0,
    )
    assert people(user) == {"+12125550101": ("Ann", "granted"), "+12125550102": ("Bob", "granted")}
    assert [(line, value) for line, _, value in report.rows] == [(5, "+12125550101"), (6, "+34 600"), (7, "abc")]
    assert report.rows[0][1] == "The same number as in line 2."
    ann = Contact.objects.get(phone="+12125550101")
    assert ann.attributes == {"City": "Rome"} and ann.time_zone == "America/New_York"
    assert [one.name for one in ann.lists.all()] == ["Spring"]
    evidence = ann.consent_records.get()
    assert (evidence.source, evidence.recorded_by, len(evidence.file_hash)) == (FORM, user, 64)
    assert Event.objects.get(verb="contacts.imported").data["new"] == 2


def test_twice_in_one_transaction(user: User) -> None:
    with transaction.atomic():
        imported(user, "phone\n+12125550101\n")
        report = imported(user, "phone\n+12125550101\n+12125550102\n")
    assert (report.new, report.updated, Contact.objects.count()) == (1, 1, 2)


def test_the_same_file_again_changes_nothing(user: User) -> None:
    text = "phone,name\n+12125550101,Ann\n"
    imported(user, text)
    report = imported(user, text, list_name=" Spring ")
    assert (report.new, report.updated) == (0, 1)
    assert ConsentRecord.objects.count() == Contact.objects.count() == ContactList.objects.count() == 1


def test_new_values_win_and_empty_ones_do_not(user: User) -> None:
    imported(user, "phone,name,City,Age\n+12125550101,Ann,Rome,7\n")
    imported(user, "phone,name,City\n+12125550101,,Oslo\n", list_name="Autumn")
    ann = Contact.objects.get()
    assert ann.name == "Ann" and ann.attributes == {"City": "Oslo", "Age": "7"} and ann.lists.count() == 2


def test_consent_by_row_by_file_and_by_nothing(user: User) -> None:
    text = "phone,consent\n+12125550101,shop till\n+12125550102,no\n+12125550103,yes\n+12125550104,\n"
    report = imported(user, text)
    assert report.no_consent == 1
    assert {one.contact.phone[-1]: one.source for one in ConsentRecord.objects.all()} == {
        "1": "shop till", "3": FORM, "4": FORM,
    }  # fmt: skip
    report = imported(user, text.replace("55501", "55502"), consent_source="")
    assert report.no_consent == 2
    assert Contact.objects.get(phone="+12125550204").consent == "unknown"
    assert Contact.objects.get(phone="+12125550203").consent_records.get().source == "consent column of the file: yes"


@pytest.mark.parametrize("otherwise", ["", "a form"])
def test_what_is_no_yes_is_no_consent(otherwise: str) -> None:
    for cell in (
        "no", "No, thanks", "NO!", "n", "N/A", "n.a.", "na", "-", "—", "?", "✗", "0", "0.0", "00", "FALSE",
        "none", "null", "not asked", "Did not agree", "didn't say", "has not opted in", "never", "unknown",
        "pending", "nahi", "declined", "opted out", "opt-out", "Optout 2024", "unsubscribed", "Un-subscribed",
        "revoked in May", "withdrawn", "STOP", "nein", "kein Einverständnis", "non", "pas demandé", "não", "nee",
        "nej", "nei", "ei", "ne", "nie", "nem", "tidak", "Belum", "нет", "ні", "όχι", "לא", "لا", "नहीं", "不",
        "否", "いいえ", "아니요", "hayır", "không",
    ):  # fmt: skip
        assert source_of(cell, otherwise) == "", cell
    for cell in ("yes", "YES.", "x", "1", "true", "ja", "oui", "sí", "ya", "हाँ", "да", "نعم", "はい", "✓", "evet"):
        assert source_of(cell, otherwise) == (otherwise or f"consent column of the file: {cell}"), cell
    for cell in ("shop till", "website form 2024-05-01", "Na loja", "Naam op lijst", "2024-05-01", "Nora, at the fair",
                 "opted in by SMS", "Novemberaktion", "agreed", "notary's office"):  # fmt: skip
        assert source_of(cell, otherwise) == cell


def test_no_consent_in_a_file_takes_none_away(user: User) -> None:
    imported(user, "phone\n+12125550101\n")
    imported(user, "phone\n+12125550101\n", consent_source="")
    assert people(user)["+12125550101"][1] == "granted"


def test_whoever_withdrew_stays_out(user: User) -> None:
    imported(user, "phone\n+12125550101\n")
    optout.opt_out(user=user, phone="+12125550101", source="message")
    Suppression.objects.create(user=user, phone="+12125550102")
    Contact.objects.create(user=user, phone="+12125550103", consent="withdrawn")
    numbers = "".join(f"+1212555010{n}\n" for n in (1, 2, 3, 4))
    report = imported(user, "phone\n" + numbers, consent_source="new form")
    assert (report.valid, report.suppressed, report.no_consent) == (4, 3, 0)
    assert [consent for _, consent in people(user).values()].count("withdrawn") == 3
    assert ConsentRecord.objects.filter(source="new form").count() == 1


def test_another_users_people_are_others(user: User, stranger: User) -> None:
    imported(stranger, "phone,name\n+12125550101,Theirs\n")
    imported(user, "phone,name\n+12125550101,Mine\n")
    assert people(stranger) == {"+12125550101": ("Theirs", "granted")}
    assert ContactList.objects.filter(name="Spring").count() == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_separators(user: User, encoding: str, delimiter: str) -> None:
    text = f"nombre{delimiter}teléfono\r\nJosé Ñandú{delimiter}+34600111222\r\n"
    imported(user, text.encode(encoding))
    assert people(user) == {"+34600111222": ("José Ñandú", "granted")}


@pytest.mark.parametrize(
    "header", ["Phone Number", "MOBILE", "WhatsApp", "Telefon", "Телефон", "電話番号", "फोन", "Phone 1 - Value", "tel."]
)
def test_headers_in_many_words(user: User, header: str) -> None:
    assert imported(user, f"x,{header}\n1,+12125550101\n").valid == 1


def test_unusual_headers_can_be_named(user: User) -> None:
    report = imported(user, "who,where to\nAnn,+12125550101\n", columns={"phone": "Where To", "name": "who"})
    assert report.valid == 1 and people(user)["+12125550101"][0] == "Ann"
    with pytest.raises(ServiceError, match="no column"):
        imported(user, "who,where to\n", columns={"phone": "phone"})


def test_spreadsheet_manners(user: User) -> None:
    text = 'sep=;\r\nname;phone\r\n"Ann ""A"" Lee";"\'+12125550101"\r\n"two\r\nlines";+12125550102\r\nBob;bad\r\n'
    report = imported(user, text)
    assert people(user)["+12125550101"][0] == 'Ann "A" Lee'
    assert report.rows[0][0] == 6


def test_local_numbers_need_a_country(user: User) -> None:
    assert imported(user, "phone\n600 111 222\n").rows[0][1].startswith("The country is missing")
    assert imported(user, "phone\n600 111 222\n", country="ES").valid == 1


BAD_FILES = {
    "empty": (b"", "empty"),
    "blank": (b"\r\n\r\n", "empty"),
    "program": (b"MZ\x90\x00\x03\x00\x00\x00" + bytes(range(256)) * 40, "not a text file"),
    "workbook": (b"PK\x03\x04" + b"x" * 100, "spreadsheet"),
    "nul": (b"phone,name\n+12125550101,A\x00nn\n", "not a text file"),
    "nul in utf-16": ("phone,name\n+12125550101,A\x00nn\n".encode("utf-16"), "encoding"),
    "cyrillic code page": ("телефон,имя\n+79161234567,Пётр\n".encode("cp1251"), "encoding"),
    "cut utf-16": ("phone\n+12125550101\n".encode("utf-16")[:-1], "encoding"),
    "utf-32": ("phone\n+12125550101\n".encode("utf-32"), "encoding"),
    "no phone": (b"name,city\nAnn,Rome\n", "No column holds phone numbers"),
    "headless": (b"+12125550101,Ann\n+12125550102,Bob\n", "No column holds phone numbers"),
    "same header": (b"phone,city,City\n+12125550101,a,b\n", "Two columns"),
    "many columns": (b"phone" + b",x" * 100 + b"\n", "columns"),
    "one long line": (b"a" * 5_000_000, "characters"),
    "one long line of cells": (b"phone," * 800_000, "columns"),
    "long cell": (b"phone,name\n+12125550101," + b"x" * 200_000 + b"\n", "Line 2 has a cell"),
    "open quote": (b'phone,name\n+12125550101,Ann\n+12125550102,"Bob\n+12125550103,Cy\n', "Line 3: a quotation mark"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_says_why_and_imports_nothing(user: User, name: str) -> None:
    data, says = BAD_FILES[name]
    with pytest.raises(ServiceError, match=says) as error:
        imported(user, data)
    assert error.value.message.endswith("Nothing was imported.") and len(error.value.message) < 400
    assert not Contact.objects.exists() and not ContactList.objects.exists()


def test_a_header_alone_is_an_empty_list(user: User) -> None:
    report = imported(user, "phone,name\n")
    assert report.total == 0 and ContactList.objects.count() == 1


def test_too_large(user: User, settings: object) -> None:
    settings.IMPORT_MAX_BYTES = 10
    with pytest.raises(ServiceError) as error:
        imported(user, "phone\n+12125550101\n")
    assert error.value.code == "too_large"


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\x00b"])
def test_a_list_needs_a_name(user: User, name: str) -> None:
    with pytest.raises(ServiceError):
        imported(user, "phone\n", list_name=name)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("+12125550101," + "x" * 121, "name has more"), ("+12125550101,a," + "y" * 1001, "A cell has more"),
        ("+12125550101,a,b,c", "more cells"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit(user: User, row: str, says: str) -> None:
    report = imported(user, f"phone,name,city\n{row}\n+12125550102\n")
    assert report.invalid == 1 and says in report.rows[0][1] and report.valid == 1


def test_the_report_names_a_thousand_rows_and_counts_all(user: User) -> None:
    report = imported(user, "phone\n" + "bad\n" * 1500)
    assert report.invalid == 1500 and len(report.rows) == 1000


def test_statements_do_not_grow_with_rows(user: User) -> None:
    def statements(rows: int, prefix: str) -> int:
        out = io.StringIO()
        csv.writer(out).writerows([["phone"], *([f"+1212{prefix}{n:04}"] for n in range(rows))])
        with CaptureQueriesContext(connection) as queries:
            assert imported(user, out.getvalue()).valid == rows
        return len(queries)

    statements(1, "556")
    assert statements(10, "557") == statements(5000, "558")


def test_imports_at_once_do_not_get_stuck(user: User) -> None:
    rows = [f"+1212556{n:04}" for n in range(2000)]
    barrier = threading.Barrier(4)

    def work(n: int) -> int:
        barrier.wait()
        try:
            return imported(user, "phone\n" + "\n".join(rows[:: 1 if n % 2 else -1])).valid
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [2000] * 4
    assert Contact.objects.count() == 2000
