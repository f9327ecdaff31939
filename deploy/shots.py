"""The pictures of README and documentation: `.venv/bin/python deploy/shots.py docs/images [name ...]`.

Starts everything on a throw-away database, does the main job, then visits the pages with Debian's Chromium. With names
only those pictures are kept; the way there is the same.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE = (1280, 800)
BODY = "Hi {{ name|there }}, from June we are open until 9 pm. Reply STOP and we will not write again."
PEOPLE = "phone,name,city\n" + "".join(
    f"+1617555{100 + i:04d},{name},Boston\n" for i, name in enumerate(["Ana", "Ben", "Cem"])
)
LARGEST = 200_000  # bytes; a page is read over slow lines too
PATIENCE = 60_000  # milliseconds


class Camera:
    """A logged-in browser, and the folder that its pictures go to."""

    def __init__(self, browser: Browser, web: str, sandbox: str, out: Path, wanted: set[str]) -> None:
        self.browser, self.web, self.sandbox, self.out, self.wanted = browser, web, sandbox, out, wanted
        self.page = self.context().new_page()

    def context(self, theme: str = "light") -> BrowserContext:
        made = self.browser.new_context(
            viewport={"width": WIDE[0], "height": WIDE[1]},
            color_scheme="dark" if theme == "dark" else "light",
            locale="en-US",
            reduced_motion="reduce",
            storage_state=self.page.context.storage_state() if hasattr(self, "page") else None,
        )
        made.set_default_timeout(PATIENCE)
        return made

    def goto(self, path: str) -> Page:
        self.page.goto(self.web + path)
        return self.page

    def shoot(self, name: str, page: Page | None = None, *, whole: bool = False, height: int = 0) -> None:
        """`whole`: on a screen as tall as the page, as the menu keeps to the screen. `height`: of a shorter one."""
        if self.wanted and name not in self.wanted:
            return
        page = page or self.page
        if whole:
            height = max(WIDE[1], page.evaluate("document.documentElement.scrollHeight"))
        if height:
            page.set_viewport_size({"width": WIDE[0], "height": height})
        page.evaluate("document.fonts.ready")
        path = self.out / f"{name}.png"
        page.screenshot(path=path)
        if height:
            page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        size = path.stat().st_size
        print(f"{path}  {size // 1000} KB")
        if size > LARGEST:
            raise SystemExit(f"{path} is larger than {LARGEST // 1000} KB.")

    def other(self, name: str, url: str, *, theme: str = "light", height: int = 0) -> None:
        """Another screen of the same person."""
        context = self.context(theme)
        page = context.new_page()
        page.goto(url)
        self.shoot(name, page, whole=not height, height=height)
        context.close()


def main(out: Path, wanted: set[str]) -> None:
    sys.path.insert(0, str(ROOT))
    os.environ |= {"DJANGO_SETTINGS_MODULE": "phonebank.config.settings", "LOG_LEVEL": "ERROR"}
    from phonebank.config.launch import throwaway

    with throwaway():
        import django

        django.setup()
        from phonebank.whatsappapi.management.stage import Stage, free_port

        place = Stage(free_port(), free_port())
        try:
            link = prepare(place)
            out.mkdir(parents=True, exist_ok=True)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
                take(Camera(browser, place.web, place.sandbox, out, wanted), link)
                browser.close()
        finally:
            place.group.stop()


def prepare(place: Any) -> str:
    """Everything running, the main job done, two people have answered. Returns a login link."""
    from django.core.management import call_command
    from rich.console import Console

    from phonebank.whatsappapi.management import journey, stage

    call_command("migrate", verbosity=0)
    place.start()
    user, sandbox = stage.demo_user(), journey.Sandbox(place.sandbox)
    _, linked = journey.main_job(Console(quiet=True), user, sandbox)
    for one, number, text in (
        (linked[0], "+12125550100", "Lovely, see you on Saturday!"),
        (linked[1], "+12125550101", "STOP"),
    ):
        sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/inbound", {"from": number, "text": text})
    return stage.doors(place.web, user)[0][1]


def take(camera: Camera, link: str) -> None:
    page = camera.page
    page.goto(link)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/whatsappapi/")
    answers(camera)
    people(camera)
    number(camera)
    campaign(camera)


def answers(camera: Camera) -> None:
    page = camera.goto("/whatsappapi/replies/")
    expect(page.locator("main")).to_contain_text("see you on Saturday")
    camera.shoot("replies", height=480)
    camera.goto("/whatsappapi/gateway/")
    camera.shoot("gateway", height=560)
    camera.other("phones", camera.sandbox + "/", height=700)


def people(camera: Camera) -> None:
    page = camera.goto("/whatsappapi/contacts/import/")
    page.get_by_label("List").fill("Regulars")
    page.locator("input[type=file]").set_input_files(
        files=[{"name": "regulars.csv", "mimeType": "text/csv", "buffer": PEOPLE.encode()}]
    )
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("main")).to_contain_text("How they agreed")
    camera.shoot("import", whole=True)


def number(camera: Camera) -> None:
    page = camera.goto("/whatsappapi/create-session/")
    page.get_by_label("Phone number").fill("+1 646 555 0104")
    page.get_by_label(re.compile("^Name")).fill("Front desk")
    page.get_by_role("button", name="Create and show the code").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    camera.shoot("create-session")


def campaign(camera: Camera) -> None:
    page = camera.goto("/whatsappapi/send-campaign/")
    page.get_by_label("Name").fill("Summer hours")
    page.get_by_role("button", name="New campaign").click()
    page.locator(".pick").first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Next: what it says").click()
    page.get_by_label("Message").fill(BODY)
    expect(page.locator("#preview .bubble")).to_contain_text("open until 9 pm")
    page.get_by_role("button", name="Next: who sends it").click()
    for name in ("Sales", "Support", "Shop"):
        page.locator(".pick", has_text=name).get_by_role("checkbox").check()
    camera.shoot("send-campaign", whole=True)
    page.get_by_role("button", name="Next: when").click()
    page.get_by_role("button", name="Next: review").click()
    start = page.get_by_role("button", name=re.compile("^Start"))
    expect(start).to_be_visible()
    camera.shoot("review", whole=True)
    start.click()
    expect(page.locator("#progress .counter")).to_have_text(re.compile(r"^1[1-9]\d$"), timeout=90_000)
    camera.shoot("campaign")
    camera.other("dashboard", camera.web + "/whatsappapi/")
    camera.other("dashboard-dark", camera.web + "/whatsappapi/", theme="dark")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), set(sys.argv[2:]))
