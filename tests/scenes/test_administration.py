"""An account that is switched off, before the real processes: what leaves is on the sandbox's ledger."""

from __future__ import annotations

import time

import pytest

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Attempt
from phonebank.whatsappapi.services import administration, campaigns
from tests.scenes.conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


def test_switched_off_nothing_leaves_after_a_second(scene: Scene) -> None:
    boss = User.objects.create_superuser("boss@phonebank.example")
    campaign = scene.campaign(scene.people(600), scene.link(3))
    scene.until("100 sent", lambda: scene.sent(campaign) >= 100)
    administration.switch_off(actor=boss, user=scene.user)
    off_at = time.time()
    scene.until("nothing under way", lambda: not Attempt.objects.filter(finished_at=None).exists())
    time.sleep(1.5)  # a message that should not come is only shown by time passing
    before = scene.entries()
    assert max(entry["first_byte"] for entry in before) <= off_at + 1.0
    assert 100 <= len(before) < 600
    administration.switch_on(actor=boss, user=scene.user)
    scene.user.refresh_from_db()
    campaign.refresh_from_db()
    assert campaign.state == "paused"
    campaigns.resume(actor=scene.user, campaign=campaign)
    scene.completed(campaign)
    scene.check(campaign)
    assert scene.sent(campaign) == 600
