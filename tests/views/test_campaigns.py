from __future__ import annotations

import pytest
from django.utils import timezone

from phonebank.whatsappapi.models import Campaign, CampaignCount, Contact, Message, Suppression
from phonebank.whatsappapi.views.tallies import PARTS, WORDS, tally
from tests.views.conftest import Desk


def test_the_preview_is_what_the_person_gets(desk: Desk) -> None:
    desk.contact_list(1)
    person = Contact.objects.get()
    url = "/whatsappapi/send-campaign/preview/"
    body = "Hi {{ name|there }} of {{ city|somewhere }}"
    assert (
        f"Hi {person.name} of somewhere" in desk.client.post(url, {"body": body, "as_contact": person.public_id}).text
    )
    nobody = desk.client.post(url, {"body": body, "as_contact": ""}).text
    assert "Hi there of somewhere" in nobody
    assert "21 of 4096" in nobody


def test_who_is_skipped_and_why(desk: Desk) -> None:
    people = list(desk.contact_list(10).contacts.order_by("pk"))
    Contact.objects.filter(pk__in=[people[0].pk, people[1].pk]).update(consent="unknown")
    Suppression.objects.create(user=desk.user, phone=people[1].phone)
    Suppression.objects.create(user=desk.user, phone=people[2].phone)
    Contact.objects.filter(pk=people[3].pk).update(lid="77@lid")
    Suppression.objects.create(user=desk.user, lid="77@lid")
    [(_, row)] = desk.client.get("/whatsappapi/contacts/").context["lists"]
    assert (row.people, row.sendable, row.without_consent, row.stopped) == (10, 6, 1, 3)


def test_the_parts_of_the_bar_add_up() -> None:
    counts = {word: n for n, word in enumerate(WORDS, 1)}
    picture = tally(counts)
    assert sum(part.n for part in picture.parts) == picture.total == sum(counts.values())
    assert sum(float(part.width) for part in picture.parts) == pytest.approx(100, abs=0.01)
    ends = [float(part.x) + float(part.width) for part in picture.parts]
    assert [float(part.x) for part in picture.parts[1:]] == pytest.approx(ends[:-1], abs=0.01)
    assert len(WORDS) == len(set(WORDS)) == 12
    assert tally({}).parts[0].width == "0.000"
    assert len(PARTS) == 9


def test_the_progress_page_polls_while_it_runs_and_then_stops(desk: Desk) -> None:
    campaign = desk.campaign(3)
    url = f"/whatsappapi/campaigns/{campaign.public_id}/"
    assert "every 3s" in desk.client.get(url).text
    partial = desk.client.get(url, headers={"HX-Request": "true"}).text
    assert partial.lstrip().startswith('<div id="progress"')
    assert "<html" not in partial
    Campaign.objects.update(state="completed")
    assert "every 3s" not in desk.client.get(url).text


@pytest.mark.parametrize(("state", "verb", "after"), [("running", "pause", "paused"), ("paused", "resume", "running")])
def test_pause_and_resume(state: str, verb: str, after: str, desk: Desk) -> None:
    campaign = desk.campaign(3, state=state)
    Campaign.objects.update(sealed_at=timezone.now())
    url = f"/whatsappapi/campaigns/{campaign.public_id}/"
    assert f"{url}{verb}/" in desk.client.get(url).text
    desk.client.post(f"{url}{verb}/")
    campaign.refresh_from_db()
    assert campaign.state == after


def test_lanes_count_who_read_it_as_sent_too(desk: Desk) -> None:
    campaign = desk.campaign(5)
    CampaignCount.objects.create(campaign=campaign, session=desk.user.wa_sessions.get(), state="read", n=2)
    [(_, _, cells)] = desk.client.get(f"/whatsappapi/campaigns/{campaign.public_id}/").context["lanes"]
    assert dict(cells) == {
        "Waiting": 0, "Sent": 7, "Delivered": 7, "Read": 2, "Failed": 0, "Unclear": 0, "People": 7,
    }  # fmt: skip


def people(desk: Desk, campaign: Campaign, **query: object) -> list[str]:
    page = desk.client.get(f"/whatsappapi/campaigns/{campaign.public_id}/", query)
    return [row["message"].phone for row in page.context["people"]]


def test_people_are_paged_both_ways(desk: Desk) -> None:
    campaign = desk.campaign(120)
    every = sorted(campaign.messages.values_list("phone", flat=True))
    first = people(desk, campaign)
    second = people(desk, campaign, after=first[-1])
    third = people(desk, campaign, after=second[-1])
    assert first + second + third == every
    assert people(desk, campaign, before=third[0]) == second
    assert people(desk, campaign, before=second[0]) == first


def test_people_are_filtered_and_found(desk: Desk) -> None:
    campaign = desk.campaign(12)
    rows = list(campaign.messages.order_by("phone"))
    Message.objects.filter(pk=rows[0].pk).update(state="failed", rank=0, reason="Not on WhatsApp")
    Message.objects.filter(pk=rows[1].pk).update(state="skipped", rank=0)
    Message.objects.filter(pk=rows[2].pk).update(rank=4)
    desk.recount(campaign)
    assert people(desk, campaign, state="failed") == [rows[0].phone]
    assert people(desk, campaign, state="off") == [rows[1].phone]
    assert people(desk, campaign, state="read") == [rows[2].phone]
    assert len(people(desk, campaign, state="delivered")) == 9
    assert people(desk, campaign, q=rows[5].contact.name) == [rows[5].phone]
    assert people(desk, campaign, q=rows[7].phone[-6:]) == [rows[7].phone]
    assert people(desk, campaign, q="no such person") == []
    assert len(people(desk, campaign, state="nonsense")) == 12
