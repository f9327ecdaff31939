"""Acts on many sessions by page, and taking one away."""

from __future__ import annotations

import uuid

import pytest
from django.utils import timezone

from phonebank.whatsappapi.models import (
    BulkAction,
    BulkResult,
    CampaignCount,
    CampaignSession,
    SessionGroup,
    WaSenderSession,
)
from tests.views.conftest import Desk

BULK = "/whatsappapi/sessions/bulk/"
HTMX = {"HTTP_HX_REQUEST": "true"}


def chosen(action: BulkAction) -> list[str]:
    return sorted(action.results.values_list("name", flat=True))


def test_connecting_starts_at_once(desk: Desk) -> None:
    rows = [desk.session(name, status="disconnected") for name in ("Anna", "Bert", "Cleo")]
    answer = desk.client.post(BULK, {"verb": "connect", "pick": [rows[0].public_id, rows[2].public_id]})
    action = BulkAction.objects.get()
    assert answer["Location"] == f"{BULK}{action.public_id}/"
    assert (action.verb, chosen(action)) == ("connect", ["Anna", "Cleo"])


def test_disconnecting_is_agreed_to_first(desk: Desk) -> None:
    rows = [desk.session(name) for name in ("Anna", "Bert")]
    form = {"verb": "disconnect", "pick": [row.public_id for row in rows]}
    asked = desk.client.post(BULK, form)
    assert asked.status_code == 200
    assert "Disconnect 2 sessions?" in asked.text
    assert not BulkAction.objects.exists()
    assert desk.client.post(BULK, form | {"confirmed": 2}).status_code == 302
    assert chosen(BulkAction.objects.get()) == ["Anna", "Bert"]


def test_disconnect_all_says_how_many_and_holds_to_it(desk: Desk) -> None:
    for name in ("Anna", "Bert"):
        desk.session(name)
    assert f"{BULK}?verb=disconnect&amp;all=1" in desk.client.get("/whatsappapi/sessions/").text
    assert "Disconnect 2 sessions?" in desk.client.get(f"{BULK}?verb=disconnect&all=1").text
    desk.session("Cleo")
    changed = desk.client.post(BULK, {"verb": "disconnect", "all": "1", "confirmed": 2})
    assert changed.status_code == 422
    assert "Meanwhile it would be 3 sessions" in changed.text
    assert 'name="confirmed" value="3"' in changed.text
    assert not BulkAction.objects.exists()
    desk.client.post(BULK, {"verb": "disconnect", "all": "1", "confirmed": 3})
    assert BulkAction.objects.get().total == 3


def test_all_that_match_are_those_that_the_search_shows(desk: Desk) -> None:
    for name, status in (
        ("Anna", "connected"),
        ("Annika", "connected"),
        ("Annabel", "need_scan"),
        ("Bert", "connected"),
    ):
        desk.session(name, status=status)
    search = {"q": "ann", "status": "connected"}
    desk.client.post(BULK, {"verb": "disconnect", "all": "1", "confirmed": 2, **search})
    assert chosen(BulkAction.objects.get()) == ["Anna", "Annika"]


def test_deleting_many_takes_their_number_typed(desk: Desk) -> None:
    rows = [desk.session(name, is_default=name == "Anna") for name in ("Anna", "Bert", "Cleo")]
    form = {"verb": "delete", "pick": [row.public_id for row in rows[:2]], "confirmed": 2, "where": "here"}
    page = desk.client.post(BULK, {key: value for key, value in form.items() if key not in ("confirmed", "where")}).text
    assert "Cleo</bdi></strong> becomes the default" in page
    for typed in ("", "3", "two"):
        wrong = desk.client.post(BULK, form | {"typed": typed})
        assert wrong.status_code == 422
    assert not BulkAction.objects.exists()
    assert desk.client.post(BULK, form | {"typed": "2"}).status_code == 302
    action = BulkAction.objects.get()
    assert (action.verb, action.at_gateway, action.total) == ("delete", False, 2)


def test_where_to_delete_is_preselected_by_where_it_came_from(desk: Desk) -> None:
    made, adopted = desk.session("Made"), desk.session("Taken over", adopted_at=timezone.now())

    def preselected(rows: list[WaSenderSession]) -> str:
        if len(rows) == 1:
            answer = desk.client.get(f"/whatsappapi/sessions/{rows[0].public_id}/delete/")
        else:
            answer = desk.client.post(BULK, {"verb": "delete", "pick": [row.public_id for row in rows]})
        return answer.context["form"]["where"].value()

    assert preselected([made]) == "gateway"
    assert preselected([adopted]) == "here"
    assert preselected([made, adopted]) == "here"


@pytest.mark.parametrize("verb", ["connect", "disconnect", "delete"])
def test_one_foreign_id_and_there_is_nothing(verb: str, desk: Desk, other: Desk) -> None:
    mine, theirs = desk.session("Mine"), other.session("Theirs")
    for foreign in (theirs.public_id, uuid.uuid4(), "nonsense"):
        form = {"verb": verb, "pick": [mine.public_id, foreign], "confirmed": 2, "typed": "2", "where": "here"}
        assert desk.client.post(BULK, form).status_code == 404
    group = SessionGroup.objects.create(user=other.user, name="Theirs")
    assert desk.client.post(BULK, {"verb": verb, "all": 1, "group": group.public_id}).status_code == 404
    assert not BulkAction.objects.exists()
    assert set(WaSenderSession.objects.values_list("status", "deleted_at")) == {("connected", None)}


def test_nothing_chosen_and_nonsense(desk: Desk) -> None:
    assert "No session is chosen" in desk.client.post(BULK, {"verb": "connect"}).text
    assert desk.client.post(BULK, {"verb": "explode"}).status_code == 404
    assert desk.client.get(BULK).status_code == 404


def action_of(desk: Desk, state: str = "running", **fields: object) -> BulkAction:
    action = BulkAction.objects.create(
        user=desk.user, verb="disconnect", state=state, total=3, done=1, failed=1, started_at=timezone.now(), **fields
    )
    outcomes = [("done", "Disconnected."), ("failed", "The gateway said no."), ("", "")]
    for place, (outcome, text) in enumerate(outcomes):
        row = desk.session(f"Row {place}")
        BulkResult.objects.create(
            action=action, session=row, name=row.session_name, position=place, outcome=outcome, text=text
        )
    return action


def test_the_progress_page_moves_and_ends(desk: Desk) -> None:
    action = action_of(desk)
    url = f"{BULK}{action.public_id}/"
    page = desk.client.get(url)
    assert [one.name for one, _ in page.context["results"]] == ["Row 1", "Row 0", "Row 2"]  # what failed stands first
    assert "every 2s" in page.text
    assert "of 3 done, 1 could not be" in page.text
    assert "The gateway said no." in page.text
    part = desk.client.get(url, **HTMX).text
    assert "<html" not in part
    assert "See how it goes" in desk.client.get("/whatsappapi/sessions/").text
    BulkAction.objects.update(state="done", finished_at=timezone.now(), done=2)
    ended = desk.client.get(url).text
    assert "hx-trigger" not in ended.split('id="progress"')[1]
    assert "Finished" in ended
    assert "See how it goes" not in desk.client.get("/whatsappapi/sessions/").text


def test_stopping(desk: Desk) -> None:
    action = action_of(desk)
    answer = desk.client.post(f"{BULK}{action.public_id}/stop/", follow=True)
    assert "Stopped. What was done stays done." in answer.text
    assert "Left out" in answer.text
    again = desk.client.post(f"{BULK}{action.public_id}/stop/", follow=True)
    assert "has ended by itself" in again.text


def test_a_strangers_action_is_not_there(desk: Desk, other: Desk) -> None:
    theirs = action_of(other)
    assert desk.client.get(f"{BULK}{theirs.public_id}/").status_code == 404
    assert desk.client.post(f"{BULK}{theirs.public_id}/stop/").status_code == 404
    assert BulkAction.objects.get().state == "running"


def lane(desk: Desk, row: WaSenderSession, name: str, queued: int, state: str = "running") -> None:
    """A campaign that is carried by `row` alone, with so many waiting."""
    campaign = desk.campaign(0, sessions=0, state=state, name=name)
    CampaignSession.objects.create(campaign=campaign, session=row, position=0)
    CampaignCount.objects.create(campaign=campaign, session=row, state="queued", n=queued)


def test_deleting_says_what_becomes_of_whom(desk: Desk) -> None:
    row, up, down = (
        desk.session("Going", is_default=True),
        desk.session("Up"),
        desk.session("Down", status="logged_out"),
    )
    for name, queued, state, others in (
        ("Alone", 40, "running", []),
        ("Shared", 800, "running", [up, down]),
        ("Resting", 1, "paused", [up]),
        ("Dark", 7, "running", [down]),
        ("Draft", 0, "draft", []),
        ("Over", 0, "completed", []),
    ):
        lane(desk, row, name, queued, state)
        for place, one in enumerate(others, 1):
            campaign = row.lanes.get(campaign__name=name).campaign
            CampaignSession.objects.create(campaign=campaign, session=one, position=place)
    page = desk.client.get(f"/whatsappapi/sessions/{row.public_id}/delete/").text
    for words in (
        "848 people</strong> wait to be written to over this session",
        "800 people waiting there move to Up.",
        "40 people waiting there stay in line, as it has no other session left.",
        "1 person waiting there moves to Up when it is resumed.",
        "7 people waiting there move to Down as soon as that is connected.",
        "1 draft loses it as a sender",
        "Up</bdi></strong> becomes the default",
    ):
        assert words in page, words
    assert "Over</a>" not in page


def test_deleting_the_default_names_the_next(desk: Desk) -> None:
    going, heir = desk.session("Going", is_default=True, wasender_id=1), desk.session("Heir")
    url = f"/whatsappapi/sessions/{going.public_id}/delete/"
    page = desk.client.post(url, {"typed": "Going", "where": "here"}, follow=True)
    assert "Heir is your default session now" in page.text
    assert list(WaSenderSession.objects.alive().filter(is_default=True)) == [heir]
    last = desk.client.post(
        f"/whatsappapi/sessions/{heir.public_id}/delete/", {"typed": "Heir", "where": "here"}, follow=True
    )
    assert "You have no session any more" in last.text
