"""A message's text as WhatsApp shows it."""

from __future__ import annotations

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_MONO = re.compile(r"```(.+?)```", re.S)
# A mark counts where it touches its words and nothing else does: 3*4*5 and snake_case stay as they are.
_MARKS = [
    (re.compile(rf"(?<![\w{sign}]){sign}(?=[^\s{sign}])([^\n{sign}]*[^\s{sign}]){sign}(?![\w{sign}])"), tag)
    for sign, tag in ((r"\*", "strong"), ("_", "em"), ("~", "s"))
]


@register.filter
def whatsapp(text: str) -> SafeString:
    """*bold*, _italic_, ~struck~ and ```mono``` as markup; everything else as it is, and never as markup."""
    parts = _MONO.split(str(text))
    shown = [f"<code>{escape(part)}</code>" if n % 2 else _marked(escape(part)) for n, part in enumerate(parts)]
    return mark_safe("".join(shown))  # nosec B308, B703 # noqa: S308 - each part is escaped above


def _marked(text: str) -> str:
    for pattern, tag in _MARKS:
        text = pattern.sub(rf"<{tag}>\1</{tag}>", text)
    return text
