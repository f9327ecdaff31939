"""A self-check through the real processes: from one session over the gateway into the other's webhook."""

from __future__ import annotations

import pytest

from phonebank.whatsappapi.models import Attempt, Conversation, Probe, ProbePair, SessionDay, WaSenderSession
from phonebank.whatsappapi.services import probes
from tests.scenes.conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_sessions_write_to_each_other(scene: Scene) -> None:
    one, two = scene.link(2)
    scene.sandbox.call("PATCH", "/sandbox/knobs", {"read_fraction": 0})
    unknown = WaSenderSession.objects.filter(linked_number="")
    scene.until("the numbers to be known", lambda: not unknown.exists())
    probes.switch(actor=scene.user, wa_session=one, partner=two)
    scene.until("a good one", lambda: Probe.objects.filter(outcome="good").exists())
    ProbePair.objects.update(next_at="2020-01-01T00:00Z")
    scene.until("one back", lambda: Probe.objects.filter(outcome="good").count() == 2)
    there, back = Probe.objects.order_by("pk")
    assert (there.sender, there.receiver, back.sender, back.receiver) == (one, two, two, one)
    for probe in (there, back):
        assert None not in (probe.sent_after, probe.delivered_after, probe.arrived_after) and probe.is_heard
    assert scene.ledger() == {one.phone_number: 1, two.phone_number: 1}
    assert Attempt.objects.count() == 2 and not Conversation.objects.exists()
    used = WaSenderSession.objects.values_list("messages_sent_today", flat=True)
    assert list(used) == [1, 1]  # it counts as any message does
    assert not SessionDay.objects.filter(sent__gt=0).exists()
