"""`phonebank bench analytics`: the analytics page over a year of a thousand sessions, over HTTP."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.urls import reverse

from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.pages import AT_ONCE, SESSIONS, _cookie, _p95
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import SessionDay, SessionGroup, WaSenderSession
from phonebank.whatsappapi.models.analytics import BUCKETS
from phonebank.whatsappapi.services import roll_up_sql

DAYS = 365
# Days as a busy year leaves them: some hundred messages each, most of them delivered and read.
FILL = """
INSERT INTO whatsappapi_sessionday (session_id, user_id, date, sent, delivered, read, replied, failed, received,
  opted_out, times, hours, hours_read, reasons, up, known, allowed, at_limit)
SELECT s.id, s.user_id, (now() AT TIME ZONE u.time_zone)::date - d, n, n * 96 / 100, n * (60 + d %% 20) / 100, n / 20,
  n / 50, n / 15, n / 200,
  (SELECT array_agg(greatest(0, (n / 9.0 * exp(-power(i - 7, 2) / 8.0))::int) ORDER BY i)
     FROM generate_series(1, %(buckets)s) i),
  (SELECT array_agg(CASE WHEN h BETWEEN 8 AND 19 THEN n / 12 ELSE 0 END ORDER BY h) FROM generate_series(0, 23) h),
  (SELECT array_agg(CASE WHEN h BETWEEN 8 AND 19 THEN n / (17 + abs(h - 13)) ELSE 0 END ORDER BY h)
     FROM generate_series(0, 23) h),
  CASE WHEN n >= 50 THEN jsonb_build_object('This number is not on WhatsApp', n / 50) ELSE '{}' END,
  80000 + (s.id * 13 + d) %% 6400, 86400, 500, (n >= 500)::int
FROM whatsappapi_wasendersession s JOIN accounts_user u ON u.id = s.user_id, generate_series(0, %(days)s - 1) d,
  LATERAL (SELECT 60 + (s.id * 7919 + d * 104729) %% 540 AS n) n
WHERE s.id = ANY(%(sessions)s)
"""


def fill(sessions: list[int], days: int) -> int:
    """Days, months and totals of sessions; returns how many days of sessions."""
    SessionDay.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"sessions": sessions, "days": days, "buckets": BUCKETS})
        keys = list(SessionDay.objects.values_list("session", "date"))
        columns = {"session": [one for one, _ in keys], "date": [day for _, day in keys]}
        cursor.execute(roll_up_sql.MONTHS, columns)
        cursor.execute(roll_up_sql.OWNER_DAYS, columns)
        cursor.execute("ANALYZE whatsappapi_sessionday, whatsappapi_sessionmonth, whatsappapi_ownerday")
    return len(keys)


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """Per page: p95 in milliseconds, alone and by four at once."""
    stand.forget()
    linked = stand.sessions(SESSIONS)
    WaSenderSession.objects.filter(user=stand.user).update(created_at="2020-01-01T00:00Z")
    group = SessionGroup.objects.create(user=stand.user, name="A hundred")
    group.sessions.set(linked[:100])
    rows = fill([one.pk for one in linked], DAYS)
    here = reverse("whatsappapi:analytics")
    export = reverse("whatsappapi:export_analytics", args=["sessions", "csv"])
    paths = {
        "a year of all": f"{here}?range=365",
        "a year of a group": f"{here}?range=365&of=g:{group.public_id}",
        "a year of one session": f"{here}?range=365&of=s:{linked[0].public_id}",
        "thirty days of all": f"{here}?range=30",
        "thirty days of one session": f"{here}?range=30&of=s:{linked[0].public_id}",
        "export of a year, all sessions": f"{export}?range=365",
    }
    port = free_port()
    stand.start("web", "web", "--port", str(port), pinned=False)
    found: dict[str, Any] = {"sessions": SESSIONS, "days": DAYS, "rows": rows, "pages": {}}
    try:
        wait_for(f"http://127.0.0.1:{port}{reverse('account_login')}", stand.group)
        cookie = _cookie(stand.user)
        for name, path in paths.items():
            alone, together = _p95(port, path, cookie, 1), _p95(port, path, cookie, AT_ONCE)
            found["pages"][name] = {"p95_ms": alone, "p95_of_four_ms": together}
            options.say(f"{name}: p95 {alone:.0f} ms, by four at once {together:.0f} ms")
    finally:
        stand.stop("web")
    return found
