"""Every word that a template shows can be translated: it stands in a translation tag, or in the list of exceptions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.template.base import Lexer, Token, TokenType
from django.template.loader import get_template
from django.utils import translation

PACKAGE = Path(__file__).parents[2] / "phonebank"
# The sandbox's page is a developer's tool and stays English.
TEMPLATES = sorted(
    path
    for path in PACKAGE.rglob("templates/**/*")
    if path.suffix in {".html", ".txt"} and PACKAGE / "sandbox" not in path.parents
)
# Names, and words that are the same everywhere.
NAMES = re.compile(r"\b(Phonebank|WhatsApp|WaSender|CSV|XLSX|HTTP)\b")
WORD = re.compile(r"[^\W\d_]{2,}")
SHOWN = {"alt", "aria-description", "aria-label", "aria-roledescription", "data-label", "label", "placeholder", "title"}
# What stands in these is code, or a file as it has to look.
CODE = {"code", "pre", "script", "style"}
# Tags of ours whose literal arguments are shown, and filters that show theirs.
LITERAL = re.compile(r'(?<!_\()(?<![=\w])"([^"]*)"')
LABELS = re.compile(r'\b(?:adopted|label|placeholder)="([^"]+)"')
FALLBACK = re.compile(r'\|(?:default|default_if_none|yesno|pluralize):"([^"]*)"')


class Shown(HTMLParser):
    """Collects the words of text and of attributes that are read out or shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self.code = 0

    def note(self, text: str) -> None:
        if WORD.search(NAMES.sub("", text)):
            self.found.append((self.getpos()[0], " ".join(text.split())))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.code += tag in CODE
        for name, value in attrs:
            if value and (name in SHOWN or (name == "content" and ("name", "description") in attrs)):
                self.note(value)

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in CODE

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.note(data)


def english(source: str) -> list[tuple[int, str]]:
    """Line and text of each piece of visible English that is not marked for translation."""
    shown = Shown()
    shown.feed("".join(_plain(source)))
    shown.close()
    found = shown.found
    for token in Lexer(source).tokenize():
        found += [(token.lineno or 0, text) for text in _arguments(token) if WORD.search(NAMES.sub("", text))]
    return sorted(found)


def _plain(source: str) -> Iterator[str]:
    """The source without tags of the template language and without what they translate, line by line as it was."""
    inside = False
    for token in Lexer(source).tokenize():
        word = token.contents.split(maxsplit=1)[0] if token.token_type == TokenType.BLOCK else ""
        if word in {"blocktranslate", "comment"}:
            inside = True
        yield token.contents if token.token_type == TokenType.TEXT and not inside else "\n" * token.contents.count("\n")
        if word in {"endblocktranslate", "endcomment"}:
            inside = False


def _arguments(token: Token) -> list[str]:
    if token.token_type not in {TokenType.BLOCK, TokenType.VAR}:
        return []
    found = [text for text in FALLBACK.findall(token.contents) if WORD.search(text)]
    if "|pluralize" in token.contents:
        found.append(f"{token.contents}: put the whole sentence into blocktranslate count")
    word = token.contents.split(maxsplit=1)[0]
    if word in {"field", "include"}:
        found += LABELS.findall(token.contents)
    elif word == "bar":
        found += LITERAL.findall(token.contents)
    return found


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path).split("/templates/", 1)[1])
def test_no_word_is_left_untranslated(path: Path) -> None:
    assert english(path.read_text()) == []


def test_the_templates_are_found() -> None:
    names = {path.name for path in TEMPLATES}
    assert len(TEMPLATES) > 130
    assert {"dashboard.html", "login.html", "log.html", "404.html", "digest.txt"} <= names


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('{% if x %}<b title="All of it">{{ x }}</b>{% endif %}', ["All of it"]),
        ('<p>{% translate "Hello" %} there</p>', ["there"]),
        ("{% blocktranslate %}Hello{% endblocktranslate %}, you", [", you"]),
        ('{{ name|default:"Nobody" }}', ["Nobody"]),
        ('{% field form.name label="Name" %}', ["Name"]),
        ('{% bar 1 2 "Used" %}', ["Used"]),
        ("مرحبا", ["مرحبا"]),
    ],
)
def test_a_word_that_was_forgotten_is_found(source: str, words: list[str]) -> None:
    assert [text for _, text in english(source)] == words


def test_a_plural_made_of_an_ending_is_found() -> None:
    assert len(english("{{ n }}{{ n|pluralize }}")) == 1
    assert len(english('{{ n }} {{ n|pluralize:"person,people" }}')) == 2


@pytest.mark.parametrize(
    "source",
    [
        '<p title="{% translate "All of it" %}">{% blocktranslate with n=1 %}{{ n }} people{% endblocktranslate %}</p>',
        '<p>{{ n }} %, 12:00 · Phonebank <code>phonebank check</code></p><pre>name,city</pre><input name="first">',
        '{% bar 1 2 _("Used") %}{% field form.name label=_("Name") %}{{ name|default:_("Nobody") }}{# a remark #}',
    ],
)
def test_what_is_marked_or_no_word_is_left_alone(source: str) -> None:
    assert english(source) == []


@pytest.mark.parametrize("name", ["base_entrance.html", "base_error.html", "base_link.html"])
@pytest.mark.parametrize(
    ("language", "tag"), [("en", '<html lang="en"'), ("es", '<html lang="es"'), ("ar", '<html lang="ar" dir="rtl"')]
)
def test_a_page_names_its_language_and_direction(name: str, language: str, tag: str) -> None:
    with translation.override(language):
        page = get_template(f"whatsappapi/{name}").render({})
    assert f"{tag}>" in page


def test_every_whole_page_names_its_language() -> None:
    # The description of the API is written in English, on whatever page it stands.
    whole = [path for path in TEMPLATES if "<html" in path.read_text() and path.name != "api_docs.html"]
    assert len(whole) >= 5
    assert [path.name for path in whole if "LANGUAGE_CODE" not in path.read_text()] == []
    assert [path.name for path in whole if "LANGUAGE_BIDI" not in path.read_text()] == []
