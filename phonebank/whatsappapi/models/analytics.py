"""What each session did: by quarter of an hour in UTC, rolled up into its owner's days.

A quarter begins on a quarter of an hour in UTC, and so does every hour and day of every zone of today (Nepal and the
Chatham Islands are 45 minutes off): days can be made anew from quarters when an owner moves to another zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Q
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models.campaigns import CampaignSession
from phonebank.whatsappapi.models.sessions import WaSenderSession

# Upper bounds in seconds of the histogram of delivery times; the last of its buckets has none.
BOUNDS = tuple(round(0.25 * 1.6**i, 3) for i in range(31))
BUCKETS = len(BOUNDS) + 1

# What is written of a quarter; each belongs to when the message was sent, but `received` and `opted_out`.
COUNTS = ("sent", "delivered", "read", "replied", "failed", "unclear", "received", "opted_out")

# When a quarter that changed is counted again: the busier it is the less often, for it is counted whole.
AGAIN = "q.counted_at + make_interval(secs => least(300, 1 + q.sent / 20.0))"
# A change makes a quarter due. One that is due already is left alone (no lock).
_MARK = """
INSERT INTO whatsappapi_sessionquarter AS q (session_id, start, due_at)
SELECT u.s, u.start, statement_timestamp() FROM (
  SELECT DISTINCT s, date_bin('15 minutes', t, '2000-01-01 00:00+00') AS start
  FROM unnest(%(session)s::bigint[], %(at)s::timestamptz[]) AS u(s, t)
) u
WHERE NOT EXISTS (
  SELECT 1 FROM whatsappapi_sessionquarter x
  WHERE x.session_id = u.s AND x.start = u.start AND x.due_at <= clock_timestamp() + interval '1 second')
ORDER BY 1, 2
ON CONFLICT (session_id, start) DO UPDATE SET due_at = least(q.due_at, greatest(clock_timestamp(), @again))
""".replace("@again", AGAIN)
# What people answered counts for what was written to them.
_ANSWERED = """
SELECT a.session_id, a.started_at
FROM unnest(%(user)s::bigint[], %(session)s::bigint[], %(phone)s::text[]) AS u(u, s, p)
JOIN whatsappapi_message m ON m.phone = u.p AND m.user_id = ANY(array_append(ARRAY(
  SELECT h.user_id FROM whatsappapi_sessionshare h WHERE h.session_id = u.s AND h.user_id IS NOT NULL), u.u))
JOIN whatsappapi_attempt a ON a.id = m.attempt AND a.session_id = u.s
WHERE u.p <> '' AND a.started_at > clock_timestamp() - interval '7 days'
"""


class Counts(models.Model):
    """What went out in a time and what became of it."""

    sent = models.IntegerField(db_default=0, help_text="Taken by the gateway")
    delivered = models.IntegerField(db_default=0)
    read = models.IntegerField(db_default=0)
    replied = models.IntegerField(db_default=0, help_text="Answered within seven days")
    failed = models.IntegerField(db_default=0)
    unclear = models.IntegerField(db_default=0, help_text="May have been sent; not known")
    received = models.IntegerField(db_default=0, help_text="What people wrote in that time")
    opted_out = models.IntegerField(db_default=0, help_text="People who asked to stop in that time")
    times = ArrayField(models.IntegerField(), db_default=[], help_text="Deliveries by the time they took (BOUNDS)")
    reasons = models.JSONField(db_default={}, help_text="Why messages failed: words -> how many")

    class Meta:
        abstract = True


class SessionQuarterQuerySet(models.QuerySet["SessionQuarter"]):
    def mark(self, changes: Iterable[tuple[int, datetime]]) -> None:
        """Has the quarters of these (session id, moment) counted again soon. Outside of any transaction: after it.

        The counting must not see a mark before the change that it is for.
        """
        pairs = list(changes)
        if pairs:
            with connection.cursor() as cursor:
                cursor.execute(_MARK, {"session": [one for one, _ in pairs], "at": [at for _, at in pairs]})

    def mark_answers(self, letters: Sequence[tuple[int, int, str]]) -> None:
        """The same for what came in just now, as (user id, session id, phone), and for what it answers."""
        user, session, phone = map(list, zip(*letters, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(_ANSWERED, {"user": user, "session": session, "phone": phone})
            answered = cursor.fetchall()
        now = timezone.now()
        self.mark([*answered, *((one, now) for one in session)])

    def mark_unclear(self, campaign_id: int) -> None:
        """The same for all where a message of the campaign may have been unclear."""
        lanes = CampaignSession.objects.filter(campaign=campaign_id).values("session")
        self.filter(session__in=lanes, unclear__gt=0).update(due_at=timezone.now())


class SessionQuarter(Counts):
    """A quarter of an hour of a session in which anything happened. Kept for good: the days are made of these."""

    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="quarters", db_index=False)
    start = models.DateTimeField()
    due_at = models.DateTimeField(null=True, help_text="When it is to be counted (again)")
    counted_at = models.DateTimeField(null=True)

    objects = SessionQuarterQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["session", "start"], name="quarter_once_per_session")]
        indexes = [models.Index(fields=["due_at"], name="quarter_due", condition=Q(due_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.session_id} at {self.start}"


class Day(Counts):
    """The quarters of an owner's local day."""

    date = models.DateField(help_text="In the owner's zone")
    hours = ArrayField(models.IntegerField(), db_default=[], help_text="Sent by local hour, 24 of them")
    hours_read = ArrayField(models.IntegerField(), db_default=[], help_text="Of these, how many were read")
    up = models.IntegerField(db_default=0, help_text="Seconds connected")
    known = models.IntegerField(db_default=0, help_text="Seconds of which the status is known")
    allowed = models.IntegerField(db_default=0, help_text="The daily limit at its end; 0: none, or none is known")
    at_limit = models.IntegerField(db_default=0, help_text="Whether the limit was reached")

    class Meta:
        abstract = True


class SessionDay(Day):
    """A day of a session. It stays when the session is deleted."""

    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="days", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["session", "date"], name="day_once_per_session")]
        indexes = [models.Index(fields=["user", "date"], name="session_day_of_user")]

    def __str__(self) -> str:
        return f"{self.session_id} on {self.date}"


class SessionMonth(Day):
    """The sum of a session's days of a calendar month: a year is twelve of them. `date` is the first of the month."""

    session = models.ForeignKey(WaSenderSession, on_delete=models.CASCADE, related_name="months", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["session", "date"], name="month_once_per_session")]
        indexes = [models.Index(fields=["user", "date"], name="session_month_of_user")]

    def __str__(self) -> str:
        return f"{self.session_id} in {self.date:%Y-%m}"


class OwnerDay(Day):
    """A day of all of an owner's sessions, those deleted since among them."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="owner_days", db_index=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "date"], name="day_once_per_owner")]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.date}"


class RollUp(models.Model):
    """Up to where a session's messages were looked through for quarters."""

    session = models.OneToOneField(WaSenderSession, on_delete=models.CASCADE, primary_key=True, related_name="+")
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.session_id} until {self.until}"


class DayZone(models.Model):
    """The zone that an owner's days are made in, and the last date that they were made up to."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="+")
    zone = models.CharField(max_length=64)
    until = models.DateField()
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} in {self.zone}"
