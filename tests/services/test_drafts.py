"""Drafts under several hands at once, and what they may become."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Campaign, Contact, ContactList, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import audience, campaigns, drafts, readiness, runs
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.senders import Senders
from tests.services.conftest import make_session


def make_list(user: User, n: int = 3) -> ContactList:
    made = ContactList.objects.create(user=user, name="Guests")
    made.contacts.set(
        Contact.objects.bulk_create(
            Contact(user=user, phone=f"+1212555010{i}", name=f"P{i}", consent="granted") for i in range(n)
        )
    )
    return made


@pytest.mark.django_db(transaction=True)
def test_of_two_saves_at_once_one_wins_and_the_other_is_told(user: User) -> None:
    draft = drafts.create_draft(actor=user, name="Sale")
    ready, told = threading.Barrier(4), []

    def save(n: int) -> None:
        ready.wait(60)
        try:
            drafts.save(actor=user, campaign=draft, changes={"body": f"Text {n}"}, version=0)
            told.append("saved")
        except drafts.Conflict as conflict:
            told.append(conflict.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert sorted(told) == ["changed", "changed", "changed", "saved"]
    assert Campaign.objects.get().version == 1
    assert Event.objects.filter(verb="campaign.saved").count() == 1


def test_what_two_people_change_in_turn_is_one_version_each(user: User) -> None:
    draft = drafts.create_draft(actor=user)
    assert draft.name.startswith("Campaign of ")
    first = drafts.save(actor=user, campaign=draft, changes={"body": "A", "name": "Sale"}, version=0)
    same = drafts.save(actor=user, campaign=draft, changes={"body": "A"}, version=0)
    assert (first.version, same.version) == (1, 1)
    with pytest.raises(drafts.Conflict):
        drafts.save(actor=user, campaign=draft, changes={"name": "Other"}, version=0)
    with pytest.raises(ServiceError, match="needs a name"):
        drafts.save(actor=user, campaign=draft, changes={"name": "  "}, version=1)
    assert "A" not in str(Event.objects.get(verb="campaign.saved").data["fields"])


def test_nobody_elses_draft(user: User, stranger: User) -> None:
    draft = drafts.create_draft(actor=user, contact_list=make_list(user))
    for verb in (
        lambda: drafts.save(actor=stranger, campaign=draft, changes={"body": "x"}),
        lambda: drafts.delete_draft(actor=stranger, campaign=draft),
        lambda: runs.start(actor=stranger, campaign=draft),
        lambda: drafts.create_draft(actor=stranger, contact_list=draft.contact_list),
    ):
        with pytest.raises(ServiceError) as refused:
            verb()
        assert refused.value.code == "not_found"
    assert Campaign.objects.get().body == ""


def test_rules_come_with_the_first_real_session_and_ones_own_stay(
    user: User, account: GatewayAccount, linked: WaSenderSession
) -> None:
    real = GatewayAccount.objects.create(user=user, name="Real", base_url="http://127.0.0.1:9/api", token="t")
    number = make_session(real, "b2" * 32, "d00d" * 8, webhook_proven_at=timezone.now())
    draft = drafts.create_draft(actor=user, contact_list=make_list(user))

    def rules(senders: list[WaSenderSession]) -> list[object]:
        row = drafts.save(actor=user, campaign=draft, changes={}, senders=Senders(senders, [], []))
        return [getattr(row, name) for name in drafts.RULES]

    assert rules([linked]) == [None] * 4
    assert rules([linked, number]) == list(drafts.RULES.values())
    assert rules([linked]) == [None] * 4
    drafts.save(actor=user, campaign=draft, changes={"cap_day": 3})
    assert rules([number]) == [None, None, 3, None]
    # Into a draft by another way, and into a run.
    simulated = campaigns.create_campaign(
        actor=user, name="Box", contact_list=draft.contact_list, body="Hi", wa_sessions=[linked]
    )
    runs.add_session(actor=user, campaign=simulated, wa_session=number)
    simulated.refresh_from_db()
    assert (simulated.cap_day, simulated.quiet_start) == (1, drafts.RULES["quiet_start"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"body": ""}, "empty"),
        ({"contact_list": None, "audience": {}}, "no_audience"),
        ({"audience": {"lists": [10**9]}}, "no_audience"),
        ({"media_kind": "audio", "media_url": "https://files.example.com/a.ogg"}, "body"),
        ({"windows": [[0, 600], *[None] * 6], "expires_at": "soon"}, "windows"),
    ],
)
def test_what_is_not_ready_does_not_start(
    fields: dict[str, object], code: str, user: User, linked: WaSenderSession
) -> None:
    draft = campaigns.create_campaign(
        actor=user, name="Sale", contact_list=make_list(user), body="Hi", wa_sessions=[linked]
    )
    if "expires_at" in fields:
        # An end before the only window of the week begins anew.
        at = timezone.now() + timedelta(hours=1)
        day = (at.weekday() + 3) % 7
        fields = {"windows": [[0, 600] if n == day else None for n in range(7)], "expires_at": at}
    Campaign.objects.filter(pk=draft.pk).update(**fields)
    for verb in (runs.start, campaigns.launch):
        draft.refresh_from_db()
        with pytest.raises(ServiceError) as refused:
            verb(actor=user, campaign=draft)
        assert refused.value.code == code
    at = timezone.now() + timedelta(minutes=30)
    with pytest.raises(ServiceError) as refused:
        runs.schedule(actor=user, campaign=draft, at=at)
    assert refused.value.code == code
    draft.refresh_from_db()
    assert (draft.state, draft.scheduled_at) == ("draft", None)


def test_one_that_lost_its_sessions_says_which(user: User, account: GatewayAccount, linked: WaSenderSession) -> None:
    second = make_session(account, "b2" * 32, "d00d" * 8)
    draft = campaigns.create_campaign(
        actor=user, name="Sale", contact_list=make_list(user), body="Hi, STOP ends it", wa_sessions=[linked, second]
    )
    WaSenderSession.objects.filter(pk=second.pk).update(is_surplus=True)
    [warning] = readiness.problems(draft)
    assert (warning.severity, warning.code) == ("warn", "surplus") and second.session_name in warning.words
    WaSenderSession.objects.filter(pk=linked.pk).update(deleted_at=timezone.now())
    assert [one.severity for one in readiness.problems(draft)] == ["block", "block"]


def test_an_audience_of_nobody_who_agreed_does_not_start(user: User, linked: WaSenderSession) -> None:
    people = make_list(user)
    people.contacts.update(consent="unknown")
    draft = campaigns.create_campaign(actor=user, name="", contact_list=people, body="STOP", wa_sessions=[linked])
    counted = audience.count_of(draft)
    assert (counted.people, counted.sendable, counted.why) == (3, 0, [("no consent on record", 3)])
    assert [one.code for one in readiness.problems(draft, counted)] == ["nobody"]
