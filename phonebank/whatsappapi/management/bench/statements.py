"""`phonebank bench statements`: what the engine asks of the database, counted in the server's own log."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from phonebank.whatsappapi.management.bench.compare import IN_FLIGHT, SESSIONS
from phonebank.whatsappapi.management.bench.cost import PATIENCE, engine, prepare, settled
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.pace import GATEWAY, PER_MINUTE, WARM_UP, limited
from phonebank.whatsappapi.management.bench.stand import Stand, statements_logged
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.services import campaigns

LINE = re.compile(r"(\d+) phonebank LOG: +(?:statement|execute [^:]*): ?(\w*)")
PACED_SESSIONS = 500
PACED_SECONDS = 10.0


@dataclass(slots=True)
class Counted:
    """Statements without BEGIN and COMMIT; `ticks`: how many transactions of the engine had how many."""

    statements: int = 0
    ticks: Counter[int] = field(default_factory=Counter)


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """Statements a message and a tick, of the whole sending process; unpaced, and at WaSender's pace."""
    linked = stand.sessions(SESSIONS)
    workers = stand.workers(in_flight=IN_FLIGHT, only=("send",))
    engine(stand, linked, 1000, 0, workers)
    mine = connection.cursor().connection.info.backend_pid
    count = min(options.messages, 10_000)
    campaign = prepare(stand, linked, count, latency=0)
    with statements_logged(stand) as lines:
        campaigns.resume(actor=stand.user, campaign=campaign)
        stand.wait_for_ledger(count, PATIENCE)
        until("the outcomes to be written", settled)
    found = {"unpaced": _figures(counted(lines, mine), count)}
    paced = stand.sessions(PACED_SESSIONS)
    with limited(stand, PER_MINUTE):
        rate = PACED_SESSIONS * PER_MINUTE / 60
        campaign = prepare(stand, paced, int(rate * (WARM_UP + PACED_SECONDS + 10)), **GATEWAY)
        stand.workers(in_flight=2, pinned=False, only=("send",))
        campaigns.resume(actor=stand.user, campaign=campaign)
        time.sleep(WARM_UP)
        with statements_logged(stand) as lines:
            sent = stand.accepted()
            time.sleep(PACED_SECONDS)
            sent = stand.accepted() - sent
        campaigns.pause(actor=stand.user, campaign=campaign)
    found["paced"] = _figures(counted(lines, mine), sent)
    for name, one in found.items():
        options.say(f"{name}: {one['per_message']:.4f} statements a message, at most {one['most_per_tick']} a tick")
    return found


def counted(lines: Iterable[str], mine: int) -> Counted:
    """Of all processes but our own; the engine is the one with most of them in transactions."""
    found, open_, ticks = Counted(), Counter[int](), {}
    for line in lines:
        match = LINE.match(line)
        if match is None or int(match[1]) == mine:
            continue
        pid, word = int(match[1]), match[2].upper()
        if word == "BEGIN":
            open_[pid] = 0
        elif word in ("COMMIT", "ROLLBACK"):
            ticks.setdefault(pid, Counter())[open_.pop(pid, 0)] += 1
        else:
            found.statements += 1
            if pid in open_:
                open_[pid] += 1
    found.ticks = max(ticks.values(), key=_within, default=Counter())
    return found


def _within(ticks: Counter[int]) -> int:
    return sum(statements * times for statements, times in ticks.items())


def _figures(one: Counted, messages: int) -> dict[str, Any]:
    ticks = one.ticks.total() or 1
    return {
        "messages": messages,
        "per_message": round(one.statements / max(messages, 1), 4),
        "most_per_tick": max(one.ticks, default=0),
        "mean_per_tick": round(_within(one.ticks) / ticks, 2),
        "messages_per_tick": round(messages / ticks, 1),
    }
