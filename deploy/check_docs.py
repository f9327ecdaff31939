"""Looks through the built documentation site: `check_docs.py site`. Standard library only.

Every link and picture leads somewhere in it, to an anchor that is there; nothing is loaded from elsewhere; and no list
or table was left as plain text by the Markdown. So do the links of README and the files beside it, which are not in the
site, and the files that they name. Exits with 1 and a line for each finding.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_LOADED = {"canonical", "prev", "next"}  # kinds of <link>
# Makes the theme's script ask another host: it has no diagrams of its own, and no counts of stars.
CALLS = re.compile(r"""class="(?:[^"]* )?mermaid[ "]|data-md-component="source\"""")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"(?<![\w/.-])((?:docs|tests|deploy|assets|bench|phonebank)/[\w./-]+\.(?:md|py|yaml|json|css))\b")
RAW = re.compile(r"(?:^|\n)(?:[-*] |\d+\. |\| ?\S)")  # how a list or a table begins that was not taken for one


class Page(HTMLParser):
    """What a page links to, what it loads, its anchors, and text that should have become something else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.raw: list[str] = []
        self._paragraph: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in LOADS and given.get(LOADS[tag]) and not NOT_LOADED & set(given.get("rel", "").split()):
            self.loads.append(given[LOADS[tag]])
        if tag == "p":
            self._paragraph = ""

    def handle_data(self, data: str) -> None:
        if self._paragraph is not None:
            self._paragraph += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self._paragraph is not None:
            if RAW.search(self._paragraph):
                self.raw.append(self._paragraph.strip()[:80])
            self._paragraph = None


def look(site: Path) -> list[str]:
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(site)
        wrong += [f"{name}: not taken for a list or a table: {text!r}" for text in page.raw]
        wrong += [f"{name}: loaded from elsewhere: {url}" for url in page.loads if _is_outside(url)]
        wrong += [f"{name}: makes the theme load from elsewhere: {one}" for one in CALLS.findall(path.read_text())]
        for url in {*page.links, *page.loads}:
            if not _is_outside(url) and (problem := _dead(site, path, url, pages)):
                wrong.append(f"{name}: {problem}")
    for path in site.rglob("*.css"):
        wrong += [
            f"{path.relative_to(site)}: loads {url}"
            for url in re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)]+)", path.read_text())
        ]
    return wrong


def look_around(root: Path) -> list[str]:
    """The Markdown files at the top of the checkout: their links, and the files they name."""
    wrong = []
    for page in sorted(root.glob("*.md")):
        text = page.read_text()
        for url in LINK.findall(text):
            place, _, anchor = url.partition("#")
            target = root / place if place else page
            if _is_outside(url):
                continue
            if not target.exists() or (anchor and anchor not in _anchors(target.read_text())):
                wrong.append(f"{page.name}: dead link {url}")
        wrong += [
            f"{page.name}: no such file: {name}"
            for name in NAMED.findall(LINK.sub("", text))
            if not (root / name).exists()
        ]
    return wrong


def _anchors(markdown: str) -> set[str]:
    """Of its headings, as repository hosts make them."""
    heads = re.findall(r"^#+ (.+?)\s*$", markdown, re.M)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def _is_outside(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.scheme or parts.netloc) and parts.scheme != "data"


def _dead(site: Path, path: Path, url: str, pages: dict[Path, Page]) -> str:
    """What is wrong with a link inside the site; nothing when it is right."""
    parts = urlsplit(url)
    if parts.scheme == "data":
        return ""
    place = unquote(parts.path)
    base = site if place.startswith("/") else path.parent  # 404.html is shown at any address
    target = (base / place.lstrip("/")).resolve() if place else path.resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_relative_to(site.resolve()) or not target.exists():
        return f"dead link {url}"
    anchors = {known.resolve(): page.anchors for known, page in pages.items()}.get(target)
    if parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors:
        return f"no such place: {url}"
    return ""


if __name__ == "__main__":
    found = look(Path(sys.argv[1])) + look_around(Path(__file__).resolve().parents[1])
    print("\n".join(found) or f"{sum(1 for _ in Path(sys.argv[1]).rglob('*.html'))} pages, no dead link.")
    sys.exit(1 if found else 0)
