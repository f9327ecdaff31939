from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Installation, Message, WaSenderSession
from phonebank.whatsappapi.services import sessions
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from tests.services.conftest import Sandbox
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


@pytest.fixture
def row(chief: Desk, sandbox: Sandbox) -> WaSenderSession:
    """A session whose log names a person after the backup, who still waits here."""
    sandbox.pull("PATCH", "/knobs", {"rate_limit": 0, "protected_gap": 0})
    Installation.objects.update(held_at=None)
    account = ensure_sandbox_account(owner=chief.user, url=sandbox.url, token=sandbox.token)
    made = sessions.create_session(actor=chief.user, account=account, phone_number="+12125550100", name="Front")
    sessions.connect(actor=chief.user, wa_session=made)
    sandbox.link(made.wasender_id, lambda: sessions.refresh_status(wa_session=made).status == "connected")
    sandbox.send(made.api_key, "+12125550170")
    for phone in ("+12125550170", "+12125550171"):
        Message.objects.create(user=chief.user, session=made, phone=phone, kind="transactional", body="x")
    Installation.objects.update(held_at=timezone.now(), known_until=timezone.now() - timedelta(hours=1))
    return made


def states() -> list[str]:
    return list(Message.objects.order_by("phone").values_list("state", flat=True))


def test_the_page_says_what_the_logs_say(chief: Desk, row: WaSenderSession) -> None:
    chief.session("Deaf", log_messages=False)
    text = chief.client.post(f"{URL}compare/").text
    assert "1 person was written to since. 1 log read." in text
    assert "<li><bdi>Deaf</bdi>: message logging is off at WaSender</li>" in text
    assert states() == ["queued", "queued"] and Installation.objects.get().held_at


def test_a_typed_word_confirms(chief: Desk, row: WaSenderSession) -> None:
    assert URL in chief.client.get("/whatsappapi/").text
    page = chief.client.get(URL)
    assert "What this database does not know" in page.text and page.headers["Cache-Control"]
    chief.client.post(URL, {"typed": "yes"})
    assert Installation.objects.get().held_at
    told = chief.client.post(URL, {"typed": "confirm", "leave_out": "1", "pause": "1"}, follow=True)
    assert "Sending goes on" in told.text and not Installation.objects.get().held_at
    assert "name their people: 1." in told.text and states() == ["skipped", "queued"]
    assert "Nothing is sent" not in chief.client.get("/whatsappapi/").text
    assert "Nothing is held" in chief.client.get(URL).text
    told = chief.client.post(URL, {"typed": "confirm", "leave_out": "1"}, follow=True)
    assert "Nothing was held" in told.text and "Sending goes on" not in told.text


def test_one_log_that_does_not_tell_does_not_undo_the_others(chief: Desk, row: WaSenderSession) -> None:
    chief.session("Deaf", log_messages=False)
    told = chief.client.post(URL, {"typed": "confirm", "leave_out": "1", "anyway": "1"}, follow=True)
    assert "did not tell: Deaf: message logging is off" in told.text and not Installation.objects.get().held_at
    assert states() == ["skipped", "queued"]


def test_without_the_first_box_nobody_is_left_out(chief: Desk, row: WaSenderSession) -> None:
    told = chief.client.post(URL, {"typed": "confirm"}, follow=True)
    assert "Sending goes on" in told.text and "name their people" not in told.text
    assert states() == ["queued", "queued"]


def test_a_log_that_cannot_be_read_is_named_and_keeps_it_held(chief: Desk) -> None:
    chief.session("Deaf", log_messages=False)
    assert "Deaf" in chief.client.post(f"{URL}compare/").text
    told = chief.client.post(URL, {"typed": "CONFIRM", "leave_out": "1"}, follow=True)
    assert "Some logs do not tell" in told.text and Installation.objects.get().held_at
