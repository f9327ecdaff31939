"""Inviting, accepting, ending; what people write to a session that is lent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Contact,
    Message,
    SessionGroup,
    SessionQuarter,
    SessionShare,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import (
    campaigns,
    capabilities,
    erasure,
    optout,
    reviews,
    roll_up,
    runs,
    senders,
    sharing,
)
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.inbound import Letter, obey, store
from tests.accounts.conftest import plans
from tests.views.conftest import Desk

__all__ = ["plans"]


@pytest.fixture
def desk(plans: None) -> Iterator[Desk]:
    yield Desk("ana@example.org")


@pytest.fixture
def olga(plans: None) -> Desk:
    made = Desk("olga@example.org")
    EmailAddress.objects.create(user=made.user, email="Olga@Example.org", verified=True)
    return made


def lend(desk: Desk, other: Desk, wa_session: WaSenderSession, role: str = "operator", **fields: Any) -> SessionShare:
    share, _ = sharing.invite(actor=desk.user, wa_session=wa_session, email=other.user.email, role=role, **fields)
    return sharing.accept(actor=other.user, share=share)


def usable(user: User) -> set[str]:
    return set(WaSenderSession.objects.usable_by(user).values_list("session_name", flat=True))


def code_of(verb: Any, **arguments: Any) -> str:
    with pytest.raises(ServiceError) as refused, transaction.atomic():
        verb(**arguments)
    return refused.value.code


def test_invited_accepted_changed_and_revoked(desk: Desk, olga: Desk) -> None:
    one = desk.session("Front desk")
    share, token = sharing.invite(actor=desk.user, wa_session=one, email=" Olga@example.ORG ", role="viewer")
    assert share.email == "olga@example.org" and usable(olga.user) == set()
    assert token not in str(SessionShare.objects.filter(pk=share.pk).values())
    assert [row.pk for row in sharing.invitations_of(olga.user)] == [share.pk]
    sharing.accept(actor=olga.user, share=share)
    assert usable(olga.user) == {"Front desk"} and not sharing.invitations_of(olga.user)
    assert sharing.find_invitation(desk.user, token) is sharing.find_invitation(olga.user, token) is None
    assert code_of(sharing.accept, actor=olga.user, share=share) == "not_found"
    sharing.change(actor=desk.user, share=share, role="operator", until=timezone.now() + timedelta(hours=1))
    assert WaSenderSession.objects.usable_by(olga.user, ["operator"]).exists()
    SessionShare.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert usable(olga.user) == set()
    sharing.change(actor=desk.user, share=share, role="viewer", until=None)
    sharing.revoke(actor=desk.user, share=share)
    assert usable(olga.user) == set() and code_of(sharing.revoke, actor=desk.user, share=share) == "not_found"
    verbs = Event.objects.filter(owner=desk.user, target_id=str(one.public_id)).order_by("id")
    said = ["share.invited", "share.accepted", "share.changed", "share.changed", "share.revoked"]
    assert list(verbs.values_list("verb", flat=True)) == said
    assert "olga" not in str(list(verbs.values("data", "changes", "label"))).lower()


def test_what_a_viewer_may_not_do_is_said_in_the_look(desk: Desk, olga: Desk) -> None:
    share = lend(desk, olga, desk.session("Front desk"), role="viewer")
    answer = olga.client.get(f"/whatsappapi/sessions/{share.session.public_id}/sharing/")
    assert answer.status_code == 403
    assert "you may not share this session. Ask its owner" in answer.text and "Go to the dashboard" in answer.text


def test_two_who_change_one_term_each_do_not_undo_each_other(desk: Desk, olga: Desk) -> None:
    soon = timezone.now() + timedelta(hours=1)
    share = lend(desk, olga, desk.session("Front desk"), until=soon)
    sharing.change(actor=desk.user, share=SessionShare.objects.get(pk=share.pk), role="viewer")
    sharing.change(actor=desk.user, share=share, until=soon + timedelta(hours=1))  # as it was seen before
    share.refresh_from_db()
    assert (share.role, share.until) == ("viewer", soon + timedelta(hours=1))
    # The page's field knows no seconds: an end that nobody touched stays as it is.
    page = f"/whatsappapi/sessions/{share.session.public_id}/sharing/"
    name, local = share.public_id.hex, share.until.astimezone(ZoneInfo(desk.user.time_zone)).strftime("%Y-%m-%dT%H:%M")
    change = f"{page}{share.public_id}/"
    answer = desk.client.post(change, {f"{name}-role": "operator", f"{name}-until": local})
    share.refresh_from_db()
    assert (answer.status_code, share.role, share.until) == (302, "operator", soon + timedelta(hours=1))


def test_a_link_works_once_for_whoever_holds_it(desk: Desk, olga: Desk, plans: None) -> None:
    one, other = desk.session(), Desk("bob@example.org")
    share, token = sharing.invite(actor=desk.user, wa_session=one, email="nobody@example.org", role="viewer")
    assert code_of(sharing.accept, actor=other.user, share=share) == "not_found"
    assert code_of(sharing.accept, actor=other.user, share=share, token="wrong") == "not_found"
    assert code_of(sharing.accept, actor=desk.user, share=share, token=token) == "not_found"
    page = f"/whatsappapi/invitation/{token}/"
    assert other.client.get(page).status_code == 200 and usable(other.user) == set()
    assert other.client.post(page, {"answer": "accept"}).status_code == 302
    assert usable(other.user) == {one.session_name}
    assert other.client.get(page).status_code == olga.client.post(page, {"answer": "accept"}).status_code == 410
    _, late = sharing.invite(actor=desk.user, wa_session=one, email="late@example.org", role="viewer")
    SessionShare.objects.update(link_until=timezone.now() - timedelta(seconds=1))
    assert olga.client.get(f"/whatsappapi/invitation/{late}/").status_code == 410


def test_an_address_that_is_not_verified_gets_nothing(desk: Desk, olga: Desk) -> None:
    EmailAddress.objects.update(verified=False)
    share, _ = sharing.invite(actor=desk.user, wa_session=desk.session(), email=olga.user.email, role="viewer")
    assert not sharing.invitations_of(olga.user)
    assert code_of(sharing.accept, actor=olga.user, share=share) == "not_found"
    EmailAddress.objects.update(verified=True)
    assert sharing.invitations_of(olga.user).get() == share  # it waited


def test_inviting_tells_nobody_who_has_an_account(desk: Desk, olga: Desk) -> None:
    one = desk.session()
    page = f"/whatsappapi/sessions/{one.public_id}/sharing/"
    answers = []
    for email in (olga.user.email, "nope@example.org"):
        answer = desk.client.post(page, {"email": email, "role": "viewer", "until": ""})
        text = answer.text.replace(email, "X").replace(answer.context["link"], "LINK")
        text = text.replace(str(SessionShare.objects.get(email=email).public_id), "ID")
        answers.append((answer.status_code, re.sub("Invited [^<]*", "Invited", text)))  # a minute may lie between
        SessionShare.objects.all().delete()
    (a, first), (b, second) = answers
    assert (a, b) == (200, 200)

    def plain(text: str) -> list[str]:
        return [line for line in text.splitlines() if "csrf" not in line.lower() and "id_" not in line]

    assert plain(first) == plain(second)


def test_mail_says_it_once(desk: Desk, olga: Desk, settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    share, token = sharing.invite(
        actor=desk.user, wa_session=desk.session("Front"), email="a@example.org", role="viewer"
    )
    assert sharing.tell_invited(share.pk) and not sharing.tell_invited(share.pk)
    [letter] = mail.outbox
    assert letter.to == ["a@example.org"] and "Front" in letter.body and token not in letter.body


def test_what_may_not_be(desk: Desk, olga: Desk) -> None:
    one, past = desk.session(), timezone.now() - timedelta(seconds=1)
    invite = {"actor": desk.user, "wa_session": one, "email": "a@example.org", "role": "viewer"}
    assert code_of(sharing.invite, **invite | {"email": "no address"}) == "email"
    assert code_of(sharing.invite, **invite | {"email": desk.user.email}) == "email"
    assert code_of(sharing.invite, **invite | {"role": "owner"}) == "role"
    assert code_of(sharing.invite, **invite | {"until": past}) == "until"
    assert code_of(sharing.invite, **invite | {"actor": olga.user}) == "not_found"
    share = lend(desk, olga, one)
    assert code_of(sharing.invite, **invite | {"actor": olga.user}) == "forbidden"
    for verb, more in ((sharing.change, {"role": "operator", "until": None}), (sharing.revoke, {})):
        assert code_of(verb, actor=olga.user, share=share, **more) == "forbidden"
    assert code_of(sharing.invite, **invite | {"email": olga.user.email}) == "duplicate"
    with pytest.raises(IntegrityError), transaction.atomic():
        SessionShare.objects.create(session=one, email="x@example.org", user=olga.user)
    first, token = sharing.invite(**invite)
    again, _ = sharing.invite(**invite)
    first.refresh_from_db()
    assert first.end == "replaced" and sharing.find_invitation(olga.user, token) is None and again.pk != first.pk
    sharing.invite(**invite | {"email": "b@example.org"})
    sharing.AN_HOUR, before = 3, sharing.AN_HOUR
    try:
        assert code_of(sharing.invite, **invite | {"email": "c@example.org"}) == "too_many"
    finally:
        sharing.AN_HOUR = before


def test_declined_left_and_lent_again(desk: Desk, olga: Desk) -> None:
    one = desk.session("Desk")
    share, _ = sharing.invite(actor=desk.user, wa_session=one, email=olga.user.email, role="viewer")
    sharing.decline(actor=olga.user, share=share)
    assert usable(olga.user) == set() and not sharing.invitations_of(olga.user)
    SessionShare.objects.filter(pk=share.pk).update(ended_at=timezone.now() - timedelta(days=91))
    assert sharing.prune() == 1
    lend(desk, olga, one)
    sharing.leave(actor=olga.user, wa_session=one)
    assert usable(olga.user) == set() and code_of(sharing.leave, actor=olga.user, wa_session=one) == "not_found"
    old = lend(desk, olga, one, "viewer")
    SessionShare.objects.filter(pk=old.pk).update(until=timezone.now() - timedelta(days=1))
    assert lend(desk, olga, one).is_live  # the one whose time is over gives way
    User.objects.filter(pk=desk.user.pk).update(is_active=False)
    assert usable(olga.user) == set()


def test_a_session_that_was_deleted_meanwhile_is_out_of_everybody_s_reach(desk: Desk, olga: Desk) -> None:
    one = desk.session("Front desk")
    lend(desk, olga, one)
    for who in (desk.user, olga.user):
        assert capabilities.reach(who, one, "see") == one
    WaSenderSession.objects.filter(pk=one.pk).update(deleted_at=timezone.now())
    for who in (desk.user, olga.user):
        assert code_of(capabilities.reach, user=who, wa_session=one, action="see") == "not_found"


def test_a_campaign_over_more_sessions_than_the_most_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, grouped = (desk.session(name) for name in ("A", "B", "C"))
    group = SessionGroup.objects.create(user=desk.user, name="G")
    group.sessions.set([second, grouped])
    monkeypatch.setattr(senders, "MOST", 2)
    assert senders.choose(actor=desk.user, sessions=[first.public_id, second.public_id]).sessions == [first, second]
    asked = {"actor": desk.user, "sessions": [first.public_id], "groups": [group.public_id]}
    assert code_of(senders.choose, **asked) == "sessions"  # the group brings two more


def test_campaigns_over_what_is_lent(desk: Desk, olga: Desk) -> None:
    one = desk.session("Front desk", linked_number="+12125550100")
    share, people = lend(desk, olga, one), olga.contact_list(3)
    made = campaigns.create_campaign(
        actor=olga.user, name="Olga's sale", body="Hi", contact_list=people, wa_sessions=[one]
    )
    campaigns.launch(actor=olga.user, campaign=made)
    used = Event.objects.get(verb="share.used")
    assert (used.owner, used.actor, used.data) == (desk.user, olga.user, {"campaign": "Olga's sale"})
    copy = runs.clone(actor=olga.user, campaign=made)
    sharing.change(actor=desk.user, share=share, role="viewer", until=None)
    with pytest.raises(ServiceError, match="is not shared with you any more") as refused:
        campaigns.launch(actor=olga.user, campaign=copy)
    assert refused.value.code == "unshared"
    again = {"actor": olga.user, "name": "", "body": "Hi", "contact_list": people, "wa_sessions": [one]}
    assert code_of(campaigns.create_campaign, **again) == "forbidden"
    assert code_of(runs.add_session, actor=olga.user, campaign=made, wa_session=one) == "forbidden"
    sharing.revoke(actor=desk.user, share=share)
    assert code_of(campaigns.create_campaign, **again) == "not_found"
    page = olga.client.get(f"/whatsappapi/campaigns/{made.public_id}/").text
    assert "Front desk" in page and "Shared access ended" in page
    assert not re.search(r"555\D?01", page.split("People")[0])
    made.counts.create(session=one, state="delivered", n=7)
    [work] = sharing.work_of(one).values()
    assert work.campaigns == [("Olga's sale", 7)] and work.total == 7
    text = desk.client.get(f"/whatsappapi/sessions/{one.public_id}/sharing/").text
    assert "7 messages" in text and "Who used it before" in text


# --- what people write ------------------------------------------------------------------------------------------------


def write(desk: Desk, one: WaSenderSession, phone: str, text: str, key: str) -> None:
    now = timezone.now()
    obey(Letter(desk.user.pk, one.pk, key, phone, "", "P", text, now))


def wrote(desk: Desk, one: WaSenderSession, phone: str) -> None:
    """A message of the desk's owner went to this person over the session."""
    contact = Contact.objects.filter(user=desk.user, phone=phone).first()
    message = Message.objects.create(
        user=desk.user, session=one, contact=contact, phone=phone, kind="transactional", state="accepted"
    )
    now = timezone.now()
    message.attempts.create(
        session=one, phone=phone, worker="w", key_version=1, connection_version=0, body_hash=b"", started_at=now,
        lease_until=now, outcome="accepted", finished_at=now, resolved_at=now,
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_stop_binds_the_owner_and_whoever_wrote(plans: None) -> None:
    desk, olga, bob = Desk("ana@example.org"), Desk("olga@example.org"), Desk("bob@example.org")
    one, phone = desk.session("Front desk"), "+12125550170"
    for other in (olga, bob):
        SessionShare.objects.create(
            session=one, email=other.user.email, user=other.user, role="operator", accepted_at=timezone.now()
        )
    Contact.objects.create(user=olga.user, phone=phone, name="P", consent="granted")
    wrote(olga, one, phone)
    waiting = Message.objects.create(user=olga.user, phone=phone, kind="campaign", state="queued", body="Hi")
    SessionShare.objects.filter(user=olga.user).update(ended_at=timezone.now())  # a former borrower's as well
    write(desk, one, phone, "STOP", "a")
    stopped = Suppression.objects.filter(phone=phone, lifted_at=None)
    assert set(stopped.values_list("user", flat=True)) == {desk.user.pk, olga.user.pk}  # Bob never wrote to them
    assert Contact.objects.get(user=olga.user, phone=phone).consent == "withdrawn"
    waiting.refresh_from_db()
    assert waiting.state == "skipped"
    assert Message.objects.filter(kind="confirmation").values_list("user", "phone").get() == (desk.user.pk, phone)
    write(desk, one, phone, "START", "b")
    assert not stopped.exists()


def borrowed(plans: None) -> tuple[Desk, Desk, WaSenderSession, Contact]:
    """Ana, Olga who has Ana's session and wrote to somebody over it, and Olga's record of that person."""
    desk, olga, phone = Desk("ana@example.org"), Desk("olga@example.org"), "+12125550170"
    one = desk.session("Front desk")
    SessionShare.objects.create(
        session=one, email=olga.user.email, user=olga.user, role="operator", accepted_at=timezone.now()
    )
    contact = Contact.objects.create(user=olga.user, phone=phone, name="P", consent="granted")
    contact.consent_records.create(user=olga.user, status="granted", source="form")
    wrote(olga, one, phone)
    return desk, olga, one, contact


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "said", ["own", "own lent", "lent own", "lent hand", "lent erased", "lent doubt", "doubt lent"]
)
def test_start_to_a_lent_number_lifts_nothing_that_was_said_elsewhere(said: str, plans: None) -> None:
    desk, olga, one, contact = borrowed(plans)
    own, phone = olga.session("Front desk"), contact.phone  # names tell nothing
    for n, where in enumerate(said.split()):
        if where == "lent":
            write(desk, one, phone, "STOP", f"a{n}")
        elif where in ("own", "doubt"):
            write(olga, own, phone, "STOP" if where == "own" else "Who gave you my number?", f"a{n}")
        elif where == "hand":
            optout.opt_out(user=olga.user, phone=phone, source="contact page", actor=olga.user)
        else:
            erasure.erase(actor=olga.user, contact=contact)
    write(desk, one, phone, "START", "b")
    stopped = Suppression.objects.filter(lifted_at=None)
    assert set(stopped.values_list("user", flat=True)) == {olga.user.pk}  # to its owner it lifts all
    assert Contact.objects.get(user=olga.user).consent == "withdrawn"
    write(olga, own, phone, "START", "c")
    assert not stopped.exists()
    assert Contact.objects.get(user=olga.user).consent == "granted"


@pytest.mark.django_db(transaction=True)
def test_start_to_a_lent_number_lifts_what_was_said_there(plans: None) -> None:
    desk, olga, one, contact = borrowed(plans)
    for words in ("STOP", "Who gave you my number?"):
        write(desk, one, contact.phone, words, "a")
        active = Suppression.objects.filter(lifted_at=None)
        assert set(active.values_list("user", "session")) == {(desk.user.pk, one.pk), (olga.user.pk, one.pk)}
        write(desk, one, contact.phone, "START", "b")
        assert not active.exists()
        assert Contact.objects.get(user=olga.user).consent == "granted"
    for held in decided(desk, olga, one, contact):
        assert held.session == one
    write(desk, one, contact.phone, "START", "c")
    assert not Suppression.objects.filter(lifted_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_start_to_a_lent_number_that_arrives_after_a_later_stop_lifts_nothing(plans: None) -> None:
    desk, olga, one, contact = borrowed(plans)
    now = timezone.now()
    stop, start = (
        Letter(desk.user.pk, one.pk, words, contact.phone, "", "P", words, now - timedelta(seconds=ago))
        for words, ago in (("STOP", 10), ("START", 20))
    )
    for letter in (stop, start):
        with transaction.atomic(), connection.cursor() as cursor:
            store(cursor, [letter])
        obey(letter)
    stopped = Suppression.objects.filter(lifted_at=None)
    assert set(stopped.values_list("user", flat=True)) == {desk.user.pk, olga.user.pk}
    assert Contact.objects.get(user=olga.user).consent == "withdrawn"


def decided(desk: Desk, olga: Desk, one: WaSenderSession, contact: Contact) -> list[Suppression]:
    """Doubtful words to the lent session, which both take for a refusal."""
    write(desk, one, contact.phone, "Who gave you my number?", "d")
    for held in Suppression.objects.filter(lifted_at=None, reason="review"):
        reviews.confirm(actor=held.user, suppression=held)
    found = list(Suppression.objects.filter(lifted_at=None, reason="stop"))
    assert {held.user for held in found} == {desk.user, olga.user}
    return found


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_binds_two_counts_once_for_the_session(plans: None) -> None:
    desk, _, one, contact = borrowed(plans)
    write(desk, one, contact.phone, "STOP", "a")
    assert Message.objects.filter(kind="confirmation").count() == 1
    roll_up.roll_up(60)
    quarters = SessionQuarter.objects.filter(session=one)
    assert sum(quarters.values_list("opted_out", flat=True)) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("text", ["STOP", "Who gave you my number?"])
@pytest.mark.parametrize("is_confirmed", [False, True])
def test_words_from_a_hidden_number_reach_each_once_it_is_known(text: str, is_confirmed: bool, plans: None) -> None:
    desk, olga, one, contact = borrowed(plans)
    lid, reason = "77@lid", "stop" if text == "STOP" else "review"
    obey(Letter(desk.user.pk, one.pk, "a", "", lid, "P", text, timezone.now()))
    [held] = Suppression.objects.all()
    assert (held.user, held.session, held.reason, held.phone) == (desk.user, one, reason, "")
    if is_confirmed and reason == "review":
        reviews.confirm(actor=desk.user, suppression=held)  # what one decides is not what the other does
    Contact.objects.create(user=desk.user, phone=contact.phone, lid=lid, name="P")
    assert optout.resolve_lids() == 1 and optout.resolve_lids() == 0
    theirs = Suppression.objects.get(user=olga.user)
    assert (theirs.phone, theirs.reason, theirs.session) == (contact.phone, reason, one)
    assert theirs.words == (text if reason == "review" else "")
    assert Suppression.objects.get(user=desk.user).phone == contact.phone


@pytest.mark.django_db(transaction=True)
def test_who_was_released_is_not_held_again_for_the_same_words(plans: None) -> None:
    desk, olga, one, contact = borrowed(plans)
    Suppression.objects.create(user=desk.user, phone=contact.phone, reason="manual")  # so its LID stays apart
    obey(Letter(desk.user.pk, one.pk, "a", "", "77@lid", "P", "Who gave you my number?", timezone.now()))
    Contact.objects.create(user=desk.user, phone=contact.phone, lid="77@lid", name="P")
    optout.resolve_lids()
    reviews.release(actor=olga.user, suppression=Suppression.objects.get(user=olga.user))
    optout.resolve_lids()
    assert not Suppression.objects.filter(user=olga.user, lifted_at=None).exists()
