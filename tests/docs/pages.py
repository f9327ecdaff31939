"""What the documentation's pages hold: fenced blocks and code in the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
AROUND = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted([*DOCS.rglob("*.md"), *AROUND])
_FENCE = re.compile(r"^( *)```(.*)$")
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_BETWEEN = {"&&", "||", ";", "|", "&"}


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block. `info` is what stands behind its first backticks: a language, and perhaps a title."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def language(self) -> str:
        return self.info.split(" ")[0]

    @property
    def title(self) -> str:
        found = re.search(r'title="([^"]+)"', self.info)
        return found[1] if found else ""

    @property
    def is_live(self) -> bool:
        """Whether it asks a running installation: `test_examples.py` runs those, page by page."""
        return self.language == "sh" and bool(re.search(r"\b(curl|api|jq) ", self.text))

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences(page: Path) -> list[Fence]:
    found: list[Fence] = []
    begun: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        mark = _FENCE.match(line)
        if mark and begun is None:
            begun, lines = (number, mark[1], mark[2].strip()), []
        elif mark and begun is not None:
            found.append(Fence(page, begun[0], begun[2], "\n".join(lines) + "\n"))
            begun = None
        elif begun is not None:
            lines.append(line.removeprefix(begun[1]))
    assert begun is None, f"{page}:{begun}: a block without an end"
    return found


def inline(page: Path) -> list[str]:
    """Code in the text, line breaks taken out."""
    text, inside = [], False
    for line in page.read_text().splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            text.append(line)
    return [" ".join(one.split()) for one in _INLINE.findall("\n".join(text))]


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a piece of shell, as words; comments and redirections are left out."""
    lexer = shlex.shlex(text.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word in _BETWEEN:
            if words:
                yield words
            words = []
        else:
            words.append(word)


def without_comments(text: str) -> str:
    """Of a piece of shell without quotes over several lines."""
    return "\n".join(re.sub(r"(^|\s)#.*$", "", line) for line in text.splitlines())
