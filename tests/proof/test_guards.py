"""The guards of a drill see what must not be, at the instant it is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from phonebank.whatsappapi.management import guards
from phonebank.whatsappapi.models import Attempt, Campaign, Message, WaSenderSession
from tests.dispatch.bench import Bench
from tests.dispatch.conftest import db as _db

db = _db  # committed rows, removed afterwards


@pytest.fixture
def rows(db: None) -> Any:
    """A campaign of three over one session, with the guards up."""
    bench = Bench()
    with connection.cursor() as cursor:
        guards.install(2)
    one = bench.session(daily_limit=3)
    campaign = bench.campaign(bench.people(3), [one])
    try:
        yield one, campaign
    finally:
        bench.close()
        with connection.cursor() as cursor:
            for name, table in TRIGGERS.items():
                cursor.execute(f"DROP TRIGGER {name} ON {table}")
            for name in ("note", "move", "limit", "claim", "completed"):
                cursor.execute(f"DROP FUNCTION drill_{name}()")
            cursor.execute("DROP TABLE drill_broken")


TRIGGERS = {
    "drill_rank": "whatsappapi_message", "drill_move": "whatsappapi_message",
    "drill_limit": "whatsappapi_wasendersession", "drill_claim": "whatsappapi_attempt",
    "drill_completed": "whatsappapi_campaign",
}  # fmt: skip


def attempt(message: Message, one: WaSenderSession, version: int) -> None:
    now = timezone.now()
    Attempt.objects.create(
        id=uuid.uuid4(), message=message, session=one, phone=message.phone, worker="w", key_version=version,
        connection_version=0, body_hash=b"", started_at=now, lease_until=now,
    )  # fmt: skip


def test_what_is_right_is_not_noted(rows: Any) -> None:
    one, campaign = rows
    Message.objects.filter(campaign=campaign).update(state="sending")
    Message.objects.filter(campaign=campaign).update(state="accepted", rank=3)
    WaSenderSession.objects.filter(pk=one.pk).update(messages_sent_today=3)
    attempt(Message.objects.filter(campaign=campaign)[0], one, one.key_version)
    Campaign.objects.filter(pk=campaign.pk).update(state="completed")
    assert guards.noted() == {}


def wrong_rank(one: WaSenderSession, campaign: Campaign) -> None:
    Message.objects.filter(campaign=campaign).update(rank=3)
    Message.objects.filter(campaign=campaign).update(rank=2)


def wrong_move(one: WaSenderSession, campaign: Campaign) -> None:
    Message.objects.filter(campaign=campaign).update(state="accepted")


def wrong_count(one: WaSenderSession, campaign: Campaign) -> None:
    WaSenderSession.objects.filter(pk=one.pk).update(messages_sent_today=4)


def wrong_key(one: WaSenderSession, campaign: Campaign) -> None:
    attempt(Message.objects.filter(campaign=campaign)[0], one, one.key_version + 1)


def wrong_session(one: WaSenderSession, campaign: Campaign) -> None:
    WaSenderSession.objects.filter(pk=one.pk).update(is_active=False)
    attempt(Message.objects.filter(campaign=campaign)[0], one, one.key_version)


def too_many(one: WaSenderSession, campaign: Campaign) -> None:
    for message in Message.objects.filter(campaign=campaign):
        attempt(message, one, one.key_version)


def too_early(one: WaSenderSession, campaign: Campaign) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(state="completed")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (wrong_rank, "I7 rank"), (wrong_move, "states"), (wrong_count, "I3 limit"), (wrong_key, "I8 right"),
        (wrong_session, "I8 right"), (too_many, "I11 in flight"), (too_early, "I12 completed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_noted(rows: Any, wrong: Callable[..., None], rule: str) -> None:
    wrong(*rows)
    assert guards.noted().keys() == {rule}
