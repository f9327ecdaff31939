"""The pictures of README and docs, taken from a fresh demo: `python assets/screenshots.py BASE LINK OUT`.

BASE and LINK (the demo user's) are what `make run` prints. A session and a campaign are made on the way, so let it run
on a data folder of its own: `PHONEBANK_DATA=/var/lib/phonebank/pictures make run`.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
WIDE, PHONE = (1280, 800), (390, 844)
BODY = "Hi {{ name|there }}, from June we are open until 9 pm. Reply STOP and we will not write again."
LARGEST = 200_000  # bytes; a README is read over slow lines too


class Camera:
    """A logged-in browser, and the folder that its pictures go to."""

    def __init__(self, browser: Browser, base: str, out: Path) -> None:
        self.browser, self.base, self.out = browser, base.rstrip("/"), out
        self.page = self.context().new_page()

    def context(self, size: tuple[int, int] = WIDE, theme: str = "light") -> BrowserContext:
        state = self.page.context.storage_state() if hasattr(self, "page") else None
        made = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if theme == "dark" else "light",
            device_scale_factor=2 if size == PHONE else 1,
            locale="en-US",
            reduced_motion="reduce",
            storage_state=state,
        )
        made.set_default_timeout(30_000)
        return made

    def shoot(self, name: str, page: Page | None = None, *, whole: bool = False) -> None:
        """`whole`: on a screen as tall as the page, as the menu keeps to the screen."""
        page = page or self.page
        if whole:
            height = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": WIDE[0], "height": max(WIDE[1], height)})
        page.evaluate("document.fonts.ready")
        path = self.out / f"{name}.png"
        page.screenshot(path=path)
        if whole:
            page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        size = path.stat().st_size
        print(f"{path}  {size // 1000} KB")
        if size > LARGEST:
            raise SystemExit(f"{path} is larger than {LARGEST // 1000} KB.")

    def other(self, name: str, path: str, size: tuple[int, int] = WIDE, theme: str = "light") -> None:
        """The same person's page on another screen."""
        context = self.context(size, theme)
        page = context.new_page()
        page.goto(self.base + path)
        self.shoot(name, page, whole=size == WIDE)
        context.close()


def main(base: str, link: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        camera = Camera(browser, base, out)
        take(camera, link)
        browser.close()


def take(camera: Camera, link: str) -> None:
    page = camera.page
    page.goto(camera.base + "/accounts/login/")
    camera.shoot("login")
    page.goto(link)
    page.get_by_role("button", name="Log in").click()

    page.goto(camera.base + "/whatsappapi/create-session/")
    page.get_by_label("Phone number").fill("+1 646 555 0104")
    page.get_by_label(re.compile("^Name")).fill("Front desk")
    page.get_by_role("button", name="Create and show the code").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    camera.shoot("create-session")

    page.goto(camera.base + "/whatsappapi/send-campaign/")
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
    camera.shoot("review", whole=True)
    page.get_by_role("button", name=re.compile("^Start")).click()

    done = page.locator("#progress .counter")
    expect(done).to_have_text(re.compile(r"^1[1-9]\d$"), timeout=90_000)
    camera.shoot("campaign")
    path = page.url.removeprefix(camera.base)
    camera.other("campaign-phone", path, PHONE)
    camera.other("dashboard", "/whatsappapi/")
    camera.other("dashboard-dark", "/whatsappapi/", theme="dark")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
