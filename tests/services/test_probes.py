"""Self-checks: who may switch them on, what is sent, how it is judged, and what the health says of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Attempt,
    Contact,
    Conversation,
    GatewayAccount,
    HealthNote,
    InboundMessage,
    Message,
    Probe,
    ProbePair,
    SessionQuarter,
    WaSenderSession,
)
from phonebank.whatsappapi.services import inbound, probes, roll_up, wellbeing
from phonebank.whatsappapi.services.errors import ServiceError
from tests.services.conftest import make_session

pytestmark = pytest.mark.django_db(transaction=True)
ONE, TWO = "+12125550101", "+12125550102"


@pytest.fixture
def pair(account: GatewayAccount, user: User, settings: Any) -> tuple[WaSenderSession, WaSenderSession]:
    settings.LOCAL_URL = "http://127.0.0.1:9"
    rows = [
        make_session(account, c * 64, c * 32, session_name=c, linked_number=number, last_active_at=timezone.now())
        for c, number in (("a", ONE), ("b", TWO))
    ]
    probes.switch(actor=user, wa_session=rows[0], partner=rows[1])
    return rows[0], rows[1]


def due() -> None:
    ProbePair.objects.update(next_at=timezone.now())


def leave(at: datetime, **fields: Any) -> Probe:
    """The newest check's message has left and was confirmed, as `fields` of its attempt say."""
    probe = Probe.objects.first()
    values = {"outcome": "accepted", "msg_id": probe.pk, "resolved_at": at, "finished_at": at} | fields
    made = Attempt.objects.create(
        message=probe.message, session=probe.sender, phone=probe.message.phone, worker="w", key_version=1,
        connection_version=1, body_hash=b"", started_at=at, lease_until=at, **values,
    )  # fmt: skip
    Message.objects.filter(pk=probe.message_id).update(attempt=made.pk, state="accepted", retry_at=None)
    return probe


def arrive(receiver: WaSenderSession, text: str, phone: str = ONE, key: str = "K1") -> None:
    letter = inbound.Letter(
        user=receiver.user_id, session=receiver.pk, key_id=key, phone=phone, lid="", name="", text=text,
        sent_at=timezone.now(),
    )  # fmt: skip
    with connection.cursor() as cursor:
        inbound.store(cursor, [letter])


def outcome(now: datetime | None = None) -> str:
    probes.judge(now=now)
    return Probe.objects.first().outcome


def test_only_ones_own_two_linked_numbers(
    account: GatewayAccount, user: User, stranger: User, pair: tuple[WaSenderSession, WaSenderSession]
) -> None:
    one, two = pair
    theirs = GatewayAccount.objects.create(user=stranger, name="3", base_url="http://127.0.0.1:9/api", token="3|x")
    foreign = make_session(theirs, "e" * 64, "e" * 32, session_name="e", linked_number="+12125550103")
    unlinked = make_session(account, "c" * 64, "c" * 32, session_name="c")
    twin = make_session(account, "d" * 64, "d" * 32, session_name="d", linked_number=ONE)
    for partner, code in ((foreign, "not_found"), (unlinked, "not_own"), (twin, "not_own"), (one, "not_own")):
        with pytest.raises(ServiceError) as error:
            probes.switch(actor=user, wa_session=one, partner=partner)
        assert error.value.code == code
    with pytest.raises(ServiceError):
        probes.switch(actor=stranger, wa_session=one, partner=None)
    assert ProbePair.objects.get().partner == two and probes.pair_of(two) == one
    assert probes.partners_for(one) == [two]
    # Handed over by hand in the database: still nobody else's number is written to.
    ProbePair.objects.update(partner=foreign)
    assert probes.send_due() == 0
    probes.switch(actor=user, wa_session=one, partner=None)
    due()
    assert probes.send_due() == 0 and not Message.objects.exists()
    verbs = Event.objects.filter(verb="session.self_check", actor=user)
    assert verbs.count() == 2 and ONE not in str(list(verbs.values("data", "changes")))


def test_an_hour_a_message_in_turns_and_never_of_the_last_ones(pair: tuple[WaSenderSession, WaSenderSession]) -> None:
    one, two = pair
    assert probes.send_due() == 1 and probes.send_due() == 0
    wait = ProbePair.objects.get().next_at - timezone.now()
    assert timedelta(minutes=50) < wait < timedelta(minutes=70)
    due()
    assert probes.send_due() == 1
    sent = list(Message.objects.order_by("pk").values_list("session", "phone", "kind", "state"))
    assert sent == [(one.pk, TWO, "probe", "queued"), (two.pk, ONE, "probe", "queued")]
    assert not Event.objects.filter(verb="message.queued").exists()

    WaSenderSession.objects.filter(pk=one.pk).update(daily_limit=10, messages_sent_today=9)
    due()
    assert probes.send_due() == 0  # nine of ten are used: the last is for people
    due()
    assert probes.send_due() == 1
    for change in ({"status": "logged_out"}, {"is_active": False}, {"linked_number": ""}):
        WaSenderSession.objects.filter(pk=one.pk).update(daily_limit=None, **change)
        for _ in range(2):
            due()
            assert probes.send_due() == 0, change
        WaSenderSession.objects.filter(pk=one.pk).update(status="connected", is_active=True, linked_number=ONE)
    Plan.objects.update(daily_limit=0)
    due()
    assert probes.send_due() == 0
    WaSenderSession.objects.filter(pk=two.pk).update(deleted_at=timezone.now())
    due()
    assert probes.send_due() == 0 and not ProbePair.objects.exists()


def test_what_arrives_is_noted_and_is_no_reply(user: User, pair: tuple[WaSenderSession, WaSenderSession]) -> None:
    _, two = pair
    Contact.objects.create(user=user, phone=ONE, name="Me")
    probes.send_due()
    at = timezone.now()
    probe = leave(at, sent_at=at + timedelta(seconds=1), delivered_at=at + timedelta(seconds=2))
    assert outcome() == ""  # the webhook is still to come
    text = Message.objects.get().body
    arrive(two, text, phone="+12125550177")  # somebody repeats our words: an ordinary message
    assert InboundMessage.objects.count() == 1 and outcome() == ""
    arrive(two, text)
    arrive(two, text, key="K2")
    assert InboundMessage.objects.count() == 1 and Conversation.objects.get().person == "+12125550177"
    assert outcome() == "good"
    probe.refresh_from_db()
    assert (probe.sent_after, probe.delivered_after) == (1, 2) and probe.arrived_after is not None
    while roll_up.roll_up():
        pass
    SessionQuarter.objects.update(due_at=timezone.now())
    while roll_up.roll_up():
        pass
    counted = SessionQuarter.objects.all()
    assert sum(one.sent for one in counted) == 0 and sum(one.received for one in counted) == 1


LATE = timedelta(minutes=11)


@pytest.mark.parametrize(
    ("seen", "arrives", "found", "side"),
    [
        ({}, False, "unconfirmed", 0),
        ({"sent_at": 1}, False, "unconfirmed", 0),
        ({"delivered_at": 3}, False, "unheard", 1),
        ({"delivered_at": 300}, True, "slow", 0),
        ({"delivered_at": 30}, True, "good", None),
    ],
)
def test_what_went_wrong_is_whose(
    pair: tuple[WaSenderSession, WaSenderSession], seen: dict[str, int], arrives: bool, found: str, side: int | None
) -> None:
    now = timezone.now()
    for i in range(6):  # its own history: three seconds
        Probe.objects.create(sender=pair[0], receiver=pair[1], is_heard=True, outcome="good", delivered_after=3,
                             at=now - timedelta(days=2, hours=i))  # fmt: skip
    probes.send_due()
    at = now - LATE
    Probe.objects.filter(outcome="").update(at=at)
    leave(at, **{name: at + timedelta(seconds=after) for name, after in seen.items()})
    if arrives:
        arrive(pair[1], Message.objects.get().body)
        Probe.objects.filter(outcome="").update(arrived_at=at + timedelta(seconds=4))
    assert outcome(now - timedelta(minutes=2)) == (found if arrives else "")  # not before ten minutes are over
    assert outcome(now) == found
    WaSenderSession.objects.update(last_active_at=now)
    wellbeing.note(now)
    notes = {one.session_id: one for one in HealthNote.objects.all()}
    costs = {"slow": 10, "good": 0}.get(found, 25)
    for place, row in enumerate(pair):
        expected = 100 - costs if place == side else 100
        assert notes[row.pk].score == expected, (found, notes[row.pk].reasons)
        assert ("self-check" in notes[row.pk].reasons) == (place == side)
    wellbeing.note(now + timedelta(hours=7))
    assert "self-check" not in HealthNote.objects.order_by("at").last().reasons


@pytest.mark.parametrize(("state", "found"), [("failed", "refused"), ("expired", "held"), ("skipped", "held")])
def test_what_never_left(pair: tuple[WaSenderSession, WaSenderSession], state: str, found: str) -> None:
    probes.send_due()
    Message.objects.update(state=state, reason="Because", retry_at=None)
    assert outcome() == found and Probe.objects.get().reason == "Because"
    assert bool(probes.findings(list(pair), timezone.now())) == (found == "refused")


def test_old_ones_are_forgotten_with_their_messages(pair: tuple[WaSenderSession, WaSenderSession]) -> None:
    probes.send_due()
    due()
    probes.send_due()
    Probe.objects.filter(pk=Probe.objects.last().pk).update(at=timezone.now() - timedelta(days=91))
    assert probes.prune() == 1 and Probe.objects.count() == Message.objects.count() == 1
