"""Two tabs on one draft, and what the review of a draft tells."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phonebank.whatsappapi.models import Campaign, Message
from phonebank.whatsappapi.services import audience
from tests.views.conftest import ZONE, Desk
from tests.views.test_progress import attempt
from tests.views.test_wizard import START, Wizard, wizard

__all__ = ["wizard"]


def test_two_tabs_lose_nothing_silently(wizard: Wizard) -> None:
    wizard.post("message", body="First", go="message")
    wizard.draft.refresh_from_db()
    read = wizard.draft.version
    wizard.post("message", body="Theirs", go="message")
    mine = wizard.post("message", body="Mine", version=read)
    assert mine.status_code == 409
    at = timezone.localtime(Campaign.objects.get().saved_at, ZoneInfo(ZONE))
    for words in (f"changed in another tab at {at:%H:%M}", "Theirs", "Mine</textarea>"):
        assert words in mine.text, words
    assert Campaign.objects.get().body == "Theirs"
    version = re.search(r'name="version" value="(\d+)"', mine.text)
    assert version
    assert wizard.post("message", body="Mine", version=version[1]).status_code == 302
    assert Campaign.objects.get().body == "Mine"
    # The same text from an old tab takes nothing away, so there is nothing to ask.
    assert wizard.post("message", body="Mine", version=read).status_code == 302


def test_the_shares_are_the_forecasts(wizard: Wizard, desk: Desk) -> None:
    """Limits and sessions that are down, not an equal part each."""
    first, second, third = desk.user.wa_sessions.order_by("pk")
    second.daily_limit = 20
    second.save()
    wizard.fill(wa_sessions=[first.public_id, second.public_id, third.public_id])
    desk.user.wa_sessions.filter(pk=third.pk).update(status="disconnected")
    page = wizard.get("review")
    assert [share.total for _, share in page.context["cards"]] == [280, 20, 0]
    assert "about 280 people, no daily limit" in page.text and "nobody as it stands" in page.text


def test_whom_the_cap_holds_back_is_counted(wizard: Wizard, desk: Desk) -> None:
    """As the claim counts: campaigns and transactional messages by this owner, within a day or 30 of the start."""
    wizard.fill()
    row, now = desk.user.wa_sessions.first(), timezone.now()
    people = list(desk.user.contacts.order_by("pk"))
    written = [
        *((people[n], "campaign", 2) for n in range(3)), (people[3], "transactional", 2), (people[4], "reply", 2),
        *((people[5], "campaign", 24 * n + 30) for n in range(4)), *((people[6], "campaign", 30) for _ in range(3)),
        *((people[7], "campaign", 24 * 31) for n in range(4)), *((people[8], "campaign", n) for n in range(4)),
    ]  # fmt: skip
    for person, kind, hours in written:
        sent = Message.objects.create(
            user=desk.user, contact=person, session=row, phone=person.phone, kind=kind, state="accepted"
        )
        attempt(sent, row, "accepted", started_at=now - timedelta(hours=hours))
    assert "Have to wait" not in wizard.get("review").text, "simulated sessions have no cap"
    Campaign.objects.update(cap_day=1, cap_month=4)
    with CaptureQueriesContext(connection) as asked:
        page = wizard.get("review")
    assert page.context["capped"] == audience.Capped(day=5, month=1, is_rough=False)
    assert "<strong>5</strong> have had a message of yours within the day before" in page.text
    assert "<strong>1</strong> has had 4 messages of yours within the 30 days before" in page.text
    assert "At most 1 message a day, 4 in 30 days" in page.text
    counting = [
        query for query in asked.captured_queries if "CROSS JOIN LATERAL" in query["sql"] and "who" in query["sql"]
    ]
    assert len(counting) == 1
    # Tomorrow the day is over for them; and a large audience is reckoned from a part of it.
    Campaign.objects.update(scheduled_at=now + timedelta(hours=23, minutes=30))
    assert wizard.get("review").context["capped"] == audience.Capped(day=1, month=1, is_rough=False)
    with mock.patch.object(audience, "LOOKED_AT", 100):
        rough = wizard.get("review").context["capped"]
    assert rough.is_rough and rough.people <= 18
    Campaign.objects.update(cap_day=None, cap_month=None)
    assert wizard.get("review").context["capped"].people == 0


def hidden(text: str) -> dict[str, list[str]]:
    """What the forms of a page post without anybody typing."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"', text):
        found.setdefault(name, []).append(html.unescape(value))
    return found


def test_one_tab_saves_another_step(wizard: Wizard) -> None:
    """The other step is not what was read: asked, with one's own beside it; saved again, both are there."""
    wizard.post("message", body="Theirs", go="message")
    mine = wizard.post("schedule", cap_day=3, version=0)
    assert mine.status_code == 409 and mine.context["differences"] == [("A day", "nothing", "3")]
    assert wizard.post("schedule", cap_day=3, version=mine.context["version"]).status_code == 302
    wizard.draft.refresh_from_db()
    assert (wizard.draft.body, wizard.draft.cap_day) == ("Theirs", 3)


def test_one_tab_deletes_what_the_other_writes(wizard: Wizard, desk: Desk, other: Desk) -> None:
    read = hidden(wizard.get("message").text)["version"][0]
    wizard.post("message", body="Theirs", go="message")
    # Deleting takes the other tab's words too: not before one has seen them.
    kept = desk.client.post(f"{wizard.url}delete/", {"version": read}, follow=True)
    assert Campaign.objects.exists() and "It was not deleted" in kept.text and "Theirs" in kept.text
    version = hidden(wizard.get("review").text)["version"][0]
    assert desk.client.post(f"{wizard.url}delete/", {"version": version}).status_code == 302
    assert not Campaign.objects.exists()
    typed = {"body": 'Hi "you" <b>', "media_kind": "", "version": 7, "go": "next"}
    for client in (desk.client, other.client):  # there as little as somebody else's
        gone = client.post(f"{wizard.url}message/", typed)
        assert gone.status_code == 404 and "Hi &quot;you&quot; &lt;b&gt;" in gone.text and "any more" in gone.text
    assert not Campaign.objects.exists()
    again = desk.client.post(f"{wizard.url}message/", hidden(gone.text) | {"go": "anew"})
    made = Campaign.objects.get()
    assert made.user == desk.user and made.body == 'Hi "you" <b>'
    assert again["Location"] == f"{START}{made.public_id}/message/"
    # What cannot be saved is kept as well, by the new draft's page.
    wrong = desk.client.post(f"{wizard.url}message/", {"go": "anew", "version": 0, "body": "x" * 5000})
    assert wrong.status_code == 422 and f'action="{START}{Campaign.objects.first().public_id}/message/"' in wrong.text
    assert desk.client.get(f"{wizard.url}message/").status_code == 404


def test_one_tab_starts_what_the_other_writes(wizard: Wizard, desk: Desk) -> None:
    wizard.fill()
    read = wizard.draft.version
    assert wizard.start().status_code == 302
    late = wizard.post("message", body="Late words", version=read)
    run = f"/whatsappapi/campaigns/{wizard.draft.public_id}/"
    assert late.status_code == 409 and "Late words</textarea>" in late.text and f'href="{run}"' in late.text
    for fields in ({"version": read}, {}):
        answer = desk.client.post(f"{wizard.url}delete/", fields, follow=True)
        assert answer.redirect_chain[-1][0] == run and "nothing was changed" in answer.text
    assert "by now" in desk.client.post(f"{wizard.url}review/", {"version": read}, follow=True).text
    wizard.draft.refresh_from_db()
    assert (wizard.draft.state, wizard.draft.body[:2]) == ("dealing", "Hi")


@pytest.mark.parametrize("step", ["audience", "senders", "schedule"])
def test_two_tabs_on_every_step(step: str, wizard: Wizard) -> None:
    wizard.fill()
    row = wizard.desk.user.wa_sessions.first()
    change: dict[str, Any] = {
        "audience": {"name": "Other"}, "senders": {"wa_sessions": [row.public_id]}, "schedule": {"cap_day": 3},
    }[step]  # fmt: skip
    before = Campaign.objects.values().get()
    answer = wizard.post(step, **change, version=0)
    assert answer.status_code == 409 and len(answer.context["differences"]) >= 1
    assert Campaign.objects.values().get() == before and wizard.draft.lanes.count() == 3


def test_what_was_reviewed_is_what_starts(wizard: Wizard) -> None:
    wizard.fill()
    read = wizard.draft.version
    wizard.post("message", body="Another text")
    answer = wizard.start(version=read)
    assert answer.status_code == 409 and "It was not started" in answer.text and "Another text" in answer.text
    wizard.draft.refresh_from_db()
    assert wizard.draft.state == "draft"
