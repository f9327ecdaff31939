from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phonebank.whatsappapi.models import SessionGroup
from tests.views.conftest import Desk

pytestmark = pytest.mark.django_db
URL = "/whatsappapi/groups/"


def test_a_group_from_its_making_to_its_end(desk: Desk) -> None:
    first, second = desk.session("Front"), desk.session("Back", status="logged_out")
    assert "No groups yet" in desk.client.get(URL).text
    to = desk.client.post(URL, {"name": "Shops", "colour": "pink"})["Location"]
    form = {"name": "All shops", "colour": "cyan", "wa_sessions": [first.public_id, second.public_id]}
    assert desk.client.post(to, form).status_code == 302
    group = SessionGroup.objects.get()
    assert (group.name, group.colour, group.sessions.count()) == ("All shops", "cyan", 2)
    page = desk.client.get(URL).text
    for words in ("All shops", "2 sessions", "chip-cyan", "light-green", "light-red", "Front", ": Logged out"):
        assert words in page, words
    assert desk.client.get(to).text.count(" checked") >= 3  # both members and the colour
    assert desk.client.post(to, {"name": "All shops", "colour": "cyan"}).status_code == 302
    assert group.sessions.count() == 0
    assert desk.client.get(to + "delete/").status_code == 405
    assert desk.client.post(to + "delete/").status_code == 302
    assert not SessionGroup.objects.exists()


@pytest.mark.parametrize("form", [{"name": "", "colour": "pink"}, {"name": "x", "colour": "red"}, {"name": "SHOPS"}])
def test_what_cannot_be_saved_stays_in_the_form(form: dict, desk: Desk) -> None:
    SessionGroup.objects.create(user=desk.user, name="Shops")
    assert desk.client.post(URL, {"colour": "pink"} | form).status_code == 422
    assert SessionGroup.objects.count() == 1


def test_a_strangers_group_and_sessions_are_not_there(desk: Desk, other: Desk) -> None:
    theirs = SessionGroup.objects.create(user=other.user, name="Secret")
    session = other.session("Secret number")
    mine = SessionGroup.objects.create(user=desk.user, name="Mine")
    for path in ("", "delete/"):
        assert desk.client.post(f"{URL}{theirs.public_id}/{path}", {"name": "x"}).status_code == 404
    assert desk.client.get(f"{URL}{theirs.public_id}/").status_code == 404
    form = {"name": "Mine", "colour": "blue", "wa_sessions": [session.public_id]}
    assert desk.client.post(f"{URL}{mine.public_id}/", form).status_code == 422
    assert not mine.sessions.exists()
    assert "Secret" not in desk.client.get(URL).text + desk.client.get(f"{URL}{mine.public_id}/").text


def test_groups_ask_no_more_for_more(desk: Desk) -> None:
    def asked(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert desk.client.get(path).status_code == 200
        return len(queries)

    group = SessionGroup.objects.create(user=desk.user, name="G")
    group.sessions.add(desk.session())
    paths = [URL, f"{URL}{group.public_id}/"]
    for path in paths:
        asked(path)
    before = [asked(path) for path in paths]
    for n in range(6):
        SessionGroup.objects.create(user=desk.user, name=f"G {n}").sessions.set([desk.session(), desk.session()])
    assert [asked(path) for path in paths] == before
