"""Somebody else's session, lent and taken back: what the engine lets through, and whose limits and opt-outs hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.whatsappapi.dispatch import tend
from phonebank.whatsappapi.dispatch.sql import between
from phonebank.whatsappapi.models import (
    Campaign,
    Contact,
    ContactList,
    InboundMessage,
    Message,
    SessionShare,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import sharing
from phonebank.whatsappapi.services.binding import binding
from phonebank.whatsappapi.services.forecast import forecast
from phonebank.whatsappapi.services.progress import progress
from tests.dispatch.bench import SHARDS, Bench


class Team:
    """The bench's owner lends `desk` to Olga, who has one session of her own and six people."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.owner = bench, bench.user
        self.olga = User.objects.create_user("olga@phonebank.example", plan="enterprise")
        self.desk = bench.session(session_name="Front desk")
        self.own = bench.session(user=self.olga, session_name="Olga's")
        self.share = SessionShare.objects.create(
            session=self.desk, email=self.olga.email, user=self.olga, role="operator", accepted_at=timezone.now()
        )
        self.people = ContactList.objects.create(user=self.olga, name="Olga's people")
        self.people.contacts.set(self.contacts(6))

    def contacts(self, count: int, start: int = 0) -> list[Contact]:
        return Contact.objects.bulk_create(
            Contact(user=self.olga, phone=f"+134755501{i:02d}", name="P", consent="granted")
            for i in range(start, start + count)
        )

    def campaign(self, *sessions: WaSenderSession, **fields: Any) -> Campaign:
        return self.bench.campaign(self.people, sessions or [self.desk, self.own], user=self.olga, **fields)

    def lend(self, **fields: Any) -> None:
        SessionShare.objects.filter(pk=self.share.pk).update(**fields)

    def claimed(self, n: int = 10) -> list[int]:
        """The sessions of what one tick claims; all of it is accepted."""
        claims = self.bench.claim(n)
        self.bench.settle(*map(self.bench.accepted, claims))
        return [one.session for one in claims]

    def work(self) -> set[int]:
        """The sessions that the engine would look at."""

        async def find() -> set[int]:
            rows = await self.bench.conn.execute(between.WORK, {"shards": SHARDS, "held": list(range(SHARDS))})
            return {row[0] for row in await rows.fetchall()}

        return self.bench.run(find())


@pytest.fixture
def team(bench: Bench) -> Team:
    return Team(bench)


def past(minutes: int = 1) -> Any:
    return timezone.now() - timedelta(minutes=minutes)


def test_an_operators_campaign_runs_over_both(team: Team) -> None:
    campaign = team.campaign()
    assert team.work() == {team.desk.pk, team.own.pk}
    assert sorted(team.claimed()) == sorted([team.desk.pk, team.own.pk] * 3)
    assert team.bench.used(team.desk) == 3
    assert team.bench.complete(campaign)


ENDS: dict[str, Callable[[Team], Any]] = {
    "revoked": lambda team: sharing.revoke(actor=team.owner, share=team.share),
    "left": lambda team: sharing.leave(actor=team.olga, wa_session=team.desk),
    "made a viewer": lambda team: sharing.change(actor=team.owner, share=team.share, role="viewer", until=None),
    "its time over": lambda team: team.lend(until=past()),
    "never accepted": lambda team: team.lend(accepted_at=None),
    "somebody else's": lambda team: team.lend(user=User.objects.create_user("x@phonebank.example")),
    "of another session": lambda team: team.lend(session=team.bench.session()),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_what_is_not_lent_is_not_claimed(end: str, team: Team) -> None:
    campaign = team.campaign()
    team.bench.settle(*map(team.bench.accepted, team.bench.claim(1)))
    ENDS[end](team)
    assert team.work() == {team.own.pk}
    assert set(team.claimed()) == {team.own.pk}
    assert Message.objects.filter(campaign=campaign, session=team.desk, state="queued").count() == 2
    # They go to the other session, with the reason, and the campaign ends.
    assert team.bench.redeal(campaign) == 2
    moved = Message.objects.filter(campaign=campaign, why__startswith="Moved: ")
    assert {one.why for one in moved} == {"Moved: Front desk is not shared any more"}
    assert set(team.claimed()) == {team.own.pk} and team.bench.complete(campaign)


def test_a_retry_is_not_claimed_either_nor_what_was_promised_to_wait(team: Team) -> None:
    campaign = team.campaign(team.desk, policy="wait")
    Message.objects.filter(campaign=campaign).update(retry_at=past())
    sharing.revoke(actor=team.owner, share=team.share)
    assert team.work() == set() and team.claimed() == []
    assert team.bench.states(campaign) == {"queued": 6}


def test_with_no_other_session_it_waits_and_says_so_until_it_is_lent_again(team: Team) -> None:
    campaign = team.campaign(team.desk)
    sharing.revoke(actor=team.owner, share=team.share)
    assert not tend.tend() and team.claimed() == []
    campaign.refresh_from_db()
    counts = progress(campaign).counts
    words = binding(campaign, counts, forecast(campaign), timezone.now())
    assert words is not None and words.startswith("Shared access to Front desk ended.")
    team.lend(ended_at=None)
    assert team.claimed() == [team.desk.pk] * 6


def test_single_messages_end_instead_of_waiting_for_ever(team: Team) -> None:
    one = team.bench.single(team.desk, "+13475550100", user=team.olga, contact=team.people.contacts.first())
    sharing.revoke(actor=team.owner, share=team.share)
    assert team.claimed() == []
    one.refresh_from_db()
    assert (one.state, one.reason) == ("failed", "Shared access to its session ended")


@pytest.mark.parametrize("who", ["owner", "olga"])
def test_a_closed_account_sends_nothing_over_what_was_shared(who: str, team: Team) -> None:
    campaign = team.campaign()
    User.objects.filter(pk=getattr(team, who).pk).update(is_active=False)
    claimed = set(team.claimed())
    assert claimed == ({team.own.pk} if who == "owner" else set())
    assert team.bench.redeal(campaign) == (3 if who == "owner" else 0)


@pytest.mark.parametrize("state", [{"is_surplus": True}, {"deleted_at": timezone.now()}, {"is_active": False}])
def test_an_unfit_session_is_unfit_for_borrowers_too(state: dict[str, Any], team: Team) -> None:
    team.campaign()
    WaSenderSession.objects.filter(pk=team.desk.pk).update(**state)
    assert set(team.claimed()) == {team.own.pk}


def test_one_daily_limit_for_the_campaigns_of_two_people(team: Team) -> None:
    WaSenderSession.objects.filter(pk=team.desk.pk).update(daily_limit=5)
    owners = team.bench.campaign(team.bench.people(6), [team.desk])
    olgas = team.campaign(team.desk)
    sent = team.claimed(3) + team.claimed(3) + team.claimed(3)
    assert sent == [team.desk.pk] * 5 and team.bench.used(team.desk) == 5
    done = [team.bench.states(one).get("accepted", 0) for one in (owners, olgas)]
    assert sum(done) == 5 and min(done) > 0  # they take turns


def test_the_owners_plan_counts_not_the_borrowers(team: Team) -> None:
    free, _ = Plan.objects.get_or_create(slug="tiny", defaults={"name": "Tiny", "max_sessions": 5, "daily_limit": 2})
    team.owner.subscription.plan = free
    team.owner.subscription.save()
    team.campaign(team.desk)
    assert len(team.claimed()) == 2


@pytest.mark.parametrize(("whose", "reason"), [("owner", "stop"), ("olga", "stop"), ("owner", "review")])
def test_opt_outs_of_both_bind(whose: str, reason: str, team: Team) -> None:
    campaign = team.campaign(team.desk)
    stopped = team.people.contacts.order_by("phone")[2]
    Suppression.objects.create(user=getattr(team, whose), phone=stopped.phone, reason=reason)
    assert len(team.claimed()) == 5
    row = Message.objects.get(campaign=campaign, phone=stopped.phone)
    assert row.state == ("queued" if reason == "review" else "skipped")


def test_the_owners_opt_outs_do_not_bind_the_borrowers_own_session(team: Team) -> None:
    team.campaign(team.own)
    Suppression.objects.create(user=team.owner, phone=team.people.contacts.order_by("phone")[2].phone)
    assert len(team.claimed()) == 6


def test_consent_is_the_campaign_owners(team: Team) -> None:
    campaign = team.campaign(team.desk)
    first, second = team.people.contacts.order_by("phone")[:2]
    Contact.objects.create(user=team.owner, phone=first.phone, consent="withdrawn")
    Contact.objects.create(user=team.owner, phone=second.phone, consent="granted")
    Contact.objects.filter(pk=second.pk).update(consent="withdrawn")
    assert len(team.claimed()) == 5
    assert Message.objects.get(campaign=campaign, state="skipped").phone == second.phone


def test_an_answer_needs_a_letter_to_that_session(team: Team) -> None:
    answers = [team.bench.single(team.desk, f"+1347555012{i}", "reply", user=team.olga, earned=False) for i in range(3)]
    other = team.bench.session()
    InboundMessage.objects.create(user=team.owner, session=team.desk, key_id="a", phone="+13475550120")
    InboundMessage.objects.create(user=team.owner, session=other, key_id="b", phone="+13475550121")
    assert len(team.claimed()) == 1
    assert [Message.objects.get(pk=one.pk).state for one in answers] == ["accepted", "failed", "failed"]


def test_a_test_message_goes_to_numbers_that_are_lent_or_ones_own(team: Team) -> None:
    WaSenderSession.objects.filter(pk=team.desk.pk).update(linked_number="+16465550150")
    WaSenderSession.objects.filter(pk=team.own.pk).update(linked_number="+16465550151")
    team.bench.session(linked_number="+16465550152")  # the owner's, not lent
    sent = [
        team.bench.single(team.desk, f"+1646555015{i}", "test", user=team.olga, earned=False, contact=None)
        for i in range(3)
    ]
    team.claimed()
    assert [Message.objects.get(pk=one.pk).state for one in sent] == ["accepted", "accepted", "failed"]
