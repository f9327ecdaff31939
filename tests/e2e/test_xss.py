"""Hostile words in every text column, typed into forms and answered by the gateway, on every page of a real Chromium.

Nothing of them runs, loads, opens or breaks the policy, and each of them is there to be read. `--thorough` opens the
pages of every copy, so that each payload stands in each column of each page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.conf import settings as configured
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Error, Page, Request

from phonebank.accounts.models import OneTimeLink, User
from phonebank.config.headers import HEADERS
from phonebank.whatsappapi.models import (
    Approval,
    Attempt,
    Campaign,
    ContactImport,
    GatewayAccount,
    Installation,
    Message,
    PhoneLink,
    SessionShare,
)
from phonebank.whatsappapi.models.fields import digest
from phonebank.whatsappapi.views.wizard_pages import STEPS
from tests.e2e.conftest import BROWSER, Visitor
from tests.e2e.hostile import Canary, fill, listening
from tests.security.conftest import Owner, owner, plans
from tests.security.test_xss import APPS, ASKED, SKIPPED
from tests.security.world import WORDS, Route, furnish, routes
from tests.views.conftest import Desk

__all__ = ["owner", "plans"]
pytestmark = BROWSER

# There before any script of the page. An error on the console is a problem to a visitor, whoever wrote it.
TRAP = "window.xss = (n) => console.error(`payload ${n} ran`)"
# What the browser made of the page: markup that is not ours, and what can be read.
AUDIT = r"""() => {
  const bad = [], address = /^(href|src|action|formaction|data|xlink:href|hx-(get|post|put|patch|delete))$/;
  for (const one of document.querySelectorAll("*")) {
    if (/xss|^(iframe|object|embed|base|math|hx-partial)$/.test(one.localName)) bad.push(one.localName);
    if (one.matches("meta[http-equiv]")) bad.push("meta http-equiv");
    for (const { name, value } of one.attributes) {
      const plain = value.replace(/[\x00-\x20]/g, "");
      if (/^(on|hx-on|x-|@)|xss/.test(name)) bad.push(`${one.localName} ${name}`);
      if (address.test(name) && /^(javascript|vbscript|data:text)/i.test(plain)) bad.push(`${name}=${plain}`);
    }
  }
  const typed = [...document.querySelectorAll("input:not([type=hidden]), textarea, option")];
  return [bad, [document.title, document.body.innerText, ...typed.map((one) => one.value || one.text)].join("\n")];
}"""
# A fragment that was opened as if it were a page has no scripts.
POLLS = "'htmx' in window && document.querySelector('[hx-get][hx-trigger^=every]') !== null"
# What every poll of the page does when its time has come.
POLL = """async () => {
  for (const one of document.querySelectorAll("[hx-get][hx-trigger^=every]"))
    if (one.isConnected) await htmx.ajax("GET", one.getAttribute("hx-get"), { source: one });
}"""
# Every text field of the form with most of them, past the browser's own checks.
TYPE = """(words) => {
  const fields = (form) => [...form.querySelectorAll("textarea, input")].filter((one) =>
    one.matches("textarea, [type=text], [type=search], [type=url], [type=email], [type=tel], :not([type])"));
  const forms = [...document.querySelectorAll("main form[method=post]")];
  const form = forms.sort((a, b) => fields(b).length - fields(a).length)[0];
  fields(form).forEach((one, i) => { one.value = words[i % words.length]; });
  form.noValidate = true;
  form.requestSubmit(form.querySelector("[type=submit]:not([formaction])"));
  return fields(form).length;
}"""
TYPED = [
    "contacts/people/add/", "contacts/people/<uuid:public_id>/edit/", "contacts/import/<uuid:public_id>/",
    "create-session/", "sessions/<uuid:public_id>/settings/", "sessions/<uuid:public_id>/sharing/", "templates/add/",
    "session-templates/add/", "alerts/rules/add/", "groups/", "gateway/", "replies/<uuid:public_id>/",
    "send-campaign/<uuid:public_id>/<slug:step>/", "administration/plans/add/", "administration/announcements/",
    "administration/",
]  # fmt: skip


# Around every page: showing these alone proves nothing of it.
EVERYWHERE = {"Announcement.text", "Installation.stop_reason", "Installation.held_why", "Plan.name", "User.name"}
# Shown once, when it is made, or never.
SECRET = {
    "ApiAnswer.body", "Channel.secret", "Channel.address", "DigestKey.key", "GatewayAccount.token",
    "WaSenderSession.api_key", "WaSenderSession.webhook_secret", "WaSenderSession.webhook_token",
}  # fmt: skip


class Reader(Visitor):
    """An administrator, for whom every page is there. `seen`: page -> what could be read of it."""

    def __init__(self, browser: Browser, base: str, owner: Owner | None = None) -> None:
        self.seen: dict[str, str] = {}
        super().__init__(browser, base, [])
        self.allowed = {400, 403, 404, 409, 410, 422, 429, 502}
        if owner is not None:
            cookie = owner.client.cookies[configured.SESSION_COOKIE_NAME].value
            self.context.add_cookies([{"name": configured.SESSION_COOKIE_NAME, "value": cookie, "url": base}])

    def open(self, context: BrowserContext) -> Page:
        page = super().open(context)
        page.add_init_script(TRAP)
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        # No words are a date or a number: the browser leaves such a field empty, and says so.
        if "does not conform to the required format" not in message.text:
            super()._console(message)

    def _dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog {dialog.message} on {self.page.url}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.base}/", "data:image/")):
            self.problems.append(f"asked for {request.url} on {self.page.url}")

    def read(self, name: str) -> None:
        bad, text = self.page.evaluate(AUDIT)
        self.problems += [f"{one} on {name}" for one in bad]
        self.seen[name] = " ".join(text.split())

    def look(self, name: str, path: str, *, onward: bool = False) -> None:
        """Opens a page, whatever of it refreshes by itself, and the next one of a list. A download is no page."""
        try:
            answer = self.page.goto(path)
        except Error as error:
            assert "Download is starting" in str(error), (path, error)
            return
        if answer is None or not answer.headers.get("content-type", "").startswith("text/html"):
            return
        self.read(name)
        following = self.page.locator("a[rel=next]")
        next_one = following.first.evaluate("one => one.href") if onward and following.count() else None
        if self.page.evaluate(POLLS):
            self.page.evaluate(POLL)
            self.read(f"{name} (refreshed)")
        if next_one:
            self.page.goto(next_one)
            self.read(f"{name} (next)")


@pytest.fixture
def canary() -> Iterator[Canary]:
    with listening() as made:
        yield made


@pytest.fixture
def reader(browser: Browser, live_server: Any, owner: Owner, canary: Canary) -> Iterator[Reader]:
    User.objects.filter(pk=owner.user.pk).update(is_superuser=True, is_staff=True)
    cache.clear()
    with closing(Reader(browser, live_server.url, owner)) as made:
        yield made
    assert made.problems == [] and canary.asked == []


@contextmanager
def closing(reader: Reader) -> Iterator[Reader]:
    try:
        yield reader
    finally:
        for context in reader.browser.contexts:
            context.close()


@pytest.fixture
def things(owner: Owner, canary: Canary) -> dict[str, str]:
    """What addresses name. The one token that they know opens every kind of link."""
    made = furnish(owner)
    mark, later = digest(WORDS["str:token"]), timezone.now() + timedelta(days=1)
    scanned = owner.session("Scan", status="need_scan")
    PhoneLink.objects.create(session=scanned, digest=mark, expires_at=later)
    SessionShare.objects.filter(public_id=made["invitations"]).update(digest=mark, link_until=later)
    OneTimeLink.objects.create(digest=mark, purpose="invite", email="new@example.org", expires_at=later)
    return made


def another(owner: Owner, things: dict[str, str], n: int) -> dict[str, str]:
    """The same words, each naming the n-th of its kind instead, one's own if the first was."""
    kinds = [one for label in APPS for one in apps.get_app_config(label).get_models() if hasattr(one, "public_id")]
    found = {}
    for word, ref in things.items():
        kind = next(one for one in kinds if one.objects.filter(public_id=ref).exists())
        rows = kind.objects.order_by("pk")
        if getattr(rows.get(public_id=ref), "user_id", None) == owner.user.pk:
            rows = rows.filter(user=owner.user)
        ids = list(rows.values_list("public_id", flat=True))
        found[word] = str(ids[n % len(ids)])
    return found


def pages(client: Client, things: dict[str, str]) -> list[Route]:
    """What may be looked at: asked by a method that none takes, for then they tell which they do."""
    found = [(one, one.address(things)) for one in routes()]
    skipped = SKIPPED | {"/readyz"}  # no worker runs here: 503, and no page
    found = [(one, client.generic("PROPFIND", path).get("Allow", "GET")) for one, path in found if path not in skipped]
    return [one for one, methods in found if "GET" in methods]


def walk(reader: Reader, found: list[Route], named: dict[str, str], note: str = "") -> None:
    for route in found:
        reader.look(f"{route.path} {note}".rstrip(), route.address(named), onward=not note)
    for step in STEPS:
        reader.look(f"{step} {note}".rstrip(), f"/whatsappapi/send-campaign/{named['campaigns']}/{step}/")


def go_on(owner: Owner, things: dict[str, str]) -> None:
    """Things as they are later: begun, imported, refused, uncertain, switched off, restored from a backup."""
    now, campaign = timezone.now(), Campaign.objects.get(public_id=things["campaigns"])
    Campaign.objects.filter(pk=campaign.pk).update(state="running")
    ContactImport.objects.filter(public_id=things["imports"]).update(state="done", total=60, reported=54)
    Approval.objects.update(state="refused", decided_at=now)
    for message, attempt in zip(campaign.messages.all(), Attempt.objects.all(), strict=False):
        Attempt.objects.filter(pk=attempt.pk).update(message=message, session=message.session, outcome="unknown")
        Message.objects.filter(pk=message.pk).update(state="uncertain", attempt=attempt.pk)
    User.objects.exclude(pk=owner.user.pk).update(is_active=False)
    Installation.objects.update(held_at=now)


def test_what_is_stored_is_read_and_never_run(
    reader: Reader, owner: Owner, things: dict[str, str], canary: Canary, request: pytest.FixtureRequest
) -> None:
    words = canary.words
    Installation.objects.update(is_stopped=True)  # says why on every page
    lent = Desk("lends.more@example.org").session("Lent")
    SessionShare.objects.create(session=lent, user=owner.user, email=owner.user.email, accepted_at=timezone.now())
    fill(words, things)
    GatewayAccount.objects.update(base_url=f"http://{canary.host}/api")
    found = pages(owner.client, things)
    walk(reader, found, things)
    for path in (f"sessions/{lent.public_id}/", f"sessions/{lent.public_id}/leave/"):
        reader.look(path, f"/whatsappapi/{path}")
    found = [one for one in found if "<uuid:" in one.path]
    go_on(owner, things)
    walk(reader, found, things, "later")
    for path in ("status/restored/", "administration/approvals/"):
        reader.look(f"{path} later", f"/whatsappapi/{path}")
    for n in range(1, len(words.payloads) if request.config.getoption("--thorough") else 2):
        walk(reader, found, another(owner, things, n), str(n))
    read = "\n".join(reader.seen.values())
    shown = {name: {place for mark, place in words.places.items() if mark in one} for name, one in reader.seen.items()}
    own = [name for name, places in shown.items() if places - EVERYWHERE]
    places = set().union(*shown.values())
    assert len(own) > 150 and len(places) > 60, "the words must be on the pages, or nothing was tried"
    assert [one for one in words.payloads if " ".join(one.split()) not in read] == []
    assert places & SECRET == set()


def test_what_is_typed_is_read_and_never_run(
    reader: Reader, owner: Owner, things: dict[str, str], canary: Canary, settings: Any
) -> None:
    """In addresses, every parameter that any page reads; in forms that give mistakes back."""
    settings.WASENDER_URL = f"http://{canary.host}/api"
    payloads = canary.words.payloads
    for n, route in enumerate(pages(owner.client, things)):
        asked = {name: f"typed~{payloads[(n + i) % len(payloads)]}" for i, name in enumerate(ASKED)}
        path = f"{route.address(things)}?{urlencode(asked)}"
        if b"typed~" in owner.client.get(path).getvalue():  # the others are the pages that they always are
            reader.look(route.path, path)
    for n, path in enumerate(TYPED):
        route = next(one for one in routes() if one.path == f"whatsappapi/{path}")
        reader.page.goto(route.address(things))
        with reader.page.expect_navigation():
            assert reader.page.evaluate(TYPE, [f"typed~{one}" for one in payloads[n:]]), path
        reader.read(f"form {path}")
    shown = [name for name, text in reader.seen.items() if "typed~" in text]
    assert len(shown) > 20, "what was typed must be on the pages, or nothing was tried"
    assert len([one for one in shown if one.startswith("form ")]) > len(TYPED) // 2


def test_strangers_see_it_neither_run(
    browser: Browser, live_server: Any, owner: Owner, things: dict[str, str], canary: Canary
) -> None:
    """On the pages that need no login."""
    fill(canary.words, things)
    GatewayAccount.objects.update(base_url=f"http://{canary.host}/api")
    with closing(Reader(browser, live_server.url)) as stranger:
        for route in pages(Client(), things):
            if not getattr(route.callback, "login_required", True) and route.path != "metrics":
                stranger.look(route.path, route.address(things))
        shown = [name for name, text in stranger.seen.items() if any(mark in text for mark in canary.words.places)]
        assert "link/<str:token>/" in shown
    assert stranger.problems == [] and canary.asked == []


@pytest.mark.parametrize("policy", [True, False], ids=["policy", "none"])
def test_a_hole_would_be_found(
    browser: Browser, live_server: Any, owner: Owner, canary: Canary, settings: Any, monkeypatch: Any, policy: bool
) -> None:
    """Were templates to escape nothing, the policy would still stop it and tell; without it everything would run."""
    for text in (f"<img src=//{canary.host}/1>", "<img src=x onerror=alert(2)>", "<script>xss(3)</script>"):
        owner.session(text)
    monkeypatch.setattr("django.template.base.render_value_in_context", lambda value, context: str(value))
    if not policy:
        settings.CONTENT_SECURITY_POLICY = None
        monkeypatch.delitem(HEADERS, "Content-Security-Policy")  # of answers that bring none
    with closing(Reader(browser, live_server.url, owner)) as reader:
        reader.look("sessions", "/whatsappapi/sessions/")
    told = "\n".join(reader.problems)
    assert "img onerror on sessions" in told
    if policy:
        assert "policy: img-src" in told and "policy: script-src" in told
        assert "payload 3 ran" not in told and "dialog" not in told and canary.asked == []
    else:
        assert "payload 3 ran" in told and "dialog 2" in told and set(canary.asked) == {"/1"}
