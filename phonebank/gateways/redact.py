"""Masks secrets and phone numbers in text that may end in a log, a row or a page."""

from __future__ import annotations

import re

DETAIL_LIMIT = 500  # characters kept of any foreign text
_MASK = "***"

_SECRETS = re.compile(
    r"(?i:bearer)\s+[^\s\"',;]+"  # an Authorization value, whatever its form
    r"|\d+\|[A-Za-z0-9]{20,}"  # a personal access token (contract 1)
    r"|[A-Za-z0-9]{40,}"  # a session key, or a token cut off from its number
    r"|(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])"  # a webhook secret
)
_PHONES = re.compile(
    r"\+\d[\d\s().-]{5,18}\d"  # +1 (212) 555-0100
    r"|(?<!\d)(?!\d{4}-\d\d-\d\d)\(?\d{2,4}\)?[ .-]\d{3,4}[ .-]\d{3,5}(?!\d)"  # (212) 555-0100, but not a date
    r"|\d{7,}"
)


def redact(text: str, *secrets: str | None) -> str:
    """Mask `secrets`, anything that looks like a credential, and phone numbers down to their last four digits.

    The result has at most `DETAIL_LIMIT` characters. Long numbers that are no phone numbers are masked too.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, _MASK)
    text = text[: 4 * DETAIL_LIMIT]  # the patterns below need not walk a whole answer
    text = _SECRETS.sub(lambda found: ("Bearer " if found[0][:6].casefold() == "bearer" else "") + _MASK, text)
    text = _PHONES.sub(lambda found: _MASK + re.sub(r"\D", "", found[0])[-4:], text)
    return text[:DETAIL_LIMIT]
