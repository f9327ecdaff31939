"""Lists of sessions before a person: what they type and open stays, what changes comes by itself; many at once."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from phonebank.whatsappapi.models import BulkAction, WaSenderSession
from tests.scenes.conftest import Scene

from .conftest import JOURNEY, PHONE, Visitor, check_page

pytestmark = JOURNEY


def test_living_with_many_sessions(scene: Scene, visit: Callable[[], Visitor]) -> None:
    rows = scene.link(6)
    names = [row.session_name for row in rows]
    me = visit()
    me.log_in(scene)
    search_goes_on(me, rows)
    page = me.goto("/whatsappapi/sessions/")
    for name in names[:2]:
        page.get_by_role("checkbox", name=f"Select {name}", exact=True).check()
    expect(page.locator("[data-picked]")).to_have_text("2 selected")
    page.get_by_role("button", name="Disconnect…").click()
    expect(page.get_by_role("heading", name="Disconnect 2 sessions?")).to_be_visible()
    assert check_page(page, "asked") == []
    page.evaluate("window.here = true")
    me.press("Disconnect 2 sessions")
    expect(page.get_by_role("heading", name="Finished")).to_be_visible()
    expect(page.get_by_text("of 2 done")).to_be_visible()
    assert check_page(page, "finished") == []
    assert BulkAction.objects.get().done == 2
    page.get_by_role("link", name="Back to the sessions").click()
    expect(page.get_by_text("Not connected")).to_have_count(3)  # two rows and the search's own word
    everybody(me)


def search_goes_on(me: Visitor, rows: list[WaSenderSession]) -> None:
    """Typing narrows, the address follows; a poll takes neither focus nor words, nor an open menu."""
    page = me.page
    box = page.get_by_role("searchbox", name="Name or number")
    box.click()
    box.press_sequentially(rows[3].session_name[-6:])
    expect(page.get_by_role("article")).to_have_count(1)
    page.wait_for_url("**/whatsappapi/?q=*")
    expect(box).to_be_focused()
    card = page.get_by_role("article", name=rows[3].session_name)
    card.locator("summary").click()
    WaSenderSession.objects.filter(pk=rows[3].pk).update(strikes=1)
    expect(card.locator(".light")).to_have_text("Slowed down")
    expect(card.get_by_role("button", name="Set as default")).to_be_visible()
    card.get_by_role("button", name="Set as default").click()
    expect(page.get_by_text("is the default now.")).to_be_visible()
    assert "q=" in page.url
    WaSenderSession.objects.filter(pk=rows[3].pk).update(strikes=0)


def everybody(me: Visitor) -> None:
    """Disconnect all, on a phone; stopped halfway is not tried here."""
    page = me.open(me.screen(PHONE, "dark"))
    page.goto("/whatsappapi/sessions/")
    assert check_page(page, "table") == []
    page.get_by_role("link", name="Disconnect all…").click()
    page.get_by_role("button", name="Disconnect 6 sessions").click()
    expect(page.get_by_role("heading", name="Finished")).to_be_visible()
    expect(page.get_by_text("It was not connected.")).to_have_count(2)
    assert not WaSenderSession.objects.filter(status="connected").exists()
