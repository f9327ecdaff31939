"""Rate limits per session and endpoint (contract 5).

The windows are fixed, as in the framework behind the real service: the first request opens a window of 60 s, up to
256 requests pass inside it however close together, and the rest wait for its end. A burst of 256 is therefore
allowed, an even pace of 256 a minute never meets a 429, and around the border of two windows twice the number may
pass. Refused requests (422 and the like) count, requests answered with 429 do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import time

DAY = 86_400.0
CAPPED = {  # endpoint -> (trial per minute, trial per day, paid per minute, paid per day)
    "on-whatsapp": (10, 100, 60, 1000),
    "picture": (10, 100, 60, 1000),
    "groups": (10, 100, 10, 500),
}


class Window:
    """One fixed window: how many passed since it opened (epoch seconds)."""

    __slots__ = ("opened", "used")

    def __init__(self) -> None:
        self.opened = 0.0
        self.used = 0


@dataclass(slots=True)
class Verdict:
    """What a limiter says about one request: `wait` seconds (0 = it may pass) and what the headers report."""

    wait: float
    limit: int
    remaining: int
    reset: float  # epoch seconds at which the window ends
    daily: tuple[int, int, float] | None = None  # limit, remaining, reset


class Limiter:
    """All windows of one sandbox, keyed by who is limited and for what."""

    def __init__(self) -> None:
        self._windows: dict[tuple[object, str], Window] = {}

    def clear(self) -> None:
        """Forgets every window."""
        self._windows.clear()

    def check(self, who: object, what: str, limit: int, seconds: float, per_day: int = 0) -> Verdict:
        """Counts one request of `who` against `limit` per `seconds` and, if not 0, `per_day`, unless one is used up."""
        now = time()
        window = self._open(who, what, seconds, now)
        if window.used >= limit:
            end = window.opened + seconds
            return Verdict(end - now, limit, 0, end)
        daily = None
        if per_day:
            day = self._open(who, what + "/day", DAY, now)
            end = day.opened + DAY
            if day.used >= per_day:
                return Verdict(end - now, limit, limit - window.used, window.opened + seconds, (per_day, 0, end))
            day.used += 1
            daily = (per_day, per_day - day.used, end)
        window.used += 1
        return Verdict(0.0, limit, limit - window.used, window.opened + seconds, daily)

    def _open(self, who: object, what: str, seconds: float, now: float) -> Window:
        window = self._windows.get((who, what))
        if window is None:
            window = self._windows[who, what] = Window()
        if now >= window.opened + seconds:
            window.opened, window.used = now, 0
        return window
