"""The dashboard and the table: what is counted, found, sorted, refreshed; the steps that tick themselves off."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from phonebank.whatsappapi.filters import SORTS
from phonebank.whatsappapi.models import Alert, CampaignCount, Message, SessionGroup, WaSenderSession
from tests.views.conftest import Desk, local_today

HOME = "/whatsappapi/"
TABLE = "/whatsappapi/sessions/"
HTMX = {"HTTP_HX_REQUEST": "true"}


def names(desk: Desk, url: str) -> list[str]:
    return [card.wa_session.session_name for card in desk.client.get(url).context["cards"]]


@pytest.fixture
def many(desk: Desk) -> dict[str, WaSenderSession]:
    """One session of each sort."""
    today = {"usage_date": local_today(), "usage_opened_at": timezone.now()}  # holds past midnight
    group = SessionGroup.objects.create(user=desk.user, name="Madrid", colour="blue")
    rows = {
        "Anna": desk.session("Anna", is_default=True, messages_sent_today=10, daily_limit=100, **today),
        "bert": desk.session("bert", messages_sent_today=90, daily_limit=100, **today),
        "Cleo": desk.session("Cleo", status="need_scan", phone_number="+16465550123"),
        "Dora": desk.session("Dora", status="disconnected", linked_number="+13125550144"),
        "Emil": desk.session("Emil", status="logged_out", messages_sent_today=50, **today),
        "Fred": desk.session("Fred", rejected_key_version=1),
        "قسم": desk.session("قسم", status="unknown"),
    }
    group.sessions.set([rows["bert"], rows["Cleo"]])
    return rows


def test_the_counters_add_up_and_lead_to_their_sessions(desk: Desk, many: dict[str, WaSenderSession]) -> None:
    page = desk.client.get(HOME)
    counters = page.context["counters"]
    assert counters == {"total": 7, "connected": 2, "attention": 4, "disconnected": 1, "doubts": 1, "sent": 150}
    for word in ("connected", "attention", "disconnected"):
        assert f'href="{HOME}?status={word}"' in page.text
        assert len(names(desk, f"{HOME}?status={word}")) == counters[word]


@pytest.mark.parametrize("page", [HOME, TABLE])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ANN", ["Anna"]),
        ("q=%D9%82%D8%B3%D9%85", ["قسم"]),
        ("q=646+555", ["Cleo"]),
        ("q=(312)", ["Dora"]),
        ("q=55", []),  # too few digits to mean a number
        ("q=%25", []),
        ("q=%00", ["Anna", "bert", "Cleo", "Dora", "Emil", "Fred", "قسم"]),
        ("light=yellow", ["bert"]),
        ("light=red&sort=name", ["Cleo", "Dora", "Emil", "Fred", "قسم"]),
        ("status=logged_out", ["Emil"]),
        ("status=connected&light=green", ["Anna"]),
        ("sort=-name", ["قسم", "Fred", "Emil", "Dora", "Cleo", "bert", "Anna"]),
        ("status=nonsense&light=mauve&sort=sideways", ["Anna", "bert", "Cleo", "Dora", "Emil", "Fred", "قسم"]),
    ],
)
def test_search_filter_and_sort(
    page: str, query: str, found: list[str], desk: Desk, many: dict[str, WaSenderSession]
) -> None:  # fmt: skip
    assert names(desk, f"{page}?{query}") == found


def test_a_group_narrows_and_somebody_elses_is_not_there(
    desk: Desk, other: Desk, many: dict[str, WaSenderSession]
) -> None:  # fmt: skip
    mine = SessionGroup.objects.get()
    theirs = SessionGroup.objects.create(user=other.user, name="Secret")
    for page in (HOME, TABLE):
        assert names(desk, f"{page}?group={mine.public_id}") == ["bert", "Cleo"]
        assert "Secret" not in desk.client.get(page).text
        for group in (theirs.public_id, "nonsense"):
            assert desk.client.get(f"{page}?group={group}").status_code == 404
    assert "chip-blue" in desk.client.get(HOME).text


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_shows_everybody_once(sort: str, desk: Desk, many: dict[str, WaSenderSession]) -> None:
    assert sorted(names(desk, f"{TABLE}?sort={sort}")) == sorted(many)


def test_worst_first(desk: Desk, many: dict[str, WaSenderSession]) -> None:
    lights = [card.health.light for card in desk.client.get(f"{HOME}?sort=light").context["cards"]]
    assert lights == ["red"] * 5 + ["yellow", "green"]


def test_the_tables_heads_turn_the_order_round(desk: Desk, many: dict[str, WaSenderSession]) -> None:
    page = desk.client.get(f"{TABLE}?sort=name&status=attention").text
    assert '<th scope="col" aria-sort="ascending"><a class="sort" href="?status=attention&amp;sort=-name"' in page
    assert 'href="?status=attention&amp;sort=-used"' in page
    assert page.count("aria-sort") == 1


def live(page: str) -> str:
    [address] = re.findall(r'id="live" hx-get="([^"]*)"', page)
    return address.replace("&amp;", "&")


def test_a_poll_brings_something_only_when_it_looks_different(desk: Desk) -> None:
    row = desk.session("Anna", last_active_at=timezone.now(), status_since=timezone.now() - timedelta(days=2))
    first = desk.client.get(live(desk.client.get(f"{HOME}?light=green").text), **HTMX)
    assert first.status_code == 200
    assert "<html" not in first.text
    again = live(first.text)
    assert again.startswith(f"{HOME}?light=green&live=")
    for _ in range(2):  # each rendering has another CSRF token
        same = desk.client.get(again, **HTMX)
        assert (same.status_code, same.content) == (204, b"")
    WaSenderSession.objects.filter(pk=row.pk).update(messages_sent_today=3, usage_date=local_today())
    changed = desk.client.get(again, **HTMX)
    assert changed.status_code == 200
    assert "3 today" in changed.text
    assert live(changed.text) != again


def test_the_table_is_refreshed_the_same_way(desk: Desk) -> None:
    desk.session("Anna")
    [address] = re.findall(r'id="rows" hx-get="([^"]*)"', desk.client.get(TABLE).text)
    answer = desk.client.get(address, **HTMX).text
    [address] = re.findall(r'id="rows" hx-get="([^"]*)"', answer)
    assert desk.client.get(address, **HTMX).status_code == 204


def test_the_card_tells_the_day_the_queue_and_the_wrong_phone(desk: Desk) -> None:
    campaign = desk.campaign(2)
    row = campaign.lanes.get().session
    CampaignCount.objects.create(campaign=campaign, session=row, state="queued", n=1234)
    opened = timezone.now()
    WaSenderSession.objects.filter(pk=row.pk).update(
        linked_number="+16465550123", is_default=True, daily_limit=2000, messages_sent_today=1500,
        usage_date=local_today(), usage_opened_at=opened, status_since=opened - timedelta(days=3),
    )  # fmt: skip
    page = desk.client.get(HOME).text
    for words in ("1,500 of 2,000 today", "1,234 waiting", "Starts anew at", "Another phone scanned the code",
                  "+1 646-555-0123", "Default", "Simulated", "Since "):  # fmt: skip
        assert words in page


def test_quick_actions_lead_back_and_only_to_ourselves(desk: Desk) -> None:
    first, second = desk.session("Anna", is_default=True), desk.session("Bert")
    url = f"/whatsappapi/sessions/{second.public_id}/set-default/"
    assert desk.client.post(url, {"next": f"{HOME}?q=B"})["Location"] == f"{HOME}?q=B"
    assert list(WaSenderSession.objects.filter(is_default=True)) == [second]
    for outside in ("https://evil.example/", "//evil.example", ""):
        assert desk.client.post(url, {"next": outside})["Location"].startswith("/whatsappapi/sessions/")
    assert not WaSenderSession.objects.get(pk=first.pk).is_default


def steps(desk: Desk) -> list[bool]:
    return [step.is_done for step in desk.client.get(HOME).context["steps"]]


def test_the_first_steps_tick_themselves_off(desk: Desk) -> None:
    desk.account.is_sandbox = False
    desk.account.save()
    assert steps(desk) == [True, False, False, False, False, False, False]
    row = desk.session("Anna", status="need_scan")
    assert steps(desk) == [True, False, True, False, False, False, False]
    assert f'href="{TABLE}{row.public_id}/">Show the code' in desk.client.get(HOME).text
    WaSenderSession.objects.update(status="connected", connection_version=1, webhook_proven_at=timezone.now())
    assert steps(desk) == [True, True, True, True, False, False, False]
    Message.objects.create(user=desk.user, session=row, phone="+12125550101", kind="test", state="failed")
    assert steps(desk)[4] is False
    Message.objects.create(user=desk.user, session=row, phone="+12125550101", kind="test", state="accepted")
    desk.contact_list(1)
    assert steps(desk) == [True, True, True, True, True, True, False]
    assert "Next: Start the first campaign" in desk.client.get(HOME).text
    desk.campaign(1, state="draft", name="Not yet")
    assert len(steps(desk)) == 7
    desk.campaign(1, name="Now")
    assert steps(desk) == []


def test_nothing_there_yet(desk: Desk) -> None:
    desk.account.delete()
    page = desk.client.get(HOME).text
    assert "Connect your first number" in page
    assert "Add your gateway account" in page
    assert "Seven steps" in page
    assert "No sessions yet" in desk.client.get(TABLE).text


def test_nothing_that_matches_is_said(desk: Desk) -> None:
    desk.session("Anna")
    for page in (HOME, TABLE):
        assert "No session is like this" in desk.client.get(f"{page}?q=zzz").text


@pytest.mark.parametrize(("used", "words"), [(1, ""), (3, "Your plan is full"), (4, "More than your plan has")])
def test_the_plans_use_says_what_to_do(used: int, words: str, desk: Desk) -> None:
    desk.user.subscribe("basic")
    for _ in range(used):
        desk.session()
    page = desk.client.get(TABLE).text
    assert f"{used} of 3 sessions used" in page
    assert words in page
    assert ("ask your administrator" in page) == bool(words)
    assert ("Add new session" in page) == (used < 3)


def test_alerts_stand_first(desk: Desk) -> None:
    Alert.objects.create(user=desk.user, session=desk.session("Anna"), key="k", text="It rests.")
    page = desk.client.get(HOME).text
    assert page.index("It rests.") < page.index("At a glance")


def test_the_icon_that_browsers_ask_for(client: Desk) -> None:
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer["Location"]) == (302, "/static/whatsappapi/favicon.svg")
