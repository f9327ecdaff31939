"""Consent, erasure, merging, exports."""

from __future__ import annotations

import io
import random

import pytest
import python_calamine
from django.db import IntegrityError, connection, transaction

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignCount,
    ConsentRecord,
    Contact,
    ContactList,
    InboundMessage,
    Message,
    Suppression,
    WaSenderSession,
    WebhookEvent,
)
from phonebank.whatsappapi.services import consent, contacts, erasure, optout, people, tables
from phonebank.whatsappapi.services.errors import ServiceError

pytestmark = pytest.mark.django_db(transaction=True)
PERSON, OTHER = "+13105550151", "+13105550152"


@pytest.fixture
def ann(user: User) -> Contact:
    made = Contact.objects.create(user=user, phone=PERSON, name="Ann Lee", lid="7@lid", attributes={"city": "Rome"})
    consent.grant(actor=user, contact=made, source="counter form", wording="Yes")
    return made


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_the_ledger_only_grows(user: User, ann: Contact) -> None:
    entry = ann.consent_records.get()
    for act in (
        lambda: ConsentRecord.objects.update(source="better"),
        lambda: ConsentRecord.objects.update(recorded_by=None, source="x"),
        entry.delete,
        ann.delete,
    ):
        with pytest.raises(IntegrityError, match="only grows"), transaction.atomic():
            act()
    assert ConsentRecord.objects.get().source == "counter form"
    ConsentRecord.objects.update(recorded_by=None)  # whoever wrote it down is gone
    user.delete()
    assert not ConsentRecord.objects.exists()


def test_granting_and_withdrawing(user: User, ann: Contact) -> None:
    with pytest.raises(ServiceError, match="Say how"):
        consent.grant(actor=user, contact=ann, source=" ")
    consent.withdraw(actor=user, contact=ann, source="by telephone")
    assert ann.consent == "withdrawn" and Suppression.objects.get().added_by == user
    with pytest.raises(ServiceError, match="Only they"):
        consent.grant(actor=user, contact=ann, source="counter")
    assert optout.opt_in(user=user, phone=PERSON, source="message")
    assert [one.status for one in ann.consent_records.order_by("id")] == ["granted", "withdrawn", "granted"]


def test_one_under_review_may_agree_but_stays_held(user: User, ann: Contact) -> None:
    optout.hold_for_review(user=user, phone=PERSON, words="hm", source="message")
    consent.grant(actor=user, contact=ann, source="at the counter, again")
    assert Suppression.objects.get().lifted_at is None


# --- review ----------------------------------------------------------------------------------------------------------


def test_held_once_and_never_over_a_stop(user: User, ann: Contact) -> None:
    first = optout.hold_for_review(user=user, phone=PERSON, words="no interest", source="message")
    assert first.reason == "review"
    assert optout.hold_for_review(user=user, phone=PERSON, words="again", source="message") is None
    optout.opt_out(user=user, phone=PERSON, source="message")
    assert Suppression.objects.get().reason == "stop"
    assert optout.hold_for_review(user=user, phone=PERSON, words="again", source="message") is None
    ann.refresh_from_db()
    assert ann.consent == "withdrawn"


def test_a_start_ends_a_review(user: User, ann: Contact) -> None:
    optout.hold_for_review(user=user, phone=PERSON, words="hm", source="message")
    assert optout.opt_in(user=user, phone=PERSON, source="message")
    ann.refresh_from_db()
    assert ann.consent == "granted" and not Suppression.objects.filter(lifted_at=None).exists()


# --- erasure ---------------------------------------------------------------------------------------------------------


def history(user: User, ann: Contact, session: WaSenderSession, *states: str) -> Campaign:
    campaign = Campaign.objects.create(user=user, name="C", body="Hi {{ name }}", state="running")
    for number, state in enumerate(states):
        phone = PERSON if number == 0 else f"+1212555020{number}"
        row = Message.objects.create(
            user=user, campaign=campaign, contact=ann if number == 0 else None, session=session, phone=phone,
            state=state, variables={"name": "Ann Lee"} if number == 0 else {}, rank=0,
        )  # fmt: skip
        CampaignCount.objects.create(campaign=campaign, session=session, state=f"{state}", n=1)
        Attempt.objects.create(
            message=row, session=session, phone=phone, worker="w", key_version=1, connection_version=1,
            body_hash=b"", started_at="2026-11-01T00:00Z", lease_until="2026-11-01T00:00Z",
            resolved_at=None if state == "unknown" else "2026-11-01T00:01Z",
        )  # fmt: skip
    return campaign


def traces(needle: str) -> list[str]:
    """Tables with a row that still names it."""
    found = []
    for table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{needle}%"])
            if cursor.fetchone()[0]:
                found.append(table)
    return found


def test_erasing_leaves_counters_and_no_trace(user: User, ann: Contact, linked: WaSenderSession) -> None:
    campaign = history(user, ann, linked, "accepted", "failed")
    InboundMessage.objects.create(user=user, session=linked, contact=ann, phone=PERSON, key_id="k", text="Hi, Ann Lee")
    body = b'{"from": "13105550151", "name": "Ann Lee"}'
    WebhookEvent.objects.create(session=linked, body=body, digest=b"d", state="done")
    erasure.erase(actor=user, contact=ann)
    assert erasure.finish(ann.pk) and erasure.finish(ann.pk)
    for needle in ("3105550151", "Ann Lee", "7@lid"):
        assert traces(needle) == [], needle
    assert sum(one.n for one in CampaignCount.objects.all()) == campaign.messages.count() == 2
    assert Attempt.objects.filter(phone__startswith="erased:").get().session == linked
    assert Message.objects.filter(phone="+12125550201").count() == 1


def test_a_request_under_way_keeps_its_number_until_it_is_known(
    user: User, ann: Contact, linked: WaSenderSession
) -> None:
    history(user, ann, linked, "unknown")
    erasure.erase(actor=user, contact=ann)
    assert not erasure.finish(ann.pk)
    assert Message.objects.get().phone == PERSON and Suppression.objects.get().phone == PERSON
    Message.objects.update(state="accepted")
    Attempt.objects.update(resolved_at="2026-11-01T00:00Z")
    assert erasure.finish(ann.pk) and traces("3105550151") == []


def test_waiting_rows_are_skipped_first(user: User, ann: Contact, linked: WaSenderSession) -> None:
    campaign = history(user, ann, linked, "queued")
    erasure.erase(actor=user, contact=ann)
    row = campaign.messages.get()
    assert (row.state, row.reason) == ("skipped", "Was erased")
    counted = {one.state: one.n for one in CampaignCount.objects.filter(campaign=campaign) if one.n}
    assert counted == {"skipped": 1}


def test_the_erased_do_not_come_back_but_by_themselves(user: User, stranger: User, ann: Contact) -> None:
    erasure.erase(actor=user, contact=ann)
    erasure.finish(ann.pk)
    fields = {"list_name": "L", "filename": "x.csv", "consent_source": "form"}
    report = contacts.import_csv(actor=user, data=f"phone\n{PERSON}\n{OTHER}\n".encode(), **fields)
    assert (report.erased, report.valid, report.total) == (1, 1, 2) and report.rows[0][2] == ""
    with pytest.raises(ServiceError, match="erased"):
        contacts.add_contact(actor=user, phone=PERSON)
    assert contacts.add_contact(actor=stranger, phone=PERSON).pk
    assert not optout.opt_in(user=stranger, phone=PERSON, source="message")
    assert optout.opt_in(user=user, phone=PERSON, source="message")
    assert contacts.add_contact(actor=user, phone=PERSON).consent == "unknown"


def test_digests_of_two_owners_differ(user: User, stranger: User) -> None:
    assert erasure.digest_of(user, PERSON) == erasure.digest_of(user, PERSON) != erasure.digest_of(stranger, PERSON)


# --- by hand ---------------------------------------------------------------------------------------------------------


def edited(user: User, one: Contact, **change: object) -> Contact:
    values = {"phone": one.phone, "name": one.name, "attributes": one.attributes, "lists": [], "tags": []}
    return contacts.edit_contact(actor=user, contact=one, **values | change)


def test_a_new_number_needs_new_consent(user: User, ann: Contact) -> None:
    assert edited(user, ann, name=" Ann  B ").consent == "granted"
    moved = edited(user, ann, phone="+1 212 555 0109")
    assert (moved.phone, moved.consent, moved.lid) == ("+12125550109", "unknown", "")
    assert ann.consent_records.count() == 2


def test_the_same_number_makes_them_one(user: User, ann: Contact) -> None:
    bob = Contact.objects.create(user=user, phone=OTHER, name="", attributes={"age": "7", "city": "Oslo"})
    ann.lists.add(ContactList.objects.create(user=user, name="L"))
    left = edited(user, ann, phone=OTHER, name="Ann", lists=list(ann.lists.all()), tags=["vip"])
    assert left == bob and Contact.objects.get() == bob
    bob.refresh_from_db()
    assert (bob.name, bob.attributes, bob.consent) == ("Ann", {"age": "7", "city": "Oslo"}, "unknown")
    assert bob.lists.count() == bob.tags.count() == 1
    assert "counter form" in bob.consent_records.get().wording


def test_finding(user: User, ann: Contact) -> None:
    for q, found in (("ann", 1), ("LEE", 1), ("5550151", 1), ("+1 (310)", 1), ("0151", 1), ("x", 0), ("999", 0)):
        assert people.find_people(user, q=q).count() == found, q


# --- files -----------------------------------------------------------------------------------------------------------


def test_ten_thousand_cells_and_not_one_formula() -> None:
    chance = random.Random(3)
    starts = ["=", "+", "-", "@", "\t=", "\r", "\x00=", " =", "|", "%", "a", "", "+1212555010", "\n@"]
    rows = [["A", "B"]] + [
        [chance.choice(starts) + chance.choice(["cmd|' /C calc'!A0", "1+1", "x", "é\ud800", "3"]) for _ in "AB"]
        for _ in range(5_000)
    ]
    for row in rows[1:]:
        for value in map(tables.inert, row):
            stripped = value.lstrip(" \t\r\n\x00")
            is_phone = value[:1] == "+" and value[1:].isdigit() and len(value) > 6
            assert value[:1] == "'" or stripped[:1] not in "=+-@|%" or not stripped or is_phone
    assert b"".join(tables.csv_blocks(rows)).startswith(b"\xef\xbb\xbfA,B\r\n")


def test_a_file_begins_at_once_and_keeps_every_row() -> None:
    rows = [[f"r{n}"] for n in range(501)]
    blocks = list(tables.csv_blocks(rows))
    assert blocks[0] == b"\xef\xbb\xbfr0\r\n"
    assert [block.count(b"\r\n") for block in blocks] == [1, 9, 90, 100, 100, 100, 100, 1]
    assert b"".join(blocks).decode("utf-8-sig").splitlines() == [row[0] for row in rows]


def test_a_workbook_holds_text_alone() -> None:
    rows = [["phone", "name"], ["+12125550101", "=1+1"], ["0123", "a\x00\x0bb"]]
    file = tables.xlsx_file(rows)
    read = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read())).get_sheet_by_index(0).to_python()
    assert read == [["phone", "name"], ["+12125550101", "=1+1"], ["0123", "ab"]]
    file.close()
