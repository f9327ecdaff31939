"""A real Chromium before the real processes: what a person sees, and what the browser complains of.

`SHOTS=folder` keeps a picture of every page that is looked at.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connections
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from phonebank.accounts.models import OneTimeLink
from phonebank.accounts.services import make_link
from tests.scenes.conftest import Scene, scene

__all__ = ["scene"]

ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDE, PHONE = (1280, 800), (390, 844)
QUIET = {"LOG_LEVEL": "WARNING"}  # for the processes: what they log when all is well would bury a failure
SCREENS = [(size, theme) for size in (WIDE, PHONE) for theme in ("light", "dark")]
# Wide and light, narrow and dark: enough for the lesser pages.
CORNERS = [SCREENS[0], SCREENS[-1]]
BROWSER = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
# What every test of people before the real processes is marked with.
JOURNEY = [*BROWSER, pytest.mark.parametrize("scene", [QUIET], indirect=True, ids=[""])]
PATIENCE = 60_000  # milliseconds; two shared cores may be busy
# The policy's own reports, in case a browser should not write them to the console.
TELL_VIOLATIONS = """addEventListener("securitypolicyviolation",
  (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"""


class Visitor:
    """One person at one browser. Whatever it complains of is kept in `problems`."""

    def __init__(self, browser: Browser, base: str, problems: list[str]) -> None:
        self.browser, self.base, self.problems = browser, base, problems
        self.allowed: set[int] = set()
        self.context = self.screen(WIDE, "light")
        self.page = self.open(self.context)

    def screen(self, size: tuple[int, int], theme: str) -> BrowserContext:
        """Another screen of the same person."""
        context = self.browser.new_context(
            base_url=self.base,
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if theme == "dark" else "light",
            locale="en-US",
            timezone_id="America/New_York",
            reduced_motion="reduce",
            storage_state=self.context.storage_state() if hasattr(self, "context") else None,
        )
        context.set_default_timeout(PATIENCE)
        return context

    def open(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.add_init_script(TELL_VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("response", self._response)
        page.on("requestfailed", self._failed)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        # A failed load is judged by its response.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text} on {self.page.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.allowed:
            self.problems.append(f"{response.status} for {response.request.method} {response.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a poll that the next page overtook
            self.problems.append(f"{request.failure} for {request.url}")

    @contextmanager
    def expecting(self, *statuses: int) -> Iterator[None]:
        """These answers are right here."""
        self.allowed = set(statuses)
        yield
        self.allowed = set()

    def goto(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def use_link(self, url: str) -> None:
        """A one-time login link."""
        self.goto(url)
        self.press("Log in")
        self.page.wait_for_url("**/whatsappapi/")

    def log_in(self, scene: Scene) -> None:
        """As the scene's user."""
        self.use_link(f"/accounts/link/{make_link(purpose=OneTimeLink.Purpose.LOGIN, user=scene.user)}/")


@pytest.fixture(scope="package")
def browser(django_db_setup: None) -> Iterator[Browser]:
    path = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(path).exists():
        pytest.skip("no Chromium here: `apt-get install chromium` lets the browser journeys run")
    expect.set_options(timeout=PATIENCE)
    # Playwright's loop runs in this thread. Because of it Django would refuse the database, and look for another
    # connection than the one that set the test database up.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    outside = connections["default"]
    try:
        with sync_playwright() as playwright:
            connections["default"] = outside
            chromium = playwright.chromium.launch(executable_path=path, headless=True, args=ARGS)
            yield chromium
            chromium.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(browser: Browser, scene: Scene) -> Iterator[Callable[[], Visitor]]:
    """Makes visitors. The test fails on anything that one of their browsers complained of."""
    problems: list[str] = []
    visitors: list[Visitor] = []

    def make() -> Visitor:
        visitors.append(Visitor(browser, scene.web, problems))
        return visitors[-1]

    yield make
    for one in visitors:
        for context in one.browser.contexts:
            context.close()
    assert problems == []


def check_page(page: Page, name: str) -> list[str]:
    """What is wrong with the page for somebody with a screen reader, or with a narrow screen."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    wrong = [
        f"{name}: {one['id']} ({one['impact']}) at {[node['target'] for node in one['nodes']]}"
        for one in found.response["violations"]
    ]
    width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return wrong + ([f"{name}: {width} px wide on {window} px"] if width > window else [])


def look(
    me: Visitor,
    pages: dict[str, str],
    screens: list[tuple[tuple[int, int], str]] = SCREENS,
    *,
    then: Callable[[Page], None] = lambda page: None,
    note: str = "",
) -> list[str]:
    """Opens each page on each screen; returns what is wrong. `pages`: path -> words that show that it is the one meant.

    `then` is done on each page before it is judged.
    """
    wrong = []
    for size, theme in screens:
        context = me.screen(size, theme)
        page = me.open(context)
        for path, words in pages.items():
            page.goto(path)
            expect(page.locator("main")).to_contain_text(words)
            then(page)
            wrong += check_page(page, f"{path} at {size[0]} px, {theme} {note}".rstrip())
            shoot(page, f"{path}-{note}-{size[0]}-{theme}")
        context.close()
    return wrong


def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        name = re.sub(r"[^\w-]+", "-", re.sub(r"[0-9a-f-]{36}", "ID", name)).strip("-")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
