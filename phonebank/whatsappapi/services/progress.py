"""How a campaign stands, in figures that add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from phonebank.whatsappapi.models import Attempt, Campaign, CampaignCount, WaSenderSession

OPEN = ("queued", "sending", "unknown")


@dataclass(slots=True)
class Lane:
    """One session's part. `counts` by merged word."""

    wa_session: WaSenderSession
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(slots=True)
class Progress:
    """`rate` in messages a minute over the last 20 s; `eta` None when nothing moves; `why`: what binds now."""

    counts: dict[str, int]
    sessions: list[Lane]
    rate: float = 0.0
    eta: datetime | None = None
    why: str | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        return sum(self.counts.get(word, 0) for word in OPEN)


def progress(campaign: Campaign) -> Progress:
    """Three queries (five while it runs), however many recipients it has."""
    lanes = {
        lane.session_id: Lane(lane.session)
        for lane in campaign.lanes.select_related("session", "session__user__subscription__plan")
    }
    counts: dict[str, int] = {}
    for session, word, n in CampaignCount.objects.filter(campaign=campaign).values_list("session", "state", "n"):
        counts[word] = counts.get(word, 0) + n
        if session in lanes:
            lanes[session].counts[word] = n
    result = Progress(counts, list(lanes.values()))
    if campaign.state == Campaign.State.RUNNING:
        result.rate = _rate(campaign, list(lanes))
        if result.rate and result.open:
            result.eta = timezone.now() + timedelta(minutes=result.open / result.rate)
    result.why = _why(campaign, result)
    return result


def _rate(campaign: Campaign, sessions: list[int]) -> float:
    now = timezone.now()
    # By session and time alone: that is an index. Requests of 20 s stand for a minute.
    since = now - timedelta(seconds=20)
    rows = Attempt.objects.filter(session__in=sessions, started_at__gt=since, message__campaign=campaign)
    return rows.filter(outcome="accepted").count() * 3.0


def _why(campaign: Campaign, result: Progress) -> str | None:
    """The one thing that binds now; None while all is well."""
    if campaign.state == Campaign.State.PAUSED:
        return campaign.pause_reason or "Paused by hand. Resume it when you are ready."
    if campaign.state == Campaign.State.DEALING:
        return "Getting everybody in line; the first message leaves when that is done."
    if campaign.state != Campaign.State.RUNNING:
        return None
    if not result.counts.get("queued"):
        return "Waiting for the gateway's answers to the last messages." if result.open else None
    now = timezone.now()
    sendable = WaSenderSession.objects.filter(lanes__campaign=campaign, lanes__is_active=True)
    up = sendable.connected(now)
    if not sendable.exists():
        return "No session is left in this campaign. Add one."
    if not up.exists():
        waits = sendable.connected(now + timedelta(hours=1)).order_by("paused_until").first()
        if waits is not None and waits.paused_until:
            return "The gateway asked us to slow down; it goes on within the hour."
        return "None of its numbers is connected. Link one again and it goes on by itself."
    if not up.below_limit().exists():
        zone = campaign.user.time_zone
        return f"All its numbers have used today's limit. Goes on after midnight ({zone})."
    return _held(campaign, [lane.wa_session.pk for lane in result.sessions]) if not result.rate else None


def _held(campaign: Campaign, sessions: list[int]) -> str | None:
    """Nothing left in the last seconds: what the waiting rows themselves say."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reason, min(retry_at) FROM whatsappapi_message WHERE session_id = ANY(%s) AND retry_at > now() "
            "AND campaign_id = %s AND state = 'queued' AND reason <> '' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
            [sessions, campaign.pk],
        )
        row = cursor.fetchone()
    return f"{row[0]}." if row else None
