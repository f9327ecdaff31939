"""What a campaign waits for: the one thing that binds now, and when it lifts, in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank.language import grouped, said, without_stop
from phonebank.whatsappapi.dispatch.sql.deal import LANES, UNSHARED
from phonebank.whatsappapi.dispatch.windows import present_or_next
from phonebank.whatsappapi.models import Campaign
from phonebank.whatsappapi.services.forecast import Forecast
from phonebank.whatsappapi.services.forecast_data import Seat
from phonebank.whatsappapi.services.operations import stopped

State = Campaign.State
NOTICED = timedelta(seconds=5)  # a shorter rest is the ordinary pace


def binding(campaign: Campaign, counts: Mapping[str, int], told: Forecast | None, now: datetime) -> str | None:
    """`told`: the forecast of the rest, which knows the sessions as they stand. None: nothing to wait for."""
    zone = campaign.user.time_zone
    if campaign.state == State.PAUSED:
        return said(campaign.pause_reason) or _("Paused by hand. Resume it when you are ready.")
    if campaign.state == State.DEALING:
        return _("Getting everybody in line; the first message leaves when that is done.")
    if campaign.state == State.SCHEDULED and campaign.scheduled_at:
        return _("Starts %(moment)s.") % {"moment": moment(campaign.scheduled_at, zone, now)}
    if campaign.state != State.RUNNING:
        return None
    if not counts.get("queued"):
        is_open = any(counts.get(word) for word in ("sending", "unknown"))
        return _("Waiting for the gateway's answers to the last messages.") if is_open else None
    if stopped():
        return _("All sending is stopped by the administrator. Who waits is kept in line.")
    if campaign.windows:
        window = present_or_next(campaign.windows, zone, now)
        if window is None:
            return _("No day of its week has sending hours.")
        if now < window[0]:
            return _("Outside its sending hours; goes on %(moment)s.") % {"moment": moment(window[0], zone, now)}
    seats = told.standing if told else []
    return _sessions(seats, zone, now) or _held(campaign, zone, now) or (told.binds if told else None)


def _sessions(seats: Sequence[Seat], zone: str, now: datetime) -> str | None:
    """What keeps every session from sending; None where one can."""
    mine = [seat for seat in seats if not seat.is_gone]
    if not mine and (ended := [seat.name for seat in seats if seat.why == UNSHARED]):
        return _("Shared access to %(names)s ended. Add another session, or ask for a new invitation.") % {
            "names": _(" and ").join(ended[:2])
        }
    if not mine:
        return _("No session is left in this campaign. Add one.")
    up = [seat for seat in mine if seat.is_up]
    if not up:
        scans = sum(seat.why == "needs a scan" for seat in mine)
        more = ngettext(" %(n)s needs a scan.", " %(n)s need a scan.", scans) % {"n": grouped(scans)} if scans else ""
        none = (
            _("Its number is not connected.")
            if len(mine) == 1
            else _("None of its %(n)s numbers is connected.") % {"n": grouped(len(mine))}
        )
        return _("%(none)s%(more)s Link one again and it goes on by itself.") % {"none": none, "more": more}
    open_ = [seat for seat in up if seat.room is None or seat.room >= 1]
    if not open_:
        when = moment(datetime.fromtimestamp(min(seat.resets for seat in up), UTC), zone, now)
        return _("%(used)s; goes on %(when)s.") % {"used": _used(up, len(mine)), "when": when}
    free = datetime.fromtimestamp(min(seat.free for seat in open_), UTC)
    if free > now + NOTICED and all(seat.free > seat.gap + now.timestamp() for seat in open_):
        return _("The gateway asked us to slow down; goes on %(moment)s.") % {"moment": moment(free, zone, now)}
    return None


def _used(up: Sequence[Seat], total: int) -> str:
    limits = {seat.cap for seat in up}
    what = (
        _("today's %(limit)s") % {"limit": grouped(next(iter(limits)))}
        if len(limits) == 1 and None not in limits
        else _("today's messages")
    )
    if total == 1:
        return _("Its number has used %(what)s") % {"what": what}
    who = (
        _("All %(total)s numbers") % {"total": grouped(total)}
        if len(up) == total
        else _("All %(n)s connected numbers of %(total)s") % {"n": grouped(len(up)), "total": grouped(total)}
    )
    return _("%(who)s have used %(what)s") % {"who": who, "what": what}


def _held(campaign: Campaign, zone: str, now: datetime) -> str | None:
    """Where everybody who waits is held back: what the rows themselves say (the first of each session)."""
    with connection.cursor() as cursor:
        cursor.execute(HELD, {"campaign": campaign.pk})
        row = cursor.fetchone()
    if row is None:
        return None
    reason, until = row
    return _("%(reason)s; goes on %(moment)s.") % {
        "reason": without_stop(said(reason)),
        "moment": moment(until, zone, now),
    }


# Nobody is left in the lanes but those held back, and none of them is due: the earliest of each session that has one.
HELD = """
SELECT h.reason, h.retry_at FROM whatsappapi_campaignsession l
CROSS JOIN LATERAL (
  SELECT m.reason, m.retry_at FROM whatsappapi_message m
  WHERE m.session_id = l.session_id AND m.campaign_id = l.campaign_id AND m.retry_at IS NOT NULL AND m.state = 'queued'
  ORDER BY m.retry_at LIMIT 1
) h
WHERE l.campaign_id = %(campaign)s AND l.is_active AND h.reason <> ''
  AND NOT EXISTS (SELECT 1 FROM whatsappapi_campaignsession x
                  WHERE x.campaign_id = %(campaign)s AND x.is_active AND x.cursor < x.tail)
  AND h.retry_at > clock_timestamp() + interval '5 s'
ORDER BY h.retry_at LIMIT 1
"""


# Of several campaigns: how many sessions each has, how many of them are up, and how many of these have room today.
STANDING = """
SELECT c.id, count(*), count(*) FILTER (WHERE x.is_up),
  count(*) FILTER (WHERE x.is_up AND (x.room IS NULL OR x.room > 0))
FROM whatsappapi_campaign c CROSS JOIN LATERAL (@lanes) x
WHERE c.id = ANY(%s) AND x.why <> 'was taken out' GROUP BY c.id
""".replace("@lanes", LANES.replace("%s", "c.id"))


def in_short(campaigns: Iterable[Campaign], now: datetime) -> dict[int, str]:
    """What each of them waits for, in a few words, in one query for all; those that are well are not there."""
    found = {}
    running = []
    for one in campaigns:
        zone = one.user.time_zone
        if one.state == State.SCHEDULED and one.scheduled_at:
            found[one.pk] = _("Starts %(moment)s") % {"moment": moment(one.scheduled_at, zone, now)}
        elif one.state == State.PAUSED:
            found[one.pk] = said(one.pause_reason)
        elif one.state == State.RUNNING:
            window = present_or_next(one.windows, zone, now) if one.windows else None
            if window and now < window[0]:
                found[one.pk] = _("Waits for its sending hours, %(moment)s") % {"moment": moment(window[0], zone, now)}
            else:
                running.append(one.pk)
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [running])
        for pk, total, up, ready in cursor.fetchall():
            if not up:
                found[pk] = (
                    _("Waits: its number is not connected") if total == 1 else _("Waits: no number is connected")
                )
            elif not ready:
                found[pk] = _("Waits for tomorrow: today's limit is used")
    return found


def moment(at: datetime, zone: str, now: datetime) -> str:
    """at 14:05 (Europe/Madrid); tomorrow at ...; on Tuesday 1 December at ..."""
    local, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone)).date()
    days = (local.date() - today).days
    # Midnight belongs to the night before: "at 00:00" is tonight's.
    is_tonight = days == 1 and local.hour == 0 and local.minute < 5
    facts = {"time": f"{local:%H:%M}", "zone": zone, "day": date_format(local, "l j F")}
    if days <= 0 or is_tonight:
        return _("at %(time)s (%(zone)s)") % facts
    if days == 1:
        return _("tomorrow at %(time)s (%(zone)s)") % facts
    return _("on %(day)s at %(time)s (%(zone)s)") % facts
