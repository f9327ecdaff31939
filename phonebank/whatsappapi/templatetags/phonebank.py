"""Icons, form fields and bars: the small parts that every page is made of."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import phonenumbers
from django import template
from django.forms import BoundField, CheckboxInput, Select, SelectMultiple
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from phonebank.language import said
from phonebank.whatsappapi.services import kept  # noqa: F401  (what said() has to know)

register = template.Library()


@register.simple_tag
def icon(name: str, css: str = "") -> str:
    """An icon of the sprite, as decoration: the words beside it say the same."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false" fill="none" stroke="currentColor"'
        ' stroke-linecap="round" stroke-linejoin="round"><use href="{}#{}"></use></svg>',
        css,
        static("vendor/icons/icons.svg"),
        name,
    )


@register.inclusion_tag("whatsappapi/_field.html")
def field(bound: BoundField, label: str = "", has_help: bool = True, **attrs: Any) -> dict[str, Any]:
    """A labelled field with its help and errors tied to it for screen readers."""
    widget = bound.field.widget
    is_check = isinstance(widget, CheckboxInput)
    css = (
        "form-check-input"
        if is_check
        else "form-select"
        if isinstance(widget, (Select, SelectMultiple))
        else "form-control"
    )
    if is_code(widget):
        attrs.setdefault("dir", "ltr")
    if bound.errors:
        css += " is-invalid"
        attrs["aria-invalid"] = "true"
    described = [f"{bound.id_for_label}_error"] if bound.errors else []
    if bound.help_text and has_help:
        described.append(f"{bound.id_for_label}_help")
    if described:
        attrs["aria-describedby"] = " ".join(described)
    rendered = bound.as_widget(attrs={**attrs, "class": css})
    help_text = bound.help_text if has_help else ""
    return {
        "field": bound,
        "label": label or bound.label,
        "help": help_text,
        "rendered": rendered,
        "is_check": is_check,
    }


def is_code(widget: Any) -> bool:
    """Numbers, addresses and the like run from left to right on every page."""
    kind = getattr(widget, "input_type", "")
    return "dir" not in widget.attrs and (
        kind in {"email", "number", "password", "tel", "url"}
        or widget.attrs.get("inputmode") in {"numeric", "tel", "url"}
        or widget.attrs.get("autocomplete") in {"one-time-code", "tel", "username"}
        or widget.attrs.get("spellcheck") == "false"
    )


@register.inclusion_tag("whatsappapi/_bar.html")
def bar(used: int, limit: int | None, label: str, warns: bool = True) -> dict[str, Any]:
    """Used of limit as a bar of 0..100; without a limit the bar stays empty. `warns`: a full one is no good news."""
    share = min(100.0, 100.0 * used / limit) if limit else 0.0 if limit is None else 100.0
    fill = "fill-accent" if share < 80 or not warns else "fill-yellow" if share < 100 else "fill-red"
    return {"share": f"{share:.2f}", "fill": fill, "label": label}


@register.filter
def phone(number: str) -> str:
    """+491512345678 as +49 1512 345678, for reading; unparsable numbers as they are."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


@register.filter
def phone_option(number: str) -> str:
    """The same for a list of choices, which holds no <bdi>: without these marks Arabic tears the number apart."""
    return f"\u2068{phone(number)}\u2069"


@register.filter
def moment(at: datetime | None) -> str:
    """A time of today as the hour alone, any other with its date, in the person's zone and format; None as nothing."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return date_format(local, "TIME_FORMAT" if local.date() == timezone.localdate() else "DATETIME_FORMAT")


@register.filter
def span(seconds: float) -> str:
    """A length of time in the unit that fits: 3 ms, 1.2 s, 5 min, 3 h."""
    n, unit, places = 1000 * max(0.0, seconds), _("ms"), 0
    if 1 <= seconds < 60:
        n, unit, places = seconds, _("s"), int(seconds < 10)
    elif 60 <= seconds < 7200:
        n, unit = seconds / 60, _("min")
    elif seconds >= 7200:
        n, unit = seconds / 3600, _("h")
    return f"{number_format(f'{n:.{places}f}', use_l10n=True)}\u00a0{unit}"


@register.filter
def in_language(text: str) -> str:
    """A sentence that a row keeps (a reason, an alert, what came of something) in the reader's language."""
    return said(text)


@register.simple_tag
def script_words() -> SafeString:
    """What app.js says by itself, in the reader's language."""
    words = {
        "copied": _("Copied"),
        "none": _("No session chosen yet."),
        "unlimited": _("{count} chosen, no daily limit: room for everybody today."),
        "enough": _("{count} chosen, room for {room} more messages today: enough."),
        "short": _(
            "{count} chosen, room for {room} more messages today. The other {rest} people follow on the next days."
        ),
        "all": _("All of them"),
        "picked": _("{count} selected"),
    }
    return format_html('<meta name="words" content="{}">', json.dumps(words, ensure_ascii=False))


@register.filter
def dots(n: int) -> range:
    """To draw a number as so many dots; more than 40 are as good as 40."""
    return range(min(n, 40))
