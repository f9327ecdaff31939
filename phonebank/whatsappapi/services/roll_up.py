"""Counts what sessions did, into quarters of an hour and from these into days. Any number may run it, at any time.

A quarter is counted anew from the rows whenever something in it changed, never added to: what is counted twice, or
after a crash, comes out the same. Changes mark it as due (`SessionQuarter.objects.mark`); what nobody marks is found by
going through the newest messages, and by looking again after an hour, a day and a week.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import DayZone, OwnerDay, SessionDay, SessionMonth, SessionQuarter, WaSenderSession
from phonebank.whatsappapi.models.analytics import BOUNDS
from phonebank.whatsappapi.services import roll_up_sql as sql

ONE_AT_A_TIME = 6_013  # the advisory lock of who writes counts
BATCH = 100  # quarters counted at once
CHUNK = 5_000  # days made at once
LEASE = timedelta(seconds=60)  # after which a quarter is counted by somebody else
LATER = (timedelta(minutes=75), timedelta(hours=26), timedelta(days=8), timedelta(days=32))
TEND = timedelta(seconds=60)  # between two looks at an owner's present day

Quarter = tuple[int, datetime]


def roll_up(seconds: float = 2.0) -> int:
    """Counts what is due, for about `seconds` at most, and keeps days going. Returns how many quarters it counted."""
    end, counted = time.monotonic() + seconds, 0
    sweep()
    while time.monotonic() < end:
        found = _count_some()
        counted += found
        if found < BATCH:
            break
    tend_days()
    return counted


def sweep(limit: int = 200) -> int:
    """Makes the quarters due in which sessions have sent since the last time. Returns how many sessions it looked at.

    The last minutes are looked at again, for requests under way; a session that was never looked at, whole.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SWEEP, {"limit": limit})
        return cursor.fetchone()[0]


def _count_some() -> int:
    now = timezone.now()
    lease = now + LEASE
    with connection.cursor() as cursor:
        cursor.execute(sql.CLAIM, {"lease": lease, "limit": BATCH})
        quarters: list[Quarter] = sorted(cursor.fetchall())
        if not quarters:
            return 0
        at, rows = _counted(cursor, quarters)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        for row in rows:
            row["next"] = _next_look(row["start"], now, row["unclear"])
        names = ("session", "start", "next", "counts", "times", "reasons")
        columns = {name: [row[name] for row in rows] for name in names}
        cursor.execute(sql.STORE, columns | {"at": at, "lease": lease})
        _make_days(cursor, _days_of(quarters))
    return len(quarters)


def _counted(cursor: Any, quarters: list[Quarter]) -> tuple[datetime, list[dict[str, Any]]]:
    """When it was counted, and of each quarter its counts; arrays as text, for they may be passed on in one array."""
    keys = {"session": [one for one, _ in quarters], "start": [start for _, start in quarters]}
    cursor.execute("SELECT statement_timestamp()")
    at = cursor.fetchone()[0]
    cursor.execute(sql.COUNT, keys | {"bounds": list(BOUNDS)})
    rows = [dict(zip([c.name for c in cursor.description], row, strict=True)) for row in cursor.fetchall()]
    return at, rows


def _next_look(start: datetime, now: datetime, unclear: int) -> datetime | None:
    """When a quarter is counted again by itself. What is unclear may be cleared up at any time."""
    age = now - start
    looks = [start + step for step in LATER[: None if unclear else -1] if age < step]
    if unclear and looks:
        looks.append(now + max(LEASE, age / 4))
    return min(looks, default=None)


# --- days -------------------------------------------------------------------------------------------------------------


def _days_of(quarters: list[Quarter]) -> list[tuple[int, date, str]]:
    """The days that these quarters belong to, as (session id, date, zone)."""
    owners = dict(WaSenderSession.objects.filter(pk__in={one for one, _ in quarters}).values_list("pk", "user"))
    zones = dict(User.objects.filter(pk__in=set(owners.values())).values_list("pk", "time_zone"))
    zones |= dict(DayZone.objects.filter(pk__in=zones).values_list("pk", "zone"))
    found = set()
    for one, start in quarters:
        zone = zones[owners[one]]
        found.add((one, start.astimezone(ZoneInfo(zone)).date(), zone))
    return sorted(found)


def _make_days(cursor: Any, days: list[tuple[int, date, str]]) -> None:
    """Makes days of sessions anew from their quarters and events, then their owners' days."""
    for first in range(0, len(days), CHUNK):
        part = days[first : first + CHUNK]
        cursor.execute(
            sql.DAYS,
            {
                "session": [one for one, _, _ in part],
                "date": [day for _, day, _ in part],
                "zone": [zone for _, _, zone in part],
                "low": [midnight(day, zone) for _, day, zone in part],
                "high": [midnight(day + timedelta(days=1), zone) for _, day, zone in part],
            },
        )
    keys = {"session": [one for one, _, _ in days], "date": [day for _, day, _ in days]}
    cursor.execute(sql.MONTHS, keys)
    cursor.execute(sql.OWNER_DAYS, keys)


def midnight(day: date, zone: str) -> datetime:
    """When a local day begins (which need not be at midnight where the clock is put forward then)."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))


def tend_days(limit: int = 50) -> int:
    """Keeps the present days of owners up to date (up-time passes by itself), and makes all anew in another zone.

    Returns how many owners it looked at; each at most once a minute.
    """
    now = timezone.now()
    fresh = DayZone.objects.filter(pk=OuterRef("pk"), zone=OuterRef("time_zone"), made_at__gt=now - TEND)
    owners = User.objects.filter(Exists(WaSenderSession.objects.filter(user=OuterRef("pk"))))
    waiting = owners.exclude(Exists(fresh)).order_by("pk")[:limit]
    return sum(_tend(user, now) for user in waiting)


def _tend(user: User, now: datetime) -> int:
    today = now.astimezone(ZoneInfo(user.time_zone)).date()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        known = DayZone.objects.filter(pk=user.pk).first()
        if known is not None and known.zone == user.time_zone and known.made_at > now - TEND:
            return 0
        since = known.until - timedelta(days=1) if known is not None and known.zone == user.time_zone else None
        if since is None:  # the last zone may have been a day ahead
            for model in (SessionDay, SessionMonth, OwnerDay):
                model.objects.filter(user=user, date__gt=today).delete()
        DayZone.objects.update_or_create(pk=user.pk, defaults={"zone": user.time_zone, "until": today, "made_at": now})
        _make_days(cursor, _all_days(user, since, today))
    return 1


def _all_days(user: User, since: date | None, today: date) -> list[tuple[int, date, str]]:
    """Every day of each session from `since` (None: its first) to today, or to the day it was deleted on."""
    firsts = dict(
        SessionQuarter.objects.filter(session__user=user)
        .order_by("session", "start")
        .distinct("session")
        .values_list("session", "start")
    )
    zone, day = ZoneInfo(user.time_zone), timedelta(days=1)
    found = []
    for row in WaSenderSession.objects.filter(user=user).only("created_at", "deleted_at"):
        first = min(row.created_at, firsts.get(row.pk, row.created_at)).astimezone(zone).date()
        one = max(since or first - day, first - day)
        last = today if row.deleted_at is None else min(today, row.deleted_at.astimezone(zone).date() + day)
        while one <= last:
            found.append((row.pk, one, user.time_zone))
            one += day
    return found
