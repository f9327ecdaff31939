"""What a campaign's page says, against what the processes then do."""

from __future__ import annotations

import pytest
from django.db.models import Count, Max, Min
from django.test import Client

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Attempt, Message, WaSenderSession
from phonebank.whatsappapi.services import campaigns, operations
from phonebank.whatsappapi.services.forecast import forecast
from phonebank.whatsappapi.services.progress import glance

from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)
PEOPLE = 72
FAULTS = [
    {"kind": "error", "status": 500, "accept": True, "probability": 0.05},
    {"kind": "error", "status": 500, "accept": False, "probability": 0.05},
    {"kind": "error", "status": 422, "accept": False, "probability": 0.05},
    {"kind": "drop", "accept": True, "probability": 0.03},
    {"kind": "silence", "accept": True, "probability": 0.02},
    {"kind": "silence", "accept": False, "probability": 0.02},
    {"kind": "429", "retry_after": 1, "probability": 0.03},
]


def test_the_forecast_comes_true(scene: Scene) -> None:
    """A number with a small limit, whose rest another one takes; the third has just enough."""
    linked = scene.link(3, rate=120)
    for one, limit in zip(linked, (8, 24, None), strict=True):
        WaSenderSession.objects.filter(pk=one.pk).update(daily_limit=limit)
    campaign = campaigns.create_campaign(
        actor=scene.user, name="Scene", contact_list=scene.people(PEOPLE), body="Hi", wa_sessions=linked
    )
    told = forecast(campaign, people=PEOPLE)
    assert [one.total for one in told.sessions] == [8, 24, 40]
    campaigns.launch(actor=scene.user, campaign=campaign)
    scene.completed(campaign)
    done = Attempt.objects.filter(message__campaign=campaign, outcome="accepted")
    sent = dict(done.values_list("session").annotate(Count("pk")))
    assert [sent[one.pk] for one in linked] == [one.total for one in told.sessions]
    times = done.aggregate(first=Min("finished_at"), last=Max("finished_at"))
    took = (times["last"] - times["first"]).total_seconds()
    assert told.ends
    # Later than told by what the machine stood still; by their number alone, 24 people would take eight seconds less.
    assert -3 <= took - (told.ends - told.starts).total_seconds() <= 6
    scene.check(campaign)


@pytest.mark.parametrize("scene", [{"BRAKES": "false"}], indirect=True, ids=[""])
def test_the_counters_are_exact_at_every_moment_of_a_bad_run(scene: Scene) -> None:
    """One statement compares counters and rows, again and again, while answers fail and deliveries are reported."""
    linked = scene.link(3)
    for fault in FAULTS:
        scene.sandbox.call("POST", "/sandbox/faults", fault)
    campaign = scene.campaign(scene.people(300), linked)
    page = Client()
    page.force_login(User.objects.create_superuser("boss@example.org"))
    looks = 0

    def exact() -> bool:
        nonlocal looks
        looks += 1
        if looks % 20:
            assert operations.drift(campaign) == []
        else:  # as an administrator sees it
            told = page.get(f"/whatsappapi/status/check/{campaign.public_id}/").text
            assert "Counters equal rows" in told and "differ" not in told
        campaign.refresh_from_db()
        counts = glance(campaign).counts
        if campaign.sealed_at:
            assert sum(counts.values()) == 300
        return campaign.state == "completed" and not counts.get("sent") and not counts.get("accepted")

    def lose() -> bool:
        """In the middle of it a number is logged out for good; the others take its people."""
        return not exact() and glance(campaign).counts.get("queued", 300) < 200

    scene.until("a third of them", lose, 120)
    scene.sandbox.call("POST", f"/sandbox/sessions/{linked[2].wasender_id}/logout", {})
    scene.until("the campaign to complete", exact, 120)
    assert looks > 20
    words = set(Message.objects.filter(campaign=campaign).values_list("state", flat=True))
    assert words >= {"accepted", "failed"}
    assert WaSenderSession.objects.get(pk=linked[2].pk).status == "logged_out"
    # Every kind of fault happened: an error, a refusal, no answer at all.
    attempts = Attempt.objects.filter(message__campaign=campaign)
    assert {422, 500} <= set(attempts.values_list("http_status", flat=True))
    assert attempts.filter(http_status=None, detail__icontains="time").exists()
