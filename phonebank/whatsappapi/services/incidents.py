"""Alerts of one cause as one incident: 40 sessions that drop together are one thing to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.whatsappapi.models import Alert, AlertKind, Incident, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError

TOGETHER = timedelta(seconds=60)  # alerts that follow one another so closely have one cause
FOLDED = 2000  # alerts in one round
_LOCK = 0x50424B01  # of one folder at a time

# (one session, several sessions), and what is to be done.
SENTENCES: dict[str, tuple[str, str]] = {
    AlertKind.LOST: ("{name} lost its link", "{n} sessions lost their link"),
    AlertKind.SCAN: ("{name} needs a scan", "{n} sessions need a scan"),
    AlertKind.SLOWED: ("{name} is being slowed down by WaSender", "{n} sessions are being slowed down by WaSender"),
    AlertKind.FAILURES: ("More messages of {name} fail than before", "More messages of {n} sessions fail than before"),
    AlertKind.ACKS: ("Messages of {name} are confirmed late", "Messages of {n} sessions are confirmed late"),
    AlertKind.LIMIT: ("{name} has used all of today's messages", "{n} sessions have used all of today's messages"),
    AlertKind.BRAKE: ("A campaign paused by itself", "{n} campaigns paused by themselves"),
    AlertKind.UNCERTAIN: (
        "Somebody may have got a message, or not",
        "In {n} campaigns nobody can tell who got it",
    ),
    AlertKind.HOOK: ("A channel does not take messages", "{n} channels do not take messages"),
    AlertKind.OTHER: ("{name} needs a look", "{n} things need a look"),
}
ADVICE: dict[str, str] = {
    AlertKind.LOST: "Phonebank reconnects them by itself where that is switched on. What is queued waits.",
    AlertKind.SCAN: "Somebody has to scan a code with the phone. The session's page makes a link for whoever holds it.",
    AlertKind.SLOWED: "They rest for ten minutes and go on by themselves. Nothing is lost.",
    AlertKind.FAILURES: "Look at the last messages of the session before more are sent.",
    AlertKind.ACKS: "The phone may be off, or without internet.",
    AlertKind.LIMIT: "They go on at midnight. A higher limit, or more sessions, would go on now.",
    AlertKind.BRAKE: "Look at the reason, then resume it or cancel it.",
    AlertKind.UNCERTAIN: "Only a person can decide: count it as sent, or send it again.",
    AlertKind.HOOK: "See what it answers in the delivery log, then test it.",
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
        Told(row, title(row, single.get(row.pk)), ADVICE[row.kind] if row.closed_at is None else "", back[row.pk])
        for row in rows
    ]


def title(incident: Incident, single: Alert | None) -> str:
    """What happened, in one sentence without a stop. `single`: the alert of an incident that has one only."""
    one, many = SENTENCES[incident.kind]
    if single is None:
        return many.format(n=f"{incident.size:,}")
    if single.session is None:
        return single.text.rstrip(".")
    if incident.kind == AlertKind.OTHER:
        return f"“{single.session.session_name}”: {single.text.rstrip('.')}"
    return one.format(name=f"“{single.session.session_name}”")


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
            raise ServiceError("This does not exist.", code="not_found")
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
