"""`phonebank bench sizes`: from launch to the last message, by the number of people; time, CPU and memory stay flat."""

from __future__ import annotations

import time
from typing import Any

from django.db import connection, transaction

from phonebank.whatsappapi.management.bench import machine
from phonebank.whatsappapi.management.bench.compare import IN_FLIGHT, SESSIONS
from phonebank.whatsappapi.management.bench.cost import PATIENCE, Cost, engine, exactly_once, settled
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.models import Campaign
from phonebank.whatsappapi.services import campaigns

MIB = 2**20
WARM = 20_000  # messages before: a sender's memory grows for its first minute, whatever the campaign's size


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """{number of people: figures}; each with worker processes of its own, because memory is told by their peak."""
    linked = stand.sessions(SESSIONS)
    found = {}
    for count in options.sizes:
        found[str(count)] = one = _size(stand, linked, count)
        options.say(
            f"{count:,} people: dealt in {one['deal_seconds']:.1f} s ({one['deal_rate']:,.0f} rows/s), first message "
            f"after {one['first_seconds']:.1f} s, {one['cost']['rate']:,.0f}/s at {one['cost']['cpu_ms']:.3f} ms; "
            f"send {one['send_mib']:.0f}, work {one['work_mib']:.0f}, a backend {one['backend_mib']:.0f} MiB"
        )
    return found


def _size(stand: Stand, linked: Any, count: int) -> dict[str, Any]:
    stand.forget(latency=0)
    people = stand.people(count)
    send, work = stand.workers(in_flight=IN_FLIGHT)
    engine(stand, linked, WARM, 0, [send, work])  # plans, connections, caches: as in any worker that has run a while
    stand.forget(latency=0)
    campaign = stand.campaign(people, linked, dealt=False)
    stand.settle()
    connection.close()  # or what its backend took to make the people stays with it, and is told as the product's
    peak = machine.Peak(stand.postmaster)
    with transaction.atomic():
        campaigns.launch(actor=stand.user, campaign=campaign)
    launched = time.time()
    until("the deal to be sealed", lambda: _sealed(campaign), 600)
    before, sent = stand.look(send, work), stand.accepted()
    stand.wait_for_ledger(count, PATIENCE)
    until("the outcomes to be written", settled)
    after = stand.look(send, work)
    exactly_once(stand, count)
    first, last = stand.span()
    assert campaign.sealed_at is not None
    dealt = campaign.sealed_at.timestamp() - launched
    # CPU of what was sent after the deal, for the deal has figures of its own; the rate of all.
    cost = Cost.between(before, after, count - sent, 1.0)
    cost.rate = (count - 1) / max(last - first, 1e-9)
    return {
        "people": count,
        "deal_seconds": round(dealt, 3),
        "deal_rate": round(count / max(dealt, 1e-9)),
        "first_seconds": round(first - launched, 3),
        "cost": cost.as_json(),
        "send_mib": round(machine.memory(send, "VmHWM") / MIB, 1),
        "work_mib": round(machine.memory(work, "VmHWM") / MIB, 1),
        "backend_mib": round(peak.end() / MIB, 1),
    }


def _sealed(campaign: Campaign) -> bool:
    campaign.refresh_from_db(fields=["sealed_at"])
    return campaign.sealed_at is not None
