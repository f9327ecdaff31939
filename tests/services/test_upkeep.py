"""What is put right by itself: half-done work of dead workers, and sessions that the gateway refused for a while."""

from __future__ import annotations

import hashlib
import zoneinfo
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from phonebank.accounts.models import User, validate_time_zone
from phonebank.whatsappapi.models import (
    Campaign,
    CampaignCount,
    ContactList,
    GatewayAccount,
    WaSenderSession,
    WebhookEvent,
)
from phonebank.whatsappapi.services import campaigns, retention
from phonebank.whatsappapi.services.errors import ServiceError

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign() -> Campaign:
    user = User.objects.create_user("ana@example.org")
    people = ContactList.objects.create(user=user, name="People")
    return Campaign.objects.create(user=user, name="Spring", body="Hi", contact_list=people)


def jobs() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT task_name FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
        return [name for (name,) in cursor.fetchall()]


def test_a_deal_without_a_job_gets_one_and_only_one(campaign: Campaign) -> None:
    Campaign.objects.update(state="dealing")
    assert campaigns.finish_what_was_begun() == 1
    assert campaigns.finish_what_was_begun() == 0
    assert jobs() == ["deal_campaign"]


def test_rows_that_come_back_after_a_cancellation_are_cancelled_too(campaign: Campaign) -> None:
    Campaign.objects.update(state="cancelled", finished_at=timezone.now())
    assert campaigns.finish_what_was_begun() == 0
    CampaignCount.objects.create(campaign=campaign, state="queued", n=2)
    assert campaigns.finish_what_was_begun() == 1
    assert jobs() == ["cancel_rows"]


def test_campaigns_at_rest_are_left_alone(campaign: Campaign) -> None:
    CampaignCount.objects.create(campaign=campaign, state="queued", n=2)
    for state in ("draft", "running", "paused", "completed"):
        Campaign.objects.update(state=state, finished_at=timezone.now() - timedelta(days=1))
        assert campaigns.finish_what_was_begun() == 0


@pytest.mark.parametrize("name", ["Europe/Nowhere", ""])
def test_names_that_are_no_zone_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        validate_time_zone(name)
    with pytest.raises(ValidationError):
        User.objects.create_user("ana@example.org", time_zone=name)


def test_zones_that_only_python_knows_are_refused() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_timezone_names")
        names = zoneinfo.available_timezones() - {name for (name,) in cursor.fetchall()}
    if not names:
        pytest.skip("this server knows every zone that Python knows")
    for name in names:
        with pytest.raises(ValidationError):
            validate_time_zone(name)


def test_known_zones_are_taken() -> None:
    for name in ("Europe/Madrid", "America/Havana", "Africa/Cairo", "UTC"):
        validate_time_zone(name)


def test_a_refused_session_is_not_given_another_chance_by_a_gateway_that_is_away() -> None:
    user = User.objects.create_user("ana@example.org")
    account = GatewayAccount.objects.create(user=user, name="Away", base_url="http://127.0.0.1:1/api")
    one = WaSenderSession.objects.create(
        user=user, account=account, session_name="Sales", phone_number="+12125550101", rejected_key_version=1
    )
    WaSenderSession.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    from phonebank.whatsappapi.services.sessions import recheck_refused

    assert recheck_refused() == 0
    one.refresh_from_db()
    assert one.rejected_key_version == 1


def test_a_session_still_being_created_carries_no_campaign(campaign: Campaign) -> None:
    user, people = campaign.user, campaign.contact_list
    account = GatewayAccount.objects.create(user=user, name="Sandbox", is_sandbox=True)
    intent = WaSenderSession.objects.create(
        user=user, account=account, session_name="Sales", phone_number="+12125550101", wasender_id=None
    )
    with pytest.raises(ServiceError) as refused:
        campaigns.create_campaign(actor=user, name="x", contact_list=people, body="Hi", wa_sessions=[intent])
    assert refused.value.code == "not_created"


def test_old_webhooks_go_in_chunks_and_waiting_ones_stay(linked: WaSenderSession, settings: Settings) -> None:
    now = timezone.now()

    def came(days: float, state: str) -> WebhookEvent:
        digest = hashlib.sha256(f"{days}{state}".encode()).digest()
        received = now - timedelta(days=days)
        return WebhookEvent.objects.create(
            session=linked, received_at=received, state=state, body=b"{}", digest=digest
        )  # fmt: skip

    old = [came(40, "done"), came(39, "new"), came(38, "quarantined"), came(37, "unmatched"), came(31, "done")]
    young = [came(29, "done"), came(0, "new")]
    assert retention.prune_webhooks(chunk=2) == 1
    assert retention.prune_webhooks() == 2
    assert retention.prune_webhooks() == 0
    assert set(WebhookEvent.objects.all()) == {old[1], old[3], *young}
    settings.WEBHOOK_KEEP_DAYS = 7
    assert retention.prune_webhooks() == 1
