"""Scores, and the morning's mail."""

from __future__ import annotations

import uuid
import zoneinfo
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    AlertSettings,
    Attempt,
    Digest,
    GatewayAccount,
    HealthNote,
    Message,
    SessionDoubt,
    SessionEvent,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import digest, roll_up, wellbeing
from tests.services.conftest import make_session
from tests.services.test_alerts import Mailbox, crowd, look, mailbox

__all__ = ["mailbox"]
pytestmark = pytest.mark.django_db(transaction=True)


def scores() -> list[tuple[int, str]]:
    return list(HealthNote.objects.order_by("at", "pk").values_list("score", "reasons"))


def test_the_score_follows_the_evidence_and_is_kept(linked: WaSenderSession) -> None:
    now = timezone.now()
    WaSenderSession.objects.update(last_active_at=now)
    assert wellbeing.note(now) == 1 and scores() == [(100, "")]
    assert wellbeing.note(now + timedelta(minutes=2)) == 0  # nothing changed
    SessionDoubt.objects.create(session=linked, kind="failures", reason="6 of its last 50 failed.", weighed_at=now)
    for i in range(2):
        SessionEvent.objects.create(session=linked, at=now - timedelta(hours=i), status="disconnected", source="poll")
    assert wellbeing.note(now + timedelta(seconds=30)) == 0  # not within a minute
    wellbeing.note(now + timedelta(minutes=2))
    assert scores()[1] == (50, "6 of its last 50 failed. Its link went down 2 times within a day.")
    WaSenderSession.objects.update(status="logged_out")
    wellbeing.note(now + timedelta(minutes=4))
    assert scores()[2] == (0, "Not connected.")
    assert wellbeing.note(now + timedelta(minutes=65)) == 1  # one an hour all the same
    drawn = wellbeing.picture(linked, hours=2, now=now + timedelta(minutes=66))
    assert drawn.least == 0 and drawn.now.score == 0
    assert drawn.line.startswith("M") and drawn.line.endswith("V100H100") and drawn.line.count("V") == 3
    assert wellbeing.picture(linked, now=now + timedelta(days=30)) is None


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"last_active_at": None, "status_since": timezone.now() - timedelta(hours=2)}, 80),
        ({"strikes": 2}, 85),
        ({"strikes": 6, "paused_until": timezone.now() + timedelta(days=9)}, 70),
        ({"daily_limit": 10, "messages_sent_today": 10}, 90),
        ({"daily_limit": 10, "messages_sent_today": 9}, 95),
        ({"rejected_key_version": 1}, 0),
        ({"is_active": False}, 0),
    ],
)
def test_what_each_finding_costs(fields: dict[str, Any], value: int, account: GatewayAccount) -> None:
    make_session(account, "a" * 64, "b" * 32, **({"last_active_at": timezone.now()} | fields))
    wellbeing.note()
    assert [one for one, _ in scores()] == [value]


# --- the morning's mail -----------------------------------------------------------------------------------------------


def wrote(row: WaSenderSession, at: datetime, n: int, **fields: Any) -> None:
    for i in range(n):
        phone = f"+1212555{Message.objects.count():04d}"
        state = "failed" if fields.get("outcome") == "rejected" else "accepted"
        id = uuid.uuid4()
        message = Message.objects.create(user=row.user, session=row, phone=phone, state=state, attempt=id)
        Attempt.objects.create(
            id=id, message=message, session=row, phone=phone,
            worker="w", key_version=1, connection_version=1, body_hash=b"",
            started_at=at + timedelta(seconds=i), lease_until=at, finished_at=at, resolved_at=at,
            **({"outcome": "accepted"} | fields),
        )  # fmt: skip


def test_once_a_morning_in_the_persons_own_zone(account: GatewayAccount, user: User, mailbox: Mailbox) -> None:
    zone = zoneinfo.ZoneInfo("Asia/Tokyo")
    user.time_zone = "Asia/Tokyo"
    user.save()
    busy, idle = crowd(account, 2)
    WaSenderSession.objects.filter(pk=idle.pk).update(status="logged_out")
    WaSenderSession.objects.update(created_at=datetime(2026, 11, 1, tzinfo=zone))
    day = date(2026, 11, 19)
    noon = datetime(2026, 11, 19, 12, tzinfo=zone)
    wrote(busy, noon, 3, delivered_at=noon)
    wrote(busy, noon, 2)
    wrote(busy, noon, 1, outcome="rejected")
    wrote(busy, datetime(2026, 11, 18, 23, 59, tzinfo=zone), 1)  # the day before
    wrote(busy, datetime(2026, 11, 20, 0, 0, tzinfo=zone), 1)  # the day after
    Suppression.objects.create(user=user, phone="+12125550199", session=busy, created_at=noon)
    look()
    roll_up.roll_up()
    morning = datetime(2026, 11, 20, 8, 0, tzinfo=zone)
    assert digest.send_due(morning) == 0  # nobody asked for it
    AlertSettings.objects.create(user=user, wants_digest=True)
    assert digest.send_due(morning - timedelta(minutes=1)) == 0
    assert digest.send_due(morning) == 1 and digest.send_due(morning + timedelta(hours=1)) == 0
    [letter] = mailbox.letters
    assert letter["Subject"] == "Phonebank: 5 messages on Thursday, 1 thing needs a hand"
    text, html = (part.get_content() for part in letter.iter_parts())
    assert "Till 0: 5 sent, 3 delivered, 1 failed, 1 opted out" in text and "Till 1: 0 sent" in text
    assert "All together: 5 sent, 3 delivered, 1 failed, 1 opted out." in text
    assert "“Till 1” needs a scan" in text and "1 session is not connected." in text
    assert "<td>Till 0</td>" in html and Digest.objects.get().date == day


def test_a_morning_without_a_mail_server_is_made_up_for(user: User, mailbox: Mailbox, settings: Any) -> None:
    AlertSettings.objects.create(user=user, wants_digest=True)
    morning = datetime(2026, 11, 20, 8, 30, tzinfo=zoneinfo.ZoneInfo(user.time_zone))
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 9
    assert digest.send_due(morning) == 0
    settings.EMAIL_PORT = port
    assert digest.send_due(morning + timedelta(minutes=5)) == 0  # not at every look
    assert digest.send_due(morning + timedelta(minutes=11)) == 1 and len(mailbox.letters) == 1
    settings.EMAIL_URL = ""
    assert digest.send_due(morning + timedelta(days=1)) == 0
