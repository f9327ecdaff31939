"""The light of a session: in Python, in SQL, and what its latest attempts say against it."""

from __future__ import annotations

import itertools
import uuid
import zoneinfo
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Attempt, GatewayAccount, Message, SessionDoubt, WaSenderSession
from phonebank.whatsappapi.services.health import health, resets_at, used_today, weigh, with_light
from tests.services.conftest import make_session

pytestmark = pytest.mark.django_db
NOW = timezone.now()
MADRID = zoneinfo.ZoneInfo("Europe/Madrid")
LIGHTS = {"red": 0, "yellow": 1, "green": 2}


def test_sql_and_python_see_the_same_light(account: GatewayAccount) -> None:
    """Every combination of what a light depends on."""
    today = NOW.astimezone(zoneinfo.ZoneInfo(account.user.time_zone)).date()
    parts = [
        [{"status": "connected"}, {"status": "need_scan"}],
        [{}, {"is_active": False}, {"is_surplus": True}, {"rejected_key_version": 1}],
        [{}, {"paused_until": NOW + timedelta(minutes=1)}, {"paused_until": NOW + timedelta(seconds=1)}],
        [{}, {"strikes": 1}],
        [{"last_active_at": NOW}, {"last_active_at": NOW - timedelta(minutes=16)}],
        [{"usage_date": today}, {"usage_date": today - timedelta(days=1)}],
        [{"messages_sent_today": n} for n in (0, 80, 81, 100)],
    ]
    rows = []
    for n, chosen in enumerate(itertools.product(*parts)):
        values = {key: value for one in chosen for key, value in one.items()}
        rows.append(
            WaSenderSession(
                user=account.user,
                account=account,
                wasender_id=n,
                session_name=f"N{n}",
                phone_number="+12125550101",
                daily_limit=100,
                **values,
            )
        )
    WaSenderSession.objects.bulk_create(rows)
    doubted = [row for row in rows if row.wasender_id % 7 == 0]
    SessionDoubt.objects.bulk_create(
        SessionDoubt(session=row, kind="acks" if n % 2 else "", reason="Late.", weighed_at=NOW)
        for n, row in enumerate(doubted)
    )
    zone = zoneinfo.ZoneInfo(account.user.time_zone)
    seen = set()
    for row in with_light(WaSenderSession.objects.all(), NOW, zone).select_related("doubt"):
        assert row.used_today == used_today(row, NOW, zone)
        row.messages_sent_today = row.used_today
        found = health(row, NOW)
        assert LIGHTS[found.light] == row.light, (found, row.session_name)
        assert found.word and found.reason.endswith(".")
        seen.add(found.word)
    assert seen == {
        "Connected", "Needs a scan", "Switched off", "Over the plan", "Refused", "Rate limited", "Limit reached",
        "Silent", "Confirmed late", "Nearly full", "Slowed down",
    }  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "opened", "now", "used", "resets"),
    [
        ("2026-06-10", "2026-06-09T22:00", "2026-06-10T12:00", 5, "2026-06-10T22:00"),  # an ordinary day
        ("2026-06-09", "2026-06-08T22:00", "2026-06-10T12:00", 0, "2026-06-10T22:00"),  # yesterday's
        ("2026-06-09", "2026-06-09T20:00", "2026-06-09T23:00", 5, "2026-06-10T16:00"),  # opened 3 h ago: stays
        ("2026-06-11", "2026-06-10T11:00", "2026-06-10T12:00", 5, "2026-06-11T22:00"),  # the owner moved west
        ("2026-10-25", "2026-10-24T22:00", "2026-10-25T12:00", 5, "2026-10-25T23:00"),  # a day of 25 hours
        ("2026-03-29", "2026-03-28T23:00", "2026-03-29T12:00", 5, "2026-03-29T22:00"),  # a day of 23 hours
        (None, None, "2026-06-10T12:00", 5, "2026-06-10T22:00"),
    ],
)
def test_the_day_of_the_count(day: str | None, opened: str | None, now: str, used: int, resets: str) -> None:
    row = WaSenderSession(
        messages_sent_today=5,
        usage_date=date.fromisoformat(day) if day else None,
        usage_opened_at=at(opened) if opened else None,
    )
    assert used_today(row, at(now), MADRID) == used
    assert resets_at(row, at(now), MADRID).astimezone(UTC) == at(resets)


def attempts(row: WaSenderSession, n: int, age: timedelta, outcome: str, acked_after: float | None) -> None:
    """`n` attempts that ended `age` ago, a second apart; acknowledged after so many seconds, or not at all."""
    messages = Message.objects.bulk_create(
        Message(user=row.user, session=row, phone="+12125550101", state="accepted") for _ in range(n)
    )
    began = [timezone.now() - age - timedelta(seconds=n - i) for i in range(n)]
    Attempt.objects.bulk_create(
        Attempt(
            id=uuid.uuid4(), message=message, session=row, phone=message.phone, worker="w", key_version=1,
            connection_version=1, body_hash=b"", started_at=start, lease_until=start, finished_at=start,
            resolved_at=start, outcome=outcome,
            sent_at=None if acked_after is None else start + timedelta(seconds=acked_after),
        )
        for message, start in zip(messages, began, strict=True)
    )  # fmt: skip


def doubt(row: WaSenderSession) -> str:
    WaSenderSession.objects.filter(pk=row.pk).update(last_used_at=timezone.now())
    assert weigh() == 1
    return SessionDoubt.objects.get(session=row).kind


HOUR = timedelta(hours=1)


def test_no_attempts_no_doubt(linked: WaSenderSession) -> None:
    assert doubt(linked) == ""
    assert weigh() == 0  # only once a minute


def test_failures_that_rise(linked: WaSenderSession) -> None:
    attempts(linked, 100, 2 * HOUR, "accepted", 1)
    attempts(linked, 40, HOUR, "accepted", 1)
    attempts(linked, 10, HOUR / 2, "rejected", None)
    assert doubt(linked) == "failures"
    found = WaSenderSession.objects.with_limit().select_related("doubt").get()
    found.last_active_at = NOW
    assert health(found, NOW).reason == "10 of its last 50 messages failed; that is more than before."
    assert health(found, NOW).light == "yellow"


def test_failures_as_ever_are_no_news(linked: WaSenderSession) -> None:
    for age in range(20, 0, -1):
        attempts(linked, 8, age * HOUR, "accepted", 1)
        attempts(linked, 2, age * HOUR - timedelta(minutes=10), "rejected", None)
    assert doubt(linked) == ""


@pytest.mark.parametrize(("acked_after", "kind"), [(1, ""), (50, ""), (400, "acks"), (None, "acks")])
def test_acknowledgements_against_its_own_history(
    linked: WaSenderSession, acked_after: float | None, kind: str
) -> None:
    attempts(linked, 60, 3 * HOUR, "accepted", 1)
    attempts(linked, 30, HOUR, "accepted", acked_after)
    assert doubt(linked) == kind


def test_a_history_without_acknowledgements_says_nothing(linked: WaSenderSession) -> None:
    attempts(linked, 90, HOUR, "accepted", None)
    assert doubt(linked) == ""


def test_messages_just_sent_are_not_late_yet(linked: WaSenderSession) -> None:
    attempts(linked, 60, 3 * HOUR, "accepted", 1)
    attempts(linked, 30, timedelta(seconds=1), "accepted", None)
    assert doubt(linked) == ""


def test_a_doubt_goes_when_the_evidence_does(linked: WaSenderSession, stranger: User) -> None:
    attempts(linked, 60, 3 * HOUR, "accepted", 1)
    attempts(linked, 30, 2 * HOUR, "accepted", None)
    assert doubt(linked) == "acks"
    attempts(linked, 30, HOUR, "accepted", 1)
    SessionDoubt.objects.update(weighed_at=timezone.now() - timedelta(minutes=2))
    make_session(GatewayAccount.objects.create(user=stranger, token="x"), "b2" * 32, "d00d" * 8)  # never used: no row
    assert doubt(linked) == ""
    assert SessionDoubt.objects.count() == 1


@pytest.mark.parametrize(("sent", "word"), [(80, "Connected"), (81, "Nearly full"), (100, "Limit reached")])
def test_the_bounds_of_the_day(sent: int, word: str, linked: WaSenderSession) -> None:
    linked.daily_limit, linked.messages_sent_today = 100, sent
    assert health(linked, NOW).word == word
