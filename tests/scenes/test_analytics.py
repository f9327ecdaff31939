"""Analytics against the rows and the sandbox's ledger, after a run with faults."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db.models import QuerySet, Sum
from django.utils import timezone

from phonebank.whatsappapi.management.chaos import FAULTS
from phonebank.whatsappapi.models import Attempt, Message, OwnerDay, RollUp, SessionDay, SessionQuarter, WaSenderSession
from phonebank.whatsappapi.models.analytics import COUNTS
from phonebank.whatsappapi.services import roll_up

from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


def totals(rows: QuerySet[Any]) -> dict[str, int]:
    found = rows.aggregate(**{name: Sum(name) for name in COUNTS})
    return {name: found[name] or 0 for name in COUNTS}


@pytest.mark.parametrize("scene", [{"BRAKES": "false"}], indirect=True, ids=[""])
def test_analytics_equal_a_recount_from_the_ledger(scene: Scene) -> None:
    linked = scene.link(3)
    people = scene.people(240)
    scene.sandbox.call("PATCH", "/sandbox/knobs", {"unregistered": ["+12015550103"]})
    for fault in FAULTS:
        scene.sandbox.call("POST", "/sandbox/faults", fault)
    campaign = scene.campaign(people, linked)
    scene.until("40 sent", lambda: scene.sent(campaign) >= 40)
    scene.kill("send")
    scene.start("send")
    stopper = scene.until("a report", Message.objects.filter(campaign=campaign, rank__gte=2).first)
    wrote = WaSenderSession.objects.get(pk=stopper.session_id)
    scene.sandbox.call("POST", f"/sandbox/sessions/{wrote.wasender_id}/stop", {"from": stopper.phone})
    scene.completed(campaign, 150)
    scene.check_counters(campaign)
    settled = Attempt.objects.filter(outcome="accepted", read_at=None, delivered_at=None)
    scene.until("all delivered", lambda: not settled.exists())

    def told() -> bool:
        ledger = Counter(entry["session"] for entry in scene.entries())
        sums = {one.wasender_id: totals(SessionDay.objects.filter(session=one)) for one in linked}
        is_equal = all(one["sent"] == one["delivered"] == ledger[number] for number, one in sums.items())
        return is_equal and totals(OwnerDay.objects.all())["opted_out"] == 1

    scene.until("the worker to count it all", told)
    for name in ("send", "work"):
        scene.kill(name)  # from here on nothing is read any more
    SessionQuarter.objects.update(due_at=timezone.now())
    count_all()
    before = totals(SessionDay.objects.all())
    assert before == totals(SessionQuarter.objects.all()) == totals(OwnerDay.objects.all())
    assert before["read"] == Attempt.objects.exclude(read_at=None).count()
    assert (before["failed"], before["received"], before["replied"], before["unclear"]) == (1, 1, 1, 0)
    SessionQuarter.objects.update(sent=7, counted_at=None, due_at=None)
    RollUp.objects.all().delete()
    count_all()
    assert totals(SessionDay.objects.all()) == before == totals(OwnerDay.objects.all())


def count_all() -> None:
    while roll_up.roll_up():
        pass
