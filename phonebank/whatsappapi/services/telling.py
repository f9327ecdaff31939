"""Which incident is told to whom: rules, quiet hours, cool-downs. Writes deliveries; deliveries.py sends them."""

from __future__ import annotations

import zoneinfo
from collections import defaultdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.language import stored
from phonebank.whatsappapi.models import (
    AlertKind,
    AlertRule,
    AlertSettings,
    Channel,
    Delivery,
    Incident,
    SessionGroup,
)
from phonebank.whatsappapi.services.channels import settings_of

Event, State = Delivery.Event, Delivery.State

AN_HOUR = 30  # messages to one channel within an hour, whatever happens
ROUND = 200  # incidents looked at in one round
OLD = timedelta(days=1)  # what began earlier than that is told to nobody any more
# What came of a delivery is kept in English (docs/adr/0017).
GONE_BY = stored("It was over before anybody had to be told.")
LATER = stored("Waits for the end of the quiet hours.")
NO_MAIL = stored("No mail server is set up (EMAIL_URL).")
ALIKE = stored("The like was told less than %(minutes)s minutes ago.")
ENOUGH = stored("%(n)s messages within an hour are the most.")


def tell(now: datetime | None = None) -> int:
    """One round. Returns how many deliveries were written."""
    now = now or timezone.now()
    return _begun(now) + _over(now)


def _begun(now: datetime) -> int:
    Incident.objects.filter(is_told=False).exclude(closed_at=None, acknowledged_at=None).update(is_told=True)
    incidents = list(
        Incident.objects.filter(is_told=False, opened_at__gt=now - OLD).select_related("user").order_by("pk")[:ROUND]
    )
    if not incidents:
        return 0
    users = {one.user_id: one.user for one in incidents}
    for user in users.values():
        settings_of(user)
    rules: dict[int, list[AlertRule]] = defaultdict(list)
    for rule in AlertRule.objects.filter(user__in=users, is_active=True).prefetch_related("channels"):
        rules[rule.user_id].append(rule)
    return sum(_follow(one, rules[one.user_id], now) for one in incidents)


def _follow(incident: Incident, rules: list[AlertRule], now: datetime) -> int:
    matching = [rule for rule in rules if incident.kind in rule.kinds and _is_about(rule, incident)]
    written, later = 0, False
    for rule in matching:
        if now < incident.opened_at + timedelta(seconds=rule.delay):
            later = True
            continue
        for channel in rule.channels.all():
            if channel.is_active and not (incident.kind == AlertKind.HOOK and _is_of(incident, channel)):
                written += _write(incident, Event.OPENED, channel, now, rule.cool_down)
    if not later:
        Incident.objects.filter(pk=incident.pk).update(is_told=True)
    return written


def _is_of(incident: Incident, channel: Channel) -> bool:
    """Whether it is about the very channel that would have to tell it."""
    return incident.alerts.filter(key=f"{AlertKind.HOOK}:{channel.pk}").exists()


def _is_about(rule: AlertRule, incident: Incident) -> bool:
    if rule.session_id is not None:
        return incident.alerts.filter(session=rule.session_id).exists()
    if rule.group_id is not None:
        return SessionGroup.objects.filter(pk=rule.group_id, sessions__alerts__incident=incident).exists()
    return True


def _over(now: datetime) -> int:
    """What was told to have begun is told to be over; what waited to be told is told no more."""
    closed = Delivery.objects.filter(event=Event.OPENED, incident__closed_at__gt=now - OLD)
    waiting = closed.filter(state=State.WAITING, tries=0, due_at__gt=now)
    waiting.update(state=State.HELD, outcome=GONE_BY)
    done = Delivery.objects.filter(event=Event.RECOVERED, incident=OuterRef("incident"), channel=OuterRef("channel"))
    told = closed.filter(~Exists(done), state=State.SENT, channel__is_active=True)
    rows = told.select_related("incident__user", "channel").order_by("-incident__closed_at")[:ROUND]
    return sum(_write(one.incident, Event.RECOVERED, one.channel, now, 0) for one in rows if _tells_recovery(one))


def _tells_recovery(one: Delivery) -> bool:
    rules = one.channel.rules.filter(is_active=True, tells_recovery=True, kinds__contains=[one.incident.kind])
    return rules.exists()


def _write(incident: Incident, event: str, channel: Channel, now: datetime, cool_down: int) -> int:
    with transaction.atomic():
        Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)  # counts hold against a second round
        state, outcome, due = State.WAITING, "", quiet_until(incident.user, now) or now
        if why := _held(incident, event, channel, now, cool_down):
            state, outcome, due = State.HELD, why, now
        elif due > now:
            outcome = LATER
        _, made = Delivery.objects.get_or_create(
            incident=incident,
            event=event,
            channel=channel,
            defaults={"state": state, "outcome": outcome, "due_at": due},
        )
    return int(made)


def _held(incident: Incident, event: str, channel: Channel, now: datetime, cool_down: int) -> str:
    """Why this is not told; empty: it is."""
    if channel.kind == Channel.Kind.MAIL and not settings.EMAIL_URL:
        return NO_MAIL
    recent = channel.deliveries.exclude(state=State.HELD).exclude(event=Event.TEST)
    if event == Event.OPENED and cool_down:
        alike = recent.filter(
            event=Event.OPENED, incident__kind=incident.kind, incident__account=incident.account_id,
            created_at__gt=now - timedelta(minutes=cool_down),
        )  # fmt: skip
        if alike.exclude(incident=incident).exists():
            return ALIKE % {"minutes": cool_down}
    if recent.filter(created_at__gt=now - timedelta(hours=1)).count() >= AN_HOUR:
        return ENOUGH % {"n": AN_HOUR}
    return ""


def quiet_until(user: User, now: datetime) -> datetime | None:
    """When the person's quiet hours end, if it is in them now."""
    row = AlertSettings.objects.filter(user=user).first()
    if row is None or row.quiet_from is None or row.quiet_until is None:
        return None
    local = now.astimezone(zoneinfo.ZoneInfo(user.time_zone))
    begin, end = row.quiet_from, row.quiet_until
    is_quiet = begin <= local.hour < end if begin < end else local.hour >= begin or local.hour < end
    if not is_quiet:
        return None
    day = local if local.hour < end else local + timedelta(days=1)
    return day.replace(hour=end, minute=0, second=0, microsecond=0)
