"""A session's score of 0 to 100: how far one may rely on it, from evidence, with reasons and history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count
from django.utils import timezone

from phonebank.language import stored
from phonebank.whatsappapi.models import HealthNote, Probe, SessionEvent, WaSenderSession
from phonebank.whatsappapi.services import probes
from phonebank.whatsappapi.services.health import NEARLY, SILENT

Status = WaSenderSession.Status

DAY = timedelta(hours=24)
LEAST = timedelta(minutes=1)  # between two notes of a session
HOUR = timedelta(hours=1)
KEPT = timedelta(days=90)
# What each finding costs of a hundred.
COSTS = {"failures": 40, "acks": 25}
PROBE, SLOW_PROBE = 25, 10
RATE_LIMITED, SLOWED, SILENCE, FULL, NEARLY_FULL, DROP, DROPS_MOST = 30, 15, 20, 10, 5, 5, 30

# Reasons are kept with the score, so they are English (docs/adr/0017).
NOT_CONNECTED = stored("Not connected.")
KEY_REFUSED = stored("WaSender refuses its key.")
NO_SIGN = stored("No sign of life for a while.")
TOO_FAST = stored("WaSender says that it sends too fast.")
BEEN_SLOWED = stored("It was slowed down by WaSender.")
USED = stored("Today's messages are used.")
NEARLY_USED = stored("Today's messages are nearly used.")
DROPPED_ONCE = stored("Its link went down once within a day.")
DROPPED = stored("Its link went down %(n)s times within a day.")


@dataclass(frozen=True, slots=True)
class Score:
    value: int
    reasons: tuple[str, ...]


def score(one: WaSenderSession, drops: int, now: datetime, probe: tuple[str, str] | None = None) -> Score:
    """Of a session loaded with its limit and doubt. `drops`: how often its link went down within a day. `probe`: how
    its last self-check went wrong, as `probes.findings` has it."""
    if one.status != Status.CONNECTED or not one.is_active:
        return Score(0, (NOT_CONNECTED,))
    if one.rejected_key_version == one.key_version:
        return Score(0, (KEY_REFUSED,))
    lost: list[tuple[int, str]] = []
    if (one.last_active_at or one.status_since) < now - SILENT:
        lost.append((SILENCE, NO_SIGN))
    doubt = getattr(one, "doubt", None)
    if doubt is not None and doubt.kind in COSTS:
        lost.append((COSTS[doubt.kind], doubt.reason))
    if probe is not None:
        lost.append((SLOW_PROBE if probe[0] == Probe.Outcome.SLOW else PROBE, probe[1]))
    if one.paused_until and one.paused_until > now and one.strikes:
        lost.append((RATE_LIMITED, TOO_FAST))
    elif one.strikes:
        lost.append((SLOWED, BEEN_SLOWED))
    limit = getattr(one, "effective_limit", one.daily_limit)
    if limit is not None and one.messages_sent_today >= limit:
        lost.append((FULL, USED))
    elif limit is not None and one.messages_sent_today > NEARLY * limit:
        lost.append((NEARLY_FULL, NEARLY_USED))
    if drops:
        words = DROPPED_ONCE if drops == 1 else DROPPED % {"n": drops}
        lost.append((min(DROPS_MOST, DROP * drops), words))
    lost.sort(reverse=True)
    return Score(max(0, 100 - sum(cost for cost, __ in lost)), tuple(reason for __, reason in lost))


def drops_of(rows: Iterable[WaSenderSession], now: datetime) -> dict[int, int]:
    """How often each session's link went down within a day, without anybody's doing."""
    downs = SessionEvent.objects.filter(
        session__in=rows, kind=SessionEvent.Kind.STATUS, at__gt=now - DAY, actor=None,
        status__in=[Status.DISCONNECTED, Status.LOGGED_OUT, Status.EXPIRED],
    )  # fmt: skip
    return dict(downs.order_by().values_list("session").annotate(n=Count("pk")).values_list("session", "n"))


def note(now: datetime | None = None) -> int:
    """Writes down scores that changed, or that were written down an hour ago. Returns how many it wrote."""
    now = now or timezone.now()
    rows = list(
        WaSenderSession.objects.alive().filter(user__is_active=True).exclude(wasender_id=None).with_limit()
        .defer("api_key", "webhook_secret", "webhook_token", "adopted_webhook").select_related("doubt").order_by("pk")
    )  # fmt: skip
    last: dict[int, HealthNote] = {}
    recent = HealthNote.objects.filter(session__in=rows, at__gt=now - 2 * HOUR).order_by("session_id", "-at")
    for one in recent.distinct("session_id"):
        last[one.session_id] = one
    drops, probed = drops_of(rows, now), probes.findings(rows, now)
    new = []
    for row in rows:
        found, before = score(row, drops.get(row.pk, 0), now, probed.get(row.pk)), last.get(row.pk)
        is_due = before is None or before.at <= now - HOUR or (before.score != found.value and before.at <= now - LEAST)
        if is_due:
            reasons = " ".join(found.reasons)[:300]
            new.append(HealthNote(session=row, at=now, score=found.value, reasons=reasons))
    HealthNote.objects.bulk_create(new, batch_size=500, ignore_conflicts=True)
    return len(new)


def prune() -> int:
    """Deletes notes older than three months."""
    return HealthNote.objects.filter(at__lt=timezone.now() - KEPT).delete()[0]


# --- the picture ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Picture:
    """`now` is the last note; `line` the points of an SVG path in a field of 100 by 100, from `hours` ago until now."""

    now: HealthNote
    line: str
    least: int


def picture(wa_session: WaSenderSession, hours: int = 168, now: datetime | None = None) -> Picture | None:
    """The score over the last `hours`; None before the first note."""
    now = now or timezone.now()
    begin = now - timedelta(hours=hours)
    notes = list(wa_session.health_notes.filter(at__gt=begin).order_by("at")[:3000])
    if not notes:
        return None
    by_step: dict[int, HealthNote] = {}
    for one in notes:  # of each three-hundredth the worst
        step = int(300 * (one.at - begin) / (now - begin))
        if step not in by_step or one.score < by_step[step].score:
            by_step[step] = one
    points, height = [], None
    for one in by_step.values():
        x, y = 100 * (one.at - begin) / (now - begin), 100 - one.score
        points.append(f"M{x:.2f} {y}" if height is None else f"H{x:.2f}V{y}")
        height = y
    return Picture(notes[-1], "".join(points) + "H100", min(one.score for one in notes))
