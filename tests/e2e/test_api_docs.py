"""The API's page under the strict Content-Security-Policy, and the tokens page beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.scenes.conftest import Scene

from .conftest import JOURNEY, Visitor, check_page

pytestmark = JOURNEY


def test_read_try_and_revoke(scene: Scene, visit: Callable[[], Visitor]) -> None:
    me = visit()
    me.log_in(scene)
    page = me.goto("/accounts/tokens/")
    page.get_by_label("Name").fill("Shop")
    page.get_by_label("May").select_option("write")
    me.press("Make the token")
    shown = page.get_by_label("The token", exact=True)
    expect(shown).to_have_value(re.compile("^pbk_[0-9a-f]{64}$"))
    token = shown.input_value()
    assert check_page(page, "tokens") == []

    page = me.goto("/api/docs/")
    expect(page.get_by_text("Phonebank API")).to_be_visible()
    expect(page.locator(".opblock").first).to_be_visible()
    paths = page.request.get(page.url.replace("docs", "schema"), headers={"Accept": "application/json"}).json()["paths"]
    operations = sum(len(verbs.keys() - {"parameters"}) for verbs in paths.values())
    assert operations > 48
    expect(page.locator(".opblock")).to_have_count(operations)
    # Tried out by cookie: what changes something carries the CSRF header by itself.
    verb = page.locator("#operations-groups-groups_create")
    verb.locator(".opblock-summary-control").click()
    verb.get_by_role("button", name="Try it out").click()
    verb.locator("textarea.body-param__text").fill('{"name": "Night"}')
    verb.get_by_role("button", name="Execute").click()
    expect(verb.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("201")
    assert scene.user.session_groups.get().name == "Night"

    def status() -> int:
        return page.request.get("/api/groups/", headers={"Authorization": f"Bearer {token}"}).status

    assert status() == 200
    page = me.goto("/accounts/tokens/")
    expect(page.get_by_text(token)).to_have_count(0)
    me.press("Revoke Shop")
    expect(page.get_by_text("“Shop” is revoked")).to_be_visible()
    assert status() == 401
