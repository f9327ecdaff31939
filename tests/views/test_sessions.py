from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Attempt, WaSenderSession
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from tests.services.conftest import Sandbox
from tests.views.conftest import Desk, local_today


@pytest.fixture
def live(desk: Desk, sandbox: Sandbox, settings: Settings) -> Desk:
    """The desk with the sandbox behind its account."""
    settings.LOCAL_URL = ""
    desk.account = ensure_sandbox_account(owner=desk.user, url=sandbox.url, token=sandbox.token or DEFAULT_TOKEN)
    return desk


def create(desk: Desk, **fields: object):
    form = {"account": desk.account.public_id, "phone_number": "+1 212 555 0142", "name": "Front", "log_messages": "on"}
    return desk.client.post("/whatsappapi/create-session/", form | fields)


def test_creating_shows_the_code_and_linking_ends_it(live: Desk, sandbox: Sandbox) -> None:
    url = create(live)["Location"]
    page = live.client.get(url)
    assert page.text.count("<svg") > page.text.count('class="icon')
    assert 'class="qr"' in page.text
    assert "Scan this code with the phone" in page.text
    assert page["Cache-Control"] == "no-store"
    row = WaSenderSession.objects.get()
    assert row.is_default is False or row.is_default
    watch = f"{url}link/?since={int(time.time())}&watch=need_scan"
    assert live.client.get(watch).status_code == 204
    asked = f"{url}link/?since={time.time() - 3:.0f}&watch=need_scan"  # the look that asks the gateway
    sandbox.link(row.wasender_id, lambda: live.client.get(asked).status_code == 200)
    linked = live.client.get(f"{url}link/?since={int(time.time())}").text
    assert "This number can send" in linked or "Linking" in linked


def test_watching_stops_after_two_minutes(live: Desk) -> None:
    url = create(live)["Location"]
    rested = live.client.get(f"{url}link/?since={time.time() - 121:.0f}&watch=need_scan").text
    assert "The code is resting" in rested
    assert "every 3s" not in rested
    assert 'class="qr"' not in rested


@pytest.mark.parametrize("since", ["", "nan", "inf", "-1", "1e400", "9" * 40])
def test_a_nonsense_address_of_the_panel_does_no_harm(since: str, live: Desk) -> None:
    url = create(live)["Location"]
    assert "The code is resting" in live.client.get(f"{url}link/", {"since": since}).text


def test_a_gateway_that_is_away_is_told(desk: Desk) -> None:
    row = desk.session(status="need_scan")
    page = desk.client.get(f"/whatsappapi/sessions/{row.public_id}/").text
    assert "No code at the moment" in page
    assert "cannot be reached" in page


def test_a_refused_number_stays_in_the_form(live: Desk) -> None:
    answer = create(live, phone_number="12")
    assert answer.status_code == 422
    assert answer.context["form"].errors["phone_number"]
    assert not WaSenderSession.objects.exists()


def test_a_full_plan_offers_no_form(desk: Desk) -> None:
    for _ in range(10):
        desk.session()
    page = desk.client.get("/whatsappapi/create-session/").text
    assert "Your plan is full" in page
    assert 'name="phone_number"' not in page


def test_without_an_account_the_way_to_one_is_shown(desk: Desk) -> None:
    desk.account.delete()
    assert "First connect a gateway account" in desk.client.get("/whatsappapi/create-session/").text


def test_deleting_asks_for_the_name(live: Desk) -> None:
    create(live)
    row = WaSenderSession.objects.get()
    url = f"/whatsappapi/sessions/{row.public_id}/delete/"
    assert live.client.post(url, {"typed": "Back", "where": "gateway"}).status_code == 422
    assert WaSenderSession.objects.alive().exists()
    assert live.client.post(url, {"typed": "front", "where": "gateway"}).status_code == 302
    assert not WaSenderSession.objects.alive().exists()


def test_deleting_warns_of_messages_without_an_answer(desk: Desk) -> None:
    campaign = desk.campaign(5)
    row = WaSenderSession.objects.get()
    url = f"/whatsappapi/sessions/{row.public_id}/delete/"
    now = timezone.now()
    for message, (outcome, finished, resolved) in zip(
        campaign.messages.all(),
        [("unknown", now, None), ("", None, None), ("accepted", now, now), ("unknown", now, now)],
        strict=False,
    ):
        Attempt.objects.create(
            message=message, session=row, phone=message.phone, worker="w", key_version=1, connection_version=1,
            body_hash=b"", started_at=now, lease_until=now, outcome=outcome, finished_at=finished, resolved_at=resolved,
        )  # fmt: skip
    page = desk.client.get(url).text
    assert '<strong class="num">2 messages</strong> sent over this session have no clear answer yet' in page
    assert f'formaction="/whatsappapi/sessions/{row.public_id}/disconnect/" formnovalidate' in page
    bulk = desk.client.post("/whatsappapi/sessions/bulk/", {"verb": "delete", "pick": row.public_id}).text
    assert "2 messages" in bulk and "formaction" not in bulk
    Attempt.objects.update(resolved_at=now, finished_at=now)
    assert "no clear answer" not in desk.client.get(url).text


@pytest.mark.parametrize(
    ("status", "word", "action"),
    [
        ("connected", "Connected", "Open"),
        ("need_scan", "Needs a scan", "Scan the code"),
        ("logged_out", "Logged out", "Connect"),
        ("disconnected", "Not connected", "Connect"),
        ("unknown", "Unknown", "Connect"),
    ],
)
def test_the_card_has_word_reason_and_one_action(status: str, word: str, action: str, desk: Desk) -> None:
    desk.session(status=status)
    page = desk.client.get("/whatsappapi/")
    card = page.context["cards"][0]
    assert card.health.word == word
    assert card.health.reason in page.text
    assert f">{action}<" in page.text
    assert "Simulated" in page.text


def test_yesterdays_count_is_not_todays(desk: Desk) -> None:
    today = local_today()
    desk.session(messages_sent_today=9, usage_date=today - timedelta(days=2), daily_limit=9)
    card = desk.client.get("/whatsappapi/").context["cards"][0]
    assert (card.used, card.room, card.health.light) == (0, 9, "green")


def test_sixty_sessions_come_in_pages(desk: Desk) -> None:
    for _ in range(60):
        desk.session()
    first = desk.client.get("/whatsappapi/")
    assert len(first.context["cards"]) == 24
    assert len(desk.client.get("/whatsappapi/?page=3").context["cards"]) == 12
    assert len(desk.client.get("/whatsappapi/sessions/").context["cards"]) == 50


def test_the_banner_says_when_replies_cannot_arrive(desk: Desk, settings: Settings) -> None:
    desk.session()
    assert "Replies and STOP cannot reach you" not in desk.client.get("/whatsappapi/").text
    desk.account.is_sandbox = False
    desk.account.save()
    settings.PUBLIC_URL = ""
    assert "Replies and STOP cannot reach you" in desk.client.get("/whatsappapi/").text
    settings.PUBLIC_URL = "https://phonebank.example.com"
    assert "Replies and STOP cannot reach you" not in desk.client.get("/whatsappapi/").text


def test_the_token_is_checked_and_never_shown(desk: Desk, sandbox: Sandbox, settings: Settings) -> None:
    settings.WASENDER_URL = f"{sandbox.url}/api"
    wrong = desk.client.post("/whatsappapi/gateway/", {"token": "1|wrongwrongwrong"})
    assert wrong.status_code == 422
    assert "1|wrongwrongwrong" not in wrong.text
    assert desk.client.post("/whatsappapi/gateway/", {"name": "Shop", "token": sandbox.token}).status_code == 302
    page = desk.client.get("/whatsappapi/gateway/").text
    assert "Shop" in page
    assert sandbox.token not in page


def test_the_webhook_takes_both_spellings_without_a_redirect(desk: Desk) -> None:
    for tail in ("", "/", "/token", "/token/"):
        answer = desk.client.post(
            f"/whatsappapi/webhook/{desk.user.public_id}{tail}", b"{}", content_type="application/json"
        )
        assert answer.status_code not in {301, 302, 403, 404, 405}
