"""A gateway that says "too fast" to everything: slower and slower, then a rest, one notice, and the page says when."""

from __future__ import annotations

import time

import pytest
from django.test import Client

from phonebank.whatsappapi.models import Alert, Attempt, WaSenderSession

from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_storm_of_refusals_ends_in_a_rest(scene: Scene) -> None:
    [one] = scene.link(1, rate=600)
    campaign = scene.campaign(scene.people(200), [one])
    scene.until("some sent", lambda: scene.sent(campaign) >= 10)
    scene.sandbox.call("POST", "/sandbox/faults", {"kind": "429", "retry_after": 1})
    began = time.time()
    scene.until("a rest", lambda: WaSenderSession.objects.get(pk=one.pk).strikes >= 6)
    one.refresh_from_db()
    assert one.paused_until and one.paused_until.timestamp() - time.time() > 500
    scene.until("nothing under way", lambda: not Attempt.objects.filter(finished_at=None).exists())
    refused = scene.sandbox.call("GET", "/sandbox/stats")["429"]
    assert refused < 5 * (time.time() - began), "as many as ten a second were allowed before"
    assert refused <= 20
    scene.until("the history to tell", lambda: one.events.filter(kind="rate_limit").count() == 1)
    assert Alert.objects.filter(session=one, key=f"slowed:{one.pk}", closed_at=None).count() == 1
    time.sleep(2)  # that nothing more is asked is only shown by time passing
    assert scene.sandbox.call("GET", "/sandbox/stats")["429"] == refused
    client = Client()
    client.force_login(scene.user)
    page = client.get(f"/whatsappapi/sessions/{one.public_id}/").text
    assert "Closed until" in page
    assert f"{refused} times" in page
    scene.sandbox.call("DELETE", "/sandbox/faults")
    WaSenderSession.objects.update(paused_until=None, strikes=0)  # ten minutes later
    scene.completed(campaign)
    scene.check(campaign)
    scene.until("the notice to close", lambda: not Alert.objects.filter(session=one, closed_at=None).exists())
