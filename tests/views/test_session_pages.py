"""Pages of one session: creating, details, settings, key, history, test messages."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from phonebank.audit.models import Event
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import (
    GatewayAccount,
    Message,
    SessionEvent,
    SessionGroup,
    SessionShare,
    WaSenderSession,
    WebhookEvent,
)
from phonebank.whatsappapi.services.capabilities import role_of
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from phonebank.whatsappapi.templatetags.phonebank import moment
from phonebank.whatsappapi.views.access import session_or_404
from tests.services.conftest import Sandbox
from tests.views.conftest import Desk, local_today

pytestmark = pytest.mark.django_db


@pytest.fixture
def live(desk: Desk, sandbox: Sandbox, settings: Settings) -> Desk:
    """The desk with the sandbox behind its account."""
    settings.LOCAL_URL = ""
    desk.account = ensure_sandbox_account(owner=desk.user, url=sandbox.url, token=sandbox.token or DEFAULT_TOKEN)
    return desk


@pytest.fixture
def row(live: Desk) -> WaSenderSession:
    create(live)
    return WaSenderSession.objects.get()


def create(desk: Desk, **fields: object):
    form = {"account": desk.account.public_id, "phone_number": "+1 212 555 0142", "name": "Front", "log_messages": "on"}
    return desk.client.post("/whatsappapi/create-session/", form | fields)


def url(name: str, row: WaSenderSession) -> str:
    return reverse(f"whatsappapi:{name}", args=[row.public_id])


# --- creating ---------------------------------------------------------------------------------------------------------


def test_creating_offers_what_the_plan_leaves(desk: Desk) -> None:
    desk.session()
    page = desk.client.get("/whatsappapi/create-session/")
    assert "1 of 10 sessions used, 9 free" in page.text
    assert 'placeholder="Session 2"' in page.text
    desk.user.subscribe("pro")
    assert "Up to 1,000, which your plan allows" in desk.client.get("/whatsappapi/create-session/").text


def test_a_limit_above_the_plans_stays_in_the_form(live: Desk) -> None:
    live.user.subscribe("pro")
    answer = create(live, daily_limit="1001")
    assert answer.status_code == 422
    assert "allows 1,000 messages a day" in answer.context["form"].errors["daily_limit"][0]


def test_the_hourly_limit_says_when_it_is_possible_again(live: Desk, settings: Settings) -> None:
    settings.SESSIONS_PER_HOUR = 1
    assert create(live).status_code == 302
    refused = create(live, phone_number="+1 212 555 0143", name="Back")
    assert refused.status_code == 422
    assert "Enough for this hour" in refused.text
    assert "The next one is possible at" in live.client.get("/whatsappapi/create-session/").text
    assert WaSenderSession.objects.count() == 1


def test_a_passkey_is_explained(live: Desk, sandbox: Sandbox) -> None:
    sandbox.pull("PATCH", "/knobs", {"passkey": True})
    page = live.client.get(create(live)["Location"])
    assert "The phone asks for a passkey" in page.text
    assert "Ask for a code again" in page.text
    row = WaSenderSession.objects.get()
    token = passkey_on(page.text)
    assert token and page["Cache-Control"] == "no-store"
    panel = f"{url('session_link', row)}?since={int(time.time())}"
    assert passkey_on(live.client.get(panel).text) == token
    sandbox.link(row.wasender_id, lambda: sandbox.sessions()[0]["status"] == "connected")
    assert "Linked" in live.client.get(panel).text
    assert token not in json.dumps(list(Event.objects.values("changes", "data")))


def passkey_on(page: str) -> str:
    found = re.search(r'id="passkey"[^>]* value="([\w-]{20,})"', page)
    return found[1] if found else ""


# --- the page ---------------------------------------------------------------------------------------------------------


def test_a_page_at_rest_notices_a_change_without_asking_the_gateway(desk: Desk) -> None:
    one = desk.session()  # nobody answers at its gateway
    watch = f"{url('session_link', one)}?since={time.time() - 500:.0f}&watch=connected"
    assert desk.client.get(watch).status_code == 204
    WaSenderSession.objects.update(status="logged_out")
    assert "Not linked" in desk.client.get(watch).text


def test_the_limits_are_told(desk: Desk) -> None:
    one = desk.session(account_protection=True)
    page = desk.client.get(url("session", one)).text
    assert "12 a minute" in page
    assert "Account protection" in page
    until = timezone.now() + timedelta(minutes=10)
    WaSenderSession.objects.update(strikes=6, paused_until=until)
    page = desk.client.get(url("session", one)).text
    assert "Closed until" in page
    assert "Slowed down" in page
    assert "Linked, but not sending" in page and "This number can send" not in page
    with timezone.override(desk.user.time_zone):
        at = f"Until {moment(until)}"
    for path in ("/whatsappapi/", "/whatsappapi/sessions/"):
        assert at in desk.client.get(path).text
    WaSenderSession.objects.update(wasender_id=None, status="disconnected", paused_until=None)
    for path in ("/whatsappapi/", "/whatsappapi/sessions/"):
        page = desk.client.get(path).text
        assert "Being created" in page and url("session_connect", one) not in page


def test_what_did_not_change_is_not_sent_again(desk: Desk) -> None:
    one = desk.session()
    htmx = {"HTTP_HX_REQUEST": "true"}
    first = desk.client.get(url("session_now", one), **htmx)
    poll = first.text.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")
    assert desk.client.get(poll, **htmx).status_code == 204
    WaSenderSession.objects.update(messages_sent_today=5, usage_date=local_today())
    assert desk.client.get(poll, **htmx).status_code == 200
    assert desk.client.get(poll).status_code == 302


def test_a_test_message_is_queued_and_its_outcome_told(desk: Desk) -> None:
    one = desk.session(linked_number="+12125550101")
    posted = desk.client.post(url("session_test", one), {"to": "+12125550101", "body": "Hello me"})
    assert posted.status_code == 302
    message = Message.objects.get()
    assert (message.kind, message.body, message.session) == ("test", "Hello me", one)
    page = desk.client.get(url("session", one)).text
    assert "It leaves as soon as the session may send." in page
    Message.objects.update(state="accepted", rank=3)
    assert "Delivered" in desk.client.get(url("session_now", one), HTTP_HX_REQUEST="true").text


@pytest.mark.parametrize("to", ["+12125550199", "", "x"])
def test_a_test_message_goes_to_no_one_else(to: str, desk: Desk, other: Desk) -> None:
    one = desk.session(linked_number="+12125550101")
    other.session(linked_number="+12125550199")
    assert desk.client.post(url("session_test", one), {"to": to, "body": "Hi"}).status_code == 422
    assert not Message.objects.exists()


def test_a_test_over_a_session_that_is_down_says_so(desk: Desk) -> None:
    desk.session(linked_number="+12125550101")
    down = desk.session("Down", status="logged_out")
    answer = desk.client.post(url("session_test", down), {"to": "+12125550101", "body": "Hi"})
    assert answer.status_code == 422
    assert "Down cannot send: Logged out" in answer.text


def test_without_a_linked_number_there_is_no_test(desk: Desk) -> None:
    assert 'name="body"' not in desk.client.get(url("session", desk.session(status="need_scan"))).text


# --- somebody else's --------------------------------------------------------------------------------------------------


def lend(row: WaSenderSession, to: Desk, role: str) -> WaSenderSession:
    SessionShare.objects.create(session=row, email=to.user.email, user=to.user, role=role, accepted_at=timezone.now())
    return row


def test_the_notice_is_about_the_sessions_own_gateway_account(desk: Desk, other: Desk, settings: Settings) -> None:
    settings.PUBLIC_URL = ""
    for one, name in ((desk, "Box of Ana"), (other, "Box of Charlie")):
        GatewayAccount.objects.filter(pk=one.account.pk).update(is_sandbox=False, name=name)
    row = lend(desk.session(), other, "operator")
    owners, theirs = desk.client.get(url("session", row)), other.client.get(url("session", row))
    for page in (owners, theirs):
        assert "Replies and STOP cannot reach you" in page.text
    assert owners.context["deaf"] == ["Box of Ana"] and "What to do" in owners.text
    assert "Box of" not in theirs.text and "What to do" not in theirs.text
    GatewayAccount.objects.filter(pk=desk.account.pk).update(is_sandbox=True)
    assert "cannot reach you" not in other.client.get(url("session", row)).text


@pytest.mark.parametrize(("role", "shares", "numbers"), [("viewer", 1, 0), ("operator", 2, 1), ("owner", 1, 1)])
def test_a_page_asks_once_who_looks_at_it(role: str, shares: int, numbers: int, desk: Desk, other: Desk) -> None:
    """The second time for a test: which sessions' numbers it may go to."""
    row = desk.session(linked_number="+12125550101", status="connected")
    person = desk if role == "owner" else other
    if role != "owner":
        lend(row, other, role)
    for ask in (lambda: person.client.get(url("session", row)), lambda: person.client.post(url("session_test", row))):
        ask()
        with CaptureQueriesContext(connection) as queries:
            status = ask().status_code
        if status == 403:
            continue
        asked = [one["sql"].split(" FROM ", 1) for one in queries if " FROM " in one["sql"]]
        assert sum("whatsappapi_sessionshare" in rest for _, rest in asked) == shares
        assert sum("linked_number" in rest for _, rest in asked) == numbers


def test_a_role_is_remembered_for_whom_it_was_asked(desk: Desk, other: Desk) -> None:
    lend(desk.session(), other, "viewer")
    row = session_or_404(other.user, WaSenderSession.objects.get().public_id, "see")
    SessionShare.objects.update(ended_at=timezone.now())
    assert role_of(other.user, row) == "viewer" and role_of(desk.user, row) == "owner"
    again = WaSenderSession.objects.get()
    assert role_of(other.user, again) is None
    with pytest.raises(Http404):
        session_or_404(other.user, row.public_id, "see")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_are_saved_here_and_at_the_gateway(live: Desk, row: WaSenderSession, sandbox: Sandbox) -> None:
    group = SessionGroup.objects.create(user=live.user, name="Shops")
    form = {"name": "Back", "daily_limit": "40", "account_protection": "on", "groups": [group.public_id]}
    assert live.client.post(url("session_settings", row), form).status_code == 302
    row.refresh_from_db()
    assert (row.session_name, row.daily_limit, row.account_protection, row.log_messages) == ("Back", 40, True, False)
    assert sandbox.sessions()[0]["log_messages"] is False
    assert list(row.groups.all()) == [group]
    page = live.client.get(url("session_settings", row))
    assert "cannot find out whether a message" in page.text


def test_a_strangers_group_cannot_be_joined(live: Desk, other: Desk, row: WaSenderSession) -> None:
    theirs = SessionGroup.objects.create(user=other.user, name="Theirs")
    form = {"name": "Front", "groups": [theirs.public_id]}
    assert live.client.post(url("session_settings", row), form).status_code == 422
    assert not theirs.sessions.exists()


def test_a_name_that_is_taken_stays_in_the_form(live: Desk, row: WaSenderSession) -> None:
    live.session("Back")
    answer = live.client.post(url("session_settings", row), {"name": "BACK"})
    assert answer.status_code == 422
    assert "Choose another name" in answer.context["form"].errors["name"][0]


def test_a_new_key_is_asked_about_first_and_never_shown(live: Desk, row: WaSenderSession) -> None:
    asked = live.client.get(url("session_key", row))
    assert "24 hours" in asked.text
    assert live.client.post(url("session_key", row), follow=True).status_code == 200
    row.refresh_from_db()
    page = live.client.get(url("session_settings", row)).text
    assert row.key_version == 2 and row.api_key not in page and "version 2" in page


def test_restart_and_relink(live: Desk, row: WaSenderSession, sandbox: Sandbox) -> None:
    page = live.client.post(url("session_restart", row), follow=True)
    assert "not restarted" in page.text
    assert live.client.get(url("session_relink", row)).status_code == 405
    sandbox.pull("PATCH", "/knobs", {"keep_link": False})
    assert "Scan this code" in live.client.post(url("session_relink", row), follow=True).text


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "/whatsappapi/sessions/?page=2"])
def test_a_button_leads_back_to_where_it_stood(where: str, desk: Desk) -> None:
    one = desk.session()
    to = desk.client.post(url("session_set_default", one), {"next": where})["Location"]
    assert to == (where if where.startswith("/whats") else url("session", one))


# --- history ----------------------------------------------------------------------------------------------------------


def test_the_history_page(desk: Desk) -> None:
    one = desk.session()
    assert "Nothing is recorded yet" in desk.client.get(url("session_history", one)).text
    now = timezone.now()
    for days, status, source, actor in (
        (9, "connected", "poll", None), (3, "logged_out", "webhook", None), (2, "need_scan", "page", desk.user),
    ):  # fmt: skip
        SessionEvent.objects.create(
            session=one, at=now - timedelta(days=days), status=status, source=source, actor=actor, reason="Because."
        )
    WebhookEvent.objects.create(session=one, body=b"{}", digest=b"1", event="session.status", state="done")
    WebhookEvent.objects.create(session=one, body=b"{", digest=b"2", state="quarantined", note="not JSON")
    page = desk.client.get(url("session_history", one)).text
    for words in (
        "57.1 %", "Told by an event from WaSender.", "By Somebody, over a page.", "Because.", "session.status",
        "Put aside. not JSON", 'class="band-down"',
    ):  # fmt: skip
        assert words in page, words


def test_the_gateways_log_is_asked_for_on_demand(live: Desk, row: WaSenderSession, desk: Desk) -> None:
    assert "status_change: need_scan" in live.client.get(url("session_gateway_log", row)).text
    WaSenderSession.objects.update(wasender_id=99)
    assert "does not know this any more" in live.client.get(url("session_gateway_log", row)).text


PAGES = ["session", "session_settings", "session_key", "session_history", "session_gateway_log", "session_now"]
POSTS = ["session_test", "session_settings", "session_key", "session_restart", "session_relink"]


def test_a_strangers_session_is_not_there(desk: Desk, other: Desk) -> None:
    theirs = other.session()
    before = WaSenderSession.objects.filter(pk=theirs.pk).values().get()
    for name in PAGES:
        assert desk.client.get(url(name, theirs)).status_code == 404, name
    for name in POSTS:
        assert desk.client.post(url(name, theirs), {"name": "Mine"}).status_code == 404, name
    assert WaSenderSession.objects.filter(pk=theirs.pk).values().get() == before


def test_pages_ask_no_more_for_more(desk: Desk) -> None:
    def asked(row: WaSenderSession, name: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert desk.client.get(url(name, row)).status_code == 200
        return len(queries)

    one = desk.session(linked_number="+12125550101")
    SessionEvent.objects.create(session=one, status="connected", source="poll")
    names = ["session", "session_settings", "session_history"]
    for name in names:
        asked(one, name)
    before = [asked(one, name) for name in names]
    for n in range(8):
        desk.session(linked_number=f"+1212555012{n}")
        SessionGroup.objects.create(user=desk.user, name=f"G {n}").sessions.add(one)
        SessionEvent.objects.create(session=one, status="connected", source="page", actor=desk.user, kind="action")
        Message.objects.create(user=desk.user, session=one, kind="test", body="x", phone="+12125550101")
    assert [asked(one, name) for name in names] == before
