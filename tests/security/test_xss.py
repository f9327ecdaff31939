"""Hostile words in every text column and every field of every form, and every page that may show them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models, transaction
from django.test import Client

from phonebank.accounts.models import User
from tests.security.conftest import Owner
from tests.security.world import furnish, routes

# They end whatever they may stand in: an attribute, a text, a title, a script. The first that fits is taken.
MARKUP = ["'\"></textarea></title></script><xss-canary onxss=1>", "'\"><xss-canary>"]
ADDRESS = "javascript:xss()"
# Words of ours, not of anybody's: what the code compares them with breaks it, and shows nothing.
OURS = re.compile(r"digest|hash|password|locale|time_zone|slug|encoding|delimiter|country|mime|reason_code|request$")
APPS = ("whatsappapi", "accounts", "account")
SKIPPED = {"/accounts/logout/", "/accounts/language/"}


class Page(HTMLParser):
    """What a browser makes of a page: hostile tags, attributes and addresses, and the forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.forms: list[tuple[str, str, dict[str, str]]] = []
        self.select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "xss-canary":
            self.bad.append(f"<{tag}>")
        for name, value in named.items():
            if name.startswith("on") or name == "style" or "xss-canary" in name:
                self.bad.append(f"{tag} {name}")
            if name in ("href", "src", "action", "formaction", "hx-get", "hx-post", "data") and is_script(value):
                self.bad.append(f"{tag} {name}={value[:40]}")
        self._form(tag, named)

    def _form(self, tag: str, named: dict[str, str]) -> None:
        if tag == "form":
            self.forms.append((named.get("method", "get").lower(), named.get("action", ""), {}))
        if not self.forms:
            return
        fields = self.forms[-1][2]
        name = named.get("name", "")
        if tag == "select":
            self.select = name
        elif tag == "option" and (self.select not in fields or "selected" in named):
            fields[self.select] = named.get("value", "")
        elif name and tag == "textarea":
            fields[name] = "?"
        elif name and tag in ("input", "button"):
            kind = named.get("type", "text")
            if kind in ("hidden", "radio", "checkbox", "submit", "number", "date", "datetime-local", "time", "color"):
                fields.setdefault(name, named.get("value", ""))
            else:
                fields[name] = f"?{kind}" if kind == "file" else "?"


def is_script(value: str) -> bool:
    """As browsers read an address: without spaces and control characters before the scheme."""
    return re.sub(r"[\x00-\x20]", "", value).lower().startswith(("javascript:", "vbscript:", "data:text/html"))


def poison() -> set[str]:
    """Puts them into every text column of every row. Returns the tables that refuse any change."""
    refused = set()
    for label in APPS:
        for model in apps.get_app_config(label).get_models():
            fields = [one for one in model._meta.concrete_fields if _takes(one)]
            for n, row in enumerate(model.objects.order_by("pk")):
                new = {one.name: text for one in fields if (text := _fit(one, n, getattr(row, one.name)))}
                try:
                    with transaction.atomic():
                        model.objects.filter(pk=row.pk).update(**new) if new else None
                except Exception as error:
                    assert "append" in str(error) or "constraint" in str(error), (model, error)
                    refused.add(model.__name__)
    return refused


def _takes(field: models.Field) -> bool:
    is_text = isinstance(field, models.CharField | models.TextField | models.JSONField)
    return is_text and not field.choices and not OURS.search(field.name) and not field.primary_key


def _fit(field: models.Field, n: int, now: Any) -> Any:
    """A value that the column takes. Phone numbers keep their form: nothing else is ever stored there."""
    if field.name in ("phone", "phone_number", "lid", "email", "key_id", "public_id", "wasender_id"):
        return None
    if isinstance(field, models.JSONField):
        return _deep(MARKUP[0], now) if now else None
    if re.search("url|address", field.name):
        return ADDRESS
    room = field.max_length or 500
    text = next((one for one in MARKUP if len(one) + 3 <= room), "")
    return f"{n}{text}" if text else None


def _deep(text: str, value: Any) -> Any:
    """The same shape, with every word replaced."""
    if isinstance(value, dict):
        return {name: _deep(text, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_deep(text, one) for one in value]
    return text if isinstance(value, str) and not value.startswith("+") else value


@pytest.fixture
def client(owner: Owner) -> Client:
    """An administrator's, for whom every page is there."""
    User.objects.filter(pk=owner.user.pk).update(is_superuser=True, is_staff=True)
    return owner.client


def test_what_is_stored_or_typed_is_text_on_every_page(owner: Owner, client: Client) -> None:
    """Each page; then each form of them, every text field hostile: its answer, and the page that it leads to."""
    things = furnish(owner)
    assert poison() <= {"ConsentRecord"}
    bad, markup, addresses = {}, 0, 0
    forms: dict[Any, tuple[str, str, dict[str, str]]] = {}
    for route in routes():
        path = route.address(things)
        answer = client.get(path)
        if answer.streaming or not answer.get("Content-Type", "").startswith("text/html"):
            continue
        markup += answer.text.count("&lt;xss-canary")
        addresses += answer.text.count(ADDRESS)
        page = Page(answer.text)
        if page.bad:
            bad[route.path] = page.bad
        for method, action, fields in page.forms:
            target = (action or path).split("#")[0]
            if target not in SKIPPED and any(one.startswith("?") for one in fields.values()):
                forms[method, target.split("?")[0], tuple(sorted(fields))] = (method, target, fields)
    assert bad == {}
    assert markup > 60 and addresses > 1, "the words must be on the pages, or nothing was tried"
    assert len(forms) > 40
    assert {key: found for key, form in forms.items() if (found := answered(client, *form))} == {}


def answered(client: Client, method: str, target: str, fields: dict[str, str]) -> list[str]:
    """What is wrong with the answer to a form that was filled in by an enemy."""
    data: dict[str, Any] = {name: MARKUP[0] if value == "?" else value for name, value in fields.items()}
    for name, value in fields.items():
        if value == "?file":
            data[name] = SimpleUploadedFile(f"{MARKUP[1]}.csv", f"phone,{MARKUP[0]}\n+12125550150,x\n".encode())
    if method == "post":
        answer = client.post(target, data, follow=True)
    else:
        answer = client.get(f"{target.split('?')[0]}?{urlencode(data)}")
    assert answer.status_code != 500
    is_page = not answer.streaming and answer.get("Content-Type", "").startswith("text/html")
    return Page(answer.text).bad if is_page else []


ASKED = ["q", "state", "reason", "sort", "status", "group", "of", "range", "from", "to", "look", "plan", "after", "tab",
         "before", "next", "word", "verb", "since", "watch", "what", "cursor", "who", "area", "day", "list", "session",
         "page", "column", "step", "kind", "name", "body"]  # fmt: skip


def test_what_an_address_asks_is_text(owner: Owner, client: Client) -> None:
    """Every parameter that any page reads, on all of them; to htmx too."""
    things = furnish(owner)
    query = urlencode(dict.fromkeys(ASKED, MARKUP[0]))
    bad = {}
    for route in routes():
        for headers in ({}, {"HX-Request": "true"}):
            answer = client.get(f"{route.address(things)}?{query}", headers=headers)
            assert answer.status_code != 500, route.path
            if answer.streaming or not answer.get("Content-Type", "").startswith("text/html") or not answer.text:
                break
            if found := Page(answer.text).bad:
                bad[route.path] = found
            if "hx-get" not in answer.text:
                break
    assert bad == {}


def test_the_parser_finds_what_it_is_to_find() -> None:
    page = "<p title=''\"><xss-canary onxss=1></p><a href=' java\nscript:xss()'>x</a><b style='x' onclick=y>"
    assert len(Page(page).bad) == 5
    assert (
        Page("<p title=\"&lt;xss-canary&gt;\">&lt;xss-canary onxss=1&gt;</p><a href='/x?y=javascript:xss'></a>").bad
        == []
    )
