"""The translators' files: what is compiled is what is written, and nothing that is filled in gets lost."""

from __future__ import annotations

import ast
import gettext
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import phonebank
from phonebank import language
from tests.i18n.catalogues import LANGUAGES, LOCALE, Entry, read

PLACE = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
PLURALS = {"es": 2, "pt_BR": 2, "ar": 6, "id": 1, "hi": 2}


@pytest.mark.parametrize("locale", LANGUAGES.values())
def test_what_is_compiled_is_what_is_written(locale: str) -> None:
    with (LOCALE / locale / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = {key: text for key, text in gettext.GNUTranslations(file)._catalog.items() if key}
    written: dict[object, str] = {}
    for entry in read(locale):
        if entry.is_fuzzy or not entry.texts.get(0):
            continue
        for n, text in entry.texts.items():
            written[entry.key if entry.many is None else (entry.key, n)] = text
    assert compiled == written


@pytest.mark.parametrize("locale", LANGUAGES.values())
def test_every_language_has_the_same_sentences(locale: str) -> None:
    assert [one.key for one in read(locale)] == [one.key for one in read("es")]


@pytest.mark.parametrize("locale", LANGUAGES.values())
def test_everything_is_translated(locale: str) -> None:
    assert [one.key for one in read(locale) if one.is_fuzzy or not all(one.texts.values()) or not one.texts] == []


@pytest.mark.parametrize("locale", LANGUAGES.values())
def test_a_translation_keeps_what_is_filled_in(locale: str) -> None:
    wrong = [one.one for one in read(locale) if any(not keeps(one, text) for text in one.texts.values() if text)]
    assert not wrong


def keeps(entry: Entry, text: str) -> bool:
    """A plural's form for one, two or none may leave its number out."""
    wanted, has = set(PLACE.findall(entry.many or entry.one)), set(PLACE.findall(text))
    return has <= wanted and (has == wanted or (entry.many is not None and len(wanted - has) == 1))


@pytest.mark.parametrize("locale", LANGUAGES.values())
def test_a_translation_keeps_the_markup(locale: str) -> None:
    tag = re.compile(r"</?[a-z][^>]*>")
    wrong = [
        one.one
        for one in read(locale)
        for text in one.texts.values()
        if text and sorted(tag.findall(text)) != sorted(tag.findall(one.many or one.one))
    ]
    assert not wrong


@pytest.mark.parametrize("locale", LANGUAGES.values())
def test_plurals_have_every_form_of_the_language(locale: str) -> None:
    for one in read(locale):
        if one.many is not None:
            assert not any(one.texts.values()) or set(one.texts) == set(range(PLURALS[locale])), one.one
            assert len({bool(text) for text in one.texts.values()}) == 1, one.one


def test_kept_sentences_are_known_wherever_they_are_read() -> None:
    """`stored` is called while modules are loaded: called later, `said` would not know the sentence."""
    importlib.import_module("phonebank.config.urls")
    importlib.import_module("phonebank.whatsappapi.templatetags.phonebank")
    root = Path(phonebank.__file__).parent
    found = []
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "stored":
                found += [one.value for one in node.args if isinstance(one, ast.Constant)]
    assert len(found) > 80
    missing = [one for one in found if "%(" in one and one not in language._PATTERNS]
    assert not missing
    known = {one.one for one in read("es")}
    assert not [one for one in found if one not in known]


def test_every_module_with_sentences_can_be_loaded() -> None:
    for one in pkgutil.walk_packages([str(Path(phonebank.__file__).parent / "whatsappapi")], "phonebank.whatsappapi."):
        if ".management." not in one.name:
            importlib.import_module(one.name)
