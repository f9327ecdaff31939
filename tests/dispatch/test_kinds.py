"""docs/send-path.md 2, by every way in: who got something in the sandbox's ledger is who may, by the table.

`KINDS_CASES=10000` tries as many people instead of 300; `KINDS_SEED` repeats a run.
"""

from __future__ import annotations

import os
from collections import Counter

from phonebank.whatsappapi.models import Attempt, Message, WaSenderSession
from phonebank.whatsappapi.services import single
from tests.dispatch.kinds import WAYS, World
from tests.services.conftest import Sandbox, _sandbox, sandbox

__all__ = ["_sandbox", "sandbox"]

CASES = int(os.environ.get("KINDS_CASES", "300"))
BATCH = 600


def test_who_gets_something_is_who_may(db: None, sandbox: Sandbox, settings: object) -> None:
    seed = int(os.environ.get("KINDS_SEED", "20261123"))
    settings.LOCAL_URL, settings.API_RATE = "", 10**9  # type: ignore[attr-defined]
    world, seen = World(sandbox, seed), Counter[tuple[str, bool]]()
    left = CASES
    while left > 0:
        cases = world.batch(min(BATCH, left))
        left -= len(cases)
        got = world.ledger()
        wrong = [(case, got.get(case.phone, 0)) for case in cases if got.get(case.phone, 0) != case.may_get_it()]
        assert not wrong, "\n".join(f"got {n}: {case}" for case, n in wrong[:10])
        seen.update((case.way, case.may_get_it()) for case in cases)
    # Every way in let somebody through and held somebody back.
    expected = {(way, may) for way in WAYS for may in (True, False)} - {("closed", True), ("stop", False)}
    assert expected <= set(seen), expected - set(seen)
    # Whatever was sent counts for the day, of every kind.
    for row in WaSenderSession.objects.filter(pk__in=[world.one.pk, world.two.pk]):
        taken = Attempt.objects.filter(session=row, outcome="accepted").exclude(worker="w").count()
        assert row.messages_sent_today == taken
    assert not Message.objects.filter(state__in=["unknown", "uncertain", "sending"]).exists()
    assert single.tidy_singles() >= 0
