"""What a page asks of the database does not grow with the rows it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.views.conftest import Desk

PAGES = ["", "sessions/", "campaigns/", "contacts/", "send-campaign/", "gateway/"]


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


def test_a_review(desk: Desk, make_desk: Callable[[str], Desk]) -> None:
    small, large = desk.campaign(3, sessions=2, state="draft"), make_desk("big@example.org")
    big = large.campaign(40, sessions=6, state="draft")
    assert queries(desk, f"campaigns/{small.public_id}/") == queries(large, f"campaigns/{big.public_id}/")
