"""send-path 1 and 5: pause, resume, cancel and opt-out beside what is under way."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from phonebank.gateways.base import Deferred, MaybeSent
from phonebank.whatsappapi.models import Message
from phonebank.whatsappapi.services import campaigns, optout
from tests.dispatch.bench import Bench

TIMEOUT = MaybeSent("timeout", "", None)


def test_pause_stops_claims_and_resume_goes_on(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(4), [bench.session()])
    flying = bench.claim(1)
    campaigns.pause(actor=bench.user, campaign=campaign)
    assert bench.claim(9) == []
    bench.settle((flying[0], Deferred("late", "", 0, None)))
    assert bench.claim(9) == []
    campaigns.resume(actor=bench.user, campaign=campaign)
    Message.objects.exclude(retry_at=None).update(retry_at=timezone.now())
    assert len(bench.claim(9)) == 4


def test_cancel_ends_what_is_queued_and_lets_what_is_under_way_end(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(5), [bench.session()])
    claims = bench.claim(3)
    campaigns.cancel(actor=bench.user, campaign=campaign)
    assert bench.claim(9) == []
    campaigns.cancel_rows(campaign.pk)
    bench.check()
    bench.settle(bench.accepted(claims[0]), (claims[1], Deferred("late", "", 0, None)), (claims[2], TIMEOUT))
    assert bench.claim(9) == []
    assert campaigns.finish_what_was_begun() == 0  # the job of the cancellation still waits
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    assert campaigns.finish_what_was_begun() == 1  # a row came back to the queue after it
    campaigns.cancel_rows(campaign.pk)
    assert bench.states(campaign) == {"accepted": 1, "unknown": 1, "cancelled": 3}


def test_an_opt_out_ends_every_queued_row_of_that_person(bench: Bench) -> None:
    session = bench.session()
    people = bench.people(3)
    first, second = bench.campaign(people, [session]), bench.campaign(people, [session])
    person = people.contacts.order_by("pk")[0]
    bench.single(session, person.phone, "reply", retry_at=timezone.now() + timedelta(hours=1))
    confirmation = bench.single(session, person.phone, "confirmation", retry_at=timezone.now() + timedelta(hours=1))
    optout.opt_out(user=bench.user, phone=person.phone, source="test", session=session)
    assert bench.states(first) == bench.states(second) == {"skipped": 1, "queued": 2}
    assert Message.objects.filter(kind="reply").get().state == "skipped"
    confirmation.refresh_from_db()
    assert confirmation.state == "queued"
    bench.check()
    assert person.phone not in {one.phone for one in bench.claim(9) if one.campaign}
