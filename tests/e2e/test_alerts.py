"""Alerts as a person meets them, and the one-time link in the browser of whoever holds the phone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from phonebank.whatsappapi.models import (
    Alert,
    Channel,
    Delivery,
    Incident,
    PhoneLink,
    Probe,
    ProbePair,
    WaSenderSession,
)
from phonebank.whatsappapi.services import channels, incidents, sessions, wellbeing
from tests.e2e.conftest import CORNERS, JOURNEY, PHONE, Scene, Visitor, check_page, look, shoot

pytestmark = JOURNEY

SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def crowd(scene: Scene, one: WaSenderSession) -> Incident:
    """An incident of 40 sessions, half of them back; another that is over; messages about them."""
    rows = WaSenderSession.objects.bulk_create(
        WaSenderSession(
            user=scene.user, account=one.account, wasender_id=9000 + i, session_name=f"Branch {i + 1}",
            phone_number=f"+121255501{i:02d}", status="connected" if i % 2 else "disconnected",
        )
        for i in range(40)
    )  # fmt: skip
    now = timezone.now()
    for i, row in enumerate(rows):
        over = now if i % 2 else None
        Alert.objects.create(
            user=scene.user, session=row, key=f"lost:{row.pk}", text="Its link is down.", closed_at=over
        )
    before = Incident.objects.create(
        user=scene.user, account=one.account, kind="scan", size=1, opened_at=now - timedelta(days=1),
        last_at=now - timedelta(days=1), closed_at=now - timedelta(hours=20), is_told=True,
    )  # fmt: skip
    Alert.objects.create(user=scene.user, session=rows[0], key="scan:0", text="?", incident=before, closed_at=now)
    found = Incident.objects.create(
        user=scene.user, account=one.account, kind="lost", size=40, opened_at=now, last_at=now, is_told=True
    )
    Alert.objects.filter(session__in=rows, key__startswith="lost:").update(incident=found)
    mail = Channel.objects.get(is_first=True)
    for state, outcome, event in (("sent", "The mail server took it.", "opened"), ("failed", "Gone.", "test")):
        Delivery.objects.create(
            channel=mail, incident=found if event == "opened" else None, event=event, state=state, outcome=outcome,
            subject="40 sessions lost their link", due_at=now, sent_at=now,
        )  # fmt: skip
    return found


def self_checks(one: WaSenderSession) -> None:
    """With a session of a long name: three that came to something else each, and the next in an hour."""
    other = WaSenderSession.objects.exclude(pk=one.pk).first()
    other.session_name, other.linked_number = "Front desk of the northern warehouse, second floor", "+12125550199"
    other.save()
    soon = timezone.now() + timedelta(hours=1)
    ProbePair.objects.create(session=one, partner=other, next_at=soon)
    for outcome, after in (("good", 1.2), ("unheard", 3.4), ("slow", 412.0)):
        Probe.objects.create(
            sender=one, receiver=other, is_heard=True, outcome=outcome, sent_after=after, delivered_after=after,
            arrived_after=None if outcome == "unheard" else after,
        )  # fmt: skip


def test_alerts_and_the_link_for_the_phone(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    wrong = look(me, {"/whatsappapi/alerts/": "Nothing needs you", "/whatsappapi/alerts/log/": "Nothing was sent yet"},
                 CORNERS, note="empty")  # fmt: skip
    [one] = scene.link(1)
    channels.settings_of(scene.user)
    channels.add(actor=scene.user, kind="chat", name="Team", address=SLACK)
    found = crowd(scene, one)
    wellbeing.note()
    self_checks(one)
    pages = {
        "/whatsappapi/": "40 sessions",
        "/whatsappapi/alerts/": "40 sessions",
        f"/whatsappapi/alerts/{found.public_id}/": "all right again",
        "/whatsappapi/alerts/rules/": "Everything that needs a hand",
        "/whatsappapi/alerts/rules/add/": "On these channels",
        "/whatsappapi/alerts/channels/": "Slack",
        "/whatsappapi/alerts/log/": "The mail server took it.",
        f"/whatsappapi/sessions/{one.public_id}/history/": "Self-check",
        f"/whatsappapi/sessions/{one.public_id}/settings/": "When the link drops",
    }
    wrong += look(me, pages, CORNERS)
    me.goto("/whatsappapi/alerts/")
    me.page.get_by_role("button", name="I look after it").first.click()
    expect(me.page.locator("main")).to_contain_text("You have taken it on")

    wrong += by_the_link(scene, me, visit(), one)
    assert wrong == []


def by_the_link(scene: Scene, me: Visitor, holder: Visitor, one: WaSenderSession) -> list[str]:
    """The session is logged out; `me` makes a link, `holder` uses it. Returns what is wrong with the pages."""
    scene.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/logout", {})
    scene.until("the log-out", lambda: WaSenderSession.objects.get(pk=one.pk).status == "logged_out")
    me.goto(f"/whatsappapi/sessions/{one.public_id}/")
    me.press("Send a link to whoever holds the phone")
    url = me.page.get_by_label("The link").input_value()
    wrong = check_page(me.page, "the link that was made")
    shoot(me.page, "phone-link-made")
    for theme in ("light", "dark"):
        context = holder.screen(PHONE, theme)
        page = holder.open(context)
        page.goto(url)
        wrong += check_page(page, f"the phone's link, {theme}")
        shoot(page, f"phone-link-begin-{theme}")
        page.get_by_role("button", name="Show").click()
        expect(page.locator(".qr svg")).to_be_visible()
        wrong += check_page(page, f"the phone's code, {theme}")
        shoot(page, f"phone-link-code-{theme}")
    scene.sandbox.scan(one.wasender_id or 0)
    expect(page.locator("main")).to_contain_text("is connected again")
    wrong += check_page(page, "the phone's end")
    shoot(page, "phone-link-end")
    assert PhoneLink.objects.get(made_by=scene.user).end == "linked"
    assert sessions.refresh_status(wa_session=one).status == "connected" and incidents.unseen(scene.user) <= 1
    page.goto("about:blank")  # nothing of the old page still asks
    with holder.expecting(410):
        PhoneLink.objects.update(ended_at=timezone.now() - timedelta(hours=1))
        page.goto(url)
        expect(page.locator("main")).to_contain_text("This link has ended")
    return wrong
