"""How long a 429 asks us to wait, from all of its hints (contract 5.1)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

WAIT_UNKNOWN = 5.0  # seconds, when no hint can be read: the slowest paid pace (contract 5)
WAIT_MAX = 86_400.0


def _seconds(value: object) -> float | None:
    """A wait from a number: above 1e9 an epoch, else a delta; clamped to a day; None when it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return min(max(number - time.time() if number > 1e9 else number, 0.0), WAIT_MAX)


def _retry_after(value: str | None) -> float | None:
    """Retry-After: seconds or an HTTP date."""
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return _seconds(parsedate_to_datetime(value).timestamp())
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def retry_after(body: Mapping[str, object], headers: Mapping[str, str]) -> float:
    """Seconds to wait: the longest of all hints, without jitter, within [0, 86400]. A bad hint never raises.

    The daily reset counts only when the day's allowance is used up.
    """
    hints = [
        _seconds(body.get("retry_after")),
        _retry_after(headers.get("Retry-After")),
        _seconds(headers.get("X-RateLimit-Reset")),
    ]
    if headers.get("X-RateLimit-Daily-Remaining", "").strip() == "0":
        hints.append(_seconds(headers.get("X-RateLimit-Daily-Reset")))
    return max((hint for hint in hints if hint is not None), default=WAIT_UNKNOWN)
