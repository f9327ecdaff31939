"""What the documentation site does to a page before it is rendered (mkdocs.yml)."""

from __future__ import annotations

import re
from typing import Any

_ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """A list may follow a line of text, as on repository hosts; this Markdown wants an empty line between."""
    out: list[str] = []
    inside = False
    for line in markdown.split("\n"):
        inside ^= line.lstrip().startswith("```")
        before = out[-1] if out else ""
        if (
            not inside
            and _ITEM.match(line)
            and before
            and not _ITEM.match(before)
            and not before.startswith((" ", "#"))
        ):
            out.append("")
        out.append(line)
    return "\n".join(out)
