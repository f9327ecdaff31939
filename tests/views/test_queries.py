"""What a page asks of the database does not grow with the rows it shows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phonebank.whatsappapi.models import BulkAction, BulkResult, CampaignCount, SessionGroup, WaSenderSession
from tests.views.conftest import Desk

PAGES = ["", "sessions/", "campaigns/", "contacts/", "send-campaign/", "gateway/", "analytics/", "session-templates/"]


def queries(desk: Desk, path: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert desk.client.get(f"/whatsappapi/{path}").status_code == 200
    return len(asked)


def fill(desk: Desk, rows: int, tag: str) -> None:
    for i in range(rows):
        desk.campaign(2, name=f"Sale {tag}{i}")


@pytest.mark.parametrize("path", PAGES)
def test_lists(path: str, desk: Desk) -> None:
    fill(desk, 3, "a")
    before = queries(desk, path)
    fill(desk, 6, "b")
    assert queries(desk, path) == before


def test_a_campaign(desk: Desk, make_desk: Callable[[str], Desk]) -> None:
    small, large = desk.campaign(3, sessions=2), make_desk("big@example.org")
    big = large.campaign(40, sessions=6)
    assert queries(desk, f"campaigns/{small.public_id}/") == queries(large, f"campaigns/{big.public_id}/")


SESSION_LISTS = [
    "", "?sort=light&status=connected", "?q=12125550", "sessions/", "sessions/?sort=-used&light=green",
    "sessions/bulk/?verb=disconnect&all=1", "sessions/bulk/?verb=delete&all=1",
]  # fmt: skip


def crowd(desk: Desk, n: int) -> None:
    """`n` sessions, each in two groups and with people waiting in two campaigns."""
    rows = WaSenderSession.objects.bulk_create(
        WaSenderSession(
            user=desk.user, account=desk.account, wasender_id=10_000 + i, session_name=f"Crowd {i}", status="connected",
            phone_number=f"+121255{i:05d}", daily_limit=500, messages_sent_today=i % 400,
        )
        for i in range(n)
    )  # fmt: skip
    for name in ("One", "Two"):
        SessionGroup.objects.create(user=desk.user, name=name).sessions.set(rows)
        campaign = desk.campaign(0, sessions=0, name=name)
        campaign.lanes.bulk_create(
            campaign.lanes.model(campaign=campaign, session=row, position=i) for i, row in enumerate(rows)
        )
        CampaignCount.objects.bulk_create(
            CampaignCount(campaign=campaign, session=row, state="queued", n=10) for row in rows
        )
    action = BulkAction.objects.create(user=desk.user, verb="connect", total=n)
    BulkResult.objects.bulk_create(
        BulkResult(action=action, session=row, name=row.session_name, position=i) for i, row in enumerate(rows)
    )


def test_a_thousand_sessions_ask_as_much_as_ten(desk: Desk, make_desk: Callable[[str], Desk]) -> None:
    large = make_desk("big@example.org")
    crowd(desk, 10)
    crowd(large, 1000)
    assert [queries(desk, path) for path in SESSION_LISTS] == [queries(large, path) for path in SESSION_LISTS]
    first, last = desk.user.bulk_actions.get(), large.user.bulk_actions.get()
    small, big = (f"sessions/bulk/{one.public_id}/" for one in (first, last))
    assert queries(desk, small) == queries(large, big)
    for path in SESSION_LISTS:
        assert busy(large, path) < 2.5, path


def busy(desk: Desk, path: str) -> float:
    """Seconds of this thread's processor that a page takes, whatever else the machine does: the median of five."""
    took = []
    for _ in range(5):
        began = time.thread_time()
        desk.client.get(f"/whatsappapi/{path}")
        took.append(time.thread_time() - began)
    return statistics.median(took)
