"""Somebody else's id is not there, on any page."""

from __future__ import annotations

import pytest

from phonebank.whatsappapi.models import Campaign, WaSenderSession
from tests.views.conftest import Desk

SESSION_PAGES = ["", "link/", "delete/"]
SESSION_POSTS = [
    "connect/", "disconnect/", "set-default/", "delete/", "reconnects/", "phone-link/", "phone-link/revoke/",
    "self-check/",
]  # fmt: skip
CAMPAIGN_POSTS = ["launch/", "pause/", "resume/", "cancel/"]


@pytest.mark.parametrize("page", SESSION_PAGES)
def test_pages_of_a_strangers_session(page: str, desk: Desk, other: Desk) -> None:
    theirs = other.session()
    url = f"/whatsappapi/sessions/{theirs.public_id}/{page}"
    assert desk.client.get(url).status_code == 404
    assert other.client.get(url).status_code == 200


@pytest.mark.parametrize("verb", SESSION_POSTS)
def test_verbs_on_a_strangers_session(verb: str, desk: Desk, other: Desk) -> None:
    theirs = other.session()
    before = WaSenderSession.objects.filter(pk=theirs.pk).values().get()
    posted = desk.client.post(f"/whatsappapi/sessions/{theirs.public_id}/{verb}", {"typed": theirs.session_name})
    assert posted.status_code == 404
    assert WaSenderSession.objects.filter(pk=theirs.pk).values().get() == before


def test_a_deleted_session_is_gone(desk: Desk) -> None:
    gone = desk.session()
    WaSenderSession.objects.update(deleted_at="2026-11-01T00:00Z")
    assert desk.client.get(f"/whatsappapi/sessions/{gone.public_id}/").status_code == 404


def test_a_strangers_campaign(desk: Desk, other: Desk) -> None:
    theirs = other.campaign(2)
    url = f"/whatsappapi/campaigns/{theirs.public_id}/"
    assert desk.client.get(url).status_code == 404
    for verb in CAMPAIGN_POSTS:
        assert desk.client.post(url + verb).status_code == 404
    assert Campaign.objects.get().state == "running"
    assert desk.client.get(f"/whatsappapi/send-campaign/{theirs.public_id}/audience/").status_code == 404
    assert desk.client.get(f"/whatsappapi/send-campaign/?list={theirs.contact_list.public_id}").status_code == 404


def test_lists_show_ones_own_only(desk: Desk, other: Desk) -> None:
    other.campaign(2, name="Secret sale")
    other.session("Secret number")
    for page in ("", "sessions/", "campaigns/", "contacts/", "send-campaign/", "gateway/", "analytics/"):
        assert "Secret" not in desk.client.get(f"/whatsappapi/{page}").text


def test_a_strangers_contact_is_nobody_to_preview_as(desk: Desk, other: Desk) -> None:
    person = other.contact_list(1).contacts.get()
    preview = desk.client.post(
        "/whatsappapi/send-campaign/preview/", {"body": "{{ name }}", "as_contact": person.public_id}
    )
    assert person.name not in preview.text


def test_the_operators_account_shows_each_user_their_own(desk: Desk, other: Desk) -> None:
    desk.account.user = None
    desk.account.save()
    desk.account.granted_to.set([desk.user, other.user])
    desk.session()
    other.account.delete()
    page = other.client.get("/whatsappapi/gateway/")
    [(_, _, facts)] = page.context["accounts"]
    assert facts.sessions == 0
