"""Alerts of one cause as one incident: 40 sessions that drop together are one thing to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import grouped, said, without_stop
from phonebank.whatsappapi.models import Alert, AlertKind, Incident, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError

TOGETHER = timedelta(seconds=60)  # alerts that follow one another so closely have one cause
FOLDED = 2000  # alerts in one round
_LOCK = 0x50424B01  # of one folder at a time

# (one session, several sessions), and what is to be done.
SENTENCES: dict[str, tuple[Any, Any]] = {
    AlertKind.LOST: (
        gettext_lazy("%(name)s lost its link"),
        ngettext_lazy("%(n)s session lost its link", "%(n)s sessions lost their link", "count"),
    ),
    AlertKind.SCAN: (
        gettext_lazy("%(name)s needs a scan"),
        ngettext_lazy("%(n)s session needs a scan", "%(n)s sessions need a scan", "count"),
    ),
    AlertKind.SLOWED: (
        gettext_lazy("%(name)s is being slowed down by WaSender"),
        ngettext_lazy(
            "%(n)s session is being slowed down by WaSender",
            "%(n)s sessions are being slowed down by WaSender",
            "count",
        ),
    ),
    AlertKind.FAILURES: (
        gettext_lazy("More messages of %(name)s fail than before"),
        ngettext_lazy(
            "More messages of %(n)s session fail than before",
            "More messages of %(n)s sessions fail than before",
            "count",
        ),
    ),
    AlertKind.ACKS: (
        gettext_lazy("Messages of %(name)s are confirmed late"),
        ngettext_lazy(
            "Messages of %(n)s session are confirmed late", "Messages of %(n)s sessions are confirmed late", "count"
        ),
    ),
    AlertKind.LIMIT: (
        gettext_lazy("%(name)s has used all of today's messages"),
        ngettext_lazy(
            "%(n)s session has used all of today's messages",
            "%(n)s sessions have used all of today's messages",
            "count",
        ),
    ),
    AlertKind.BRAKE: (
        gettext_lazy("A campaign paused by itself"),
        ngettext_lazy("%(n)s campaign paused by itself", "%(n)s campaigns paused by themselves", "count"),
    ),
    AlertKind.UNCERTAIN: (
        gettext_lazy("Somebody may have got a message, or not"),
        ngettext_lazy(
            "In %(n)s campaign nobody can tell who got it", "In %(n)s campaigns nobody can tell who got it", "count"
        ),
    ),
    AlertKind.HOOK: (
        gettext_lazy("A channel does not take messages"),
        ngettext_lazy("%(n)s channel does not take messages", "%(n)s channels do not take messages", "count"),
    ),
    AlertKind.OTHER: (
        gettext_lazy("%(name)s needs a look"),
        ngettext_lazy("%(n)s thing needs a look", "%(n)s things need a look", "count"),
    ),
}
ADVICE: dict[str, str] = {
    AlertKind.LOST: gettext_lazy(
        "Phonebank reconnects them by itself where that is switched on. What is queued waits."
    ),
    AlertKind.SCAN: gettext_lazy(
        "Somebody has to scan a code with the phone. The session's page makes a link for whoever holds it."
    ),
    AlertKind.SLOWED: gettext_lazy("They rest for ten minutes and go on by themselves. Nothing is lost."),
    AlertKind.FAILURES: gettext_lazy("Look at the last messages of the session before more are sent."),
    AlertKind.ACKS: gettext_lazy("The phone may be off, or without internet."),
    AlertKind.LIMIT: gettext_lazy("They go on at midnight. A higher limit, or more sessions, would go on now."),
    AlertKind.BRAKE: gettext_lazy("Look at the reason, then resume it or cancel it."),
    AlertKind.UNCERTAIN: gettext_lazy("Only a person can decide: count it as sent, or send it again."),
    AlertKind.HOOK: gettext_lazy("See what it answers in the delivery log, then test it."),
    AlertKind.OTHER: "",
}
# Nobody can see whether these are over but a person: acknowledging them closes them.
BY_HAND = {AlertKind.OTHER}


@dataclass(frozen=True, slots=True)
class Told:
    """An incident in words. `back` of its `size` are all right again."""

    incident: Incident
    title: str
    advice: str
    back: int


# --- folding ----------------------------------------------------------------------------------------------------------


def fold() -> int:
    """Puts new alerts into incidents and closes incidents that are over. Returns how many alerts were put."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                return 0
        new = list(
            Alert.objects.filter(incident=None, closed_at=None, user__is_active=True)
            .select_related("session")
            .order_by("created_at", "pk")[:FOLDED]
        )
        if new:
            _put(new)
        still = Alert.objects.filter(incident=OuterRef("pk"), closed_at=None)
        Incident.objects.open().filter(~Exists(still)).update(closed_at=timezone.now())
    return len(new)


def _put(new: list[Alert]) -> None:
    open_: dict[tuple[int, int | None, str], Incident] = {}
    for row in Incident.objects.open().filter(user__in={one.user_id for one in new}).order_by("last_at"):
        open_[row.user_id, row.account_id, row.kind] = row
    joined: dict[int, list[int]] = {}
    for one in new:
        account = one.session.account_id if one.session else None
        where = (one.user_id, account, kind_of(one.key))
        incident = open_.get(where)
        if incident is None or one.created_at - incident.last_at > TOGETHER or where[2] == AlertKind.OTHER:
            incident = Incident.objects.create(
                user_id=one.user_id, account_id=account, kind=where[2], opened_at=one.created_at, last_at=one.created_at
            )
            open_[where] = incident
        incident.last_at = max(incident.last_at, one.created_at)
        joined.setdefault(incident.pk, []).append(one.pk)
    last = {one.pk: one.last_at for one in open_.values()}
    for incident_id, alerts in joined.items():
        Alert.objects.filter(pk__in=alerts).update(incident=incident_id)
        rows = Incident.objects.filter(pk=incident_id)
        rows.update(size=F("size") + len(alerts))
        if incident_id in last:
            rows.update(last_at=last[incident_id])


def kind_of(key: str) -> str:
    """The kind that an alert's key begins with."""
    kind = key.split(":", 1)[0]
    return kind if kind in AlertKind.values else AlertKind.OTHER


# --- reading ----------------------------------------------------------------------------------------------------------


def unseen(user: User) -> int:
    """What the bell says."""
    return Incident.objects.visible_to(user).unseen().count()


def in_words(incidents: Iterable[Incident]) -> list[Told]:
    """Their titles, in two queries however many there are."""
    rows = list(incidents)
    single = {
        one.incident_id: one
        for one in Alert.objects.filter(incident__in=[row for row in rows if row.size == 1]).select_related("session")
    }
    back = Counter(Alert.objects.filter(incident__in=rows).exclude(closed_at=None).values_list("incident", flat=True))
    return [
        Told(row, title(row, single.get(row.pk)), str(ADVICE[row.kind]) if row.closed_at is None else "", back[row.pk])
        for row in rows
    ]


def title(incident: Incident, single: Alert | None) -> str:
    """What happened, in one sentence without a stop. `single`: the alert of an incident that has one only."""
    one, many = SENTENCES[incident.kind]
    if single is None:
        return many % {"count": incident.size, "n": grouped(incident.size)}
    if single.session is None:
        return without_stop(said(single.text))
    if incident.kind == AlertKind.OTHER:
        return f"“{single.session.session_name}”: {without_stop(said(single.text))}"
    return one % {"name": f"“{single.session.session_name}”"}


def members(incident: Incident) -> QuerySet[Alert]:
    """Its alerts with their sessions: those that last first."""
    return incident.alerts.select_related("session").order_by(F("closed_at").asc(nulls_first=True), "created_at", "pk")


def still_down(incident: Incident) -> int:
    """How many sessions of an incident about links that is over are not connected all the same (they need a scan)."""
    if incident.kind not in (AlertKind.LOST, AlertKind.SCAN):
        return 0
    rows = WaSenderSession.objects.alive().filter(alerts__incident=incident, reconnection__ended_by_person_at=None)
    return rows.exclude(status=WaSenderSession.Status.CONNECTED).distinct().count()


# --- what a person does -----------------------------------------------------------------------------------------------


def acknowledge(*, actor: User, incident: Incident) -> None:
    """Somebody has seen it and looks after it: it leaves the bell, and nobody else is told any more."""
    with transaction.atomic():
        row = Incident.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=incident.pk).first()
        if row is None:
            raise ServiceError(_("This does not exist."), code="not_found")
        if row.acknowledged_at is not None:
            return
        row.acknowledged_at, row.acknowledged_by = timezone.now(), actor
        if row.kind in BY_HAND and row.closed_at is None:
            row.closed_at = row.acknowledged_at
            row.alerts.filter(closed_at=None).update(closed_at=row.acknowledged_at)
        row.save(update_fields=["acknowledged_at", "acknowledged_by", "closed_at"])
        record(actor=actor, verb="incident.acknowledged", target=row, kind=row.kind, size=row.size)


def acknowledge_all(*, actor: User) -> int:
    """The same with all of them. Returns how many."""
    rows = list(Incident.objects.visible_to(actor).unseen())
    for row in rows:
        acknowledge(actor=actor, incident=row)
    return len(rows)
