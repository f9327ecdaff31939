"""Single messages: who may be written to, over which session, and what became of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Contact,
    GatewayAccount,
    InboundMessage,
    Kind,
    Message,
    SessionGroup,
    State,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import single
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import make_session

pytestmark = pytest.mark.django_db
OWN, PERSON = "+12125550101", "+12125550199"


@pytest.fixture
def row(linked: WaSenderSession) -> WaSenderSession:
    linked.linked_number = OWN
    linked.save()
    return linked


def refused(code: str, **arguments: object) -> None:
    with pytest.raises(ServiceError) as error:
        single.send_single(**{"body": "Hi", "phone": PERSON, "kind": Kind.TRANSACTIONAL} | arguments)
    assert error.value.code == code
    assert not Message.objects.exists()


def test_a_test_goes_to_ones_own_linked_numbers_only(user: User, stranger: User, row: WaSenderSession) -> None:
    refused("not_own", actor=user, kind=Kind.TEST, wa_session=row)
    account = GatewayAccount.objects.create(user=stranger, name="Theirs")
    make_session(account, "b2" * 32, "d00d" * 8, linked_number=PERSON)
    refused("not_own", actor=user, kind=Kind.TEST, wa_session=row)
    refused("phone", actor=user, kind=Kind.TEST, phone="12", wa_session=row)
    message = single.send_test(actor=user, to=OWN)
    assert (message.session, message.kind, message.state, message.body) == (row, "test", "queued", single.TEST_BODY)
    assert message.retry_at <= timezone.now() and message.campaign is None
    assert OWN not in str(list(Event.objects.values("data", "changes", "label")))


def test_a_transactional_one_needs_consent_and_no_stop(user: User, row: WaSenderSession) -> None:
    refused("no_consent", actor=user)
    person = Contact.objects.create(user=user, phone=PERSON, name="Pia")
    refused("no_consent", actor=user, contact=person)
    Contact.objects.update(consent="granted")
    stop = Suppression.objects.create(user=user, phone=PERSON, reason="stop")
    refused("opted_out", actor=user)
    stop.lifted_at = timezone.now()
    stop.save()
    for body in ("", "  ", "x" * 4097):
        refused("body", actor=user, body=body)
    message = single.send_single(actor=user, kind="transactional", body=" Your order is ready ", phone=PERSON)
    assert (message.contact, message.body, message.session) == (person, "Your order is ready", row)


def test_a_reply_needs_somebody_who_wrote(user: User, row: WaSenderSession) -> None:
    refused("unasked", actor=user, kind=Kind.REPLY, wa_session=row)
    InboundMessage.objects.create(user=user, session=row, key_id="A", phone=PERSON, text="Hello?")
    Suppression.objects.create(user=user, phone=PERSON, reason="stop")
    refused("opted_out", actor=user, kind=Kind.REPLY, wa_session=row)
    Suppression.objects.all().delete()
    assert single.send_single(actor=user, kind="reply", body="Yes", phone=PERSON, wa_session=row).session == row


def test_a_probe_goes_between_ones_own_sessions(user: User, account: GatewayAccount, row: WaSenderSession) -> None:
    refused("not_own", actor=user, kind=Kind.PROBE, wa_session=row)
    make_session(account, "b2" * 32, "d00d" * 8, linked_number=PERSON)
    assert single.send_single(actor=user, kind="probe", body="?", phone=PERSON, wa_session=row)


def test_what_is_somebody_elses_is_not_there(user: User, stranger: User, row: WaSenderSession) -> None:
    refused(
        "not_found", actor=stranger, kind=Kind.TEST, phone=OWN, contact=Contact.objects.create(user=user, phone=OWN)
    )
    Contact.objects.create(user=stranger, phone=PERSON, consent="granted")
    refused("not_found", actor=stranger, wa_session=row)
    refused("not_found", actor=stranger, group=SessionGroup.objects.create(user=user, name="Shops"))
    refused("no_session", actor=stranger)


def test_a_session_that_cannot_send_says_why(user: User, row: WaSenderSession) -> None:
    change = WaSenderSession.objects.filter(pk=row.pk).update
    ask = {"actor": user, "kind": Kind.TEST, "phone": OWN, "wa_session": row}
    change(status="logged_out")
    with pytest.raises(ServiceError, match="Desk 1 cannot send: Logged out"):
        single.send_single(body="Hi", **ask)
    refused("no_session", **{**ask, "wa_session": None})
    change(status="connected", daily_limit=3, messages_sent_today=3)
    refused("limit_reached", **ask)
    change(messages_sent_today=0, paused_until=timezone.now() + timedelta(minutes=9))
    refused("not_connected", **ask)
    change(paused_until=timezone.now() + timedelta(seconds=5))  # a moment: it leaves by itself
    assert single.send_single(body="Hi", **ask)


def test_rotation_within_a_group(user: User, account: GatewayAccount, row: WaSenderSession) -> None:
    second = make_session(account, "b2" * 32, "d00d" * 8, last_used_at=timezone.now())
    third = make_session(account, "c3" * 32, "f00d" * 8, last_used_at=timezone.now() - timedelta(hours=1))
    group = SessionGroup.objects.create(user=user, name="Shops")
    refused("no_session", actor=user, kind=Kind.TEST, phone=OWN, group=group)
    group.sessions.set([second, third])
    ask = {"actor": user, "kind": "test", "phone": OWN, "body": "Hi"}
    assert single.send_single(**ask, group=group).session == third
    assert single.send_single(**ask).session == row


@pytest.mark.parametrize(
    ("state", "rank", "word", "light", "is_open"),
    [
        (State.QUEUED, 0, "Waiting", "blue", True),
        (State.SENDING, 0, "Being sent", "blue", True),
        (State.ACCEPTED, 0, "Accepted", "blue", True),
        (State.ACCEPTED, 2, "Sent", "green", True),
        (State.ACCEPTED, 3, "Delivered", "green", False),
        (State.ACCEPTED, 4, "Read", "green", False),
        (State.UNKNOWN, 0, "Being looked up", "yellow", True),
        (State.UNCERTAIN, 0, "Uncertain", "yellow", False),
        (State.FAILED, 0, "Failed", "red", False),
        (State.EXPIRED, 0, "Not sent", "red", False),
        (State.CANCELLED, 0, "Not sent", "red", False),
        (State.SKIPPED, 0, "Not sent", "red", False),
    ],
)
def test_outcomes_in_words(state: str, rank: int, word: str, light: str, is_open: bool) -> None:
    message = Message(state=state, rank=rank, created_at=timezone.now(), reason="")
    said = single.in_words(message)
    assert (said.word, said.light, said.is_open) == (word, light, is_open) and said.reason
    message.reason = "This number is not on WhatsApp"
    if state != State.ACCEPTED:
        assert single.in_words(message).reason == "This number is not on WhatsApp."
    message.created_at -= timedelta(minutes=6)
    assert not single.in_words(message).is_open


def test_nothing_waits_for_ever(user: User, account: GatewayAccount, row: WaSenderSession) -> None:
    gone = make_session(account, "b2" * 32, "d00d" * 8, deleted_at=timezone.now())
    old = {"user": user, "phone": OWN, "state": "queued", "retry_at": timezone.now(), "body": "x"}
    late = Message.objects.create(**old, kind="test", session=row, created_at=timezone.now() - timedelta(minutes=16))
    young = Message.objects.create(**old, kind="test", session=row)
    order = Message.objects.create(**old, kind="transactional", session=gone)
    answer = Message.objects.create(**old, kind="reply", session=gone)
    assert single.tidy_singles() == 3
    for one in (late, young, order, answer):
        one.refresh_from_db()
    assert (late.state, late.reason, late.retry_at) == ("expired", single.EXPIRED, None)
    assert (young.state, order.state, order.session) == ("queued", "queued", row)
    assert (answer.state, answer.reason) == ("failed", single.STRANDED)
    assert single.tidy_singles() == 0
