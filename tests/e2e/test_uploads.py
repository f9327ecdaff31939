"""Files as people pick them by mistake: each gets a sentence, none gets in."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from phonebank.accounts.models import OneTimeLink
from phonebank.accounts.services import make_link
from phonebank.whatsappapi.models import Contact, ContactList
from tests.scenes.conftest import Scene

from .conftest import QUIET, Visitor

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.django_db(transaction=True),
    pytest.mark.parametrize("scene", [QUIET], indirect=True, ids=[""]),
]

NOISE = random.Random(1).randbytes(20_000)
FILES = {
    "empty.csv": (b"", "The submitted file is empty."),
    "blank.csv": (b"\n\n  \n", "The file is empty."),
    "setup.csv": (b"MZ\x90\x00\x03\x00\x00\x00\x04\x00" + NOISE, "This is not a text file."),
    "people.xlsx.csv": (b"PK\x03\x04" + NOISE, "This is a spreadsheet, not a CSV file."),
    "noise.csv": (bytes(byte | 0x80 for byte in NOISE), "The file's encoding cannot be told."),
    "koi8.csv": ("телефон,имя\n+79161234567,Анна\n".encode("koi8-r"), "The file's encoding cannot be told."),
    "one-line.csv": (b"1" * 5_000_000, "cell of more than 131,072 characters"),
    "no-phone.csv": (b"city,name\nBoston,Ana\n", "No column holds phone numbers"),
}


def test_files_that_are_none(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.use_link(f"/accounts/link/{make_link(purpose=OneTimeLink.Purpose.LOGIN, user=scene.user)}/")
    for name, (content, sentence) in FILES.items():
        page = me.goto("/whatsappapi/contacts/import/")
        page.get_by_label("List").fill("Regulars")
        page.get_by_label("How did these people agree?").fill("Form at the counter")
        page.get_by_label("CSV file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})
        with me.expecting(422):
            me.press("Import")
            error = page.locator("#id_file_error")
            expect(error, name).to_contain_text(sentence)
        expect(page.get_by_label("List")).to_have_value("Regulars")
        expect(page.get_by_label("CSV file")).to_have_attribute("aria-describedby", "id_file_error id_file_help")
        assert not ContactList.objects.exists() and not Contact.objects.exists(), name
