"""People, single messages and campaigns over the API: the rules are the services', the addresses are ours."""

from __future__ import annotations

from typing import Any

import pytest

from phonebank.whatsappapi.models import ApiMessage, Campaign, ConsentRecord, Contact, Message, Suppression
from tests.api.conftest import Owner


def bulk(owner: Owner, *people: dict[str, Any], **more: Any) -> Any:
    return owner.api.post("contacts/bulk/", {"list_name": "Shop", "contacts": people, **more})


@pytest.mark.django_db(transaction=True)
def test_people_with_consent(owner: Owner) -> None:
    answer = bulk(
        owner,
        {"phone": "+1 212 555 0101", "name": "Ana", "attributes": {"City": "Madrid, Centro"}},
        {"phone": "+12125550102", "consent_source": "till"},
        consent_source="web form",
    ).json()
    assert (answer["new"], answer["no_consent"], answer["left_out"]) == (2, 0, [])
    ana = Contact.objects.get(phone="+12125550101")
    assert (ana.name, ana.consent, ana.attributes) == ("Ana", "granted", {"City": "Madrid, Centro"})
    assert set(ConsentRecord.objects.values_list("source", flat=True)) == {"web form", "till"}
    assert bulk(owner, {"phone": "+12125550101", "name": "Anna"}).json()["updated"] == 1
    shown = owner.api.get("contacts/?phone=%2B12125550101").json()["results"][0]
    assert (shown["name"], shown["consent"], len(shown["lists"])) == ("Anna", "granted", 1)


def test_without_any_source_nobody_may_be_written_to(owner: Owner) -> None:
    assert bulk(owner, {"phone": "+12125550101"}).json()["no_consent"] == 1
    assert Contact.objects.get().consent == "unknown"


@pytest.mark.django_db(transaction=True)
def test_who_withdrew_stays_so(owner: Owner) -> None:
    bulk(owner, {"phone": "+12125550101"}, consent_source="web form")
    assert owner.api.post("suppressions/", {"phone": "+12125550101", "note": "by phone"}).status_code == 201
    assert bulk(owner, {"phone": "+12125550101"}, consent_source="web form").json()["suppressed"] == 1
    shown = owner.api.get("contacts/").json()["results"][0]
    assert (shown["consent"], shown["is_suppressed"]) == ("withdrawn", True)


def test_what_is_left_out_is_named_by_its_place(owner: Owner) -> None:
    """Line breaks within a value must not shift the places."""
    answer = bulk(
        owner,
        {"phone": "+12125550101", "attributes": {"note": "two\r\nlines\rthree"}},
        {"phone": "12"},
        {"phone": "+12125550102", "name": 'with "quotes"\nand more'},
        {"phone": "+12125550101"},
        {"phone": "1x"},
    ).json()
    assert [one["index"] for one in answer["left_out"]] == [1, 3, 4]
    assert (answer["total"], answer["invalid"], answer["duplicate"]) == (5, 2, 1)


def test_a_single_message(owner: Owner) -> None:
    row = owner.session()
    bulk(owner, {"phone": "+12125550101"}, consent_source="order")
    made = owner.api.post("messages/", {"body": "Your order is ready.", "phone": "+12125550101"})
    assert made.status_code == 201
    one = made.json()
    assert (one["state"], one["session"], one["kind"]) == ("queued", str(row.public_id), "transactional")
    Message.objects.update(state="accepted", rank=3)
    shown = owner.api.get(f"messages/{one['id']}/").json()
    assert (shown["state"], shown["reason"]) == ("delivered", "It is on the phone.")
    assert [found["id"] for found in owner.api.get("messages/?state=delivered").json()["results"]] == [one["id"]]
    assert owner.api.get("messages/?state=queued").json()["results"] == []


def test_a_message_is_queued_once_per_key(owner: Owner) -> None:
    owner.session()
    bulk(owner, {"phone": "+12125550101"}, consent_source="order")
    for _ in range(3):
        owner.api.post(
            "messages/", {"body": "Hi", "phone": "+12125550101"}, Idempotency_Key="order 7".replace(" ", "-")
        )
    assert Message.objects.count() == ApiMessage.objects.count() == 1


def test_messages_that_may_not_leave(owner: Owner) -> None:
    def code(**body: Any) -> tuple[int, str]:
        answer = owner.api.post("messages/", {"body": "Hi", **body})
        return answer.status_code, answer.json()["errors"][0]["code"]

    bulk(owner, {"phone": "+12125550101"}, {"phone": "+12125550102"}, consent_source="order")
    assert code(phone="+12125550101") == (409, "no_session")
    down = owner.session(status="logged_out")
    assert code(phone="+12125550101", session=str(down.public_id)) == (409, "not_connected")
    owner.session()
    owner.api.post("suppressions/", {"phone": "+12125550102"})
    assert code(phone="+12125550102")[1] in ("opted_out", "no_consent")
    assert code(phone="+12125550103") == (422, "no_consent")
    assert code(phone="+12125550101", kind="test") == (422, "not_own")
    assert code() == (422, "nobody")
    contact = str(Contact.objects.first().public_id)
    assert code(phone="+12125550101", contact=contact) == (422, "either_or")
    assert code(phone="+12125550101", kind="campaign") == (400, "invalid_choice")
    assert not Message.objects.exists()


def test_a_suppression_says_whom_it_is_about(owner: Owner) -> None:
    assert owner.api.post("suppressions/", {"phone": "12"}).status_code == 422
    made = owner.api.post("suppressions/", {"phone": "+1 212 555 0101"}).json()
    assert (made["phone"], made["reason"], made["lifted_at"]) == ("+12125550101", "manual", None)
    assert owner.api.get("suppressions/?is_lifted=false").json()["results"][0]["id"] == made["id"]
    assert owner.api.get("suppressions/?is_lifted=true").json()["results"] == []
    assert Suppression.objects.count() == 1


def test_a_campaign(owner: Owner) -> None:
    row, people = owner.session(), owner.contact_list(3)
    body = {"body": "Hi {{ name|there }}", "contact_list": str(people.public_id), "sessions": [str(row.public_id)]}
    draft = owner.api.post("campaigns/", body)
    assert draft.status_code == 201
    one = draft.json()
    assert (one["state"], one["sessions"], one["name"]) == ("draft", [str(row.public_id)], "List")
    path = f"campaigns/{one['id']}/"
    assert owner.api("PATCH", path, {"pace": 30}).json()["pace"] == 30
    late = owner.api.post(f"{path}schedule/", {"at": "2020-01-01T08:00:00Z"})
    assert (late.status_code, late.json()["errors"][0]["attr"]) == (422, "at")
    assert owner.api.post(f"{path}schedule/", {"at": "2099-01-01T08:00:00+01:00"}).json()["state"] == "scheduled"
    assert owner.api.post(f"{path}unschedule/").json()["state"] == "draft"
    second = str(owner.session().public_id)
    assert second in owner.api.post(f"{path}add-session/", {"session": second}).json()["sessions"]
    assert second not in owner.api.post(f"{path}remove-session/", {"session": second}).json()["sessions"]
    assert owner.api.post(f"{path}launch/").json()["state"] == "dealing"
    assert owner.api.post(f"{path}launch/").status_code == 409
    assert owner.api.post(f"{path}cancel/").json()["state"] == "cancelled"
    copy = owner.api.post(f"{path}clone/")
    assert (copy.status_code, copy.json()["state"]) == (201, "draft")
    assert Campaign.objects.count() == 2


def test_a_campaigns_figures_add_up(owner: Owner) -> None:
    campaign = owner.campaign(3, sessions=2)
    found = owner.api.get(f"campaigns/{campaign.public_id}/progress/").json()
    assert found["total"] == sum(found["counts"].values()) == sum(one["total"] for one in found["sessions"]) == 6
    assert found["open"] == 0
