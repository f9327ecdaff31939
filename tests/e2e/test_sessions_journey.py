"""Sessions from sign-up to deletion, by hand, at a gateway that stands for WaSender itself; and somebody who sees none.

The account is no sandbox to Phonebank: its token is pasted in, and no webhook can arrive, so all is learned by asking.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from phonebank.accounts.models import User
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import BulkAction, GatewayAccount, SessionGroup, WaSenderSession
from tests.scenes.conftest import Scene

from .conftest import BROWSER, QUIET, Visitor

SETUP = QUIET | {"SIGNUP": "open", "DEFAULT_PLAN": "basic"}
pytestmark = [*BROWSER, pytest.mark.parametrize("scene", [SETUP], indirect=True, ids=[""])]

PASSWORD = "a long enough phrase"
ONE, TWO = ("Front desk", "+16465550101"), ("مكتب الاستقبال", "+16465550102")


def test_sessions_by_hand(scene: Scene, visit: Callable[[], Visitor]) -> None:
    User.objects.create_superuser("boss@shop.example", PASSWORD)  # without one, nobody signs up
    ana, ben = visit(), visit()
    sign_up(ana, "ana@shop.example")
    add_token(scene, ana)
    link(scene, ana, *ONE)
    link(scene, ana, *TWO)
    rename(ana)
    set_default(ana)
    group(ana)
    disconnect_both(scene, ana)
    sign_up(ben, "ben@other.example")
    nothing_for(scene, ben)
    delete(scene, ana)


def sign_up(me: Visitor, email: str) -> None:
    page = me.goto("/accounts/login/")
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label(re.compile("again", re.IGNORECASE)).fill(PASSWORD)
    me.press("Sign up")
    expect(page.get_by_role("heading", name="Connect your first number")).to_be_visible()


def add_token(scene: Scene, me: Visitor) -> None:
    page = me.page
    page.get_by_role("link", name="Add your gateway account").first.click()
    field = page.get_by_label("Personal access token")
    field.fill("1|" + "x" * 40)
    with me.expecting(422):
        me.press("Check and save")
        expect(page.get_by_text("The gateway does not accept this access token.")).to_be_visible()
    field.fill(DEFAULT_TOKEN)
    me.press("Check and save")
    expect(page.get_by_text(f"ends in {DEFAULT_TOKEN[-4:]}")).to_be_visible()
    assert DEFAULT_TOKEN not in page.content()
    account = GatewayAccount.objects.get()
    assert not account.is_sandbox and account.base_url == f"{scene.sandbox.url}/api"


def link(scene: Scene, me: Visitor, name: str, number: str) -> None:
    """The phone's own page scans; two pages of ours turn green by themselves."""
    page = me.goto("/whatsappapi/create-session/")
    page.get_by_label("Phone number").fill(number)
    page.get_by_label(re.compile("^Name")).fill(name)
    me.press("Create and show the code")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    dashboard = me.open(me.context)
    dashboard.goto("/whatsappapi/")
    card = dashboard.get_by_role("article", name=name)
    expect(card.locator(".light-red")).to_have_text("Needs a scan")
    for one in (page, dashboard):
        one.evaluate("window.here = true")
    phone = me.open(me.context)
    phone.goto(f"{scene.sandbox.url}/")
    phone.get_by_role("button", name="Scan with this phone").click()
    expect(page.get_by_role("heading", name="Linked")).to_be_visible()
    expect(card.locator(".light-green")).to_have_text("Connected")
    assert all(one.evaluate("window.here === true") for one in (page, dashboard)), "reloaded"
    for one in (dashboard, phone):
        one.close()


def rename(me: Visitor) -> None:
    page = me.page
    page.get_by_role("link", name="Settings").last.click()
    page.get_by_label("Name").fill(ONE[0].upper())
    with me.expecting(422):
        me.press("Save")
        expect(page.get_by_text("already")).to_be_visible()  # whatever its case
    page.get_by_label("Name").fill("Night desk")
    me.press("Save")
    expect(page.get_by_role("heading", name="Night desk")).to_be_visible()


def set_default(me: Visitor) -> None:
    page = me.goto("/whatsappapi/")
    old, new = (page.get_by_role("article", name=name) for name in (ONE[0], "Night desk"))
    expect(old.get_by_text("Default", exact=True)).to_be_visible()
    new.locator("summary").click()
    new.get_by_role("button", name="Set as default").click()
    expect(page.get_by_text("Night desk is the default now.")).to_be_visible()
    expect(new.get_by_text("Default", exact=True)).to_be_visible()
    expect(old.get_by_text("Default", exact=True)).to_have_count(0)


def group(me: Visitor) -> None:
    page = me.goto("/whatsappapi/groups/")
    page.get_by_label("Name").fill("Hotel")
    me.press("Create")
    page.get_by_label(ONE[0]).check()
    page.get_by_label("Night desk").check()
    me.press("Save")
    page = me.goto("/whatsappapi/")
    page.get_by_role("article", name=ONE[0]).get_by_role("link", name="Hotel").click()
    expect(page.get_by_role("heading", name="2 of your sessions")).to_be_visible()


def disconnect_both(scene: Scene, me: Visitor) -> None:
    page = me.goto("/whatsappapi/sessions/")
    page.get_by_role("checkbox", name="Select all on this page").check()
    page.get_by_role("button", name="Disconnect…").click()
    me.press("Disconnect 2 sessions")
    expect(page.get_by_role("heading", name="Finished")).to_be_visible()
    expect(page.get_by_text("of 2 done")).to_be_visible()
    assert {one["status"] for one in scene.sandbox.call("GET", "/sandbox/sessions")} == {"disconnected"}
    expect(me.goto("/whatsappapi/").locator(".light-red", has_text="Not connected")).to_have_count(2)


def nothing_for(scene: Scene, ben: Visitor) -> None:
    """By menu, by address, by the API, and by ids put into forms."""
    page = ben.page
    words = [ONE[0], "Night desk", "Hotel", "555-01", "555 01", scene.sandbox.url, DEFAULT_TOKEN[-4:]]
    for path in ("", "sessions/", "groups/", "gateway/", "create-session/", "send-campaign/", "../audit/"):
        content = ben.goto(f"/whatsappapi/{path}").locator("main").inner_text()
        assert not [word for word in words if word in content], path
    session, row = WaSenderSession.objects.first(), SessionGroup.objects.get()
    account, action = GatewayAccount.objects.get(), BulkAction.objects.get()
    own = f"/whatsappapi/sessions/{session.public_id}/"
    paths = [*(own + end for end in ("", "link/", "now/", "settings/", "key/", "history/", "gateway-log/", "delete/")),
             f"/whatsappapi/groups/{row.public_id}/", f"/whatsappapi/gateway/{account.public_id}/adopt/",
             f"/whatsappapi/gateway/{account.public_id}/", f"/whatsappapi/sessions/bulk/{action.public_id}/",
             f"/api/sessions/{session.public_id}/", f"/api/sessions/{session.public_id}/qr/"]  # fmt: skip
    with ben.expecting(404):
        for path in paths:
            assert page.goto(path).status == 404, path
    ben.goto("/whatsappapi/")
    assert api(page, "GET", "/api/sessions/")[1]["results"] == []
    for verb in ("connect", "disconnect", "set-default"):
        assert api(page, "POST", f"/api/sessions/{session.public_id}/{verb}/")[0] == 404
    wanted = {"account": str(account.public_id), "phone_number": "+16465550103", "name": "Mine"}
    assert api(page, "POST", "/api/sessions/", wanted)[0] in (400, 404)
    form = {"verb": "delete", "pick": str(session.public_id), "confirmed": "1", "typed": "1", "where": "here"}
    assert post(page, "/whatsappapi/sessions/bulk/", form) == 404
    assert WaSenderSession.objects.alive().count() == len(scene.sandbox.call("GET", "/sandbox/sessions")) == 2


def api(page: Page, method: str, path: str, data: dict[str, str] | None = None) -> tuple[int, dict]:
    answer = page.request.fetch(path, method=method, data=data or {} if method == "POST" else None,
                                headers={"X-CSRFToken": csrf(page)})  # fmt: skip
    return answer.status, answer.json()


def post(page: Page, path: str, form: dict[str, str]) -> int:
    return page.request.post(path, form=form, headers={"X-CSRFToken": csrf(page)}).status


def csrf(page: Page) -> str:
    return next(one["value"] for one in page.context.cookies() if one["name"] == "csrftoken")


def delete(scene: Scene, me: Visitor) -> None:
    page = me.goto("/whatsappapi/sessions/")
    page.get_by_role("link", name="Delete Night desk").click()
    expect(page.locator("main")).to_contain_text("Front desk becomes the default")
    page.get_by_label("Type Night desk to confirm").fill("night")
    with me.expecting(422):
        me.press("Delete this session")
        expect(page.get_by_text("Nothing was deleted.")).to_be_visible()
    page.get_by_label("Type Night desk to confirm").fill("night desk")
    me.press("Delete this session")
    expect(page.get_by_text("Front desk is your default session now")).to_be_visible()
    expect(page.get_by_text("1 of 3 sessions used")).to_be_visible()
    assert [one["phone_number"] for one in scene.sandbox.call("GET", "/sandbox/sessions")] == [ONE[1]]
    assert WaSenderSession.objects.alive().get().is_default
