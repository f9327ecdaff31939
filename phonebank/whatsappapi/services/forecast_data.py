"""What a forecast starts from: the sessions' places in the campaign as the engine sees them, and the people's zones."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank.language import said
from phonebank.whatsappapi.dispatch.deal import GONE
from phonebank.whatsappapi.dispatch.sql.audience import named_things
from phonebank.whatsappapi.dispatch.sql.deal import LANES
from phonebank.whatsappapi.dispatch.sql.tick import BASE_GAP
from phonebank.whatsappapi.dispatch.worker import TICK
from phonebank.whatsappapi.models import Campaign, CampaignCount, WaSenderSession
from phonebank.whatsappapi.services.health import resets_at
from phonebank.whatsappapi.services.operations import stopped

SAMPLE = 600  # people looked at for their time zones
ZONES = 8  # told apart; who lives elsewhere is counted with the largest

# The re-deal's own view of the lanes, with the pace that a grant would give.
SEATS = """
SELECT x.session_id, x.session_name, x.is_up, x.room, x.queued, x.why, s.public_id, l.position, l.is_active,
  l.tail - l.cursor, (@gap) * power(2, least(s.strikes, 6)),
  extract(epoch FROM greatest(s.next_send_at, s.paused_until))::float8, s.account_protection
FROM (@lanes) x JOIN whatsappapi_campaignsession l ON l.id = x.id
JOIN whatsappapi_wasendersession s ON s.id = x.session_id JOIN whatsappapi_gatewayaccount g ON g.id = s.account_id
""".replace("@gap", BASE_GAP).replace("@lanes", LANES)
# Of each lane, evenly spread places: who waits there, and in which zone.
WAITING = """
SELECT coalesce(nullif(m.time_zone, ''), %(zone)s), m.retry_at IS NOT NULL, count(*)
FROM whatsappapi_campaignsession l
CROSS JOIN LATERAL (SELECT DISTINCT 1 + (l.tail - 1) * i / %(each)s AS place FROM generate_series(0, %(each)s) i) p
JOIN whatsappapi_message m
  ON m.campaign_id = l.campaign_id AND m.session_id = l.session_id AND m.position = p.place AND m.state = 'queued'
WHERE l.id = ANY(%(lanes)s) AND l.tail > 0 GROUP BY 1, 2
"""
# Of each list, evenly spread ids: the person at or after them.
LISTED = """
SELECT coalesce(nullif(c.time_zone, ''), %(zone)s), false, count(*)
FROM (SELECT DISTINCT n.contact_id FROM (
    SELECT t.id, (SELECT min(contact_id) FROM whatsappapi_contact_lists WHERE contactlist_id = t.id) AS low,
      (SELECT max(contact_id) FROM whatsappapi_contact_lists WHERE contactlist_id = t.id) AS high
    FROM unnest(%(lists)s::bigint[]) AS t(id)
  ) b CROSS JOIN generate_series(0, %(each)s) i CROSS JOIN LATERAL (
    SELECT contact_id FROM whatsappapi_contact_lists x
    WHERE x.contactlist_id = b.id AND x.contact_id >= b.low + (b.high - b.low) * i / %(each)s
    ORDER BY x.contact_id LIMIT 1
  ) n) p
JOIN whatsappapi_contact c ON c.id = p.contact_id AND c.user_id = %(user)s GROUP BY 1
"""


@dataclass(slots=True)
class Seat:
    """A session's place. `gap`: seconds between two of its messages here, `credit`: what an idle time saves up of them;
    `room`: what today leaves (None: any)."""

    public_id: uuid.UUID
    name: str
    position: int
    is_up: bool
    is_gone: bool
    why: str
    gap: float
    credit: float
    is_paced: bool
    cap: int | None
    room: float | None
    free: float
    resets: float
    queued: float
    held: float
    others: float
    rivals: int

    @property
    def kind(self) -> tuple[object, ...]:
        """Seats that may be reckoned together have the same."""
        minute = self.resets // 60
        return (self.is_up, self.is_gone, self.gap, self.cap, self.room is None, minute, self.rivals)


@dataclass(slots=True)
class Mix:
    """The people's zones and their shares, the largest first; `held`: the same of those held back now."""

    names: Sequence[str]
    shares: Sequence[float] = (1.0,)
    held: Sequence[float] = (1.0,)
    quiet: tuple[time, time] | None = None
    notes: list[str] = field(default_factory=list)


def seats(campaign: Campaign, people: int | None, now: datetime) -> list[Seat]:
    """The campaign's sessions in the order in which the re-deal takes them. Before the deal, `people` go round."""
    with connection.cursor() as cursor:
        cursor.execute(SEATS, [campaign.pk])
        rows = cursor.fetchall()
    ids = [row[0] for row in rows]
    days = _days(ids, campaign.user.time_zone, now)
    others = _others(campaign, ids)
    waiting = {row[0]: float(row[4]) for row in rows}
    if campaign.sealed_at is None:
        waiting |= _dealt(sorted((row[7], row[0]) for row in rows if row[8]), people or 0)
    dealt = campaign.sealed_at is not None
    made = []
    for session, name, is_up, room, __, why, public_id, position, is_active, ahead, gap, free, slow in rows:
        if not is_active and not waiting[session]:
            continue
        cap, resets = days[session]
        theirs = others.get(session, (0, 0))
        made.append(
            Seat(
                credit=0.0 if slow else min(float(gap), 1.0),
                public_id=public_id, name=name, position=position, is_up=is_up,
                is_gone=why in GONE, why=why,
                gap=_gap(campaign, float(gap)), is_paced=bool(gap), cap=cap,
                room=None if room is None else float(room), free=free or 0.0, resets=resets, queued=waiting[session],
                held=max(0.0, waiting[session] - ahead) if dealt and campaign.quiet_start else 0.0,
                others=theirs[1], rivals=theirs[0],
            )
        )  # fmt: skip
    return made


def _gap(campaign: Campaign, gap: float) -> float:
    # Without a pace, as many as may be under way leave with every tick.
    gap = gap or TICK / max(1, settings.SEND_IN_FLIGHT)
    return max(gap, 60.0 / campaign.pace) if campaign.pace else gap


def _dealt(lanes: list[tuple[int, int]], people: int) -> dict[int, float]:
    """Person i goes to lane i mod k."""
    k = len(lanes)
    return {session: float(people // k + (i < people % k)) for i, (__, session) in enumerate(lanes)} if k else {}


def _days(ids: list[int], zone: str, now: datetime) -> dict[int, tuple[int | None, float]]:
    """The daily limit of each session, and when its count starts anew."""
    here, known, found = ZoneInfo(zone), {}, {}
    rows = WaSenderSession.objects.with_limit().filter(pk__in=ids)
    for pk, limit, *day in rows.values_list("pk", "effective_limit", "usage_date", "usage_opened_at"):
        if (key := tuple(day)) not in known:
            one = WaSenderSession(usage_date=day[0], usage_opened_at=day[1])
            known[key] = resets_at(one, now, here).timestamp()
        found[pk] = (limit, known[key])
    return found


def _others(campaign: Campaign, ids: list[int]) -> dict[int, tuple[int, float]]:
    """Of each session: how many other running campaigns it serves, and how many people wait in them."""
    rows = CampaignCount.objects.filter(
        campaign__state=Campaign.State.RUNNING,
        state="queued",
        n__gt=0,
        session__in=ids,
    ).exclude(campaign=campaign)
    return {one: (k, float(n)) for one, k, n in rows.values_list("session").annotate(Count("campaign"), Sum("n"))}


def zones(campaign: Campaign, seats: list[Seat], now: datetime) -> Mix:
    """Where the people live, as far as quiet hours ask for it: from a sample, whatever their number."""
    zone = campaign.user.time_zone
    if campaign.quiet_start is None or campaign.quiet_end is None or campaign.quiet_start == campaign.quiet_end:
        return Mix([zone])
    quiet = (campaign.quiet_start, campaign.quiet_end)
    found = _sample(campaign, zone)
    counts: Counter[str] = Counter()
    for name, __, n in found:
        counts[name] += n
    if not counts:
        note = _("Nobody's time zone is known: quiet hours are reckoned for %(zone)s.") % {"zone": zone}
        return Mix([zone], quiet=quiet, notes=[note])
    alike = _alike(counts, now)
    names = [name for name, __ in Counter(alike.values()).items()]
    fresh, held = ([0.0] * len(names) for __ in range(2))
    for name, is_held, n in found:
        (held if is_held else fresh)[names.index(alike[name])] += n
    total = [sum(one) for one in (fresh, held)]
    both = [a + b for a, b in zip(fresh, held, strict=True)]
    shares = fresh if total[0] else both
    return Mix(
        names,
        [n / sum(shares) for n in shares],
        [n / total[1] for n in held] if total[1] else [n / sum(shares) for n in shares],
        quiet,
        _said(names, both),
    )


def _sample(campaign: Campaign, zone: str) -> list[tuple[Any, ...]]:
    named: dict[str, Any] = {"zone": zone, "user": campaign.user_id}
    with connection.cursor() as cursor:
        if campaign.sealed_at:
            lanes = list(campaign.lanes.order_by("-tail").values_list("pk", flat=True)[:30])
            cursor.execute(WAITING, named | {"lanes": lanes, "each": SAMPLE // max(1, len(lanes))})
            return cursor.fetchall()
        lists = named_things(campaign.audience)["lists"] if campaign.audience else []
        lists = lists or ([campaign.contact_list_id] if campaign.contact_list_id else [])
        cursor.execute(LISTED, named | {"lists": lists, "each": SAMPLE // max(1, len(lists))})
        return cursor.fetchall()


def _alike(counts: Counter[str], now: datetime) -> dict[str, str]:
    """Each zone's stand-in: the largest with the same clock; beyond `ZONES` of them, the largest of all."""
    by_clock: dict[object, str] = {}
    alike: dict[str, str] = {}
    for name, __ in counts.most_common():
        clock = now.astimezone(ZoneInfo(name)).utcoffset()
        if clock not in by_clock and len(by_clock) < ZONES:
            by_clock[clock] = name
        alike[name] = by_clock.get(clock) or next(iter(by_clock.values()))
    return alike


def _said(names: Sequence[str], counts: Sequence[float]) -> list[str]:
    shares = sorted(zip(counts, names, strict=True), reverse=True)
    told = ", ".join(f"{name} {100 * n / sum(counts):.0f} %" for n, name in shares[:3])
    more = _(" and %(len)s more") % {"len": len(shares) - 3} if len(shares) > 3 else ""
    return [
        _("Quiet hours follow each person's own clock: %(told)s%(more)s (by their numbers).")
        % {"told": told, "more": more}
    ]


def remarks(campaign: Campaign, seats: Sequence[Seat]) -> list[str]:
    """What is taken for granted, for a person to know."""
    notes = []
    if stopped():
        notes.append(_("The administrator has stopped all sending; reckoned as if it went on now."))
    if campaign.state == Campaign.State.PAUSED:
        notes.append(_("Reckoned as if it were resumed now."))
    down = [seat for seat in seats if not seat.is_up and seat.room != 0 and seat.queued]
    for seat in down[:3]:
        stays = campaign.policy == Campaign.Policy.WAIT and not seat.is_gone
        words = (
            _("%(session)s %(why)s: its people wait for it.")
            if stays
            else _("%(session)s %(why)s: its people go to the others.")
        )
        notes.append(words % {"session": seat.name, "why": said(seat.why)})
    if len(down) > 3:
        more = ngettext("So it is with %(len)s more session.", "So it is with %(len)s more sessions.", len(down) - 3)
        notes.append(more % {"len": len(down) - 3})
    if any(seat.others for seat in seats if seat.is_up):
        notes.append(_("Other campaigns run over the same sessions; they take turns."))
    if any(seat.is_up and not seat.is_paced for seat in seats):
        notes.append(_("No pace is set at the gateway: reckoned as fast as it can be asked."))
    if campaign.policy == Campaign.Policy.NEXT_NEW:
        notes.append(_("People who already talk with a session wait for it; they are reckoned like the others."))
    return notes
