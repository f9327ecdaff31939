"""Plans and who has which: changing them, what a change would do to people, and the end of a subscription.

Nothing is ever deleted by it: sessions beyond a plan stop sending and say so, and send again when there is room.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import SOON, Plan, Subscription, User
from phonebank.audit.models import record
from phonebank.language import grouped, stored
from phonebank.whatsappapi.dispatch.tend import mark_surplus
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.services.capabilities import check_administrator
from phonebank.whatsappapi.services.errors import ServiceError, check_reach
from phonebank.whatsappapi.services.notices import take_back, tell

# What people are told is kept in English and put into their language where they read it.
CHANGED = stored("Your plan is %(plan)s now.")
OVER = stored("Your %(plan)s plan is over; you are on %(next)s now.")
ENDS = stored("Your %(plan)s plan ends on %(day)s %(month)s. Then you go on with %(next)s.")
REST_THEN = stored("%(n)s of your sessions then rest; nothing is deleted.")
NOTHING_DELETED = stored("Nothing is deleted.")
ONE_RESTS = stored("1 session rests: it has fewer. Nothing was deleted.")
SOME_REST = stored("%(n)s sessions rest: it has fewer. Nothing was deleted.")
FIELDS = ("name", "max_sessions", "daily_limit", "position")
MOST_SESSIONS, MOST_MESSAGES = 10_000, 1_000_000
KEPT = {"enterprise"}  # what the first administrator is given

# How many people have more sessions than `most`, and how many sessions that would stop.
_BEYOND = """
SELECT count(*) FILTER (WHERE n > %(most)s), coalesce(sum(greatest(0, n - %(most)s)), 0)
FROM (SELECT s.user_id, count(*) AS n FROM whatsappapi_wasendersession s
      JOIN accounts_subscription b ON b.user_id = s.user_id
      WHERE b.plan_id = %(plan)s AND s.deleted_at IS NULL GROUP BY 1) x
"""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a plan's change does. `people` have it; `over` of them then have `stopped` sessions that do not send."""

    people: int
    over: int
    stopped: int
    limit: str
    changes: dict[str, tuple[Any, Any]]


def change_subscription(*, actor: User, user: User, plan: Plan, expires_at: datetime | None) -> Subscription:
    """Puts somebody on a plan, for good or until then (aware). They are told; sessions beyond it stop at once."""
    check_administrator(actor)
    if expires_at is not None and expires_at <= timezone.now():
        raise ServiceError(_("That date has passed. Nothing was changed."), code="expires_at")
    check_reach(expires_at, code="expires_at")
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        row = Subscription.objects.select_for_update(no_key=True, of=("self",)).select_related("plan").get(user=user)
        changes = {"plan": (row.plan.name, plan.name), "until": (_day(row.expires_at), _day(expires_at))}
        changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
        if not changes and row.expires_at == expires_at:
            return row
        started_at = timezone.now() if row.plan_id != plan.pk else row.started_at
        row.plan, row.expires_at, row.warned_at, row.started_at = plan, expires_at, None, started_at
        row.save()
        record(actor=actor, verb="user.plan_changed", target=user, owner=user, changes=changes)
        take_back(f"planends:{user.pk}")
        if "plan" in changes:
            mark_surplus()
            tell([user], f"plan:{user.pk}", f"{CHANGED % {'plan': plan.name}}{_rests(user)}")
    return row


def expire() -> int:
    """Moves those whose subscription is over to DEFAULT_PLAN, and tells them. Returns how many. Safe to run twice."""
    due = list(Subscription.objects.filter(expires_at__lte=timezone.now()).values_list("pk", flat=True)[:200])
    if not due:
        return 0
    default = Plan.objects.get(slug=settings.DEFAULT_PLAN)
    done = 0
    for pk in sorted(due):
        with transaction.atomic():
            rows = Subscription.objects.select_for_update(no_key=True, of=("self",)).select_related("plan", "user")
            row = rows.filter(pk=pk, expires_at__lte=timezone.now()).first()
            if row is None:
                continue
            before, row.plan, row.expires_at, row.warned_at = row.plan, default, None, None
            row.started_at = timezone.now()
            row.save()
            record(actor=None, verb="user.plan_ended", target=row.user, owner=row.user,
                   changes={"plan": (before.name, default.name)})  # fmt: skip
            take_back(f"planends:{row.user_id}")
            mark_surplus()
            words = f"{OVER % {'plan': before.name, 'next': default.name}}{_rests(row.user)}"
            tell([row.user], f"plan:{row.user_id}", words)
            done += 1
    return done


def warn() -> int:
    """Tells people, once, that their subscription ends within a week. Returns how many."""
    now = timezone.now()
    ending = Subscription.objects.filter(expires_at__gt=now, expires_at__lte=now + SOON, warned_at=None)
    rows = list(ending.select_related("plan", "user").order_by("pk")[:200])
    if not rows:
        return 0
    default = Plan.objects.get(slug=settings.DEFAULT_PLAN)
    told = 0
    for row in rows:
        with transaction.atomic():
            claimed = Subscription.objects.filter(pk=row.pk, warned_at=None, expires_at=row.expires_at)
            if claimed.update(warned_at=now):
                tell([row.user], f"planends:{row.user_id}", words_before(row, default))
                told += 1
    return told


def words_before(row: Subscription, default: Plan) -> str:
    """What somebody should know before theirs ends."""
    many = WaSenderSession.objects.alive().filter(user=row.user).count() - default.max_sessions
    rests = REST_THEN % {"n": many} if many > 0 else NOTHING_DELETED
    end = row.expires_at.astimezone(ZoneInfo(row.user.time_zone)) if row.expires_at else timezone.now()
    facts = {"plan": row.plan.name, "day": end.day, "month": f"{end:%B}", "next": default.name}
    return f"{ENDS % facts} {rests}"


# --- plans as rows ----------------------------------------------------------------------------------------------------


def plans() -> list[Plan]:
    """With `people`: how many have each."""
    return list(Plan.objects.annotate(people=Count("subscriptions")).order_by("position", "pk"))


def effect(plan: Plan, values: dict[str, Any]) -> Effect:
    """What saving these values would do, without doing it."""
    changes = {name: (getattr(plan, name), values[name]) for name in FIELDS if getattr(plan, name) != values[name]}
    with connection.cursor() as cursor:
        cursor.execute(_BEYOND, {"plan": plan.pk, "most": values["max_sessions"]})
        over, stopped = cursor.fetchone()
    old, new = plan.daily_limit, values["daily_limit"]
    is_less = new is not None and (old is None or new < old)
    limit = "" if "daily_limit" not in changes else "less" if is_less else "more"
    people = Subscription.objects.filter(plan=plan).count()
    return Effect(people, over, int(stopped), limit, changes)


def save_plan(*, actor: User, plan: Plan | None, values: dict[str, Any]) -> Plan:
    """Changes a plan, or makes one (`values` then has a slug). It holds for everybody on it from the next tick on."""
    check_administrator(actor)
    _check_values(values)
    with transaction.atomic():
        if plan is None:
            if Plan.objects.filter(slug=values["slug"]).exists():
                raise ServiceError(_("There is a plan of this short name. Choose another."), code="slug")
            row = Plan.objects.create(**values)
            record(actor=actor, verb="plan.created", target=row)
            return row
        row = Plan.objects.select_for_update(no_key=True).get(pk=plan.pk)
        changes = {name: (getattr(row, name), values[name]) for name in FIELDS if getattr(row, name) != values[name]}
        if not changes:
            return row
        for name in changes:
            setattr(row, name, values[name])
        row.save(update_fields=list(changes))
        record(actor=actor, verb="plan.changed", target=row, changes=changes)
        if "max_sessions" in changes:
            mark_surplus()
    return row


def delete_plan(*, actor: User, plan: Plan) -> None:
    """Only one that nobody has, and that no new user is given."""
    check_administrator(actor)
    if plan.slug in KEPT | {settings.DEFAULT_PLAN}:
        raise ServiceError(_("New accounts are given this plan, so it stays."), code="in_use")
    with transaction.atomic():
        row = Plan.objects.select_for_update().filter(pk=plan.pk).first()
        if row is None:
            return
        if Subscription.objects.filter(plan=row).exists():
            raise ServiceError(_("Somebody has this plan. Move them to another first."), code="in_use")
        record(actor=actor, verb="plan.deleted", target=row)
        row.delete()


def _check_values(values: dict[str, Any]) -> None:
    if not 0 <= values["max_sessions"] <= MOST_SESSIONS:
        raise ServiceError(
            _("A plan has from 0 to %(most_sessions)s sessions.") % {"most_sessions": grouped(MOST_SESSIONS)},
            code="max_sessions",
        )
    if values["daily_limit"] is not None and not 0 <= values["daily_limit"] <= MOST_MESSAGES:
        raise ServiceError(
            _("A daily limit is from 0 to %(most_messages)s, or none.") % {"most_messages": grouped(MOST_MESSAGES)},
            code="daily_limit",
        )


def _rests(user: User) -> str:
    resting = WaSenderSession.objects.alive().filter(user=user, is_surplus=True).count()
    if not resting:
        return ""
    return f" {ONE_RESTS if resting == 1 else SOME_REST % {'n': resting}}"


def _day(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%d}" if at else None
