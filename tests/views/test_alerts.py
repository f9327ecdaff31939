"""The pages about alerts, and the one that needs no account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from phonebank.whatsappapi.models import (
    Alert,
    AlertRule,
    AlertSettings,
    Channel,
    Delivery,
    Incident,
    PhoneLink,
    Probe,
    ProbePair,
    Reconnection,
    WaSenderSession,
)
from phonebank.whatsappapi.services import channels, incidents, links, sessions
from phonebank.whatsappapi.services.gateways import ensure_sandbox_account
from tests.services.conftest import Sandbox
from tests.views.conftest import Desk
from tests.views.test_queries import queries

HOME = "/whatsappapi/alerts/"
PAGES = ["alerts/", "alerts/rules/", "alerts/rules/add/", "alerts/channels/", "alerts/log/"]
SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def incident(desk: Desk, n: int, kind: str = "lost") -> Incident:
    for i in range(n):
        row = desk.session(f"Till {kind} {i}", "disconnected", status_reason="The phone is off.")
        Alert.objects.create(user=desk.user, session=row, key=f"{kind}:{row.pk}", text="Its link is down.")
    incidents.fold()
    return Incident.objects.filter(user=desk.user, kind=kind).latest("pk")


def fill(desk: Desk, n: int) -> None:
    """`n` incidents and messages about them."""
    mail = channels.settings_of(desk.user) and Channel.objects.filter(user=desk.user).first()
    for i in range(n):
        row = Incident.objects.create(
            user=desk.user, account=desk.account, kind="scan", size=1, opened_at=timezone.now(), last_at=timezone.now(),
            closed_at=None if i % 2 else timezone.now(),
        )  # fmt: skip
        Alert.objects.create(user=desk.user, session=desk.session(), key=f"scan:{row.pk}", text="?", incident=row)
        Delivery.objects.create(channel=mail, incident=row, event="opened", due_at=timezone.now(), state="sent")


@pytest.mark.parametrize("page", PAGES)
def test_queries_do_not_grow(page: str, desk: Desk) -> None:
    fill(desk, 4)
    before = queries(desk, page)
    fill(desk, 12)
    assert queries(desk, page) == before


def test_empty_pages_say_what_to_do(desk: Desk) -> None:
    assert "Nothing needs you" in desk.client.get(HOME).text
    assert "Nothing was sent yet" in desk.client.get(f"{HOME}log/").text
    rules = desk.client.get(f"{HOME}rules/").text
    assert "Everything that needs a hand" in rules and "My e-mail" in rules
    assert "ana@example.org" in desk.client.get(f"{HOME}channels/").text


def test_an_incident_is_seen_and_taken_on(desk: Desk, other: Desk) -> None:
    found = incident(desk, 3)
    assert ">1<span" in desk.client.get("/whatsappapi/").text.split("badge bell num")[1][:20]
    page = desk.client.get(HOME).text
    assert "3 sessions lost their link" in page
    url = f"{HOME}{found.public_id}/"
    assert desk.client.get(url).text.count("The phone is off.") == 3
    assert desk.client.post(f"{url}acknowledge/").status_code == 302
    assert "badge bell" not in desk.client.get("/whatsappapi/").text
    assert "Taken on" in desk.client.get(url).text
    incident(desk, 1, "slowed")
    desk.client.post(f"{HOME}acknowledge/")
    assert not Incident.objects.unseen().exists()


def test_strangers_find_nothing(desk: Desk, other: Desk) -> None:
    theirs = incident(other, 1)
    channels.settings_of(other.user)
    rule, channel = AlertRule.objects.get(user=other.user), Channel.objects.get(user=other.user)
    sent = Delivery.objects.create(channel=channel, event="test", due_at=timezone.now(), state="sent")
    session = other.session("Secret", "logged_out")
    paths = [
        f"alerts/{theirs.public_id}/acknowledge/", f"alerts/rules/{rule.public_id}/delete/",
        *(f"alerts/channels/{channel.public_id}/{verb}/" for verb in ("test", "switch", "remove")),
        f"alerts/log/{sent.public_id}/replay/", f"alerts/rules/{rule.public_id}/",
        *(f"sessions/{session.public_id}/{verb}/" for verb in ("phone-link", "phone-link/revoke")),
        *(f"sessions/{session.public_id}/{verb}/" for verb in ("reconnects", "self-check")),
    ]  # fmt: skip
    for path in paths:
        assert desk.client.post(f"/whatsappapi/{path}", {}).status_code == 404, path
    for path in (f"alerts/{theirs.public_id}/", f"alerts/rules/{rule.public_id}/"):
        assert desk.client.get(f"/whatsappapi/{path}").status_code == 404
    for path in PAGES:
        page = desk.client.get(f"/whatsappapi/{path}").text
        assert "Till lost" not in page and "charlie" not in page and "Secret" not in page
    # A rule takes nothing of theirs, written into the form or not.
    form = {"name": "R", "kinds": ["lost"], "delay": "60", "cool_down": "15"}
    for more in ({"scope": f"s:{session.public_id}"}, {"channels": [channel.public_id]}):
        assert desk.client.post(f"{HOME}rules/add/", form | more).status_code == 422
    assert AlertRule.objects.filter(user=desk.user).count() == 1
    theirs.refresh_from_db()
    assert theirs.acknowledged_at is None and not PhoneLink.objects.exists()


def test_rules_and_quiet_hours(desk: Desk) -> None:
    session = desk.session("Anna")
    desk.client.get(f"{HOME}rules/")
    mail = Channel.objects.get()
    form = {"name": "Night", "kinds": ["lost", "scan"], "delay": "0", "cool_down": "60", "is_active": "on",
            "scope": f"s:{session.public_id}", "channels": [mail.public_id]}  # fmt: skip
    assert desk.client.post(f"{HOME}rules/add/", {**form, "kinds": []}).status_code == 422
    assert desk.client.post(f"{HOME}rules/add/", form).status_code == 302
    rule = AlertRule.objects.get(name="Night")
    assert (rule.kinds, rule.session, rule.delay, rule.cool_down, rule.tells_recovery) == (
        ["lost", "scan"], session, 0, 60, False)  # fmt: skip
    page = desk.client.get(f"{HOME}rules/{rule.public_id}/").text
    assert page.count("checked") == 4  # two kinds, the channel, in use
    desk.client.post(f"{HOME}rules/{rule.public_id}/delete/")
    assert not AlertRule.objects.filter(name="Night").exists()
    assert desk.client.post(f"{HOME}rules/", {"quiet_from": "22"}).status_code == 422
    desk.client.post(f"{HOME}rules/", {"quiet_from": "22", "quiet_until": "7"})
    stored = AlertSettings.objects.get()
    assert (stored.quiet_from, stored.quiet_until) == (22, 7)


def test_channels(desk: Desk) -> None:
    assert desk.client.post(f"{HOME}channels/", {"kind": "chat", "address": "json://localhost"}).status_code == 422
    made = desk.client.post(f"{HOME}channels/", {"kind": "webhook", "address": "https://example.org/hook"})
    assert "whsec_" in made.text
    desk.client.post(f"{HOME}channels/", {"kind": "chat", "address": SLACK, "name": "Team"})
    page = desk.client.get(f"{HOME}channels/").text
    assert "Team" in page and "hooks.slack" not in page and "whsec_" not in page
    team = Channel.objects.get(name="Team")
    desk.client.post(f"{HOME}channels/{team.public_id}/test/")
    sent = Delivery.objects.get()
    assert (sent.channel, sent.state, sent.event) == (team, "waiting", "test")  # a chore sends it, no request
    Delivery.objects.update(state="failed", outcome="Slack did not take it.")
    assert "Slack did not take it." in desk.client.get(f"{HOME}log/").text
    desk.client.post(f"{HOME}log/{sent.public_id}/replay/")
    assert Delivery.objects.get().state == "waiting"
    desk.client.post(f"{HOME}channels/{team.public_id}/switch/")
    assert not Channel.objects.get(name="Team").is_active
    desk.client.post(f"{HOME}channels/{team.public_id}/remove/")
    desk.client.post(f"{HOME}channels/{Channel.objects.get(is_first=True).public_id}/remove/")
    assert set(Channel.objects.values_list("kind", flat=True)) == {"mail", "webhook"}


def test_reconnecting_by_itself_is_a_choice(desk: Desk) -> None:
    row = desk.session("Anna")
    url = f"/whatsappapi/sessions/{row.public_id}/"
    assert "Do not reconnect it by itself" in desk.client.get(f"{url}settings/").text
    desk.client.post(f"{url}reconnects/")
    assert not Reconnection.objects.get().is_on
    desk.client.post(f"{url}reconnects/", {"on": "1"})
    assert Reconnection.objects.get().is_on


def test_a_self_check_is_switched_on_and_off(desk: Desk, other: Desk) -> None:
    row, second = (desk.session(name, linked_number=f"+1212555017{i}") for i, name in enumerate(("Anna", "<b>Ben")))
    theirs = other.session("Secret", linked_number="+12125550179")
    url = f"/whatsappapi/sessions/{row.public_id}/"
    page = desk.client.get(f"{url}history/").text
    assert "&lt;b&gt;Ben" in page and "Secret" not in page
    for partner, status in ((str(theirs.public_id), 404), ("nonsense", 404), (str(second.public_id), 302)):
        assert desk.client.post(f"{url}self-check/", {"partner": partner}).status_code == status
    assert ProbePair.objects.get().partner == second
    Probe.objects.create(sender=second, receiver=row, is_heard=False, outcome="refused", reason="<i>No")
    for one in (row, second):
        page = desk.client.get(f"/whatsappapi/sessions/{one.public_id}/history/").text
        assert "once an hour in turns" in page and "Could not be sent" in page and "&lt;i&gt;No" in page
    desk.client.post(f"/whatsappapi/sessions/{second.public_id}/self-check/")
    assert not ProbePair.objects.exists()


# --- the page without an account --------------------------------------------------------------------------------------


@pytest.fixture
def dropped(desk: Desk, sandbox: Sandbox) -> WaSenderSession:
    """A session that was linked, and is logged out."""
    box = ensure_sandbox_account(owner=desk.user, url=sandbox.url, token=sandbox.token)
    row = sessions.create_session(actor=desk.user, account=box, phone_number="+12125550187", name="Front desk")
    sessions.connect(actor=desk.user, wa_session=row)
    sandbox.link(row.wasender_id, lambda: sessions.refresh_status(wa_session=row).status == "connected")
    sandbox.pull("POST", f"/sessions/{row.wasender_id}/logout", {})
    sessions.refresh_status(wa_session=row)
    return row


@pytest.mark.django_db(transaction=True)
def test_from_the_button_to_green(desk: Desk, sandbox: Sandbox, dropped: WaSenderSession) -> None:
    made = desk.client.post(f"/whatsappapi/sessions/{dropped.public_id}/phone-link/")
    path = "/link/" + made.text.split("/link/", 1)[1].split("/", 1)[0] + "/"
    phone = Client(enforce_csrf_checks=True)
    first = phone.get(path)
    assert "Show the code" in first.text and 'class="qr' not in first.text
    assert sandbox.sessions()[0]["status"] == "logged_out"  # looking, as a preview does, starts nothing
    started = phone.post(path)
    assert started.status_code == 302
    shown = phone.get(started["Location"])
    assert "Scan this code" in shown.text and "<svg" in shown.text.split("qr mb-3")[1]
    assert "Front desk" in shown.text and "+12 … 87" in shown.text
    for secret in ("2125550187", "ana@example.org", "Somebody", "csrf", dropped.api_key, str(dropped.public_id)):
        assert secret not in shown.text.replace("Somebody of your team", "")
    for answer in (first, shown, phone.get("/link/nonsense/")):
        assert answer["Cache-Control"] == "no-store" and answer["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer["X-Robots-Tag"] and not answer.cookies
    watch = f"{started['Location']}&watch=scan"
    assert phone.get(watch, headers={"HX-Request": "true"}).status_code == 204
    sandbox.link(dropped.wasender_id, lambda: "Linked" in phone.get(watch, headers={"HX-Request": "true"}).text)
    dropped.refresh_from_db()
    assert dropped.status == "connected"
    assert "is connected again" in phone.get(path).text
    PhoneLink.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    assert phone.get(path).status_code == phone.get("/link/nonsense/").status_code == 410
    assert phone.get(path).text == phone.get("/link/nonsense/").text


def test_links_that_are_over_say_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIEW_GAP", "VIEW_BURST"):  # as many views, however slow the machine
        monkeypatch.setattr(links, name, 100 * getattr(links, name))
    row = desk.session("Anna", "logged_out")
    token = links.make(actor=desk.user, wa_session=row)
    anybody = Client()
    assert anybody.get(f"/link/{token}/").status_code == 200
    page = desk.client.post(f"/whatsappapi/sessions/{row.public_id}/phone-link/revoke/")
    assert page.status_code == 302
    assert anybody.get(f"/link/{token}/").status_code == anybody.post(f"/link/{token}/").status_code == 410
    token = links.make(actor=desk.user, wa_session=row)
    answers: list[Any] = [anybody.get(f"/link/{token}/").status_code for _ in range(80)]
    assert answers[0] == 200 and answers[-1] == 429
