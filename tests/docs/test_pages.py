"""What the pages say about settings, addresses and words on the screen is there, and the other way round."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path

import pytest
import yaml

from phonebank.accounts.models import Plan
from phonebank.whatsappapi.models import AlertKind, Delivery
from phonebank.whatsappapi.models.messages import WORDS
from phonebank.whatsappapi.services.deliveries import compose
from phonebank.whatsappapi.services.optout_words import LANGUAGES
from tests.accounts.conftest import plans
from tests.api.conftest import Owner, make_owner, owner
from tests.docs.pages import DOCS, PAGES, ROOT, fences, inline
from tests.docs.test_examples import differences

__all__ = ["make_owner", "owner", "plans"]

SETTINGS = ROOT / "phonebank/config/settings.py"
# Read before there are settings: phonebank/config/launch.py and phonebank/embedded.
ELSEWHERE = {"PHONEBANK_DATA", "XDG_DATA_HOME"}
# Of other programs, or set by ourselves; in capitals and no setting.
NO_SETTING = {
    "DJANGO_SETTINGS_MODULE", "PHONEBANK_PARENT_FD", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "POSTGRES_PASSWORD",
    "KINDS_CASES", "AUDIT_CRAWL", "AUDIT_ATTACK",  # names of the code
}  # fmt: skip
GUIDES = [
    "start", "connect", "first-campaign", "consent", "sessions", "faq", "administration", "sharing", "alerts", "api",
    "operations", "audit",
]  # fmt: skip


def read_settings() -> set[str]:
    """Names that the settings take from the environment."""
    names = set()
    for node in ast.walk(ast.parse(SETTINGS.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of_env = isinstance(node.func.value, ast.Name) and node.func.value.id == "env"
            if of_env and node.args and isinstance(node.args[0], ast.Constant):
                names.add(node.args[0].value)
    return names


def test_every_setting_is_documented_and_every_documented_one_is_there() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "settings.md").read_text(), re.M))
    assert len(documented) > 25 and documented == read_settings() | ELSEWHERE


def test_files_of_the_deployment_set_nothing_unknown() -> None:
    """`.env.example`, units, Procfile, Compose file and proxies; and what they set, the settings page explains."""
    known = read_settings() | ELSEWHERE | {"POSTGRES_PASSWORD", "HOST", "PORT", "UPSTREAM"}  # the latter of a runner
    told = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    told += compose["x-phonebank"]["environment"]
    for path in (ROOT / "deploy").rglob("*"):
        if path.suffix == ".service" or path.name in {"Procfile", "Caddyfile", "compose.yaml"}:
            told += re.findall(r"\$\{?([A-Z_]{3,})|^Environment=([A-Z_]+)=| (LOG_FORMAT)=", path.read_text(), re.M)
    names = {name for one in told for name in ([one] if isinstance(one, str) else one) if name}
    assert len(names) > 12 and names - known == set()


def test_settings_named_anywhere_are_there() -> None:
    known = read_settings() | ELSEWHERE | NO_SETTING
    known |= {f"{name}_FILE" for name in read_settings()}
    wrong = []
    for page in PAGES:
        if page.parent.name == "adr":
            continue  # decisions tell of what was then
        words = [found[1] for text in inline(page) if (found := re.fullmatch(r"([A-Z]+(?:_[A-Z]+)+)(?:=.*)?", text))]
        for one in fences(page):
            if one.language == "sh":
                words += re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)=", one.text)
        wrong += [f"{page.name}: {word}" for word in words if word not in known and f"{word}=" not in _own(page)]
    assert wrong == []


def _own(page: Path) -> str:
    """What the page's own examples set."""
    text = "".join(one.text for one in fences(page) if one.is_live)
    return "" if page.name == "operations.md" else text


def test_every_page_is_in_the_menu_or_linked() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r": ([\w/-]+\.md)$", text, re.M))
    assert len(re.findall(r": ([\w/-]+\.md)$", text, re.M)) == len(listed), "a page twice in the menu"
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    decisions = {f"adr/{name}" for name in re.findall(r"\(adr/([\w-]+\.md)\)", (DOCS / "decisions.md").read_text())}
    assert there - decisions == listed
    assert decisions == {one for one in there if one.startswith("adr/")}


def test_pictures_are_there_used_and_small() -> None:
    text = "".join(page.read_text() for page in PAGES) + (ROOT / "mkdocs.yml").read_text()
    used = set(re.findall(r"images/([\w.-]+)", text))
    there = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert used - there.keys() == set()
    assert there.keys() - used == set()
    assert [name for name, size in there.items() if size > 200_000] == []


def test_nothing_is_loaded_from_elsewhere() -> None:
    """The site tells nobody who reads it; deploy/check_docs.py looks at what was built."""
    found = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert found["theme"]["font"] is False and "analytics" not in found["extra"] and "extra_javascript" not in found
    pictures = [one for page in PAGES for one in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text())]
    assert pictures and [one for one in pictures if "//" in one] == []


@pytest.mark.parametrize("name", GUIDES)
def test_words_on_the_screen_are_on_the_screen(name: str) -> None:
    """What a guide sets in italics is a button, a menu or a heading of ours, or of the phone and WaSender."""
    text = re.sub(r"```.*?```|`[^`]*`", "", (DOCS / f"{name}.md").read_text(), flags=re.S).replace("**", "")
    words = {" ".join(one.split()) for one in re.findall(r"(?<![*\w])\*([^*]+?)\*(?!\*)", text)}
    assert words and [word for word in sorted(words) if word.casefold() not in SCREEN] == []


def _screen() -> str:
    """All words of templates and code, in one line. Of template tags only the texts in quotes."""
    paths = [path for path in (ROOT / "phonebank").rglob("*") if path.suffix in (".html", ".py")]
    text = "\n".join(path.read_text() for path in paths if not {"vendor", "locale"} & set(path.parts))
    text = re.sub(r"\{%(.*?)%\}", lambda tag: " ".join(re.findall(r'"([^"]+)"', tag[1])), text)
    return " ".join(re.sub(r"<[^>]+>", "", text).replace("&amp;", "&").split()).casefold()


SCREEN = _screen()


def test_figures_of_the_guides_are_those_of_the_code(plans: None) -> None:
    said = [found for page in PAGES for found in re.findall(r"in any of (\d+)\s+languages", page.read_text())]
    assert set(said) == {str(len(LANGUAGES))} and len(said) > 1
    assert f"STOP is understood in {len(LANGUAGES)}." in (DOCS / "faq.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+) \| ([\d,]+|unlimited) \|$", (DOCS / "sessions.md").read_text(), re.M)
    told = {
        name: (int(most), None if daily == "unlimited" else int(daily.replace(",", ""))) for name, most, daily in rows
    }
    assert told == {one.name: (one.max_sessions, one.daily_limit) for one in Plan.objects.all()}
    text = (DOCS / "webhooks.md").read_text()
    assert [one for one in AlertKind.values if f"`{one}`" not in text] == []
    text = (DOCS / "api.md").read_text()
    assert [one for one in WORDS if f"`{one}`" not in text] == []


def test_figures_worth_an_alarm_are_exported() -> None:
    named = re.findall(r"`phonebank_(\w+)`", (DOCS / "operations.md").read_text())
    source = (ROOT / "phonebank/whatsappapi/services/metrics.py").read_text()
    assert len(named) > 4 and [name for name in named if f'"{name}"' not in source] == []


def test_the_repositorys_own_links_lead_somewhere() -> None:
    """Those of README and the files beside it, which are not in the site. `make docs` looks too."""
    looker = runpy.run_path(str(ROOT / "deploy/check_docs.py"))
    assert looker["look_around"](ROOT) == []


@pytest.mark.parametrize(
    "html, finding",
    [
        ('<a href="gone/">x</a>', "dead link gone/"),
        ('<a href="#gone">x</a>', "no such place: #gone"),
        ('<img src="gone.png">', "dead link gone.png"),
        ('<script src="https://cdn.example.org/a.js"></script>', "loaded from elsewhere"),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', "loaded from elsewhere"),
        ('<pre class="mermaid"></pre>', "makes the theme load from elsewhere"),
        ("<p>Text\n- a list that is none</p>", "not taken for a list"),
    ],
)
def test_what_is_wrong_in_the_site_is_noticed(html: str, finding: str, tmp_path: Path) -> None:
    look = runpy.run_path(str(ROOT / "deploy/check_docs.py"))["look"]
    page = tmp_path / "index.html"
    page.write_text('<h1 id="top">x</h1><a href="#top">x</a><a href="https://example.org/">x</a>')
    (tmp_path / "a.css").write_text("a { background: url(data:image/png;base64,AAAA) }")
    assert look(tmp_path) == []
    page.write_text(page.read_text() + html)
    [found] = look(tmp_path)
    assert finding in found
    page.unlink()
    (tmp_path / "a.css").write_text("@import '//fonts.example.org/a.css';")
    assert len(look(tmp_path)) == 1


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    looker = runpy.run_path(str(ROOT / "deploy/check_docs.py"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/there.md").write_text("# There\n## Two words\n")
    (tmp_path / "README.md").write_text(
        "[1](docs/there.md#two-words) [2](docs/gone.md) [3](docs/there.md#gone) `docs/lost.md` https://example.org/a.md"
    )
    found = looker["look_around"](tmp_path)
    assert [one.split(" ")[-1] for one in found] == ["docs/gone.md", "docs/there.md#gone", "docs/lost.md"]


def test_what_a_webhook_holds_is_what_is_documented(owner: Owner) -> None:
    [told] = [one for one in fences(DOCS / "webhooks.md") if one.title == "What is posted"]
    delivery = owner.alarmed(owner.session())["deliveries"]
    payload = compose(Delivery.objects.select_related("channel", "incident").get(pk=delivery.pk)).payload
    payload["data"]["kind"] = "scan"
    assert differences(json.loads(told.text), payload) == []
