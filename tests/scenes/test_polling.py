"""All webhooks lost, and the real processes: the end is the gateway's truth all the same."""

from __future__ import annotations

import pytest

from phonebank.whatsappapi.models import Attempt, WorkerReport
from phonebank.whatsappapi.services import metrics

from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("scene", [{"SEND_POLL_AFTER": "1"}], indirect=True)
def test_without_webhooks_statuses_come_by_polling(scene: Scene) -> None:
    linked = scene.link(2)
    knobs = {"webhook_loss": 1, "read_fraction": 0.5, "delivered_fraction": 0.9, "read_after": 1}
    scene.sandbox.call("PATCH", "/sandbox/knobs", knobs)
    campaign = scene.campaign(scene.people(60), linked)
    scene.completed(campaign)

    def are_equal() -> bool:
        truth = {one["msgId"]: one["status"] for one in scene.entries()}
        rows = Attempt.objects.exclude(msg_id=None).values_list("msg_id", "message__rank")
        return dict(rows) == truth and 4 in truth.values()

    scene.until("statuses to equal the sandbox's", are_equal, 60)
    scene.check(campaign)
    # What the workers say of themselves. A report is up to two seconds behind.

    def told() -> bool:
        send = WorkerReport.objects.get(kind="send")
        return send.items == sum(send.outcomes.values()) and send.outcomes.get("accepted", 0) >= 55

    scene.until("the report to hold every outcome", told, 30)

    def all_live() -> bool:
        now = metrics.figures()
        return {one.kind for one in now.live} == {"send", "work"} and now.idle_shards == []

    scene.until("both workers to be live", all_live)
