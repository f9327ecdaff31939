from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    Alert,
    Attempt,
    Campaign,
    CampaignCount,
    Contact,
    Conversation,
    GatewayAccount,
    InboundMessage,
    Message,
    Suppression,
    WaSenderSession,
    Watch,
    WebhookEvent,
)
from phonebank.whatsappapi.services import inbound, intake, webhooks
from tests.services.conftest import KEY, SECRET, make_session

pytestmark = pytest.mark.django_db(transaction=True)
PERSON = "+13105550142"
OTHER_KEY, OTHER_SECRET = "d4" * 32, "beef" * 8


@pytest.fixture(autouse=True)
def _no_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_backlog", intake._Backlog())


def receive(
    row: WaSenderSession, event: str = "session.status", data: Any = None, *, secret: str = SECRET, token: str = "",
    key: Any = KEY, raw: bytes | None = None, user_id: Any = None, at: float | None = None,
) -> intake.Answer:  # fmt: skip
    body: dict[str, Any] = {"event": event, "data": data or {}, "timestamp": int((at or time.time()) * 1000)}
    if key is not None:
        body["sessionId"] = key
    raw = raw if raw is not None else json.dumps(body).encode()
    [answer] = intake.receive([intake.Delivery(user_id or row.user.public_id, token, secret, raw)])
    return answer


def update(msg_id: int | None, status: int, key_id: str = "3EB0AA", phone: str = PERSON) -> dict[str, Any]:
    jid = phone[1:] + "@s.whatsapp.net"
    return {
        "msgId": msg_id, "status": status, "remoteJid": jid, "key": {"id": key_id, "fromMe": True, "remoteJid": jid},
    }  # fmt: skip


def written(text: str, key_id: str, phone: str = PERSON, lid: str = "", at: float | None = None) -> dict[str, Any]:
    jid = lid or phone[1:] + "@s.whatsapp.net"
    key = {"id": key_id, "fromMe": False, "remoteJid": jid, "senderLid": lid}
    if phone:
        key["cleanedSenderPn"] = phone[1:]
    message = {"key": key, "messageBody": text, "pushName": "Pat", "messageTimestamp": int(at or time.time())}
    return {"messages": message}


def settle() -> int:
    """Everything due, now."""
    WebhookEvent.objects.filter(state__in=["new", "unmatched"]).update(due_at=timezone.now())
    return webhooks.process_batch()


def states() -> list[str]:
    return list(WebhookEvent.objects.order_by("id").values_list("state", flat=True))


# --- receiving


def test_a_delivery_is_kept_once_without_its_key_in_few_statements(linked: WaSenderSession) -> None:
    intake._backlog.is_full()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert receive(linked, at=1_790_000_000).status == 200
    assert len(queries) == 2
    assert receive(linked, at=1_790_000_000).status == 200
    event = WebhookEvent.objects.get()
    assert KEY.encode() not in bytes(event.body) and b'"***"' in bytes(event.body) and event.state == "new"


@pytest.mark.parametrize(
    "raw",
    [
        b"not json " + KEY.encode(), b'{"event": "x", "deep": ' + b"[" * 100_000, b"\x00\xff\xfe", b"[]",
        b'{"event":"x","data":{"session_id":"%s"}}' % KEY.encode(),
        b'{"event":"x","data":{"odd":"%s"}}' % KEY.encode(),
        b'{"event":"x\\u0000\\ud800","data":NaN}',
    ],
)  # fmt: skip
def test_any_bytes_are_kept_and_harm_nothing(linked: WaSenderSession, raw: bytes) -> None:
    assert receive(linked, raw=raw).status == 200
    assert KEY.encode() not in bytes(WebhookEvent.objects.get().body)
    settle()
    assert states()[0] in ("quarantined", "done")


def test_what_is_put_aside_raises_one_alert(linked: WaSenderSession) -> None:
    for n in range(3):
        receive(linked, raw=b"nonsense %d" % n)
    settle()
    assert states() == ["quarantined"] * 3
    alert = Alert.objects.get()
    assert alert.user == linked.user and alert.times == 3


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "wrong"}, {"secret": ""}, {"secret": "\udcff"}, {"user_id": uuid.uuid4()}, {"user_id": "nobody"},
        {"token": "wrong"},
    ],
)  # fmt: skip
def test_the_wrong_secret_user_or_token_is_refused_alike(linked: WaSenderSession, change: dict[str, Any]) -> None:
    assert receive(linked, **change) == intake.REFUSED
    assert not WebhookEvent.objects.exists()


def test_a_foreign_users_secret_is_refused(linked: WaSenderSession, stranger: User) -> None:
    assert receive(linked, user_id=stranger.public_id) == intake.REFUSED


def test_the_token_of_the_new_address(linked: WaSenderSession) -> None:
    assert receive(linked, token=linked.webhook_token).status == 200


def test_the_session_is_known_by_key_number_old_key_or_secret_alone(linked: WaSenderSession) -> None:
    assert receive(linked, key=linked.wasender_id).status == 200
    assert receive(linked, key=None).status == 200
    linked.set_api_key("e5" * 32)
    linked.save()
    assert receive(linked, key=KEY, at=1).status == 200
    assert receive(linked, key="e5" * 32, at=2).status == 200
    WaSenderSession.objects.update(previous_key_until=timezone.now() - timedelta(seconds=1))
    assert receive(linked, key=KEY, at=3).status == 403
    assert states() == ["new"] * 4 + ["quarantined"]


def test_the_old_secret_holds_for_a_day(linked: WaSenderSession) -> None:
    linked.set_webhook_secret(SECRET)  # the same again is no change
    assert linked.previous_secret_digest == ""
    linked.set_webhook_secret(OTHER_SECRET)
    linked.save()
    assert receive(linked, at=1).status == receive(linked, secret=OTHER_SECRET, at=2).status == 200
    assert [one.note for one in WebhookEvent.objects.order_by("pk")] == ["previous secret", ""]
    WaSenderSession.objects.update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    assert receive(linked, at=3) == intake.REFUSED


def test_a_key_nobody_knows_may_be_our_own_new_one(linked: WaSenderSession) -> None:
    """Losing a STOP because the key was changed in the dashboard would be worse."""
    assert receive(linked, key="f6" * 32).status == 200
    assert WebhookEvent.objects.get().note == "unknown session key"


def test_a_delivery_that_names_another_session_is_put_aside(linked: WaSenderSession, account: GatewayAccount) -> None:
    other = make_session(account, OTHER_KEY, OTHER_SECRET)
    for key in (OTHER_KEY, other.wasender_id):
        assert receive(linked, "session.status", {"status": "logged_out"}, key=key).status == 403
    settle()
    other.refresh_from_db()
    linked.refresh_from_db()
    assert other.status == linked.status == "connected" and states() == ["quarantined"] * 2
    assert not other.webhook_events.exists()
    assert OTHER_KEY.encode() not in b"".join(bytes(one.body) for one in WebhookEvent.objects.all())


def test_two_sessions_of_one_secret_are_told_apart(linked: WaSenderSession, account: GatewayAccount) -> None:
    other = make_session(account, OTHER_KEY, SECRET)
    assert receive(linked, key=OTHER_KEY).status == 200
    assert WebhookEvent.objects.get().session == other
    assert receive(linked, key=None).status == 403
    assert receive(linked, key=None, token=linked.webhook_token).status == 200


def test_a_deleted_session_is_gone_and_a_disabled_user_is_not(linked: WaSenderSession) -> None:
    User.objects.update(is_active=False)
    assert receive(linked).status == 200
    WaSenderSession.objects.update(deleted_at=timezone.now())
    assert receive(linked, at=5).status == 410
    assert WebhookEvent.objects.count() == 1


def test_a_full_inbox_asks_to_come_back(linked: WaSenderSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BACKLOG_MAX", 1)
    monkeypatch.setattr(intake, "BACKLOG_EVERY", 0)
    assert [receive(linked, at=n).status for n in (1, 2, 3)] == [200, 200, 503]


# --- applying statuses


@pytest.fixture
def sent(linked: WaSenderSession) -> Message:
    """A campaign message that the gateway accepted as number 77."""
    campaign = Campaign.objects.create(user=linked.user, name="Spring", body="Hello", state="running")
    message = Message.objects.create(
        user=linked.user, campaign=campaign, session=linked, phone=PERSON, state="accepted", attempt=uuid.uuid4()
    )
    attempt(message, message.attempt, msg_id=77)
    CampaignCount.objects.create(campaign=campaign, session=linked, state="accepted", n=1)
    return message


def attempt(message: Message, pk: uuid.UUID, msg_id: int | None) -> Attempt:
    now = timezone.now()
    return Attempt.objects.create(
        id=pk, message=message, session=message.session, phone=message.phone, worker="w", key_version=1,
        connection_version=1, body_hash=b"0" * 32, started_at=now, lease_until=now, finished_at=now,
        resolved_at=now, outcome="accepted", msg_id=msg_id,
    )  # fmt: skip


def counts() -> dict[str, int]:
    return {one.state: one.n for one in CampaignCount.objects.all() if one.n}


def test_statuses_only_rise_in_whatever_order(sent: Message, linked: WaSenderSession) -> None:
    for n, status in enumerate((3, 2, 4, 2, 3, 3)):
        receive(linked, "messages.update", update(77, status), at=1_790_000_000 + n)
    assert settle() == 6
    sent.refresh_from_db()
    assert sent.rank == 4 and counts() == {"read": 1} and set(states()) == {"done"}
    assert Attempt.objects.get().key_id == "3EB0AA"
    receive(linked, "messages.update", {"status": 5, "key": {"id": "3EB0AA", "fromMe": True, "remoteJid": ""}})
    settle()
    sent.refresh_from_db()
    assert sent.rank == 5


def test_the_same_number_under_another_session_is_another_message(
    sent: Message, account: GatewayAccount, linked: WaSenderSession
) -> None:
    other = make_session(account, OTHER_KEY, OTHER_SECRET)
    receive(other, "messages.update", update(77, 4), secret=OTHER_SECRET, key=OTHER_KEY)
    settle()
    sent.refresh_from_db()
    assert sent.rank == 0 and states() == ["unmatched"]


def test_a_status_before_its_answer_waits_for_it(sent: Message, linked: WaSenderSession) -> None:
    Attempt.objects.update(msg_id=None)
    receive(linked, "messages.update", update(77, 3))
    before = timezone.now()
    assert webhooks.process_batch() == 1
    event = WebhookEvent.objects.get()
    assert event.state == "unmatched" and event.msg_id == 77 and event.due_at > before + timedelta(seconds=1)
    WebhookEvent.objects.update(due_at=timezone.now() + timedelta(minutes=1))
    assert webhooks.process_batch() == 0  # not due
    for wait in (2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600):
        before = timezone.now()
        settle()
        begun = WebhookEvent.objects.get().due_at - timedelta(seconds=wait)
        assert before < begun < timezone.now(), wait
    Attempt.objects.update(msg_id=77)
    settle()
    sent.refresh_from_db()
    assert sent.rank == 3 and states() == ["done"]


def test_after_72_hours_waiting_ends(linked: WaSenderSession) -> None:
    receive(linked, "messages.update", update(1, 3))
    WebhookEvent.objects.update(received_at=timezone.now() - timedelta(hours=73))
    settle()
    event = WebhookEvent.objects.get()
    assert event.state == "done" and "72 hours" in event.note


def test_an_event_of_two_unknown_statuses_waits_once(linked: WaSenderSession) -> None:
    receive(linked, "messages.update", [update(1, 3, "3EB0AA"), update(2, 3, "3EB0AB")])
    for wait in (1, 2, 4):
        before = timezone.now()
        assert settle() == 1
        event = WebhookEvent.objects.get()
        begun = event.due_at - timedelta(seconds=wait)
        assert event.state == "unmatched" and before < begun < timezone.now(), wait


def test_an_error_status_changes_nothing_and_has_the_gateway_asked_at_once(
    sent: Message, linked: WaSenderSession
) -> None:
    receive(linked, "messages.update", update(77, 0))
    settle()
    sent.refresh_from_db()
    event = WebhookEvent.objects.get()
    assert sent.state == "accepted" and event.state == "done" and event.note == webhooks.TO_CONFIRM
    assert event.msg_id == 77 and Watch.objects.get().attempt_id == sent.attempt
    assert Watch.objects.get().due_at < timezone.now()


def test_an_error_status_of_nobody_waits_like_any_other(linked: WaSenderSession) -> None:
    receive(linked, "messages.update", update(78, 0))
    settle()
    assert states() == ["unmatched"] and not Watch.objects.exists()


def test_a_failure_without_an_id_is_a_note_without_the_number(linked: WaSenderSession) -> None:
    receive(
        linked, "message.sent", {"success": False, "error": f"Failed to send message: Invalid number JID: {PERSON}"}
    )
    settle()
    event = WebhookEvent.objects.get()
    assert event.state == "done" and "Invalid number" in event.note and PERSON[1:-4] not in event.note


def test_one_event_that_cannot_be_applied_is_put_aside_alone(
    sent: Message, linked: WaSenderSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        receive(linked, "messages.update", update(77 if n != 5 else 666, 2), at=1_790_000_000 + n)
    real = webhooks.merge

    def merge(cursor: Any, updates: list[Any]) -> set[int]:
        if any(one.msg_id == 666 for one in updates):
            cursor.execute("SELECT 1/0")
        return real(cursor, updates)

    monkeypatch.setattr(webhooks, "merge", merge)
    assert settle() == 9
    assert sorted(states()) == ["done"] * 8 + ["quarantined"]
    assert WebhookEvent.objects.get(state="quarantined").note == "cannot be applied (DataError)"
    assert counts() == {"sent": 1}


def test_trouble_of_the_database_puts_nothing_aside(linked: WaSenderSession, monkeypatch: pytest.MonkeyPatch) -> None:
    receive(linked, "messages.update", update(77, 2))

    def merge(cursor: Any, updates: list[Any]) -> set[int]:
        raise OperationalError("gone")

    monkeypatch.setattr(webhooks, "merge", merge)
    with pytest.raises(OperationalError):
        settle()
    assert states() == ["new"]


def test_workers_share_the_work(sent: Message, linked: WaSenderSession) -> None:
    for n in range(60):
        receive(linked, "messages.update", update(77, 2 + n % 3), at=1_790_000_000 + n)
    barrier = threading.Barrier(4)

    def work(_: int) -> int:
        barrier.wait()
        try:
            return sum(webhooks.process_batch(10) for _ in range(6))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 60
    sent.refresh_from_db()
    assert sent.rank == 4 and counts() == {"read": 1}


# --- sessions


def test_less_is_believed_and_more_is_not(linked: WaSenderSession) -> None:
    receive(linked, "session.status", {"status": "logged_out"})
    settle()
    linked.refresh_from_db()
    assert linked.status == "logged_out" and linked.webhook_proven_at
    receive(linked, "session.status", {"status": "connected"})
    settle()  # the gateway cannot be asked: nothing changes
    linked.refresh_from_db()
    assert linked.status == "logged_out" and set(states()) == {"done"}


def test_the_latest_status_of_a_batch_counts(linked: WaSenderSession) -> None:
    receive(linked, "session.status", {"status": "logged_out"}, at=1_790_000_010)
    receive(linked, "session.status", {"status": "need_scan"}, at=1_790_000_000)
    settle()
    linked.refresh_from_db()
    assert linked.status == "logged_out"


def test_a_code_proves_the_webhook_and_a_message_does_not(linked: WaSenderSession) -> None:
    receive(linked, "messages.received", written("hi", "A"))
    settle()
    linked.refresh_from_db()
    assert linked.webhook_proven_at is None
    receive(linked, "qrcode.updated", {"qr": "2@x"})
    settle()
    linked.refresh_from_db()
    assert linked.webhook_proven_at


# --- people


@pytest.fixture
def person(user: User) -> Contact:
    row = Contact.objects.create(user=user, phone=PERSON, consent="granted")
    row.consent_records.create(user=user, status="granted", source="form")
    return row


def test_a_message_is_stored_once_with_its_contact(linked: WaSenderSession, person: Contact) -> None:
    for event in ("messages.received", "messages-personal.received", "messages.upsert"):
        receive(linked, event, written("Hello\x00 there", "A1", lid="5550@lid"))
    settle()
    row = InboundMessage.objects.get()
    assert (row.contact, row.phone, row.lid, row.text, row.name) == (person, PERSON, "5550@lid", "Hello there", "Pat")
    person.refresh_from_db()
    assert person.last_session == linked and person.lid == "5550@lid"
    receive(linked, "messages.received", written("again", "A2", phone="", lid="5550@lid"))
    settle()
    assert InboundMessage.objects.get(key_id="A2").phone == PERSON


def test_a_strangers_and_a_groups_message(linked: WaSenderSession) -> None:
    receive(linked, "messages.received", written("Hello", "A1"))
    group = {"id": "G1", "fromMe": False, "remoteJid": "1-2@g.us", "cleanedParticipantPn": PERSON[1:]}
    receive(linked, "messages.received", {"messages": {"key": group, "messageBody": "STOP"}})
    settle()
    assert InboundMessage.objects.get().contact is None and not Suppression.objects.exists()


def test_a_message_of_nobody_who_can_be_named_is_kept_without_a_conversation(linked: WaSenderSession) -> None:
    receive(linked, "messages.received", written("Hello", "A1", phone="", lid="nobody@lid"))
    receive(linked, "messages.received", written("Hi", "A2"))
    assert settle() == 2 and states() == ["done", "done"]
    kept = InboundMessage.objects.get(key_id="A1")
    assert (kept.conversation, kept.phone, kept.lid, kept.text) == (None, "", "", "Hello")
    other = Conversation.objects.get()
    assert (other.person, other.unread, other.last_text) == (PERSON, 1, "Hi")


def queued(linked: WaSenderSession) -> Message:
    campaign = Campaign.objects.create(user=linked.user, name="Spring", body="Hello", state="running")
    CampaignCount.objects.create(campaign=campaign, session=linked, state="queued", n=1)
    return Message.objects.create(user=linked.user, campaign=campaign, session=linked, phone=PERSON, position=1)


def test_stop_suppresses_skips_and_confirms_once(linked: WaSenderSession, person: Contact) -> None:
    message = queued(linked)
    for key in ("A1", "A2"):
        receive(linked, "messages.received", written("Baja!", key))
        settle()
    suppression = Suppression.objects.get()
    assert suppression.phone == PERSON and suppression.is_confirmed and suppression.reason == "stop"
    message.refresh_from_db()
    person.refresh_from_db()
    assert message.state == "skipped" and counts() == {"skipped": 1} and person.consent == "withdrawn"
    confirmation = Message.objects.get(kind="confirmation")
    assert confirmation.session == linked and confirmation.retry_at and "mensajes nuestros" in confirmation.body
    assert set(states()) == {"done"}


def test_start_lifts_it_and_consent_returns_with_its_evidence(linked: WaSenderSession, person: Contact) -> None:
    now = time.time()
    receive(linked, "messages.received", written("STOP", "A1", at=now - 20))
    receive(linked, "messages.received", written("START", "A2", at=now - 10))
    settle()
    person.refresh_from_db()
    assert person.consent == "granted" and not Suppression.objects.filter(lifted_at=None).exists()
    assert list(person.consent_records.order_by("id").values_list("status", flat=True)) == [
        "granted", "withdrawn", "granted",
    ]  # fmt: skip


def test_a_start_that_arrives_after_a_later_stop_lifts_nothing(linked: WaSenderSession, person: Contact) -> None:
    now = time.time()
    receive(linked, "messages.received", written("STOP", "A1", at=now - 10))
    settle()
    receive(linked, "messages.received", written("START", "A2", at=now - 20))
    settle()
    assert Suppression.objects.filter(lifted_at=None).exists()


def test_start_without_earlier_consent_grants_none(linked: WaSenderSession, user: User) -> None:
    contact = Contact.objects.create(user=user, phone=PERSON)
    now = time.time()
    receive(linked, "messages.received", written("STOP", "A1", at=now - 20))
    receive(linked, "messages.received", written("START", "A2", at=now - 10))
    settle()
    contact.refresh_from_db()
    assert contact.consent == "unknown" and not Suppression.objects.filter(lifted_at=None).exists()


def test_a_forged_start_grants_nobody_anything(linked: WaSenderSession, user: User) -> None:
    contact = Contact.objects.create(user=user, phone=PERSON)
    receive(linked, "messages.received", written("START", "A1"))
    settle()
    contact.refresh_from_db()
    assert contact.consent == "unknown" and not contact.consent_records.exists()


def test_stop_by_lid_alone(linked: WaSenderSession, person: Contact) -> None:
    receive(linked, "messages.received", written("stop", "A1", phone="", lid="777@lid"))
    settle()
    assert Suppression.objects.get().lid == "777@lid" and Suppression.objects.get().phone == ""
    Contact.objects.update(lid="888@lid")
    receive(linked, "messages.received", written("stop", "A2", phone="", lid="888@lid"))
    settle()
    assert Suppression.objects.filter(phone=PERSON, lid="888@lid").exists()


def test_an_opt_out_that_fails_comes_again(
    linked: WaSenderSession, person: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(linked, "messages.received", written("STOP", "A1"))
    real, calls = inbound.optout.opt_out, []

    def opt_out(**fields: Any) -> Suppression:
        calls.append(fields)
        if len(calls) == 1:
            raise RuntimeError("once")
        return real(**fields)

    monkeypatch.setattr(inbound.optout, "opt_out", opt_out)
    webhooks.process_batch()
    event = WebhookEvent.objects.get()
    assert event.state == "new" and event.due_at > timezone.now() + timedelta(seconds=20)
    settle()
    assert states() == ["done"] and Suppression.objects.count() == 1


def test_an_opt_out_that_the_database_cannot_take_now_is_no_fault_of_its_event(linked: WaSenderSession) -> None:
    """The worker sees the database's trouble and waits; the event comes again after its lease, and is obeyed."""
    receive(linked, "messages.received", written("STOP", "A1"))
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as elsewhere, connection.cursor() as cursor:
            elsewhere.execute("LOCK TABLE whatsappapi_suppression")
            cursor.execute("SET lock_timeout = '100ms'")
        with pytest.raises(OperationalError):
            settle()
    finally:
        other.close()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    event = WebhookEvent.objects.get()
    assert InboundMessage.objects.count() == 1  # the batch itself was kept
    assert event.state == "new" and event.due_at > timezone.now() + timedelta(seconds=20)
    settle()
    assert states() == ["done"] and Suppression.objects.count() == 1


def test_an_opt_out_that_always_fails_is_put_aside_and_reported(
    linked: WaSenderSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(linked, "messages.received", written("STOP", "A1"))

    def opt_out(**fields: Any) -> None:
        raise RuntimeError("always")

    monkeypatch.setattr(inbound.optout, "opt_out", opt_out)
    for _ in range(webhooks.TRIES_MAX + 1):
        settle()
    assert states() == ["quarantined"] and Alert.objects.count() == 1
