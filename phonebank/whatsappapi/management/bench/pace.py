"""`phonebank bench pace`: how much of what the gateway allows is used, and how often it says "too fast"."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from phonebank.whatsappapi.management.bench.cost import Cost, prepare
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.models import GatewayAccount
from phonebank.whatsappapi.services import campaigns

PER_MINUTE = 256  # messages a minute and session (contract 5)
PROTECTED_GAP = 5.0  # seconds between two messages of a session with account protection
IN_FLIGHT = 2  # the default
WARM_UP = 10.0  # seconds
# The gateway of a good day, with its limits on.
GATEWAY = {
    "latency": [0.1, 0.3], "rate_limit": PER_MINUTE, "rate_window": 60, "protected_gap": PROTECTED_GAP,
    "concurrency": 5,
}  # fmt: skip


@contextmanager
def limited(stand: Stand, per_minute: int) -> Iterator[None]:
    """Our pace follows the gateway's limit meanwhile."""
    GatewayAccount.objects.filter(pk=stand.account.pk).update(rate_per_minute=per_minute)
    try:
        yield
    finally:
        GatewayAccount.objects.filter(pk=stand.account.pk).update(rate_per_minute=0)


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """500 sessions at 256 a minute; 3,000 with account protection, one message in 5 s each."""
    found = {}
    fast, slow = options.pace_sessions
    with limited(stand, PER_MINUTE):
        found["per_minute"] = _pace(stand, options, fast, PER_MINUTE / 60, protected=False)
        found["protected"] = _pace(stand, options, slow, 1 / PROTECTED_GAP, protected=True)
    stand.sessions(slow)
    return found


def _pace(stand: Stand, options: Options, count: int, rate: float, *, protected: bool) -> dict[str, Any]:
    linked = stand.sessions(count, account_protection=protected)
    most = count * rate  # messages a second that the limits allow
    people = int(most * (options.pace_seconds + WARM_UP) * 1.1 / 1000 + 1) * 1000
    campaign = prepare(stand, linked, people, **GATEWAY)
    workers = stand.workers(in_flight=IN_FLIGHT, pinned=False)
    campaigns.resume(actor=stand.user, campaign=campaign)
    time.sleep(WARM_UP)
    before, sent, refused = stand.look(*workers), stand.accepted(), stand.refused()
    time.sleep(options.pace_seconds)
    after, sent, refused = stand.look(*workers), stand.accepted() - sent, stand.refused() - refused
    campaigns.pause(actor=stand.user, campaign=campaign)
    stand.stop("send", "work")
    seconds = after.at - before.at
    figures = {
        "sessions": count,
        "allowed": round(most, 1),
        "rate": round(sent / seconds, 1),
        "share": round(sent / seconds / most, 4),
        "refused_share": round(refused / max(1, sent + refused), 5),
        "cost": Cost.between(before, after, max(sent, 2), seconds).as_json(),
    }
    options.say(
        f"{count:,} sessions: {figures['rate']:,.1f} of {most:,.1f} messages/s ({figures['share']:.1%}), "
        f"429s {figures['refused_share']:.2%}, {figures['cost']['cpu_ms']:.2f} ms a message"
    )
    return figures
