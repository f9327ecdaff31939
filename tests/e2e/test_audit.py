"""The audit page in a real browser: wide and narrow, light and dark, for a person and for an administrator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page

from phonebank.accounts.models import User
from phonebank.audit import chain
from phonebank.audit.models import record
from phonebank.audit.origin import acting
from tests.audit.conftest import boss, desk, events, plans
from tests.e2e.conftest import BROWSER, Visitor, look
from tests.views.conftest import Desk

__all__ = ["boss", "desk", "plans"]

pytestmark = BROWSER


@pytest.fixture
def visitor(browser: Browser, live_server: Any, desk: Desk) -> Iterator[Visitor]:
    """The desk's user, logged in."""
    problems: list[str] = []
    made = Visitor(browser, live_server.url, problems)
    cookie = desk.client.cookies[settings.SESSION_COOKIE_NAME].value
    made.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": made.base}])
    yield made
    for context in browser.contexts:
        context.close()
    assert problems == []


def test_every_eye(visitor: Visitor, desk: Desk, boss: User) -> None:
    def unfold(page: Page) -> None:
        page.locator("summary", has_text="More").first.click()

    wrong = look(visitor, {"/audit/": "Nothing was done yet"}, note="empty")
    session = desk.session("حملة الربيع")
    events(desk.user, 60)
    changes = {"session_name": ("A name of quite some length, as they come " * 2, "حملة الربيع"), "limit": (None, 50)}
    with acting("page", address="2001:db8::1", request_id="0" * 32):
        record(actor=boss, verb="session.changed", target=session, changes=changes, why="x" * 200)
    chain.seal()
    wrong += look(visitor, {"/audit/": "changed the settings of"}, then=unfold)
    wrong += look(visitor, {"/audit/?how=api": ""})
    User.objects.filter(pk=desk.user.pk).update(is_superuser=True)
    wrong += look(visitor, {"/audit/?person=ana": ""})
    assert wrong == []
