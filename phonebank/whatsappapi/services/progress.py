"""How a campaign stands, in figures that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import BigIntegerField, Case, F, Sum, Value, When
from django.utils import timezone

from phonebank.whatsappapi.models import Attempt, Campaign, CampaignCount, WaSenderSession
from phonebank.whatsappapi.services.binding import binding
from phonebank.whatsappapi.services.forecast import Forecast, forecast

OPEN = ("queued", "sending", "unknown")
NOBODY, OTHERS = 0, -1  # no session, and sessions that were not asked for; keys of no session
LATELY = 20  # seconds that the rate is taken over


@dataclass(slots=True)
class Lane:
    """One session's part. `counts` by merged word."""

    wa_session: WaSenderSession
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass
class Progress:
    """`counts` by merged word, over all; what costs more is looked up when it is asked for.

    `parts` are the counts of those sessions that glance() was asked for, by key, and NOBODY's.
    """

    campaign: Campaign
    counts: dict[str, int]
    sessions: list[Lane] = field(default_factory=list)
    parts: dict[int, dict[str, int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        return sum(self.counts.get(word, 0) for word in OPEN)

    @cached_property
    def forecast(self) -> Forecast | None:
        """Of the rest; None unless it runs or is paused with somebody waiting."""
        is_under_way = self.campaign.state in (Campaign.State.RUNNING, Campaign.State.PAUSED)
        if not is_under_way or self.campaign.sealed_at is None or not self.counts.get("queued"):
            return None
        return forecast(self.campaign)

    @cached_property
    def rate(self) -> float:
        """Messages a minute, of late; 0 unless it runs."""
        if self.campaign.state != Campaign.State.RUNNING:
            return 0.0
        since = timezone.now() - timedelta(seconds=LATELY)
        # By session and time: that is an index.
        sessions = self.campaign.lanes.values("session")
        rows = Attempt.objects.filter(session__in=sessions, started_at__gt=since, message__campaign=self.campaign)
        return rows.filter(outcome=Attempt.Outcome.ACCEPTED).count() * 60.0 / LATELY

    @property
    def eta(self) -> datetime | None:
        """When the last message leaves, if nothing fails; None while nothing moves."""
        runs = self.campaign.state == Campaign.State.RUNNING
        return self.forecast.ends if runs and self.forecast else None

    @cached_property
    def why(self) -> str | None:
        """The one thing that binds now; None when there is nothing to wait for."""
        return binding(self.campaign, self.counts, self.forecast, timezone.now())


def glance(campaign: Campaign, sessions: Collection[int] = ()) -> Progress:
    """The campaign as a whole and the parts of some sessions, in one query: of one moment, so that they add up."""
    part = Case(
        When(session=None, then=Value(NOBODY)),
        When(session__in=sessions, then=F("session_id")),
        default=Value(OTHERS),
        output_field=BigIntegerField(),
    )
    rows = CampaignCount.objects.filter(campaign=campaign, n__gt=0).values_list(part, "state").annotate(Sum("n"))
    parts: dict[int, dict[str, int]] = {}
    counts: Counter[str] = Counter()
    for key, word, n in rows:
        parts.setdefault(key, {})[word] = n
        counts[word] += n
    parts.pop(OTHERS, None)
    return Progress(campaign, dict(counts), parts=parts)


def progress(campaign: Campaign) -> Progress:
    """The campaign and the part of each of its sessions, in two queries."""
    lanes = {
        lane.session_id: Lane(lane.session)
        for lane in campaign.lanes.select_related("session", "session__user__subscription__plan")
    }
    counts: dict[str, int] = {}
    for session, word, n in CampaignCount.objects.filter(campaign=campaign).values_list("session", "state", "n"):
        counts[word] = counts.get(word, 0) + n
        if session in lanes:
            lanes[session].counts[word] = n
    return Progress(campaign, counts, list(lanes.values()))
