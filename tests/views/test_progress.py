"""A campaign under way as a person sees it and steers it; its people, their files, and those one decides about."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from python_calamine import CalamineWorkbook

from phonebank.audit.models import Event
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignCount,
    CampaignSession,
    Installation,
    Message,
    WaSenderSession,
)
from phonebank.whatsappapi.services import brakes
from tests.views.conftest import ZONE, Desk, local_today
from tests.views.test_queries import busy, crowd, queries


def url(campaign: Campaign, *more: str) -> str:
    return "/".join([f"/whatsappapi/campaigns/{campaign.public_id}", *more, ""])


def running(desk: Desk, sessions: int = 3, waiting: int = 100, **fields: object) -> Campaign:
    """Dealt, with `waiting` people at each session by its counters."""
    campaign = desk.campaign(2, sessions=sessions)
    Campaign.objects.filter(pk=campaign.pk).update(sealed_at=timezone.now(), started_at=timezone.now(), **fields)
    CampaignSession.objects.filter(campaign=campaign).update(tail=waiting)
    for lane in campaign.lanes.all():
        CampaignCount.objects.create(campaign=campaign, session_id=lane.session_id, state="queued", n=waiting)
    campaign.refresh_from_db()
    return campaign


def why(desk: Desk, campaign: Campaign) -> str:
    page = desk.client.get(url(campaign))
    assert page.status_code == 200
    return page.context["progress"].why or ""


def attempt(message: Message, session: WaSenderSession, outcome: str = "unknown", **fields: object) -> Attempt:
    now = timezone.now()
    made = Attempt.objects.create(
        message=message, session=session, phone=message.phone, worker="w", key_version=1, connection_version=1,
        body_hash=b"", **{"started_at": now, "lease_until": now, "finished_at": now, "resolved_at": now} | fields,
        outcome=outcome,
    )  # fmt: skip
    Message.objects.filter(pk=message.pk).update(attempt=made.pk)
    return made


# --- the figures --------------------------------------------------------------------------------------------------
def test_its_table_adds_up_while_messages_leave(desk: Desk) -> None:
    campaign = running(desk)
    queued = CampaignCount.objects.filter(campaign=campaign, state="queued").earliest("pk")
    gone = CampaignCount.objects.create(campaign=campaign, session_id=queued.session_id, state="sent", n=0)
    is_moving = False

    def move(execute: Callable[..., Any], *call: Any) -> Any:
        nonlocal is_moving
        if not is_moving:
            is_moving = True
            CampaignCount.objects.filter(pk=queued.pk).update(n=F("n") - 1)
            CampaignCount.objects.filter(pk=gone.pk).update(n=F("n") + 1)
            is_moving = False
        return execute(*call)

    with connection.execute_wrapper(move):
        page = desk.client.get(url(campaign)).context
    whole = dict(page["all"])
    assert whole["Sent"] > 0
    assert whole == {label: sum(dict(cells)[label] for __, __, cells in page["lanes"]) for label in whole}


# --- what binds ---------------------------------------------------------------------------------------------------
def test_the_one_thing_that_binds_is_said(desk: Desk) -> None:
    campaign = running(desk)
    sessions = WaSenderSession.objects.filter(lanes__campaign=campaign)
    assert why(desk, campaign).startswith("The pace decides: ")
    used = {"daily_limit": 500, "messages_sent_today": 500, "usage_date": local_today()}
    sessions.update(**used, usage_opened_at=timezone.now() - timedelta(hours=30))
    assert why(desk, campaign) == "All 3 numbers have used today's 500; goes on at 00:00 (Europe/Madrid)."
    assert desk.client.get("/whatsappapi/campaigns/").context["shown"][0][3].startswith("Waits for tomorrow")
    sessions.update(status="need_scan")
    assert why(desk, campaign).startswith("None of its 3 numbers is connected. 3 need a scan.")
    sessions.update(status="connected", messages_sent_today=0, paused_until=timezone.now() + timedelta(minutes=10))
    assert "The gateway asked us to slow down" in why(desk, campaign)
    sessions.update(paused_until=None)
    Campaign.objects.update(windows=[None] * 7)
    assert why(desk, campaign) == "No day of its week has sending hours."
    Installation.objects.update_or_create(pk=1, defaults={"is_stopped": True, "stop_reason": "Fire"})
    assert "stopped by the administrator" in why(desk, campaign)
    Installation.objects.update(is_stopped=False)
    tomorrow = datetime.combine(local_today() + timedelta(days=1), time(12), ZoneInfo(ZONE))
    Campaign.objects.update(state="scheduled", scheduled_at=tomorrow)
    assert why(desk, campaign).startswith("Starts tomorrow at ")


def test_the_rest_is_drawn_ahead_of_time(desk: Desk) -> None:
    page = desk.client.get(url(running(desk, waiting=250)))
    assert page.context["forecast"].people == 750
    assert "Done about" in page.text and "(Europe/Madrid)" in page.text
    assert page.text.count('class="strip-name"') == 4  # three sessions and the hours below them
    assert "style=" not in page.text


# --- steering -----------------------------------------------------------------------------------------------------
def test_sessions_and_pace_are_changed_in_mid_run(desk: Desk, other: Desk) -> None:
    campaign, more, theirs = running(desk, 2), desk.session("Joins"), other.session("Theirs")
    page = desk.client.get(url(campaign))
    assert [one.session_name for one in page.context["addable"]] == ["Joins"]
    desk.client.post(url(campaign, "sessions"), {"session": more.public_id})
    assert campaign.lanes.filter(is_active=True).count() == 3
    gone = campaign.lanes.first().session
    desk.client.post(url(campaign, "sessions", str(gone.public_id), "remove"))
    assert not campaign.lanes.get(session=gone).is_active
    assert "Taken out" in desk.client.get(url(campaign)).text
    for given, pace in (("20", 20), ("", None), ("12", 12), ("nonsense", 12), ("0", 12)):
        desk.client.post(url(campaign, "pace"), {"pace": given})
        campaign.refresh_from_db()
        assert campaign.pace == pace
    before = list(campaign.lanes.values_list("session", "is_active"))
    for answer in (
        desk.client.post(url(campaign, "sessions"), {"session": theirs.public_id}),
        desk.client.post(url(campaign, "sessions"), {"session": "nonsense"}),
        desk.client.post(url(campaign, "sessions", str(theirs.public_id), "remove")),
    ):
        assert answer.status_code == 404
    assert list(campaign.lanes.values_list("session", "is_active")) == before


def test_the_failed_are_retried_and_a_campaign_is_copied(desk: Desk) -> None:
    campaign = desk.campaign(4, state="completed")
    Message.objects.filter(pk=campaign.messages.first().pk).update(state="failed", rank=0)
    desk.recount(campaign)
    assert "Retry the failed" in desk.client.get(url(campaign)).text
    desk.client.post(url(campaign, "retry"))
    desk.client.post(url(campaign, "clone"))
    made = Campaign.objects.exclude(pk=campaign.pk).order_by("pk")
    assert [(one.state, one.parent) for one in made] == [("draft", campaign), ("draft", None)]


@pytest.mark.parametrize("verb", ["sessions", "pace", "retry", "clone", "uncertain", "people.csv"])
def test_a_strangers_campaign_is_not_there(verb: str, desk: Desk, other: Desk) -> None:
    theirs = running(other, 2)
    post = {"session": theirs.lanes.first().session.public_id, "pace": "5", "verb": "again", "all": "1"}
    path = url(theirs, verb).rstrip("/") if "." in verb else url(theirs, verb)
    if verb not in ("people.csv",):
        assert desk.client.post(path, post).status_code == 404
    if verb in ("uncertain", "people.csv"):
        assert desk.client.get(path).status_code == 404
    person = theirs.messages.first().contact.public_id
    assert desk.client.get(url(theirs, "people", str(person))).status_code == 404
    assert other.client.get(url(theirs, "people", str(person))).status_code == 200
    assert not Event.objects.filter(actor=desk.user, target_id=str(theirs.public_id)).exists()


# --- brakes -------------------------------------------------------------------------------------------------------
def test_brakes_are_shown_while_it_runs_and_when_one_has_paused_it(desk: Desk) -> None:
    campaign = running(desk)
    page = desk.client.get(url(campaign))
    shown = [(one.label, one.words, one.bound) for one in page.context["gauges"]]
    assert shown == [
        ("Sessions lost within an hour", "none", "pauses at 2"),
        ("Asked not to be written to", "0 of 6", "pauses over 3 %"),
        ("Failed for good", "0 of the last 0", "pauses over 10 %"),
    ]
    assert page.text.count('class="gauge-limit"') == 3
    rows = WaSenderSession.objects.filter(lanes__campaign=campaign).order_by("pk")
    rows.filter(pk=rows[0].pk).update(status="logged_out", status_since=timezone.now())
    gauge = desk.client.get(url(campaign)).context["gauges"][0]
    assert (gauge.words, gauge.width, gauge.fill) == (rows[0].session_name, "25.00", "fill-accent")
    rows.filter(pk=rows[1].pk).update(status="expired", status_since=timezone.now())
    assert brakes.check(campaign)
    page = desk.client.get(url(campaign))
    assert "It paused itself." in page.text and "were lost within an hour" in page.text
    assert "Open these sessions" in page.text and "the count begins anew" in page.text
    assert [one.key for one in page.context["gauges"] if one.reason] == ["lost"]
    # Neither a person's pause nor an end shows any.
    for fields in ({"pause_reason": ""}, {"state": "completed"}):
        Campaign.objects.filter(pk=campaign.pk).update(**fields)
        page = desk.client.get(url(campaign))
        assert "Brakes" not in page.text and "paused itself" not in page.text


# --- people -------------------------------------------------------------------------------------------------------
def test_a_persons_page_tells_every_attempt_and_which_session(desk: Desk) -> None:
    campaign = running(desk, 2)
    first, second = WaSenderSession.objects.filter(lanes__campaign=campaign)
    message = campaign.messages.order_by("pk").last()
    Message.objects.filter(pk=message.pk).update(session=second, why=f"Moved: {first.session_name} is logged out")
    now = timezone.now()
    gone = {"detail": "The number is not connected", "why": "They already talk with this number"}
    attempt(message, first, "not_sent", started_at=now - timedelta(hours=1), **gone)
    later = {"sent_at": now + timedelta(minutes=1), "delivered_at": now + timedelta(minutes=2)}
    ended = {"finished_at": now - timedelta(minutes=59), "resolved_at": now - timedelta(minutes=59)}
    Attempt.objects.update(**ended)
    attempt(message, second, "accepted", msg_id=77, http_status=200, **later)
    path = url(campaign, "people", str(message.contact.public_id))
    page = desk.client.get(path)
    assert [(step.title, step.session) for step in page.context["steps"] if step.title != "Got in line"] == [
        ("Asked the gateway", first.session_name), ("Proven not sent", first.session_name),
        ("Asked the gateway", second.session_name), ("The gateway took it", second.session_name),
        ("Sent", second.session_name), ("Delivered", second.session_name),
    ]  # fmt: skip
    asked = [step.detail for step in page.context["steps"] if step.title == "Asked the gateway"]
    assert asked == ["They already talk with this number", f"Moved: {first.session_name} is logged out"]
    for words in ("The number is not connected", f"Why this one: Moved: {first.session_name}", "Message 77"):
        assert words in page.text
    panel = desk.client.get(path, headers={"HX-Request": "true"}).text
    assert panel.lstrip().startswith('<aside id="panel"') and "<html" not in panel and "Message 77" in panel
    assert desk.client.get(url(campaign, "people", str(uuid.uuid4()))).status_code == 404


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_file_holds_everybody_and_no_formula(form: str, desk: Desk) -> None:
    campaign = desk.campaign(25)  # more than what it begins with
    bad = campaign.messages.order_by("phone").first()
    bad.contact.name = '=HYPERLINK("http://x.example","you")'
    bad.contact.save()
    attempt(bad, bad.session, "accepted", msg_id=5)
    answer = desk.client.get(f"{url(campaign)}people.{form}")
    body = answer.getvalue()
    if form == "csv":
        lines = body.decode("utf-8-sig").splitlines()
        assert lines[0].startswith("phone,name,state,reason,session,")
        assert [line.partition(",")[0] for line in lines[1:]] == sorted(
            set(campaign.messages.values_list("phone", flat=True))
        )
        for line, row in zip(csv.DictReader(lines), campaign.messages.order_by("phone"), strict=True):
            assert (line["session"], line["attempts"]) == (row.session.session_name, "1" if row == bad else "0")
            assert (line["phone"], bool(line["asked at"])) == (row.phone, row == bad)
        assert "'=HYPERLINK" in lines[1] and lines[1].startswith(bad.phone)
        found = desk.client.get(f"{url(campaign)}people.csv?state=failed").getvalue().decode("utf-8-sig").splitlines()
        assert len(found) == 1
    else:
        rows = CalamineWorkbook.from_filelike(io.BytesIO(body)).get_sheet_by_index(0).to_python()
        assert rows[1][:3] == [bad.phone, bad.contact.name, "delivered"] and rows[1][-1] == "5"
    assert Event.objects.filter(verb="campaign.exported", target_id=str(campaign.public_id)).exists()
    assert desk.client.get(f"{url(campaign)}people.exe").status_code == 404


# --- those of whom nobody can tell --------------------------------------------------------------------------------
def unclear(desk: Desk, n: int = 4) -> tuple[Campaign, list[Attempt]]:
    campaign = desk.campaign(n, state="completed")
    rows = list(campaign.messages.order_by("pk"))
    campaign.messages.update(state="uncertain", rank=0)
    made = [attempt(row, row.session, detail="The connection was reset") for row in rows]
    desk.recount(campaign)
    return campaign, made


def test_one_decides_about_some_and_nothing_else_moves(desk: Desk, other: Desk) -> None:
    campaign, attempts = unclear(desk)
    _, theirs = unclear(other)
    page = desk.client.get(url(campaign, "uncertain"))
    assert page.text.count('name="pick"') == 4 and "The connection was reset" in page.text
    assert "4 people may have received it" in desk.client.get(url(campaign)).text
    post = {"verb": "assume", "pick": [attempts[0].pk, theirs[0].pk]}
    assert "1 person is counted as sent" in desk.client.post(url(campaign, "uncertain"), post, follow=True).text
    desk.client.post(url(campaign, "uncertain"), {"verb": "again", "pick": [attempts[1].pk]})
    states = dict(campaign.messages.values_list("attempts", "state"))
    assert [states[one.pk] for one in attempts] == ["accepted", "queued", "uncertain", "uncertain"]
    campaign.refresh_from_db()
    assert campaign.state == "running"
    assert "Choose at least one" in desk.client.post(url(campaign, "uncertain"), {"verb": "again"}, follow=True).text
    desk.client.post(url(campaign, "uncertain"), {"verb": "assume", "all": "1"})
    assert not campaign.messages.filter(state="uncertain").exists()
    assert other.user.campaigns.get().messages.filter(state="uncertain").count() == 4
    assert "Nobody to decide about" in desk.client.get(url(campaign, "uncertain")).text
    verbs = Event.objects.filter(target_id=str(campaign.public_id)).order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["campaign.assume_sent", "campaign.send_again", "campaign.assume_sent"]


def test_those_of_one_moment_are_all_listed_once(desk: Desk) -> None:
    campaign, _ = unclear(desk, 60)
    Attempt.objects.update(started_at=timezone.now())
    first = desk.client.get(url(campaign, "uncertain"))
    last = desk.client.get(url(campaign, "uncertain"), {"after": first.context["next"]})
    shown = [[one.pk for one in page.context["attempts"]] for page in (first, last)]
    assert [len(one) for one in shown] == [50, 10] and len({*shown[0], *shown[1]}) == 60
    for odd in ("nonsense", first.context["next"][:-1], "_", "2026-01-01_x"):
        page = desk.client.get(url(campaign, "uncertain"), {"after": odd})
        assert [one.pk for one in page.context["attempts"]] == shown[0]


@pytest.mark.parametrize("post", [{"verb": "nonsense", "all": "1"}, {"verb": "again", "pick": ["1"]}])
def test_nonsense_decides_nothing(post: dict[str, object], desk: Desk) -> None:
    campaign, _ = unclear(desk)
    assert desk.client.post(url(campaign, "uncertain"), post).status_code == 404
    assert campaign.messages.filter(state="uncertain").count() == 4


# --- size ---------------------------------------------------------------------------------------------------------
def test_a_thousand_lanes_are_paged_worst_first(desk: Desk) -> None:
    crowd(desk, 1000)
    campaign = desk.user.campaigns.get(name="One")
    Campaign.objects.filter(pk=campaign.pk).update(sealed_at=timezone.now())
    person = desk.contact_list(1).contacts.get()
    Message.objects.create(user=desk.user, campaign=campaign, contact=person, phone=person.phone)
    rows = campaign.lanes.order_by("position")
    bad = [rows[700].session_id, rows[30].session_id]
    WaSenderSession.objects.filter(pk__in=bad).update(status="logged_out")
    WaSenderSession.objects.exclude(pk__in=bad).update(last_active_at=timezone.now())
    page = desk.client.get(url(campaign))
    shown = [row.wa_session.pk for row, _, _ in page.context["lanes"]]
    assert len(shown) == 25 and set(shown[:2]) == set(bad)
    assert page.context["tally"].total == 10_000
    small = running(desk, 2)
    assert queries(desk, url(small)[len("/whatsappapi/") :]) == queries(desk, url(campaign)[len("/whatsappapi/") :])
    assert busy(desk, url(campaign)[len("/whatsappapi/") :]) < 2.5
