from __future__ import annotations

from tests.dispatch.bench import Bench


def test_nine_over_three_gives_three_each(bench: Bench) -> None:
    campaign = bench.campaign(bench.people(9), [bench.session() for _ in range(3)])
    assert bench.states(campaign) == {"queued": 9}
    claims = bench.claim(3)
    assert len(claims) == 9
    bench.settle(*map(bench.accepted, claims))
    bench.check()
