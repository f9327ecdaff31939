"""Whole campaigns over real processes, through the accidents of a day."""

from __future__ import annotations

import signal
import time

import pytest
from django.db import connection

from phonebank.whatsappapi.models import Attempt, Message, SessionEvent, WaSenderSession
from phonebank.whatsappapi.services import campaigns

from .. import database
from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


def test_everybody_gets_it_once_in_equal_shares(scene: Scene) -> None:
    linked = scene.link(3)
    campaign = scene.campaign(scene.people(9), linked)
    scene.completed(campaign)
    scene.check(campaign)
    shares = [Attempt.objects.filter(session=one, outcome="accepted").count() for one in linked]
    assert shares == [3, 3, 3]


def test_a_killed_worker_loses_nobody_and_writes_to_nobody_twice(scene: Scene) -> None:
    campaign = scene.campaign(scene.people(2000), scene.link(3))
    for part in (400, 800, 1200):
        scene.until(f"{part} sent", lambda part=part: scene.sent(campaign) >= part)
        scene.kill("send")
        scene.start("send")
    scene.completed(campaign, 150)
    scene.check(campaign)
    assert scene.sent(campaign) == 2000


def test_a_pause_stops_the_first_bytes_within_a_second(scene: Scene) -> None:
    campaign = scene.campaign(scene.people(600), scene.link(3))
    scene.until("100 sent", lambda: scene.sent(campaign) >= 100)
    campaigns.pause(actor=scene.user, campaign=campaign)
    paused_at = time.time()
    scene.until("nothing under way", lambda: not Attempt.objects.filter(finished_at=None).exists())
    time.sleep(1.5)  # a message that should not come is only shown by time passing
    before = scene.entries()
    assert max(entry["first_byte"] for entry in before) <= paused_at + 1.0
    assert 100 <= len(before) < 600
    campaigns.resume(actor=scene.user, campaign=campaign)
    scene.completed(campaign)
    scene.check(campaign)
    assert scene.sent(campaign) == 600


def test_the_others_take_over_from_a_logged_out_session(scene: Scene) -> None:
    linked = scene.link(3)
    campaign = scene.campaign(scene.people(600), linked)
    scene.until("90 sent", lambda: scene.sent(campaign) >= 90)
    scene.sandbox.call("POST", f"/sandbox/sessions/{linked[1].wasender_id}/logout", {})
    scene.completed(campaign)
    scene.check(campaign)
    assert scene.sent(campaign) == 600
    assert WaSenderSession.objects.get(pk=linked[1].pk).status != "connected"
    moved = Message.objects.filter(campaign=campaign, why__startswith="Moved: ")
    assert moved.exists() and not moved.filter(session=linked[1]).exists()


def test_one_session_alone_finishes_after_a_429_and_a_lost_link(scene: Scene) -> None:
    [only] = scene.link(1)
    campaign = scene.campaign(scene.people(200), [only])
    scene.until("40 sent", lambda: scene.sent(campaign) >= 40)
    scene.sandbox.call("POST", "/sandbox/faults", {"kind": "429", "next": 1})
    scene.until("the 429", lambda: Attempt.objects.filter(http_status=429).exists())
    scene.sandbox.call("POST", f"/sandbox/sessions/{only.wasender_id}/drop", {})
    drops = SessionEvent.objects.filter(session=only, status="disconnected", at__gt=campaign.created_at)
    scene.until("the drop to be seen", drops.exists)  # it may be back before we look
    scene.completed(campaign)  # it comes back by itself
    scene.check(campaign)
    assert scene.sent(campaign) == 200


def test_stop_in_mid_run_gets_one_confirmation_and_nothing_more(scene: Scene) -> None:
    linked = scene.link(3)
    people = scene.people(600)
    campaign = scene.campaign(people, linked)
    scene.until("60 sent", lambda: scene.sent(campaign) >= 60)
    last = Message.objects.filter(campaign=campaign, state="queued").order_by("-position").first()
    assert last is not None
    scene.sandbox.call("POST", f"/sandbox/sessions/{linked[0].wasender_id}/stop", {"from": last.phone})
    scene.until("the skip", lambda: Message.objects.get(pk=last.pk).state == "skipped")
    scene.completed(campaign)
    of_that_person = Message.objects.filter(phone=last.phone, kind="confirmation")
    scene.until("the confirmation", lambda: of_that_person.filter(state="accepted").exists())
    confirmation = of_that_person.get()
    entries = [entry for entry in scene.entries() if last.phone.endswith(str(entry["to"])[-10:])]
    assert len(entries) == 1 and entries[0]["text"] == confirmation.body
    scene.check_counters(campaign)
    second = scene.campaign(people, linked)
    scene.completed(second)
    assert [e for e in scene.entries() if last.phone.endswith(str(e["to"])[-10:])] == entries


def test_a_failure_counts_when_the_gateway_confirms_it(scene: Scene) -> None:
    people = scene.people(12)
    refused, undelivered = "+12015550103", "+12015550104"
    scene.sandbox.call("PATCH", "/sandbox/knobs", {"unregistered": [refused]})
    scene.sandbox.call("PATCH", f"/sandbox/knobs?number={undelivered[1:]}", {"fail_fraction": 1})
    campaign = scene.campaign(people, scene.link(3))
    scene.completed(campaign)
    scene.until("the confirmed failure", lambda: scene.counts(campaign).get("failed") == 2)
    scene.until("the rest delivered", lambda: scene.counts(campaign).get("accepted", 0) == 0)
    reasons = dict(Message.objects.filter(campaign=campaign, state="failed").values_list("phone", "reason"))
    assert reasons == {
        refused: "This number is not on WhatsApp",
        undelivered: "WhatsApp could not deliver it",
    }
    scene.check_counters(campaign)


def test_a_frozen_worker_and_a_database_restart_change_nothing(scene: Scene) -> None:
    campaign = scene.campaign(scene.people(1200), scene.link(3))
    scene.until("200 sent", lambda: scene.sent(campaign) >= 200)
    scene.signal("send", signal.SIGSTOP)
    time.sleep(10)  # the freeze itself
    scene.signal("send", signal.SIGCONT)
    scene.until("500 sent", lambda: scene.sent(campaign) >= 500)
    restart_database()
    scene.completed(campaign, 120)
    scene.check(campaign)
    assert scene.sent(campaign) == 1200


def restart_database() -> None:
    if not database.is_ours():
        pytest.skip("the database is not ours to restart (DATABASE_URL is set)")
    connection.close()
    database.restart_immediately()
