"""`phonebank bench peers`: our engine beside its opponents, alternating, at two gateway latencies."""

from __future__ import annotations

from typing import Any

from phonebank.whatsappapi.management.bench.cost import (
    PEER_RUNS,
    Cost,
    Unavailable,
    engine,
    make_peers_database,
    medians,
)
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand

IN_FLIGHT = 20  # requests at a time and session; the opponents have no such cap
SESSIONS = 50


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """{latency in ms: {contender: medians}}, and why somebody is missing."""
    linked = stand.sessions(SESSIONS)
    make_peers_database(stand)
    found: dict[str, Any] = {"missing": {}, "sessions": SESSIONS, "in_flight": IN_FLIGHT, "rounds": options.rounds}
    for latency in (0, 0.2):
        costs: dict[str, list[Cost]] = {}
        for n in range(options.rounds):
            _round(stand, options, linked, latency, costs, found["missing"])
            options.say(f"round {n + 1} of {options.rounds} at {latency * 1000:.0f} ms: " + _line(costs))
        found[str(int(latency * 1000))] = {name: medians(runs) for name, runs in costs.items()}
    return found


def _round(stand: Stand, options: Options, linked: Any, latency: float, costs: Any, missing: dict[str, str]) -> None:
    workers = stand.workers(in_flight=IN_FLIGHT)
    engine(stand, linked, 1000, 0, workers)  # plans, connections, caches: as in any worker that has run a while
    costs.setdefault("phonebank", []).append(engine(stand, linked, options.messages, latency, workers))
    stand.stop("send", "work")
    for name, peer in PEER_RUNS.items():
        if name in missing or (options.only and name not in options.only):
            continue
        try:
            costs.setdefault(name, []).append(peer.run(stand, linked, latency))
        except Unavailable as error:
            missing[name] = str(error)
            costs.pop(name, None)
            options.say(f"{name} is left out: {error}")


def _line(costs: dict[str, list[Cost]]) -> str:
    return ", ".join(f"{name} {runs[-1].rate:,.0f}/s {runs[-1].cpu:.2f} ms" for name, runs in costs.items())
