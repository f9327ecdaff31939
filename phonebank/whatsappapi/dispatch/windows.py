"""When a campaign may send: windows by weekday in its owner's zone. The claim reads the present one from the row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

# By weekday from Monday: [first minute, last minute) of the local day, or None for a day without sending.
Windows = Sequence[Sequence[int] | None]


def present_or_next(windows: Windows, zone: str, now: datetime) -> tuple[datetime, datetime] | None:
    """The window that `now` falls into, or the next one; None when no day has any. Windows that touch are one."""
    here = ZoneInfo(zone)
    today = now.astimezone(here).date()
    found: tuple[datetime, datetime] | None = None
    for day in (today + timedelta(days=n) for n in range(-1, 9)):
        span = windows[day.weekday()]
        if span is None:
            continue
        midnight = datetime.combine(day, time(), here)
        # Wall-clock minutes: a window from 9 to 18 is that on the days of a clock change too.
        start, end = ((midnight + timedelta(minutes=minutes)).astimezone(UTC) for minutes in span)
        if found is not None and start > found[1]:
            break
        if end > max(now, start):
            found = (found[0] if found else start, end)
    return found
