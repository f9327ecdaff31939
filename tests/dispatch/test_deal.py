"""send-path 3: who goes to which session."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.gateways.base import Deferred
from phonebank.whatsappapi.dispatch import deal, tend
from phonebank.whatsappapi.dispatch.sql.audience import people_of
from phonebank.whatsappapi.dispatch.sql.deal import deal_of
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignSession,
    Contact,
    ContactTag,
    Message,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import campaigns
from tests.dispatch.bench import Bench, nodes


def shares(campaign: Campaign) -> list[int]:
    """Queued rows by lane, in the lanes' order."""
    counted = Counter(Message.objects.filter(campaign=campaign, state="queued").values_list("session_id", flat=True))
    return [counted[one] for one in campaign.lanes.order_by("position").values_list("session_id", flat=True)]


@pytest.mark.parametrize("chunk", [10_000, 9, 4, 1])
def test_nine_over_three_gives_three_each_across_chunks(
    bench: Bench, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deal, "CHUNK", chunk)
    campaign = bench.campaign(bench.people(9), [bench.session() for _ in range(3)])
    assert shares(campaign) == [3, 3, 3]
    campaign.refresh_from_db()
    assert campaign.state == "running" and campaign.sealed_at and campaign.deal_number == 9
    order = list(Message.objects.filter(campaign=campaign).order_by("contact_id").values_list("session_id", flat=True))
    assert order == order[:3] * 3


@pytest.mark.parametrize("chunk", [100, 5])
def test_rows_left_out_do_not_move_the_turn(bench: Bench, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped and sticky rows are not numbered: those in turn still get equal shares."""
    monkeypatch.setattr(deal, "CHUNK", chunk)
    one, two, three = (bench.session() for _ in range(3))
    people = bench.people(18)
    phones = list(people.contacts.order_by("pk").values_list("phone", flat=True))
    Contact.objects.filter(phone__in=phones[0:12:3]).update(consent="unknown")  # all of them the first one's turn
    Contact.objects.filter(phone__in=phones[12:17]).update(last_session=two)
    campaign = bench.campaign(people, [one, two, three])
    in_turn = Message.objects.filter(campaign=campaign, why="Dealt in turn").order_by("contact_id")
    assert list(in_turn.values_list("session_id", flat=True)) == [one.pk, two.pk, three.pk] * 3
    assert shares(campaign) == [3, 8, 3]


def test_people_keep_the_session_they_talk_with(bench: Bench) -> None:
    one, two = bench.session(), bench.session()
    outsider = bench.session()
    people = bench.people(8)
    first, second = people.contacts.order_by("pk")[:2]
    Contact.objects.filter(pk=first.pk).update(last_session=two)
    Contact.objects.filter(pk=second.pk).update(last_session=outsider)
    campaign = bench.campaign(people, [one, two])
    row = Message.objects.get(contact=first)
    assert row.session == two and row.why == "They already talk with this number"
    assert Message.objects.get(contact=second).why == "Dealt in turn"
    assert Message.objects.filter(campaign=campaign, session=outsider).count() == 0


def test_who_may_not_be_written_to_is_recorded_as_skipped_with_the_reason(bench: Bench) -> None:
    people = bench.people(4)
    stopped, unasked, withdrawn, _ = people.contacts.order_by("pk")
    Suppression.objects.create(user=bench.user, phone=stopped.phone)
    Contact.objects.filter(pk=unasked.pk).update(consent="unknown")
    Contact.objects.filter(pk=withdrawn.pk).update(consent="withdrawn")
    campaign = bench.campaign(people, [bench.session()])
    rows = {one.contact_id: one for one in Message.objects.filter(campaign=campaign)}
    assert rows[stopped.pk].reason == "Asked not to be written to"
    assert {rows[unasked.pk].reason, rows[withdrawn.pk].reason} == {"No consent on record"}
    assert bench.states(campaign) == {"queued": 1, "skipped": 3}
    assert rows[stopped.pk].session_id is None and rows[stopped.pk].position is None


def test_a_lifted_suppression_is_none(bench: Bench) -> None:
    people = bench.people(1)
    Suppression.objects.create(user=bench.user, phone=people.contacts.get().phone, lifted_at=timezone.now())
    assert bench.states(bench.campaign(people, [bench.session()])) == {"queued": 1}


def test_one_row_for_one_phone_however_often_it_is_dealt(bench: Bench) -> None:
    people = bench.people(6)
    campaign = bench.campaign(people, [bench.session(), bench.session()])
    Campaign.objects.filter(pk=campaign.pk).update(state="dealing", deal_cursor=0)
    assert deal.deal_chunk(campaign.pk)
    assert Message.objects.filter(campaign=campaign).count() == 6


def test_a_killed_deal_goes_on_where_it_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deal, "CHUNK", 4)
    campaign = bench.campaign(bench.people(10), [bench.session() for _ in range(3)], run=False)
    assert not deal.deal_chunk(campaign.pk)
    campaign.refresh_from_db()
    assert campaign.state == "dealing" and campaign.deal_number == 4
    assert bench.claim(5) == []  # nothing leaves before the count is sealed
    monkeypatch.setattr(deal, "CHUNK", 3)
    while not deal.deal_chunk(campaign.pk):
        bench.check()
    assert shares(campaign) == [4, 3, 3]


@pytest.mark.parametrize("kind", ["list", "lists", "tag", "list and tag"])
def test_a_chunk_reads_nobody_whom_an_earlier_one_dealt(kind: str, bench: Bench) -> None:
    """Or the last of a hundred chunks reads a list of a million from its beginning, like all before it."""
    people, more = bench.people(3000), bench.people(0, "More")
    tag = ContactTag.objects.create(user=bench.user, name="vip")
    tag.contacts.set(people.contacts.all())
    after = people.contacts.order_by("-pk")[20].pk
    audience = {
        "list": {"lists": [people.pk]},
        "lists": {"lists": [people.pk, more.pk]},
        "tag": {"tags": [tag.pk]},
        "list and tag": {"lists": [people.pk], "tags": [tag.pk]},
    }[kind]
    where, named = people_of(audience, None, after=after)
    campaign = bench.campaign(people, [bench.session()], run=False)
    named |= {"campaign": campaign.pk, "user": bench.user.pk, "sticky": False, "number": 0, "chunk": 10_000}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE whatsappapi_contact, whatsappapi_contact_lists, whatsappapi_contact_tags")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {deal_of(where)}", named)
        [[[found]]] = cursor.fetchall()
    read = {
        one["Relation Name"]: one["Actual Loops"] * (one["Actual Rows"] + one.get("Rows Removed by Filter", 0))
        for one in nodes(found["Plan"])
        if "Relation Name" in one and one["Node Type"].endswith("Scan")
    }
    assert campaign.messages.count() == 20
    assert max(read.values()) <= 60, read


def test_an_empty_audience_completes(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(0), [bench.session()])
    assert bench.complete(campaign)


def test_cancelled_while_dealing_stops_and_ends_every_row(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deal, "CHUNK", 4)
    campaign = bench.campaign(bench.people(10), [bench.session()], run=False)
    deal.deal_chunk(campaign.pk)
    campaigns.cancel(actor=bench.user, campaign=campaign)
    assert deal.deal_chunk(campaign.pk)  # nothing left to deal
    campaigns.cancel_rows(campaign.pk)
    assert bench.states(campaign) == {"cancelled": 4}


# --- re-deal ----------------------------------------------------------------------------------------------------------


def down(session: WaSenderSession) -> None:
    WaSenderSession.objects.filter(pk=session.pk).update(status="logged_out")


def test_a_lost_sessions_rows_go_to_the_others_least_recently_used_first(bench: Bench) -> None:
    lost, recent, rested = (bench.session() for _ in range(3))
    now = timezone.now()
    WaSenderSession.objects.filter(pk=recent.pk).update(last_used_at=now)
    WaSenderSession.objects.filter(pk=rested.pk).update(last_used_at=now - timedelta(hours=1))
    campaign = bench.campaign(bench.people(9), [lost, recent, rested])
    down(lost)
    assert bench.redeal(campaign) == 3
    assert shares(campaign) == [0, 4, 5]
    moved = Message.objects.filter(campaign=campaign, why__startswith="Moved: Desk 0 is logged out")
    assert moved.count() == 3
    tails = dict(CampaignSession.objects.filter(campaign=campaign).values_list("session_id", "tail"))
    assert sorted(moved.filter(session=rested).values_list("position", flat=True)) == [4, 5]
    assert tails[rested.pk] == 5 and tails[recent.pk] == 4
    assert len(bench.claim(9)) == 9


def test_the_redeal_gives_at_most_what_the_target_can_still_send_today(bench: Bench) -> None:
    lost, tight, other = bench.session(), bench.session(daily_limit=6), bench.session(daily_limit=4)
    campaign = bench.campaign(bench.people(12), [lost, tight, other])
    bench.settle(*map(bench.accepted, bench.claim({tight.pk: 1})))  # used 1, still 3 queued
    down(lost)
    assert bench.redeal(campaign) == 2  # 6 - 1 - 3 for one, 4 - 4 for the other
    assert shares(campaign) == [2, 5, 4]
    assert bench.redeal(campaign) == 0


def test_a_session_at_its_limit_gives_its_rows_away(bench: Bench) -> None:
    full, free = bench.session(daily_limit=2), bench.session()
    campaign = bench.campaign(bench.people(10), [full, free])
    bench.settle(*map(bench.accepted, bench.claim({full.pk: 9})))
    assert bench.used(full) == 2
    assert bench.redeal(campaign) == 3
    assert shares(campaign) == [0, 8]


def test_wait_moves_nobody_until_a_session_is_gone_for_good(bench: Bench) -> None:
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(4), [lost, other], policy="wait")
    down(lost)
    assert bench.redeal(campaign) == 0
    WaSenderSession.objects.filter(pk=lost.pk).update(deleted_at=timezone.now(), is_active=False)
    assert bench.redeal(campaign) == 2
    assert shares(campaign) == [0, 4]


def test_wait_moves_the_rows_of_a_session_taken_out_past_one_that_is_waited_for(bench: Bench) -> None:
    waited, out, other = (bench.session() for _ in range(3))
    campaign = bench.campaign(bench.people(6), [waited, out, other], policy="wait")
    down(waited)
    CampaignSession.objects.filter(campaign=campaign, session=out).update(is_active=False)
    assert bench.redeal(campaign) == 2
    assert shares(campaign) == [2, 0, 4]


def test_next_new_keeps_people_who_talk_with_that_session(bench: Bench) -> None:
    lost, second, other = (bench.session() for _ in range(3))
    people = bench.people(9)
    Contact.objects.filter(pk__in=people.contacts.order_by("pk").values("pk")[:3]).update(last_session=lost)
    campaign = bench.campaign(people, [lost, second, other], policy="next_new")
    assert shares(campaign) == [5, 2, 2]
    down(lost)
    assert bench.redeal(campaign) == 2
    assert shares(campaign) == [3, 3, 3]
    down(second)  # the first lane can move nobody any more: it must not hide the second
    assert bench.redeal(campaign) == 3
    assert shares(campaign) == [3, 0, 6]


def test_never_from_unknown_nor_from_under_way(bench: Bench) -> None:
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(8), [lost, other])
    claims = bench.claim({lost.pk: 3})
    bench.lapse(claims[0])
    bench.reap()
    down(lost)
    assert bench.redeal(campaign) == 1
    assert {bench.state(one) for one in claims} == {"unknown", "sending"}
    assert {one.session for one in Message.objects.filter(pk__in=[c.message for c in claims])} == {lost}


def test_rows_are_not_given_back_to_who_refused_them(bench: Bench) -> None:
    """And those that nobody may take do not stand in the way of the others."""
    lost, other = bench.session(), bench.session(daily_limit=5)
    campaign = bench.campaign(bench.people(6), [lost, other])
    mark = f"{other.pk}:{other.key_version}:{other.connection_version}"
    stuck = Message.objects.filter(session=lost).order_by("pk")[:2]
    Message.objects.filter(pk__in=[one.pk for one in stuck]).update(tried=[mark])
    down(lost)
    assert bench.redeal(campaign) == 1
    assert shares(campaign) == [2, 4]


def test_nothing_left_the_campaign_waits_and_says_why(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(4), [bench.session(), bench.session()])
    WaSenderSession.objects.update(status="logged_out")
    assert not tend.tend() and not bench.complete(campaign)
    campaign.refresh_from_db()
    assert "connected" in (campaigns.progress(campaign).why or "")


def test_an_added_session_gets_its_part_by_the_redeal_of_what_is_stuck(bench: Bench) -> None:
    full = bench.session(daily_limit=1)
    campaign = bench.campaign(bench.people(4), [full])
    bench.settle(*map(bench.accepted, bench.claim(9)))
    late = bench.session()
    CampaignSession.objects.create(campaign=campaign, session=late, position=1)
    assert bench.redeal(campaign) == 3
    assert len(bench.claim({late.pk: 9})) == 3


def test_held_rows_move_and_are_found_again(bench: Bench) -> None:
    """A row behind the cursor with a time to retry gets a position after the target's tail instead."""
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(4), [lost, other])
    bench.settle(*[(one, Deferred("unreachable", "", 5, None)) for one in bench.claim({lost.pk: 2})])
    down(lost)
    assert bench.redeal(campaign) == 2
    assert not Message.objects.filter(campaign=campaign, state="queued").exclude(retry_at=None).exists()
    assert len(bench.claim({other.pk: 9})) == 4
    # Each attempt keeps the reason it left for; an empty one is the message's own.
    assert set(Attempt.objects.values_list("session_id", "why")) == {(lost.pk, "Dealt in turn"), (other.pk, "")}
    moved = Message.objects.filter(attempts__session=lost)
    assert {one.why for one in moved} == {f"Moved: {lost.session_name} is logged out"}


def test_moved_rows_do_not_fall_behind_a_cursor_at_the_tail(bench: Bench) -> None:
    """The target has looked at everything it had, and its lane was closed as dry."""
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(4), [lost, other])
    bench.settle(*map(bench.accepted, bench.claim({other.pk: 9})))
    assert bench.claim({other.pk: 9}) == []
    lane = CampaignSession.objects.get(campaign=campaign, session=other)
    assert lane.cursor == lane.tail == 2
    down(lost)
    assert bench.redeal(campaign) == 2
    assert len(bench.claim({other.pk: 9})) == 2


def test_who_was_refused_by_a_session_goes_to_another_and_nobody_to_a_full_one() -> None:
    first, second = (deal.Lane(n, n * 10, f"Desk {n}", True, n, 0, f"mark{n}", "") for n in (1, 2))
    tails = {1: 100, 2: 200}
    people = [(1, []), (2, ["mark2"]), (3, []), (4, []), (5, [])]
    moves = deal._assign(people, [first, second], tails)
    assert moves == [(1, 10, 101), (3, 20, 201), (4, 20, 202)]  # 2: the first has no place left, the second refused it
