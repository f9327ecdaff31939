from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.models import Attempt, CampaignCount, Installation, Message, WaSenderSession, WorkerReport
from phonebank.whatsappapi.services import metrics
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db
STATUS = "/whatsappapi/status/"


@pytest.fixture(autouse=True)
def _installation() -> None:
    Installation.objects.update_or_create(pk=1, defaults={"is_stopped": False, "stop_reason": ""})


@pytest.fixture
def chief(desk: Desk) -> Desk:
    User.objects.filter(pk=desk.user.pk).update(is_superuser=True)
    return desk


def report(worker: str = "box:7", **fields: Any) -> WorkerReport:
    now = timezone.now()
    values = {"kind": "send", "host": "box", "started_at": now, "seen_at": now, "shards": [0, 5], "rounds": 40,
              "items": 120, "median": 0.002, "longest": 0.031, "recent": [0.01, 0.4, 1.5],
              "outcomes": {"accepted": 119, "unknown": 1}}  # fmt: skip
    return WorkerReport.objects.create(worker=worker, **values | fields)


def attempt(message: Message, **fields: Any) -> Attempt:
    now = timezone.now()
    values = {"message": message, "session": message.session, "phone": message.phone, "worker": "w", "key_version": 1,
              "connection_version": 1, "body_hash": b"0" * 32, "started_at": now, "lease_until": now}  # fmt: skip
    return Attempt.objects.create(**values | fields)


@pytest.mark.parametrize("path", ["", "stop/", "resume/", "check/{}/"])
def test_for_anybody_else_the_page_is_not_there(desk: Desk, path: str) -> None:
    url = STATUS + path.format(desk.campaign(1).public_id)
    for client in (desk.client, Client()):
        asked = client.post(url, {"typed": "STOP", "reason": "x"}) if path in ("stop/", "resume/") else client.get(url)
        assert asked.status_code == (404 if client is desk.client else 302)
    assert not Installation.objects.get().is_stopped
    assert "Status" not in desk.client.get("/whatsappapi/").text


def test_the_page_draws_workers_shards_and_jobs(chief: Desk) -> None:
    report()
    report("box:8", seen_at=timezone.now() - timedelta(minutes=1), shards=[1])
    report("box:9", kind="work", shards=[], lag=0.25)
    page = chief.client.get(STATUS)
    text = page.text
    assert page.status_code == 200 and "Drives 2 of 16 shards" in text and "Gone" in text and "Applying" in text
    assert text.count('class="on"') == 2 and text.count("fill-red") >= 1
    assert page.context["idle"] == [n for n in range(16) if n not in (0, 5)]
    assert "14 of 16 shards are changing hands" in text and "No worker sends" not in text
    part = chief.client.get(STATUS, headers={"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div id="live"') and "Stop everything" not in part


def test_without_a_worker_the_page_says_what_to_do(chief: Desk) -> None:
    text = chief.client.get(STATUS).text
    assert "No worker sends" in text and "phonebank worker" in text


def test_counters_are_compared_with_rows_on_demand(chief: Desk) -> None:
    campaign = chief.campaign(3)
    url = f"{STATUS}check/{campaign.public_id}/"
    assert "Counters equal rows" in chief.client.get(url).text
    CampaignCount.objects.filter(campaign=campaign).update(n=5)
    part = chief.client.get(url, headers={"HX-Request": "true"}).text
    assert "Counters differ from rows" in part and "counted 5, rows 3" in part and "<html" not in part


def test_the_switch_is_confirmed_by_typing_audited_and_seen_by_all(chief: Desk, other: Desk) -> None:
    chief.client.post(STATUS + "stop/", {"typed": "stop it", "reason": "Complaints"})
    chief.client.post(STATUS + "stop/", {"typed": "STOP", "reason": "  "})
    assert not Installation.objects.get().is_stopped and not Event.objects.exists()
    assert "All sending is stopped" not in other.client.get("/whatsappapi/").text
    chief.client.post(STATUS + "stop/", {"typed": "stop", "reason": "Complaints <b>today</b>"})
    row = Installation.objects.get()
    assert row.is_stopped and row.stopped_at and row.stop_reason == "Complaints <b>today</b>"
    for page in ("", "sessions/", "campaigns/", "contacts/"):
        text = other.client.get(f"/whatsappapi/{page}").text
        assert "All sending is stopped" in text and "Complaints &lt;b&gt;today" in text and STATUS not in text
    assert STATUS in chief.client.get("/whatsappapi/").text
    chief.client.post(STATUS + "resume/", {"typed": "RESUME"})
    assert not Installation.objects.get().is_stopped
    assert list(Event.objects.order_by("pk").values_list("verb", "actor")) == [
        ("installation.stopped", chief.user.pk), ("installation.resumed", chief.user.pk),
    ]  # fmt: skip


def test_metrics_need_the_token_or_an_administrator(desk: Desk, settings: Any) -> None:
    stranger = Client()

    def asked(client: Client, token: str = "") -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return client.get("/metrics", headers=headers).status_code

    assert (asked(stranger), asked(stranger, "x"), asked(desk.client)) == (404, 404, 404)
    settings.METRICS_TOKEN = "s3cret"
    assert (asked(stranger), asked(stranger, "x"), asked(stranger, "é"), asked(stranger, "s3cret")) == (
        404,
        404,
        404,
        200,
    )
    User.objects.filter(pk=desk.user.pk).update(is_superuser=True)
    assert asked(desk.client) == 200


def test_metrics_say_what_the_rows_say(chief: Desk) -> None:
    campaign = chief.campaign(2)
    first, second = Message.objects.all()
    CampaignCount.objects.create(campaign=campaign, session=first.session, state="queued", n=7)
    attempt(first, outcome="unknown", finished_at=timezone.now(), started_at=timezone.now() - timedelta(seconds=90))
    attempt(second)
    WaSenderSession.objects.update(messages_sent_today=9, strikes=1, account_protection=False)
    report()
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(chief.client.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)

    def value(name: str, **labels: str) -> float:
        [one] = [sample for sample in found[name] if labels.items() <= sample.labels.items()]
        return one.value

    assert value("phonebank_messages", state="queued") == 7
    assert value("phonebank_unknown_attempts") == 1 and 85 < value("phonebank_unknown_oldest_seconds") < 120
    assert value("phonebank_requests_in_flight") == 1 and value("phonebank_stopped") == 0
    assert value("phonebank_outcomes_total", worker="box:7", outcome="accepted") == 119
    assert value("phonebank_items_total", worker="box:7") == 120 and value("phonebank_shards_idle") == 14
    assert value("phonebank_round_seconds", quantile="1") == 0.031
    session = str(first.session.public_id)
    assert value("phonebank_session_messages_today", session=session) == 9
    assert value("phonebank_session_pace_per_minute", session=session) == 128
    assert value("phonebank_session_connected", session=session) == 1


def test_nothing_secret_is_in_the_metrics(chief: Desk) -> None:
    row = chief.session("Secret desk", api_key="k" * 64)
    text = chief.client.get("/metrics").text
    for word in ("Secret desk", "k" * 64, row.phone_number, chief.user.email):
        assert word not in text


@pytest.mark.parametrize("path", [STATUS, "/metrics"])
def test_queries_do_not_grow_with_rows(chief: Desk, path: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert chief.client.get(path).status_code == 200
        return len(asked)

    chief.campaign(2, sessions=1)
    report()
    before = queries()
    for n in range(4):
        chief.campaign(5, sessions=3, name=f"Sale {n}")
        report(f"box:{n}")
    assert queries() == before


def test_a_lag_is_that_of_workers_alive_or_of_what_waits(chief: Desk) -> None:
    report("box:1", lag=9.0, seen_at=timezone.now() - timedelta(minutes=5))
    report("box:2", lag=2.0)
    assert metrics.figures().lag == 2.0
    assert [one.worker for one in metrics.figures().live] == ["box:2"]
