"""Somebody deletes a row while another's request is about to lock it: 404 for them, and nothing half-written."""

from __future__ import annotations

import threading

import psycopg
import pytest
from django.db import connection
from django.http import HttpResponse

from phonebank.whatsappapi.api.handler import ErrorHandler
from phonebank.whatsappapi.models import Campaign, ConsentRecord, Contact, ContactList
from tests.scenes.conftest import test_database as database_url

from .conftest import Desk

pytestmark = pytest.mark.django_db(transaction=True)
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"  # what pg_stat_activity says is kept for a whole transaction


def while_it_goes(desk: Desk, delete: str, number: int, path: str, form: dict[str, str]) -> HttpResponse:
    """The answer to a form that waits for a row which `delete` then takes away."""
    answers: list[HttpResponse] = []

    def ask() -> None:
        try:
            answers.append(desk.client.post(path, form))
        finally:
            connection.close()

    with psycopg.connect(database_url()) as other:
        other.execute(delete, [number])
        asking = threading.Thread(target=ask)
        asking.start()
        while asking.is_alive() and not other.execute(WAITING).fetchone():
            asking.join(0.05)
        other.commit()
        asking.join(60)
    return answers[0]


def test_a_person(desk: Desk) -> None:
    ann = Contact.objects.create(user=desk.user, phone="+12125550101", name="Ann")
    delete = "DELETE FROM whatsappapi_contact WHERE id = %s"
    path = f"/whatsappapi/contacts/people/{ann.public_id}/grant/"
    answer = while_it_goes(desk, delete, ann.pk, path, {"source": "At the counter"})
    assert answer.status_code == 404
    assert not ConsentRecord.objects.exists()


def test_a_list_that_a_draft_is_for(desk: Desk) -> None:
    people = ContactList.objects.create(user=desk.user, name="Guests")
    delete = "DELETE FROM whatsappapi_contactlist WHERE id = %s"
    answer = while_it_goes(
        desk, delete, people.pk, "/whatsappapi/send-campaign/", {"list": str(people.public_id), "name": "Sale"}
    )
    assert answer.status_code == 404
    assert not Campaign.objects.exists()


def test_the_api_says_the_same() -> None:
    answer = ErrorHandler(Contact.DoesNotExist("Contact matching query does not exist."), {}).run()
    assert answer is not None and answer.status_code == 404
