"""What every page must hold to: the strict policy, escaping, addresses that lead somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from phonebank.whatsappapi.views.wizard_pages import STEPS
from tests.views.conftest import Desk

NASTY = """<img src=x onerror=alert(1)>'"&{{ 7|add:7 }}"""


class Attributes(HTMLParser):
    """Names of all attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.update(name for name, _ in attrs)


@pytest.fixture
def pages(desk: Desk) -> dict[str, str]:
    """Every page of a user whose names are all hostile."""
    running = desk.campaign(3, sessions=2, name=NASTY[:80])
    draft = desk.campaign(3, state="draft", name="Draft")
    draft.contact_list.contacts.update(name=NASTY, attributes={NASTY[:40]: NASTY})
    session = desk.session(NASTY, "logged_out", status_reason=NASTY)
    desk.account.name = NASTY
    desk.account.save()
    running.contact_list.contacts.update(name=NASTY)
    running.messages.update(reason=NASTY, why=NASTY[:60])
    desk.user.name = NASTY
    desk.user.save()
    paths = [
        "", "sessions/", "create-session/", "contacts/", "contacts/import/", "send-campaign/", "campaigns/", "gateway/",
        f"sessions/{session.public_id}/", f"sessions/{session.public_id}/delete/",
        f"campaigns/{running.public_id}/",
        *(f"send-campaign/{draft.public_id}/{step}/" for step in STEPS),
    ]  # fmt: skip
    whole = [f"/whatsappapi/{path}" for path in paths] + ["/accounts/settings/", "/accounts/password/", "/nowhere/"]
    return {path: desk.client.get(path).text for path in whole}


def test_nothing_needs_an_exception_from_the_policy(pages: dict[str, str]) -> None:
    for path, page in pages.items():
        assert not {name for name in Attributes(page).names if name == "style" or name.startswith("on")}, path
        assert "<style" not in page, path
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page)), path
        assert "javascript:" not in page, path


def test_names_are_text(pages: dict[str, str]) -> None:
    assert sum(page.count("&lt;img src=x") for page in pages.values()) > 20
    for path, page in pages.items():
        assert "<img" not in page, path


def test_headers(desk: Desk) -> None:
    for path in ("/whatsappapi/", "/accounts/login/", "/nowhere/"):
        answer = desk.client.get(path, follow=True)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/nowhere/", "/whatsappapi/administration/"])
def test_errors_wear_the_look(path: str, desk: Desk) -> None:
    answer = desk.client.get(path)
    assert answer.status_code == 404
    assert "Go to the dashboard" in answer.text


def test_an_error_of_ours_wears_the_look(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("phonebank.whatsappapi.views.dashboard.slots", breaks)
    client = Client(raise_request_exception=False)
    client.force_login(desk.user)
    answer = client.get("/whatsappapi/")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.text


def test_a_forged_form_is_refused_in_the_look(desk: Desk) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(desk.user)
    answer = client.post("/whatsappapi/send-campaign/preview/", {"body": "x"})
    assert answer.status_code == 403
    assert "This form is too old." in answer.text


def test_the_sprite_holds_every_icon_that_pages_name(pages: dict[str, str]) -> None:
    with open(finders.find("vendor/icons/icons.svg")) as sprite:
        known = set(re.findall(r'id="([a-z-]+)"', sprite.read()))
    used = {name for page in pages.values() for name in re.findall(r"icons\.svg#([a-z-]+)", page)}
    assert used
    assert used <= known


def test_vendored_files_name_no_source_map() -> None:
    for name in ("vendor/tabler/tabler.min.css", "vendor/htmx/htmx.min.js"):
        with open(finders.find(name)) as file:
            assert "sourceMappingURL" not in file.read()
