"""The analytics page and its files: days of the owner's zone, deleted sessions, other people's."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Attempt,
    InboundMessage,
    Message,
    OwnerDay,
    SessionDay,
    SessionEvent,
    SessionGroup,
    SessionQuarter,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import analytics as service
from phonebank.whatsappapi.services import roll_up
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/whatsappapi/analytics/"


def sent(row: WaSenderSession, at: datetime, phone: str, **fields: object) -> Attempt:
    """A message that the gateway took, delivered two seconds later unless told otherwise."""
    message = Message.objects.create(user=row.user, session=row, phone=phone, state="accepted", kind="test")
    given = {"delivered_at": at + timedelta(seconds=2), "outcome": "accepted", "msg_id": message.pk, "resolved_at": at}
    made = Attempt.objects.create(
        message=message, session=row, phone=phone, worker="w", key_version=1, connection_version=1, body_hash=b"",
        started_at=at, lease_until=at, finished_at=at, **(given | fields),
    )  # fmt: skip
    Message.objects.filter(pk=message.pk).update(attempt=made.pk)
    return made


def count_all() -> None:
    """Also what would wait for a second, not to be counted too often."""
    SessionQuarter.objects.filter(due_at__lt=timezone.now() + timedelta(seconds=5)).update(due_at=timezone.now())
    while roll_up.roll_up():
        pass


def days_of(row: WaSenderSession) -> dict[date, int]:
    return dict(SessionDay.objects.filter(session=row, sent__gt=0).values_list("date", "sent"))


def data_of(page: object) -> dict[str, list[int]]:
    return json.loads(re.search(r'<script id="analytics-data"[^>]*>(.*?)</script>', page.text)[1])


def test_every_figure_of_a_day(desk: Desk) -> None:
    row = desk.session("Shop")
    now = timezone.now()
    day = now.astimezone(ZoneInfo(desk.user.time_zone)).date() - timedelta(days=2)
    at = datetime(day.year, day.month, day.day, 10, 5, tzinfo=ZoneInfo(desk.user.time_zone))
    begin, end = (roll_up.midnight(day + timedelta(days=n), desk.user.time_zone) for n in (0, 1))
    WaSenderSession.objects.update(created_at=at - timedelta(days=1))
    sent(row, at, "+12125550101", read_at=at + timedelta(minutes=1))
    sent(row, at, "+12125550102")
    sent(row, at, "+12125550103", delivered_at=None)
    sent(row, at, "+12125550104", outcome="unknown", msg_id=None, delivered_at=None, resolved_at=None)
    refused = sent(row, at, "+12125550105", outcome="rejected", msg_id=None, delivered_at=None)
    sent(row, at, "+12125550106", outcome="deferred", msg_id=None, delivered_at=None)
    Message.objects.filter(phone="+12125550104").update(state="unknown")
    Message.objects.filter(pk=refused.message_id).update(state="failed", reason="The gateway could not send it: 17")
    Message.objects.filter(phone="+12125550106").update(state="queued", attempt=None)
    InboundMessage.objects.create(user=desk.user, session=row, key_id="A", phone="+12125550101")
    InboundMessage.objects.update(received_at=at + timedelta(minutes=20))
    Suppression.objects.create(user=desk.user, session=row, phone="+12125550101", created_at=at + timedelta(minutes=20))
    SessionEvent.objects.create(session=row, at=at - timedelta(hours=34), status="disconnected", source="job")
    SessionEvent.objects.create(session=row, at=at + timedelta(hours=2), status="connected", source="job")
    count_all()
    found = SessionDay.objects.get(session=row, date=day)
    counted = [getattr(found, name) for name in service.COUNTS]
    assert counted == [3, 2, 1, 1, 1, 1, 1, 1]
    assert found.reasons == {"The gateway could not send it": 1}
    assert (found.hours[10], sum(found.hours), found.hours_read[10]) == (3, 3, 1)
    assert (found.up, found.known) == (11 * 3600 + 55 * 60, (end - begin).total_seconds())  # not each has 24 hours
    assert 1.2 < service.quantile(found.times, 0.5) < 2.7  # two seconds, to the width of a bucket
    whole = OwnerDay.objects.get(user=desk.user, date=day)
    assert [getattr(whole, name) for name in service.COUNTS] == counted and whole.up == found.up
    Attempt.objects.filter(phone="+12125550103").update(delivered_at=at, read_at=at)
    SessionQuarter.objects.mark([(row.pk, at)])
    count_all()
    found.refresh_from_db()
    assert (found.delivered, found.read) == (3, 2)
    page = desk.client.get(URL).text
    assert "Nothing was sent" not in page and "The gateway could not send it" in page


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns", "UTC"])
def test_days_follow_the_owner_to_another_zone(zone: str, desk: Desk) -> None:
    row = desk.session("Shop")
    moments = [datetime(2026, 11, 14, hour, 50, tzinfo=UTC) + timedelta(minutes=7 * hour) for hour in range(0, 24, 3)]
    WaSenderSession.objects.update(created_at="2026-11-01T00:00Z")
    for number, at in enumerate(moments):
        sent(row, at, f"+1212555010{number}")

    def expected() -> dict[date, int]:
        dates = [at.astimezone(ZoneInfo(desk.user.time_zone)).date() for at in moments]
        return {day: dates.count(day) for day in dates}

    count_all()
    assert days_of(row) == expected()
    desk.user.time_zone = zone
    desk.user.save()
    count_all()
    assert days_of(row) == expected()
    assert sum(OwnerDay.objects.values_list("sent", flat=True)) == len(moments)
    found = service.report(service.Scope(desk.user, moments[0].date(), moments[0].date()))
    assert [one.at.minute for one in found.hourly] == [0] * 24
    assert sum(one.sums.sent for one in found.hourly) == found.total.sent


def test_a_deleted_session_keeps_its_figures(desk: Desk) -> None:
    row = desk.session("Old shop")
    group = SessionGroup.objects.create(user=desk.user, name="Shops")
    group.sessions.add(row)
    sent(row, timezone.now() - timedelta(minutes=1), "+12125550101")
    WaSenderSession.objects.update(deleted_at=timezone.now(), is_active=False)
    count_all()
    for query in ("", f"?range=365&of=s:{row.public_id}", f"?range=7&of=g:{group.public_id}", "?range=30&sort=read"):
        page = desk.client.get(URL + query)
        assert sum(data_of(page)["delivered"]) == 1, query
        assert "Old shop" in page.text and "Deleted" in page.text


def test_the_files_say_what_the_page_says(desk: Desk) -> None:
    row = desk.session("=Shop")
    sent(row, timezone.now() - timedelta(minutes=1), "+12125550101")
    count_all()
    answer = desk.client.get(f"{URL}days.csv?range=7")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))
    assert len(rows) == 7 and sum(int(one["delivered"]) for one in rows) == 1
    [line] = csv.DictReader(io.StringIO(desk.client.get(f"{URL}sessions.csv").getvalue().decode("utf-8-sig")))
    assert line["session"] == "'=Shop" and line["sent"] == "1"
    assert desk.client.get(f"{URL}days.xlsx").getvalue()[:2] == b"PK"
    assert desk.client.get(f"{URL}days.pdf").status_code == desk.client.get(f"{URL}money.csv").status_code == 404
    assert Event.objects.filter(verb="analytics.exported").count() == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [("range=own&from=2026-02-30&to=x", 422), ("range=own&from=2026-02-03&to=2026-02-01", 422),
     ("range=own&from=2001-01-01&to=2026-02-01", 422), ("range=own&from=2025-12-20&to=2026-02-03", 200),
     ("range=nonsense&sort=password&page=99", 200), ("of=s:nonsense", 404),
     ("of=g:4d1f3c52-7a0e-4a39-9f5e-0c1d2b3a4e5f", 404)],
)  # fmt: skip
def test_addresses_that_people_type(query: str, status: int, desk: Desk) -> None:
    sent(desk.session(), timezone.now() - timedelta(minutes=1), "+12125550101")
    count_all()
    assert desk.client.get(f"{URL}?{query}").status_code == status


def test_somebody_elses_figures_are_not_there(desk: Desk, other: Desk) -> None:
    row = other.session("Secret")
    group = SessionGroup.objects.create(user=other.user, name="Secret")
    sent(row, timezone.now() - timedelta(minutes=1), "+12125550101")
    count_all()
    for of in (f"s:{row.public_id}", f"g:{group.public_id}"):
        for path in ("", "days.csv", "sessions.csv"):
            assert desk.client.get(f"{URL}{path}?of={of}").status_code == 404
            assert other.client.get(f"{URL}{path}?of={of}").status_code == 200
    page = desk.client.get(URL)
    assert "Secret" not in page.text and "Nothing was sent yet" in page.text


def test_more_sessions_ask_no_more_questions(desk: Desk, make_desk: Callable[[str], Desk]) -> None:
    large = make_desk("big@example.org")
    for one, many in ((desk, 2), (large, 30)):
        for _ in range(many):
            sent(one.session(), timezone.now() - timedelta(minutes=1), "+12125550101")
    count_all()
    for query in ("?range=1", "?range=7", "?range=365"):
        asked = []
        for one in (desk, large):
            with CaptureQueriesContext(connection) as found:
                assert one.client.get(URL + query).status_code == 200
            asked.append(len(found))
        assert asked[0] == asked[1]
