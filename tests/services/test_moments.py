"""Days that nobody means are refused at every door: the database holds them, and no page could be read again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from phonebank.accounts.models import Plan, User
from phonebank.whatsappapi.models import Announcement, SessionShare
from phonebank.whatsappapi.services import announcements, drafts, runs, sharing, subscriptions
from phonebank.whatsappapi.services.errors import ServiceError
from tests.accounts.conftest import plans
from tests.views.conftest import Desk

__all__ = ["plans"]

pytestmark = pytest.mark.django_db(transaction=True)
LAST, FIRST = datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1, 1, 1, 0, 1, tzinfo=UTC)
DOORS: dict[str, tuple[Callable[[Desk], Any], str]] = {
    "share": (
        lambda desk: sharing.invite(
            actor=desk.user, wa_session=desk.session("Desk"), email="a@example.org", role="viewer", until=LAST
        ),
        "until",
    ),
    "plan": (
        lambda desk: subscriptions.change_subscription(
            actor=desk.user, user=desk.user, plan=Plan.objects.get(slug="pro"), expires_at=LAST
        ),
        "expires_at",
    ),
    "announcement's end": (
        lambda desk: announcements.announce(actor=desk.user, text="Hi", level="info", starts_at=None, ends_at=LAST),
        "ends_at",
    ),
    "announcement's begin": (
        lambda desk: announcements.announce(actor=desk.user, text="Hi", level="info", starts_at=FIRST, ends_at=None),
        "starts_at",
    ),
    "campaign's start": (
        lambda desk: runs.schedule(actor=desk.user, campaign=drafts.create_draft(actor=desk.user), at=LAST),
        "scheduled_at",
    ),
    "campaign's end": (
        lambda desk: drafts.save(
            actor=desk.user, campaign=drafts.create_draft(actor=desk.user), changes={"expires_at": LAST}
        ),
        "expires_at",
    ),
}  # fmt: skip


@pytest.fixture
def desk(plans: None) -> Desk:
    return Desk("ana@example.org")


@pytest.mark.parametrize("door", DOORS)
def test_the_ends_of_the_calendar_are_refused(desk: Desk, door: str) -> None:
    User.objects.filter(pk=desk.user.pk).update(is_superuser=True)
    knock, code = DOORS[door]
    with pytest.raises(ServiceError, match="within a hundred years") as refused:
        knock(desk)
    assert refused.value.code == code
    assert not SessionShare.objects.exists() and not Announcement.objects.exists()


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_a_page_says_so(desk: Desk, zone: str) -> None:
    User.objects.filter(pk=desk.user.pk).update(time_zone=zone)
    page = f"/whatsappapi/sessions/{desk.session('Desk').public_id}/sharing/"
    answer = desk.client.post(page, {"email": "a@example.org", "role": "viewer", "until": "9999-12-31T23:59"})
    assert answer.status_code == 422 and "within a hundred years" in answer.text
    assert desk.client.get(page).status_code == 200
