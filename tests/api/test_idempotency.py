"""Once per key, whatever happens at the same time."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import close_old_connections, connection
from django.utils import timezone

from phonebank.whatsappapi.models import ApiAnswer, SessionGroup
from tests.api.conftest import Api, Owner, token_of

KEY = {"Idempotency_Key": "order-4711"}
BODY = {"name": "Night"}


def test_the_same_answer_again(owner: Owner) -> None:
    first = owner.api.post("groups/", BODY, **KEY)
    again = owner.api.post("groups/", BODY, **KEY)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert SessionGroup.objects.count() == 1


def test_another_body_or_address(owner: Owner) -> None:
    owner.api.post("groups/", BODY, **KEY)
    for path, body in (("groups/", {"name": "Day"}), ("suppressions/", {"phone": "+12125550100"})):
        other = owner.api.post(path, body, **KEY)
        assert other.status_code == 422
        assert other.json()["errors"][0]["code"] == "idempotency_mismatch"
    assert SessionGroup.objects.count() == 1


def test_a_key_is_a_persons_own(owner: Owner, other: Owner) -> None:
    owner.api.post("groups/", BODY, **KEY)
    assert other.api.post("groups/", BODY, **KEY).status_code == 201
    # But all of a person's tokens share it: a second process of theirs repeats, too.
    assert Api(token_of(owner.user)).post("groups/", BODY, **KEY)["Idempotency-Replayed"] == "true"


def test_a_refusal_by_the_state_is_kept_and_one_before_the_act_is_not(owner: Owner) -> None:
    owner.api.post("groups/", BODY)
    assert owner.api.post("groups/", BODY, **KEY).status_code == 409
    SessionGroup.objects.all().delete()
    assert owner.api.post("groups/", BODY, **KEY).status_code == 409
    free = {"Idempotency_Key": "another"}
    assert owner.api.post("groups/", {"nam": "Night"}, **free).status_code == 400
    assert owner.api.post("groups/", BODY, **free).status_code == 201


def test_in_flight_and_interrupted(owner: Owner) -> None:
    owner.api.post("groups/", BODY, **KEY)
    ApiAnswer.objects.update(status=None, body="")
    waits = owner.api.post("groups/", BODY, **KEY)
    assert (waits.status_code, waits.json()["errors"][0]["code"]) == (409, "idempotency_in_flight")
    ApiAnswer.objects.update(created_at=timezone.now() - timedelta(minutes=3))
    dead = owner.api.post("groups/", BODY, **KEY)
    assert (dead.status_code, dead.json()["errors"][0]["code"]) == (409, "idempotency_interrupted")
    assert SessionGroup.objects.count() == 1


def test_for_24_hours(owner: Owner) -> None:
    owner.api.post("groups/", BODY, **KEY)
    ApiAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert owner.api.post("groups/", BODY, **KEY).status_code == 409  # done anew, and the name is taken


def test_nothing_readable_is_kept(owner: Owner) -> None:
    """Neither the key nor the body, of which a program may have put a secret into either; the answer is encrypted."""
    owner.api.post("suppressions/", {"phone": "+12125550123", "note": "hush hush"}, **KEY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT a::text FROM whatsappapi_apianswer a")
        [(row,)] = cursor.fetchall()
    assert not any(word in row for word in ("order-4711", "hush hush", "2125550123"))
    assert json.loads(ApiAnswer.objects.get().body)["phone"] == "+12125550123"


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256])
def test_a_key_has_a_form(key: str, owner: Owner) -> None:
    answer = owner.api.post("groups/", BODY, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "Idempotency-Key")
    assert not SessionGroup.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once(plans: None) -> None:
    owner = Owner("ana@example.org")
    token = token_of(owner.user)
    answers: list[Any] = []
    start = threading.Barrier(16)

    def ask() -> None:
        try:
            api = Api(token)
            start.wait(60)
            answers.append(api.post("groups/", BODY, **KEY))
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert SessionGroup.objects.count() == 1
    statuses = [one.status_code for one in answers]
    assert len(statuses) == 16 and set(statuses) <= {201, 409}
    first = [one for one in answers if one.status_code == 201 and "Idempotency-Replayed" not in one]
    assert len(first) == 1
    refused = {one.json()["errors"][0]["code"] for one in answers if one.status_code == 409}
    assert refused <= {"idempotency_in_flight"}
