"""Pages of replies: who wrote back, their conversation, and the answer box."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    Contact,
    Conversation,
    InboundMessage,
    Message,
    SessionShare,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import erasure
from phonebank.whatsappapi.services.inbound import Letter, store
from tests.views.conftest import Desk

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANA = "+12125550141"


def write(row: WaSenderSession, text: str, minute: int = 0, phone: str = ANA, **more: str) -> Conversation:
    """Somebody writes to the session; the conversation that it is part of."""
    letter = Letter(
        user=row.user_id, session=row.pk, key_id=f"3EB0{InboundMessage.objects.count()}", phone=phone,
        lid=more.get("lid", ""), name=more.get("name", "Ana"), text=text, media=more.get("media", ""),
        sent_at=NOON + timedelta(minutes=minute),
    )  # fmt: skip
    with connection.cursor() as cursor:
        store(cursor, [letter])
    return Conversation.objects.get(session=row, person=letter.phone or letter.lid)


def sent(row: WaSenderSession, campaign: Campaign | None = None, minute: int = 0, **more: object) -> Message:
    """A message of ours to Ana by this session."""
    values = {"kind": "campaign" if campaign else "reply", "state": "accepted", "rank": 3, "phone": ANA}
    message = Message.objects.create(user=row.user, campaign=campaign, session=row, **values | more)
    begun = NOON + timedelta(minutes=minute)
    attempt = Attempt.objects.create(
        message=message, session=row, phone=ANA, worker="w", key_version=1, connection_version=0, body_hash=b"",
        started_at=begun, lease_until=begun, finished_at=begun, resolved_at=begun, outcome="accepted",
    )  # fmt: skip
    message.attempt = attempt.pk
    message.save(update_fields=["attempt"])
    return message


def test_a_conversation_in_time_order(desk: Desk) -> None:
    row = desk.session("Shop")
    campaign = Campaign.objects.create(user=desk.user, name="Spring", body="Hi {{ name }}", state="running")
    sent(row, campaign, 0, variables={"name": "Ana"})
    write(row, "How much is it?", 1)
    sent(row, minute=2, body="Ten dollars")
    conversation = write(row, "", 3, media="photo")
    page = desk.client.get("/whatsappapi/replies/")
    assert ["Photo" in page.text, "2 new" in page.text, "Spring" in page.text] == [True] * 3
    thread = desk.client.get(f"/whatsappapi/replies/{conversation.public_id}/")
    entries = thread.context["thread"].entries
    assert [(one.is_ours, one.text or one.carried) for one in entries] == [
        (True, "Hi Ana"), (False, "How much is it?"), (True, "Ten dollars"), (False, "Photo"),
    ]  # fmt: skip
    assert entries[1].campaign == campaign
    assert "new" not in desk.client.get("/whatsappapi/replies/").context["rows"][0][0].name
    assert Conversation.objects.get().unread == 0


def test_another_sessions_messages_are_another_conversation(desk: Desk) -> None:
    one, two = desk.session("One"), desk.session("Two")
    write(one, "To one")
    write(two, "To two")
    sent(two, minute=1, body="From two")
    found = desk.client.get(f"/whatsappapi/replies/?session={one.public_id}")
    assert [row.last_text for row, _ in found.context["rows"]] == ["To one"]
    thread = desk.client.get(f"/whatsappapi/replies/{found.context['rows'][0][0].public_id}/")
    assert [entry.text for entry in thread.context["thread"].entries] == ["To one"]


@pytest.mark.parametrize(
    ("query", "n"), [("q=ana", 1), ("q=5550141", 1), ("q=dress", 1), ("q=nobody", 0), ("unread=1", 2), ("q=%00", 2)]
)
def test_search(query: str, n: int, desk: Desk) -> None:
    row = desk.session()
    write(row, "Is the dress blue?")
    write(row, "Hello", phone="+12125550142", name="Ben")
    assert len(desk.client.get(f"/whatsappapi/replies/?{query}").context["rows"]) == n


def test_pages_by_cursor_repeat_and_hide_nobody(desk: Desk) -> None:
    row = desk.session()
    for i in range(65):  # four at each moment: the cursor must tell them apart
        write(row, "Hi", i // 4, phone=f"+1646555{i:04d}")
    seen, address = [], "/whatsappapi/replies/"
    while address:
        page = desk.client.get(address)
        seen += [one.pk for one, _ in page.context["rows"]]
        address = f"/whatsappapi/replies/?after={page.context['next']}".replace("+", "%2B")
        address = address if page.context["next"] else ""
    assert len(seen) == len(set(seen)) == 65


def test_an_answer_leaves_from_the_same_session(desk: Desk) -> None:
    desk.session("Other")
    row = desk.session("Shop")
    conversation = write(row, "Are you open?")
    url = f"/whatsappapi/replies/{conversation.public_id}/"
    assert desk.client.post(f"{url}answer/", {"body": "Yes, until six"}).status_code == 302
    queued = Message.objects.get()
    assert (queued.kind, queued.session, queued.phone, queued.state) == ("reply", row, ANA, "queued")
    assert "Waiting" in desk.client.get(url).text
    Message.objects.update(state="uncertain")
    assert "Uncertain" in desk.client.get(url).text


def test_what_cannot_be_sent_stays_in_the_box(desk: Desk) -> None:
    row = desk.session(status="need_scan")
    url = f"/whatsappapi/replies/{write(row, 'Hello?').public_id}/answer/"
    refused = desk.client.post(url, {"body": "My long answer"})
    assert refused.status_code == 422
    assert "My long answer" in refused.text and "cannot send" in refused.text
    row.status = "connected"
    row.save()
    Suppression.objects.create(user=desk.user, phone=ANA, reason="review", words="not now maybe")
    page = desk.client.post(url, {"body": "My long answer"})
    assert page.status_code == 422 and "may have asked to stop" in page.text
    assert not Message.objects.exists()


def test_a_hidden_number_is_said_and_joined_once_known(desk: Desk) -> None:
    row = desk.session()
    hidden = write(row, "STOP", phone="", lid="123456@lid")
    page = desk.client.get(f"/whatsappapi/replies/{hidden.public_id}/")
    assert "hides this person" in page.text and "Asked not to be written to" in page.text
    assert desk.client.post(f"/whatsappapi/replies/{hidden.public_id}/answer/", {"body": "Hi"}).status_code == 422
    known = write(row, "It is me", 1, lid="123456@lid")
    assert [one.pk for one in Conversation.objects.all()] == [known.pk]
    assert list(known.messages.order_by("sent_at").values_list("text", "phone")) == [("STOP", ANA), ("It is me", ANA)]


def test_the_live_part_is_sent_only_when_it_changed(desk: Desk) -> None:
    conversation = write(desk.session(), "Hello")
    url, htmx = f"/whatsappapi/replies/{conversation.public_id}/", {"HX-Request": "true"}
    first = desk.client.get(url, headers=htmx)
    assert b"<textarea" not in first.content  # what is being typed is not replaced
    address = first.content.split(b'hx-get="')[1].split(b'"')[0].decode()
    assert desk.client.get(address, headers=htmx).status_code == 204
    write(conversation.session, "More", 1)
    assert "More" in desk.client.get(address, headers=htmx).text


def test_a_stranger_finds_nothing(desk: Desk, other: Desk) -> None:
    theirs = write(other.session("Secret"), "Secret words")
    url = f"/whatsappapi/replies/{theirs.public_id}/"
    assert desk.client.get(url).status_code == 404
    assert desk.client.post(f"{url}answer/", {"body": "Hi"}).status_code == 404
    assert desk.client.post(f"{url}number/").status_code == 404
    assert "Secret" not in desk.client.get("/whatsappapi/replies/").text
    assert desk.client.get(f"/whatsappapi/replies/?session={theirs.session.public_id}").status_code == 404
    assert not Message.objects.exists()


def test_one_decides_about_what_nobody_can_tell_of(desk: Desk, other: Desk) -> None:
    row = desk.session()
    conversation = write(row, "Hello")
    url, marked = f"/whatsappapi/replies/{conversation.public_id}/", {"state": "uncertain", "rank": 0, "body": "Hi"}
    one, two = (sent(row, minute=n, **marked) for n in (1, 2))
    test = sent(row, minute=3, kind="test", **marked)
    in_run = sent(row, Campaign.objects.create(user=desk.user, name="Spring", body="Hi", state="running"), **marked)
    page = desk.client.get(url)
    assert page.text.count("Assume sent") == 3 and page.text.count("Send again") == 2
    assert f"/campaigns/{in_run.campaign.public_id}/uncertain/" in page.text
    for message, verb in ((one, "assume"), (two, "again"), (test, "again"), (one, "again")):
        desk.client.post(f"{url}decide/", {"attempt": message.attempt, "verb": verb})
    states = [Message.objects.get(pk=message.pk) for message in (one, two, test)]
    assert [message.state for message in states] == ["accepted", "queued", "uncertain"]
    assert states[1].retry_at and states[1].attempt is None and states[0].reason == "Assumed sent by a person"
    verbs = Event.objects.filter(verb__startswith="message.").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["message.assume_sent", "message.send_again"]
    theirs = sent(other.session(), minute=1, **marked)
    for fields in (
        {"attempt": theirs.attempt, "verb": "again"}, {"attempt": in_run.attempt, "verb": "again"},
        {"attempt": "1", "verb": "again"}, {"attempt": test.attempt, "verb": "nonsense"},
    ):  # fmt: skip
        desk.client.post(f"{url}decide/", fields)
    assert other.client.post(f"{url}decide/", {"attempt": test.attempt, "verb": "assume"}).status_code == 404
    assert Message.objects.filter(state="uncertain").count() == 3


def test_queries_do_not_grow(desk: Desk) -> None:
    row = desk.session()
    campaign = Campaign.objects.create(user=desk.user, name="Spring", body="Hi", state="running")
    sent(row, campaign)
    conversation = write(row, "One", 1)
    pages = ["/whatsappapi/replies/", f"/whatsappapi/replies/{conversation.public_id}/"]

    def asked() -> list[int]:
        counts = []
        for page in pages:
            with CaptureQueriesContext(connection) as queries:
                desk.client.get(page)
            counts.append(len(queries))
        return counts

    desk.client.get(pages[1])
    before = asked()
    for i in range(12):
        write(row, f"Again {i}", 2 + i)
        write(row, "Hi", i, phone=f"+1646555{i:04d}")
    desk.client.get(pages[1])
    assert asked() == before


def test_an_erased_person_is_in_no_conversation(desk: Desk) -> None:
    person = Contact.objects.create(user=desk.user, phone=ANA, name="Ana", lid="77@lid")
    row = desk.session()
    for lid, phone in (("77@lid", ANA), ("77@lid", "")):
        write(row, "My words", phone=phone, lid=lid)
    stays = write(row, "Mine stay", phone="+12125550142")
    Suppression.objects.create(user=desk.user, phone=ANA, reason="erased")
    assert erasure.finish(person.pk)
    assert list(Conversation.objects.all()) == [stays]
    assert list(InboundMessage.objects.values_list("text", flat=True)) == ["Mine stay"]


# --- over a session that is lent --------------------------------------------------------------------------------------


def lent(desk: Desk, to: Desk) -> WaSenderSession:
    row = desk.session("Shop")
    SessionShare.objects.create(
        session=row, email=to.user.email, user=to.user, role="operator", accepted_at=timezone.now()
    )
    return row


def tried(row: WaSenderSession, by: Desk, minute: int = 0, **fields: object) -> None:
    """An attempt of somebody the session is lent to."""
    message = sent(row, minute=minute)
    Message.objects.filter(pk=message.pk).update(user=by.user)
    Attempt.objects.filter(message=message).update(**fields)


def arrived(row: WaSenderSession, text: str, minute: int) -> Conversation:
    """As `write`, at the moment it was written."""
    conversation = write(row, text, minute)
    InboundMessage.objects.filter(text=text).update(received_at=NOON + timedelta(minutes=minute))
    return conversation


@pytest.mark.parametrize(
    ("fields", "reached"),
    [
        ({"outcome": "accepted"}, True),
        ({"outcome": "unknown", "msg_id": 7}, True),  # a report said that it left
        ({"outcome": "unknown"}, False),
        ({"outcome": "not_sent"}, False),
        ({"outcome": "rejected"}, False),
        ({"outcome": "rejected", "msg_id": 7}, False),  # the gateway's log: it failed there
    ],
)
def test_an_operator_reads_answers_to_what_reached_them(
    fields: dict[str, object], reached: bool, desk: Desk, other: Desk
) -> None:
    row = lent(desk, other)
    tried(row, other, **fields)
    conversation = arrived(row, "My answer", 1)
    assert (other.client.get(f"/whatsappapi/replies/{conversation.public_id}/").status_code == 200) == reached
    assert [one for one, _ in other.client.get("/whatsappapi/replies/").context["rows"]] == [conversation] * reached


def test_what_was_written_before_anything_reached_them_stays_the_owners(desk: Desk, other: Desk) -> None:
    row = lent(desk, other)
    tried(row, other, 0, outcome="rejected")
    arrived(row, "To the owner", 1)
    tried(row, other, 2)
    conversation = arrived(row, "To the operator", 3)
    thread = other.client.get(f"/whatsappapi/replies/{conversation.public_id}/").context["thread"]
    assert [one.text for one in thread.entries if not one.is_ours] == ["To the operator"]


@pytest.mark.parametrize("reason", ["review", "stop"])
def test_the_owners_opt_out_tells_an_operator_no_words_and_leads_nowhere(reason: str, desk: Desk, other: Desk) -> None:
    row = lent(desk, other)
    tried(row, other)
    arrived(row, "Who gave you my number?", 1)
    conversation = arrived(row, "STOP", 2)
    Suppression.objects.create(user=desk.user, phone=ANA, reason=reason, words="Said to another number")
    url, opt_outs = f"/whatsappapi/replies/{conversation.public_id}/", reverse("whatsappapi:suppressions")
    owners, theirs = desk.client.get(url).text, other.client.get(url).text
    assert opt_outs in owners and ("Said to another number" in owners) == (reason == "review")
    assert "This person may not be written to over this session" in theirs
    assert opt_outs not in theirs and "Said to another number" not in theirs and "you decide" not in theirs
    Suppression.objects.create(user=other.user, phone=ANA, reason=reason, words="Said to the operator")
    theirs = other.client.get(url).text
    assert opt_outs in theirs and "may not be written to over" not in theirs  # their own row is there
    assert ("Said to the operator" in theirs) == (reason == "review") and "Said to another number" not in theirs
