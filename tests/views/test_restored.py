from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Installation
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db
URL = "/whatsappapi/status/restored/"


@pytest.fixture(autouse=True)
def _held(plans: None) -> None:
    values = {"held_at": timezone.now(), "held_why": "It was restored from a backup.", "known_until": timezone.now()}
    Installation.objects.update_or_create(pk=1, defaults=values)


@pytest.fixture
def chief(desk: Desk) -> Desk:
    User.objects.filter(pk=desk.user.pk).update(is_superuser=True)
    return desk


def test_everybody_is_told_and_only_administrators_see_the_page(desk: Desk) -> None:
    text = desk.client.get("/whatsappapi/").text
    assert "Nothing is sent" in text and URL not in text and "All sending is stopped" not in text
    for path in (URL, f"{URL}compare/"):
        assert desk.client.post(path, {"typed": "CONFIRM"}).status_code == 404
        assert Client().post(path, {"typed": "CONFIRM"}).status_code == 302
    assert desk.client.get(URL).status_code == 404 and Installation.objects.get().held_at


def test_a_typed_word_confirms(chief: Desk) -> None:
    assert URL in chief.client.get("/whatsappapi/").text
    page = chief.client.get(URL)
    assert "What this database does not know" in page.text and page.headers["Cache-Control"]
    chief.client.post(URL, {"typed": "yes"})
    assert Installation.objects.get().held_at
    told = chief.client.post(URL, {"typed": "confirm", "leave_out": "1", "pause": "1"}, follow=True)
    assert "Sending goes on" in told.text and not Installation.objects.get().held_at
    assert "Nothing is sent" not in chief.client.get("/whatsappapi/").text
    assert "Nothing is held" in chief.client.get(URL).text


def test_a_log_that_cannot_be_read_is_named_and_keeps_it_held(chief: Desk) -> None:
    chief.session("Deaf", log_messages=False)
    assert "Deaf" in chief.client.post(f"{URL}compare/").text
    told = chief.client.post(URL, {"typed": "CONFIRM", "leave_out": "1"}, follow=True)
    assert "Some logs do not tell" in told.text and Installation.objects.get().held_at
