"""How much people send and what comes of it: figures only, never a text, a name or a number of whom they write to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, Sum
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import Campaign, OwnerDay, WaSenderSession

DAYS = 30
FIGURES = ("sent", "delivered", "failed")
Status = WaSenderSession.Status


@dataclass(slots=True)
class Volume:
    """Somebody's last thirty days, in sums; `sessions` are those they have now."""

    sent: int = 0
    failed: int = 0
    opted_out: int = 0
    sessions: int = 0
    connected: int = 0
    resting: int = 0

    @property
    def failed_share(self) -> float:
        """Of a hundred that left."""
        return _share(self.failed, self.sent + self.failed)

    @property
    def stopped_share(self) -> float:
        return _share(self.opted_out, self.sent)


@dataclass(frozen=True, slots=True)
class DayFigures:
    date: date
    sent: int = 0
    delivered: int = 0
    failed: int = 0


@dataclass(slots=True)
class Account:
    """One account's figures: by day, the oldest first, and in sums."""

    days: list[DayFigures] = field(default_factory=list)
    volume: Volume = field(default_factory=Volume)
    campaigns: dict[str, int] = field(default_factory=dict)

    @property
    def most(self) -> int:
        return max((one.sent + one.failed for one in self.days), default=0)

    @property
    def delivered(self) -> int:
        return sum(one.delivered for one in self.days)

    @property
    def delivered_share(self) -> float:
        return _share(self.delivered, self.volume.sent)


def volumes(users: Iterable[User]) -> dict[int, Volume]:
    """Of these people, in two queries however many they are."""
    found = {one.pk: Volume() for one in users}
    since = timezone.localdate() - timedelta(days=DAYS)
    sums = OwnerDay.objects.filter(user__in=list(found), date__gt=since).values("user")
    for row in sums.annotate(s=Sum("sent"), f=Sum("failed"), o=Sum("opted_out")):
        one = found[row["user"]]
        one.sent, one.failed, one.opted_out = row["s"], row["f"], row["o"]
    sessions = WaSenderSession.objects.alive().filter(user__in=list(found)).order_by().values("user")
    for row in sessions.annotate(
        n=Count("pk"),
        up=Count("pk", filter=Q(status=Status.CONNECTED)),
        rest=Count("pk", filter=Q(is_surplus=True)),
    ):
        one = found[row["user"]]
        one.sessions, one.connected, one.resting = row["n"], row["up"], row["rest"]
    return found


def account(user: User) -> Account:
    """Of one person, day by day in their own time zone. Always the same number of queries."""
    today = timezone.localdate(timezone=ZoneInfo(user.time_zone))
    rows = OwnerDay.objects.filter(user=user, date__gt=today - timedelta(days=DAYS)).values("date", *FIGURES)
    by_day = {row["date"]: DayFigures(**row) for row in rows}
    days = [today - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    states = Campaign.objects.filter(user=user).order_by().values_list("state").annotate(n=Count("pk"))
    return Account([by_day.get(day, DayFigures(day)) for day in days], volumes([user])[user.pk], dict(states))


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
