"""Parts of pages that refresh themselves: sent anew only when they look different."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# Differs with each rendering and means the same.
_CSRF = re.compile(rb'name="csrfmiddlewaretoken" value="[^"]*"')
_MARK = b"SEEN-DIGEST"


def render_live(request: HttpRequest, template: str, part: str, context: dict[str, Any], poll: str) -> HttpResponse:
    """The page, or to htmx its `part`; 204 where the browser already shows just that.

    `poll`: the part's address. The part asks `{{ poll }}`, which brings back the digest of what it shows.
    """
    link = f"{poll}{'&' if '?' in poll else '?'}"
    if not request.htmx:
        return render(request, template, {**context, "poll": f"{link}live"})
    response = render(request, f"{template}#{part}", {**context, "poll": f"{link}live={_MARK.decode()}"})
    seen = hashlib.sha256(_CSRF.sub(b"", response.content)).hexdigest()[:16]
    if request.GET.get("live") == seen:
        return HttpResponse(status=204)
    response.content = response.content.replace(_MARK, seen.encode())
    return response
