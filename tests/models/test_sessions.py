from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.whatsappapi.models import (
    Campaign,
    CampaignCount,
    GatewayAccount,
    Installation,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services.rotation import get_next_available_session
from tests.models.conftest import make

NOW = timezone.now()


def refused(user: User, name: str, **fields: Any) -> bool:
    try:
        with transaction.atomic():
            make(user, name, **fields)
    except IntegrityError:
        return True
    return False


# --- constraints ------------------------------------------------------------------------------------------------------


def test_one_default_for_a_user(user: User, stranger: User) -> None:
    make(user, "One", is_default=True)
    assert refused(user, "Two", is_default=True)
    assert not refused(user, "Three")
    assert not refused(stranger, "One", is_default=True)


def test_a_name_once_for_a_user_whatever_its_case(user: User, stranger: User) -> None:
    make(user, "Front Desk")
    assert refused(user, "front desk") and refused(user, "FRONT DESK")
    assert not refused(user, "Front Desk 2")
    assert not refused(stranger, "Front Desk")


def test_deleted_sessions_do_not_count(user: User) -> None:
    gone = make(user, "Desk", is_default=True, deleted_at=NOW, wasender_id=7)
    assert not refused(user, "Desk", is_default=True, wasender_id=7)
    assert not refused(user, "desk", is_default=True, deleted_at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        WaSenderSession.objects.filter(pk=gone.pk).update(deleted_at=None)


def test_one_session_for_a_session_of_the_account(user: User) -> None:
    one = make(user, "One", wasender_id=7)
    two = make(user, "Two", wasender_id=7)  # another account
    with pytest.raises(IntegrityError), transaction.atomic():
        WaSenderSession.objects.filter(pk=two.pk).update(account=one.account)


def test_what_was_used_is_never_negative(user: User) -> None:
    assert refused(user, "Desk", messages_sent_today=-1)


def test_there_is_one_installation(plans: None) -> None:
    Installation.objects.get_or_create(pk=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Installation.objects.create(pk=2)


def test_one_open_suppression_for_a_person(user: User) -> None:
    Suppression.objects.create(user=user, phone="+12125550100", lifted_at=NOW)
    Suppression.objects.create(user=user, phone="+12125550100")
    Suppression.objects.create(user=user, lid="77")
    Suppression.objects.create(user=user, lid="78")  # no phone is not a phone
    for fields in ({"phone": "+12125550100"}, {"lid": "77"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Suppression.objects.create(user=user, **fields)


def test_a_counter_has_one_row_even_without_a_session(user: User) -> None:
    campaign = Campaign.objects.create(user=user, name="Sale", body="Hi")
    CampaignCount.objects.create(campaign=campaign, session=None, state="skipped", n=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        CampaignCount.objects.create(campaign=campaign, session=None, state="skipped", n=2)


def test_no_index_of_messages_names_the_state(plans: None) -> None:
    """Moving it must not touch an index (send-path 4)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'whatsappapi_message'")
        assert [one for (one,) in cursor.fetchall() if "state" in one] == []
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'whatsappapi_message'")
        assert "fillfactor=70" in cursor.fetchone()[0]


# --- who sees and who can send ----------------------------------------------------------------------------------------


def test_visible_to_its_owner_only_and_until_deleted(user: User, stranger: User) -> None:
    mine = make(user, "Desk")
    make(user, "Gone", deleted_at=NOW)
    make(stranger, "Desk")
    assert list(WaSenderSession.objects.visible_to(user)) == [mine]
    assert WaSenderSession.objects.alive().count() == 2


def test_available_comes_least_recently_used_first(user: User) -> None:
    recent = make(user, "Recent", last_used_at=NOW)
    never = make(user, "Never")
    earlier = make(user, "Earlier", last_used_at=NOW - timedelta(hours=1))
    also = make(user, "Never too")
    order = [never, also, earlier, recent]
    assert list(WaSenderSession.objects.available()) == order
    assert list(WaSenderSession.objects.available([never.pk, earlier])) == [also, recent]
    assert get_next_available_session(user) == never
    assert get_next_available_session(user, [never, also.pk]) == earlier
    assert get_next_available_session(user, order) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "disconnected"}, {"status": "unknown"}, {"status": "CONNECTED"}, {"is_active": False},
        {"deleted_at": NOW}, {"rejected_key_version": 1}, {"paused_until": NOW + timedelta(hours=9)},
        {"daily_limit": 5, "messages_sent_today": 5}, {"daily_limit": 0},
    ],
)  # fmt: skip
def test_who_cannot_send_is_not_available(user: User, fields: dict[str, Any]) -> None:
    make(user, "Desk", **fields)
    assert get_next_available_session(user) is None


def test_a_pause_that_is_over_and_a_mended_key_do_not_stand_in_the_way(user: User) -> None:
    make(user, "Desk", paused_until=NOW - timedelta(seconds=1), rejected_key_version=1, key_version=2)
    assert get_next_available_session(user)


def test_an_inactive_owners_sessions_are_not_available(user: User) -> None:
    make(user, "Desk")
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert get_next_available_session(user) is None


def test_another_users_sessions_are_not_available(user: User, stranger: User) -> None:
    make(stranger, "Desk")
    assert get_next_available_session(user) is None


@pytest.mark.parametrize(
    ("own", "plan", "limit"),
    [(None, None, None), (None, 9, 9), (7, None, 7), (7, 9, 7), (9, 7, 7), (0, 9, 0)],
)
def test_the_limit_is_the_smaller_one_and_null_is_none(
    user: User, own: int | None, plan: int | None, limit: int | None
) -> None:
    Plan.objects.filter(slug="pro").update(daily_limit=plan)
    session = make(user, "Desk", daily_limit=own)
    assert WaSenderSession.objects.with_limit().get().effective_limit == limit
    for used in (0, 6, 7, 8, 9, 10):
        WaSenderSession.objects.update(messages_sent_today=used)
        below = limit is None or used < limit
        assert WaSenderSession.objects.below_limit().filter(pk=session.pk).exists() == below


def test_an_account_is_usable_by_its_owner_and_by_whom_the_operator_granted_it(user: User, stranger: User) -> None:
    mine = GatewayAccount.objects.create(user=user, name="Mine")
    shared = GatewayAccount.objects.create(user=None, name="Operator's")
    assert set(GatewayAccount.objects.usable_by(user)) == {mine}
    shared.granted_to.add(user)
    assert set(GatewayAccount.objects.usable_by(user)) == {mine, shared}
    mine.granted_to.add(stranger)  # only the operator's can be granted
    assert set(GatewayAccount.objects.usable_by(stranger)) == set()
