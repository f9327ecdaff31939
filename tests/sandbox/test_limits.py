"""Rate limits, their headers and the cap of simultaneous requests (contract 5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from .desk import Desk, until


async def test_window_passes_its_limit_and_no_more(desk: Desk):
    await desk.turn(rate_limit=5, rate_window=60)
    session, other = await desk.linked(), await desk.linked()
    answers = [await desk.send(session) for _ in range(7)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0", "0"]
    refused = answers[-1]
    assert set(refused.body) == {"message", "retry_after"} and 55 < refused.body["retry_after"] <= 60
    assert refused.headers["X-RateLimit-Limit"] == "5" and 55 < int(refused.headers["X-RateLimit-Reset"]) <= 60
    assert (await desk.send(other)).status == 200, "limits are per session"
    assert (await desk.ledger())["accepted"] == 6
    assert (await desk.admin("GET", "/stats"))["429"] == 2


async def test_window_ends(desk: Desk):
    await desk.turn(rate_limit=1, rate_window=1)
    session = await desk.linked()
    assert (await desk.send(session)).status == 200
    refused = await desk.send(session)
    assert refused.status == 429 and refused.body["retry_after"] == 1

    async def free() -> bool:
        return (await desk.send(session)).status == 200

    await until(free)


async def test_protection_is_one_in_five_seconds(desk: Desk):
    session = await desk.linked(account_protection=True)
    assert (await desk.send(session)).status == 200
    refused = await desk.send(session)
    assert refused.status == 429 and 1 <= refused.body["retry_after"] <= 5


async def test_trial(desk: Desk):
    await desk.admin("PATCH", "/accounts/1", {"plan": "trial"})
    session = await desk.linked()
    first = await desk.send(session)
    assert first.status == 200 and first.headers["X-RateLimit-Daily-Limit"] == "50"
    assert first.headers["X-RateLimit-Daily-Remaining"] == "49"
    assert (await desk.send(session)).status == 429


async def test_daily_cap_of_number_checks(desk: Desk):
    session = await desk.linked()
    path = "/api/on-whatsapp/%2B14155550101"
    answers = [(await desk.call("GET", path, session["api_key"])) for _ in range(61)]
    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert answers[0].headers["X-RateLimit-Daily-Remaining"] == "999"


async def test_limits_come_before_validation_and_refusals_count(desk: Desk):
    await desk.turn(rate_limit=2)
    session = await desk.linked()
    statuses = [(await desk.send(session, to="nonsense")).status for _ in range(3)]
    assert statuses == [422, 422, 429]


async def test_reset_header_as_epoch(desk: Desk):
    await desk.turn(reset_form="epoch")
    session = await desk.linked()
    reset = int((await desk.send(session)).headers["X-RateLimit-Reset"])
    assert 0 < reset - time.time() <= 61


async def test_account_rate(desk: Desk):
    await desk.turn(account_rate=2)
    statuses = [(await desk.account("GET", "/whatsapp-sessions")).status for _ in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(("cap", "refused"), [(2, 3), (0, 0)])
async def test_requests_at_the_same_time(start: Callable[..., Awaitable[Desk]], cap: int, refused: int):
    desk = await start(knobs={"concurrency": cap})
    session = await desk.linked()
    await desk.turn(latency=1)
    answers = await asyncio.gather(*(desk.send(session) for _ in range(5)))
    too_many = [answer for answer in answers if answer.status == 429]
    assert len(too_many) == refused and all(answer.body["retry_after"] == 1 for answer in too_many)
    assert (await desk.send(session)).status == 200, "answered requests free their places"
