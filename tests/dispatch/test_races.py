"""Two at once: one transaction stays open until the other waits for it. No rule may depend on who is first."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from phonebank.gateways.base import Accepted, Deferred, MaybeSent
from phonebank.whatsappapi.dispatch import deal, reconcile, tend
from phonebank.whatsappapi.dispatch.claim import Claim
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.statuses import Status, skip_person
from phonebank.whatsappapi.models import (
    Attempt,
    CampaignSession,
    Message,
    Suppression,
    WaSenderSession,
    WebhookEvent,
)
from phonebank.whatsappapi.services import campaigns, runs
from tests.dispatch.bench import Bench

LATE = Deferred("late", "", 0, None)


def test_the_in_flight_cap_holds_while_a_shard_changes_hands(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(9), [session])
    old, new = bench.worker("old"), bench.worker("new")
    claimed = []
    ticked = bench.overlap(lambda: claimed.extend(bench.claim(2, limits=old)), lambda: bench.elsewhere(2, limits=new))
    assert (len(claimed), len(ticked.claims)) == (2, 0)
    assert bench.used(session) == 2


def test_two_workers_at_the_edge_do_not_overrun_the_limit(bench: Bench) -> None:
    session = bench.session(daily_limit=5)
    bench.campaign(bench.people(9), [session])
    claimed = []
    ticked = bench.overlap(lambda: claimed.extend(bench.claim(3)), lambda: bench.elsewhere(4))
    assert (len(claimed), len(ticked.claims)) == (3, 2)
    assert Counter(one.message for one in claimed + ticked.claims).most_common(1)[0][1] == 1


def test_a_replay_beside_the_original_counts_once(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(3), [session])
    claims = bench.claim(3)
    outcomes = [bench.accepted(claims[0]), (claims[1], LATE), (claims[2], MaybeSent("reset", "", None))]
    bench.overlap(lambda: bench.settle(*outcomes), lambda: bench.elsewhere(0, outcomes))
    assert [bench.state(one) for one in claims] == ["accepted", "queued", "unknown"]
    assert bench.used(session) == 2


@pytest.mark.parametrize("first", ["answer", "reaper"])
def test_answer_and_reaper_at_once_end_as_the_answer_says(bench: Bench, first: str) -> None:
    session = bench.session()
    bench.campaign(bench.people(2), [session])
    one, two = bench.claim(2)
    bench.lapse()
    outcomes = [(one, Accepted(70)), (two, LATE)]
    if first == "answer":
        other = bench.connect()
        bench.overlap(lambda: bench.settle(*outcomes), lambda: bench.elsewhere())
        bench.reap(other)
        bench.run(other.close())
    else:
        bench.overlap(bench.reap, lambda: bench.elsewhere(0, outcomes))
    assert (bench.state(one), bench.state(two)) == ("accepted", "queued")
    assert bench.used(session) == 1


def skip(bench: Bench, phone: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        skip_person(cursor, bench.user.pk, phone, "Asked not to be written to")


def test_an_opt_out_beside_a_claim_leaves_the_claim_and_exact_counters(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    phone = Message.objects.order_by("position")[0].phone
    claimed = []
    bench.overlap(lambda: claimed.extend(bench.claim(1)), lambda: skip(bench, phone))
    assert claimed[0].phone == phone and bench.state(claimed[0]) == "sending"


@pytest.mark.parametrize("waits_in", ["lane", "retry"])
def test_a_claim_beside_an_opt_out_passes_that_person(bench: Bench, waits_in: str) -> None:
    session = bench.session()
    campaign = bench.campaign(bench.people(2), [session])
    if waits_in == "retry":
        bench.settle(*[(one, LATE) for one in bench.claim(2)])
        Message.objects.update(retry_at=timezone.now())
    phone = Message.objects.order_by("position")[0].phone
    ticked = bench.overlap(lambda: skip(bench, phone), lambda: bench.elsewhere(2))
    assert phone not in {one.phone for one in ticked.claims} and len(ticked.claims) == 1
    assert bench.states(campaign) == {"skipped": 1, "sending": 1}


def test_a_row_dealt_while_its_person_opts_out_is_stopped_by_the_claim(bench: Bench) -> None:
    """The deal's snapshot has no suppression, and the opt-out's sweep no row yet."""
    people = bench.people(1)
    phone = people.contacts.get().phone
    campaign = bench.campaign(people, [bench.session()], run=False)

    def opt_out() -> None:
        Suppression.objects.create(user=bench.user, phone=phone)
        skip(bench, phone)

    bench.overlap(lambda: deal.deal_chunk(campaign.pk), opt_out)
    assert bench.states(campaign) == {"queued": 1}
    assert bench.claim(9) == []
    assert bench.states(campaign) == {"skipped": 1}


def test_a_cancellation_beside_a_claim_loses_no_row(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(5), [bench.session()])
    claimed = []

    def cancel() -> None:
        campaigns.cancel(actor=bench.user, campaign=campaign)
        campaigns.cancel_rows(campaign.pk)

    bench.overlap(lambda: claimed.extend(bench.claim(2)), cancel)
    assert bench.states(campaign) == {"sending": 2, "cancelled": 3}


def test_a_claim_beside_a_redeal_loses_no_row(bench: Bench) -> None:
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(6), [lost, other])
    WaSenderSession.objects.filter(pk=lost.pk).update(status="logged_out")
    ticked = bench.overlap(lambda: bench.redeal(campaign), lambda: bench.elsewhere({other.pk: 9}))
    bench.check()
    claims = ticked.claims + bench.claim({other.pk: 9})
    assert len({one.message for one in claims}) == 6


def test_a_redeal_beside_a_claim_on_a_dry_lane_loses_no_row(bench: Bench) -> None:
    """The lane is found dry in a snapshot from before rows were moved to it."""
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(4), [lost, other])
    bench.settle(*map(bench.accepted, bench.claim({other.pk: 2})))
    WaSenderSession.objects.filter(pk=lost.pk).update(status="logged_out")
    with connection.cursor() as cursor:  # a gap at the end of the lane, as a conflicting row leaves one
        cursor.execute("UPDATE whatsappapi_campaignsession SET tail = 3 WHERE session_id = %s", [other.pk])
    ticked = bench.overlap(lambda: bench.redeal(campaign), lambda: bench.elsewhere({other.pk: 9}))
    bench.check()
    assert len(ticked.claims) + len(bench.claim({other.pk: 9})) == 2


def test_a_redeal_waits_for_a_claim_and_puts_rows_after_the_tail(bench: Bench) -> None:
    lost, other = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(6), [lost, other])
    WaSenderSession.objects.filter(pk=lost.pk).update(status="logged_out")
    claimed = []
    moved = bench.overlap(lambda: claimed.extend(bench.claim({other.pk: 9})), lambda: bench.redeal(campaign))
    assert (len(claimed), moved) == (3, 3)
    assert len(bench.claim({other.pk: 9})) == 3


def test_two_redeals_to_one_target_share_no_position(bench: Bench) -> None:
    """A row at a position that the cursor has passed would never be seen."""
    lost, gone, other = (bench.session() for _ in range(3))
    campaign = bench.campaign(bench.people(9), [lost, gone, other])
    WaSenderSession.objects.filter(pk__in=[lost.pk, gone.pk]).update(status="logged_out")
    moved = bench.overlap(lambda: bench.redeal(campaign), lambda: bench.redeal(campaign))
    assert moved == 3
    positions = sorted(Message.objects.filter(session=other).values_list("position", flat=True))
    assert positions == list(range(1, 10))
    assert len([bench.claim({other.pk: 1})[0] for _ in range(9)]) == 9


def test_two_deals_of_one_campaign_deal_it_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deal, "CHUNK", 4)
    campaign = bench.campaign(bench.people(10), [bench.session() for _ in range(3)], run=False)
    bench.overlap(lambda: deal.deal_chunk(campaign.pk), lambda: deal.deal_chunk(campaign.pk))
    while not deal.deal_chunk(campaign.pk):
        pass
    shares = Counter(Message.objects.filter(campaign=campaign).values_list("session_id", flat=True))
    assert sorted(shares.values()) == [3, 3, 4]


def test_webhooks_and_ticks_do_not_wait_for_each_other(bench: Bench) -> None:
    """The batch holds a counter and then inserts a row that points to the session; the tick holds the session."""
    session = bench.session()
    bench.campaign(bench.people(4), [session])
    one, two, *_ = bench.claim(4)
    bench.settle((one, Accepted(70)))
    report = Status(session.pk, 3, 70, "", timezone.now())
    bench.overlap(
        lambda: bench.merge(report),
        lambda: bench.elsewhere(2, [(two, Accepted(71))]),
        lambda: WebhookEvent.objects.create(session=session, body=b"{}", digest=b"3" * 32),
    )
    assert bench.state(two) == "accepted"


def test_report_and_answer_at_once(bench: Bench) -> None:
    """The webhook's evidence comes while the late answer is being written."""
    bench.campaign(bench.people(1), [bench.session()])
    [claim] = bench.claim()
    bench.settle((claim, MaybeSent("timeout", "", None)))
    report = Status(claim.session, 3, 70, "", timezone.now(), claim.phone, claim.body)
    bench.overlap(lambda: bench.settle((claim, Accepted(70))), lambda: bench.merge(report))
    bench.merge(report)
    row = Message.objects.get(pk=claim.message)
    assert (row.state, row.rank, Attempt.objects.get().msg_id) == ("accepted", 3, 70)


def test_proof_of_unsent_and_answer_at_once(bench: Bench) -> None:
    session = bench.session()
    bench.campaign(bench.people(1), [session])
    [claim] = bench.claim()
    bench.settle((claim, MaybeSent("timeout", "", None)))
    finding = reconcile.Finding(claim.attempt, claim.message, "queued", "")
    bench.overlap(lambda: bench.settle((claim, Accepted(70))), lambda: reconcile.apply([finding]))
    assert (bench.state(claim), bench.used(session)) == ("accepted", 1)


def test_one_id_stored_by_two_workers_at_once_is_no_lost_row(bench: Bench) -> None:
    bench.campaign(bench.people(2), [bench.session()])
    one, two = bench.claim(2)
    with pytest.raises(Exception, match="attempt_msg_id"):
        bench.overlap(lambda: bench.settle((one, Accepted(70))), lambda: bench.elsewhere(0, [(two, Accepted(70))]))
    bench.lapse()
    bench.reap()
    assert (bench.state(one), bench.state(two)) == ("accepted", "unknown")


def test_a_campaign_does_not_complete_beside_a_row_that_is_put_back(bench: Bench) -> None:
    """Nothing is open at the first look; whoever puts a row back holds the campaign until it is."""
    campaign = bench.campaign(bench.people(1), [bench.session()])
    [claim] = bench.claim()
    bench.settle((claim, MaybeSent("timeout", "", None)))
    reconcile.apply([reconcile.Finding(claim.attempt, claim.message, "uncertain", "")])

    def put_back() -> None:
        tend.reopen(campaign.pk)
        Message.objects.update(state="queued", attempt=None, retry_at=timezone.now())
        deltas = Deltas()
        move = {"campaign_id": campaign.pk, "session_id": claim.session, "old": "uncertain", "new": "queued", "n": 1}
        deltas.moves([move])
        with connection.cursor() as cursor:
            deltas.write(cursor)

    assert not bench.overlap(put_back, lambda: bench.complete(campaign))
    assert len(bench.claim(1)) == 1


# --- several rows are locked in one order by all ------------------------------------------------------------------


def lock(one: WaSenderSession | CampaignSession) -> None:
    list(type(one).objects.select_for_update(no_key=True).filter(pk=one.pk))


def two_sessions(bench: Bench) -> tuple[WaSenderSession, WaSenderSession]:
    """The first stands behind the second in the table: who just takes what is found meets them in the wrong order."""
    low, high = bench.session(), bench.session()
    WaSenderSession.objects.filter(pk=low.pk).update(status_reason="moved")
    return low, high


def test_who_changes_several_sessions_takes_them_as_the_engine_does(bench: Bench) -> None:
    low, high = two_sessions(bench)
    both = WaSenderSession.objects.filter(pk__in=[low.pk, high.pk])

    def change() -> int:
        with connection.cursor() as cursor:  # as of many: in the order of the table
            cursor.execute("SET enable_indexscan = off; SET enable_bitmapscan = off")
        return both.update_in_order(daily_limit=7)

    assert bench.overlap(lambda: lock(low), change, lambda: lock(high)) == 2
    assert set(both.values_list("daily_limit", flat=True)) == {7}


def test_quota_of_several_sessions_goes_back_as_the_engine_takes_it(bench: Bench) -> None:
    low, high = two_sessions(bench)
    bench.campaign(bench.people(2), [low, high])
    claims = bench.claim(1)
    bench.settle(*[(one, MaybeSent("timeout", "", None)) for one in claims])
    WaSenderSession.objects.filter(pk=low.pk).update(status_reason="moved again")
    found = [reconcile.Finding(one.attempt, one.message, "queued", "") for one in sorted(claims, key=_last_first)]
    five_more = WaSenderSession.objects.filter(pk=low.pk)
    bench.overlap(
        lambda: five_more.update(messages_sent_today=F("messages_sent_today") + 5),
        lambda: reconcile.apply(found),
        lambda: lock(high),
    )
    assert (bench.used(low), bench.used(high)) == (5, 0)
    five_more.update(messages_sent_today=0)
    assert {bench.state(one) for one in claims} == {"queued"}


def _last_first(claim: Claim) -> int:
    return -claim.session


@pytest.mark.parametrize("who", ["pace", "redeal"])
def test_lanes_are_taken_by_their_sessions(bench: Bench, who: str) -> None:
    low, high = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(4), [high, low])  # lanes in the other order
    first, second = campaign.lanes.get(session=low), campaign.lanes.get(session=high)
    assert first.pk > second.pk
    WaSenderSession.objects.filter(pk=high.pk).update(status="logged_out")

    def act() -> None:
        if who == "pace":
            runs.set_pace(actor=bench.user, campaign=campaign, pace=30)
        else:
            bench.redeal(campaign)

    bench.overlap(lambda: lock(first), act, lambda: lock(second))


def test_a_tick_takes_lanes_by_their_sessions(bench: Bench) -> None:
    low, high = bench.session(), bench.session()
    campaign = bench.campaign(bench.people(4), [high, low])
    first, second = campaign.lanes.get(session=low), campaign.lanes.get(session=high)
    ticked = bench.overlap(lambda: lock(first), lambda: bench.elsewhere({high.pk: 1, low.pk: 1}), lambda: lock(second))
    assert len(ticked.claims) == 2
