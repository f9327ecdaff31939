"""Figures, dates and directions on the pages of languages that write them in another way than programs do."""

from __future__ import annotations

import calendar
import gettext
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import django
import pytest
from django.utils import dates, translation

from tests.i18n.catalogues import LANGUAGES
from tests.i18n.test_pages import pages
from tests.views.conftest import Desk

# What programs read: a comma for a point, or a grouped thousand, would be another figure or none.
NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)(e-?\d+)?")
FOREIGN = re.compile(r"\d[\u00a0\u202f\u066b\u066c]\d|[\u0660-\u0669\u0966-\u096f]")
SHAPES = {
    "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "dx", "dy", "stroke-width",
    "offset", "opacity", "aria-valuenow", "aria-valuemin", "aria-valuemax", "maxlength", "minlength", "size", "rows",
    "cols", "colspan", "rowspan", "tabindex", "min", "max", "step", "low", "high", "optimum",
}  # fmt: skip
GAUGES = {"progress", "meter", "li"}


class Numbers(HTMLParser):
    """Collects what attributes and blocks of JSON hold that no program can read as a number."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.wrong: list[str] = []
        self.script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.script = "" if tag == "script" and values.get("type") == "application/json" else None
        for name, value in values.items():
            self.seen += name in SHAPES or name in {"points", "viewbox", "d"}
            if not self.is_readable(tag, name, value, values.get("type", "")):
                self.wrong.append(f'<{tag} {name}="{value}">')

    def is_readable(self, tag: str, name: str, value: str, kind: str) -> bool:
        """`kind`: the type of an input."""
        if name in SHAPES and value:
            if kind in {"date", "time", "datetime-local", "month"} or value in {"any", "auto"}:
                return True
            return NUMBER.fullmatch(value.removesuffix("%").removesuffix("px")) is not None
        if name == "viewbox":
            return len(value.split()) == 4 and all(NUMBER.fullmatch(one) for one in value.split())
        if name == "points":
            pairs = [one.split(",") for one in value.split()]
            return all(len(pair) in (1, 2) and all(map(NUMBER.fullmatch, pair)) for pair in pairs)
        if name in {"d", "transform"}:
            return not re.search(r"\d,\d+,\d", value) and not re.search(r"[^\x00-\x7f]", value)
        if name == "value" and (tag in GAUGES or kind in {"number", "range"}):
            return not value or NUMBER.fullmatch(value) is not None
        if name.startswith(("data-", "hx-")) and re.search(r"\d", value):
            return "label" in name or not FOREIGN.search(value)
        return True

    def handle_data(self, data: str) -> None:
        if self.script is not None:
            self.script += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self.script is not None:
            try:
                json.loads(self.script)
            except ValueError:
                self.wrong.append(f"<script>{self.script[:80]}")
            self.script = None


def unreadable(html: str) -> Numbers:
    reader = Numbers()
    reader.feed(html)
    reader.close()
    return reader


@pytest.mark.parametrize("locale", ["es", "ar"])
@pytest.mark.django_db
def test_what_programs_read_has_programs_figures(make_desk: Callable[[str], Desk], locale: str) -> None:
    desk = make_desk("ana@example.org")
    desk.user.locale = locale
    desk.user.save()
    found: dict[str, list[str]] = {}
    seen = 0
    for address, html in pages(desk):
        page = unreadable(html)
        seen += page.seen
        if page.wrong:
            found[address] = page.wrong
    assert not found, "\n".join(f"{address}: {wrong}" for address, wrong in found.items())
    assert seen > 1000


@pytest.mark.parametrize(
    "html",
    [
        '<rect x="0,5">', '<rect width="1.234,5">', '<svg viewBox="0 0 1.000 1,5">', '<circle cx="1\u00a0234">',
        '<progress value="0,5" max="1"></progress>', '<input type="number" value="1.234,5">',
        '<polyline points="0,5,1 2,5,3">', '<b data-room="1\u00a0234">', '<path d="M0,5,1">',
        '<script type="application/json">{"a": 0,5}</script>',
    ],
)  # fmt: skip
def test_a_figure_in_a_readers_way_is_found_where_programs_read(html: str) -> None:
    assert unreadable(html).wrong


@pytest.mark.parametrize("locale", sorted(LANGUAGES))
def test_months_keep_their_names(locale: str) -> None:
    """A word of ours that happens to be written like a month would take its place: "May", what a token may."""
    folder = Path(django.__file__).parent / "conf" / "locale" / LANGUAGES[locale] / "LC_MESSAGES"
    with (folder / "django.mo").open("rb") as file:
        django_knows = gettext.GNUTranslations(file).gettext
    with translation.override(locale):
        shown = [str(one) for one in dates.MONTHS.values()]
    assert shown == [django_knows(month) for month in calendar.month_name[1:]]


@pytest.mark.django_db
def test_what_is_no_sentence_runs_from_left_to_right(make_desk: Callable[[str], Desk]) -> None:
    desk = make_desk("ana@example.org")
    desk.user.locale = "ar"
    desk.user.save()
    for address, name in [
        ("/whatsappapi/create-session/", "phone_number"),
        ("/whatsappapi/contacts/people/add/", "phone"),
        ("/accounts/password/", "password"),
    ]:
        page = desk.client.get(address).text
        fields = [one for one in re.findall(r"<input[^>]*>", page) if re.search(rf'name="[^"]*{name}', one)]
        assert fields, address
        assert all('dir="ltr"' in one for one in fields), fields
