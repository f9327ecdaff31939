"""Self-checks: two of a person's own sessions write to each other in turns, once an hour. Off unless switched on.

Each is an ordinary single message of kind *probe*: it counts against the limits, waits for a pause or the kill switch,
and the claim lets it go to the owner's own linked numbers only. What arrives is recognised by its token and kept out of
replies and figures.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.models import Attempt, Kind, Message, Probe, ProbePair, State, WaSenderSession
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import can_receive_webhooks
from phonebank.whatsappapi.services.health import NEARLY
from phonebank.whatsappapi.services.session_history import note_action
from phonebank.whatsappapi.services.single import send_single

if TYPE_CHECKING:
    from phonebank.whatsappapi.services.inbound import Letter

log = logging.getLogger(__name__)

Outcome = Probe.Outcome

EVERY = timedelta(hours=1)  # one message of a pair; so each of the two writes twelve a day
WAIT = timedelta(minutes=10)  # what has not come by then counts as not come
COUNTS = timedelta(hours=6)  # so long a finding tells of a session
USUAL, USUAL_LEAST, TIMES_SLOWER = 20, 5, 3  # compared with the median of so many good ones before
SLOW_AT_LEAST = 60.0  # seconds; faster is never slow
KEPT = timedelta(days=90)
SHOWN = 10
_TEXT = "Phonebank self-check {token}: this number works. There is nothing to do."
_TOKEN = re.compile(r"Phonebank self-check ([0-9a-f]{12}): ")
# What became of it that the sender (or the receiver) has to answer for, and how the health says so.
_UNCONFIRMED = stored("Its last self-check was not confirmed within %(minutes)s minutes.")
_SWITCHED_ON = stored("Switched the self-check with “%(session)s” on.")
_ENDED = stored("Ended the self-check.")
_NO_TURN = stored("It never got its turn.")
_SENDERS = {
    Outcome.REFUSED: stored("Its last self-check could not be sent."),
    Outcome.UNCONFIRMED: _UNCONFIRMED % {"minutes": WAIT.seconds // 60},
    Outcome.SLOW: stored("Its last self-check took far longer than usual."),
}
_RECEIVERS = {
    Outcome.UNHEARD: stored("Its last self-check was delivered, but WaSender did not tell us: replies may be lost."),
}


# --- what people want -------------------------------------------------------------------------------------------------


def switch(*, actor: User, wa_session: WaSenderSession, partner: WaSenderSession | None) -> None:
    """Has two of the actor's own linked sessions write to each other, or (None) ends that."""
    with transaction.atomic():
        mine = WaSenderSession.objects.alive().filter(user=actor)
        row = mine.select_for_update(no_key=True).filter(pk=wa_session.pk).first()
        if row is None:
            raise ServiceError(_("This session does not exist."), code="not_found")
        other = mine.filter(pk=partner.pk).first() if partner is not None else None
        if partner is not None and other is None:
            raise ServiceError(_("The other session does not exist."), code="not_found")
        if other is not None and not (row.linked_number and other.linked_number not in ("", row.linked_number)):
            raise ServiceError(_("A self-check needs two linked sessions with numbers of their own."), code="not_own")
        pairs = ProbePair.objects.filter(Q(session=row) | Q(partner=row))
        before = pairs.exists()
        pairs.delete()
        if other is not None:
            ProbePair.objects.update_or_create(
                session=row, defaults={"partner": other, "next_at": timezone.now(), "is_partners_turn": False}
            )
        if before or other is not None:
            record(actor=actor, verb="session.self_check", target=row, partner=str(other.public_id) if other else None)
            what = _SWITCHED_ON % {"session": other.session_name} if other else _ENDED
            note_action(row, what, actor)


def pair_of(wa_session: WaSenderSession) -> WaSenderSession | None:
    """The session that it exchanges messages with."""
    found = ProbePair.objects.filter(Q(session=wa_session) | Q(partner=wa_session)).select_related("session", "partner")
    row = found.first()
    if row is None:
        return None
    return row.partner if row.session_id == wa_session.pk else row.session


def partners_for(wa_session: WaSenderSession) -> list[WaSenderSession]:
    """Those of the owner's other sessions that it may exchange messages with."""
    rows = WaSenderSession.objects.alive().filter(user=wa_session.user_id).exclude(linked_number="")
    return list(rows.exclude(linked_number=wa_session.linked_number).order_by("session_name")[:200])


def history(wa_session: WaSenderSession) -> list[Probe]:
    """Its last self-checks, newest first, whichever way they went."""
    rows = Probe.objects.filter(Q(sender=wa_session) | Q(receiver=wa_session)).select_related("sender", "receiver")
    return list(rows[:SHOWN])


@dataclass(frozen=True, slots=True)
class Probing:
    """What a session's page shows of its self-check."""

    partner: WaSenderSession | None
    partners: list[WaSenderSession]
    history: list[Probe]


def probing(wa_session: WaSenderSession) -> Probing:
    return Probing(pair_of(wa_session), partners_for(wa_session), history(wa_session))


# --- the chore --------------------------------------------------------------------------------------------------------


def look_after() -> int:
    """Judges what is under way and sends what is due. Returns how much of both."""
    return judge() + send_due()


def send_due(limit: int = 50) -> int:
    """Sends the next message of each pair that is due. Whoever cannot send now, or nearly must not, is left out."""
    sent = 0
    for __ in range(limit):
        with transaction.atomic():
            free = ProbePair.objects.select_for_update(no_key=True, of=("self",), skip_locked=True)
            due = free.filter(next_at__lte=timezone.now()).order_by("next_at")
            pair = due.select_related("session__user", "partner__user").first()
            if pair is None:
                return sent
            if pair.session.deleted_at or pair.partner.deleted_at:
                pair.delete()
                continue
            pair.next_at = timezone.now() + EVERY * random.uniform(0.9, 1.1)  # noqa: S311
            pair.is_partners_turn = not pair.is_partners_turn
            pair.save(update_fields=["next_at", "is_partners_turn"])
            one, other = pair.session, pair.partner
            sent += _send(other, one) if not pair.is_partners_turn else _send(one, other)
    return sent


def _send(sender: WaSenderSession, receiver: WaSenderSession) -> bool:
    owner = sender.user
    if (
        receiver.user_id != owner.pk or not (sender.linked_number and receiver.linked_number)
        or not receiver.is_active or not owner.is_active
        or receiver.status != WaSenderSession.Status.CONNECTED or _is_nearly_full(sender)
    ):  # fmt: skip
        return False
    probe = Probe(sender=sender, receiver=receiver, at=timezone.now(), is_heard=can_receive_webhooks(receiver.account))
    try:
        probe.message = send_single(
            actor=owner, kind=Kind.PROBE, body=_TEXT.format(token=probe.token), phone=receiver.linked_number,
            wa_session=sender,
        )  # fmt: skip
    except ServiceError as error:
        log.info("no self-check of session %s now (%s)", sender.pk, error.code)
        return False
    probe.save()
    return True


def _is_nearly_full(wa_session: WaSenderSession) -> bool:
    """The rest of the day's messages is for people."""
    row = WaSenderSession.objects.with_limit().get(pk=wa_session.pk)
    return row.effective_limit is not None and row.messages_sent_today > NEARLY * row.effective_limit


def judge(limit: int = 200, now: datetime | None = None) -> int:
    """Ends the checks that all is known of, or that waited long enough. Returns how many."""
    now, ended = now or timezone.now(), 0
    rows = list(Probe.objects.filter(outcome=Outcome.OPEN).select_related("message").order_by("at")[:limit])
    current = {one.message.attempt for one in rows if one.message is not None and one.message.attempt}
    attempts = {one.pk: one for one in Attempt.objects.filter(pk__in=current)}
    for probe in rows:
        message = probe.message
        attempt = attempts.get(message.attempt) if message is not None and message.attempt else None
        ended += _judge(probe, attempt, now)
    return ended


def _judge(probe: Probe, attempt: Attempt | None, now: datetime) -> bool:
    message = probe.message
    if message is None or message.state in (State.EXPIRED, State.CANCELLED, State.SKIPPED):
        return _end(probe, Outcome.HELD, message.reason if message else "")
    if message.state == State.FAILED:
        return _end(probe, Outcome.REFUSED, message.reason)
    if attempt is None or message.state == State.QUEUED:
        return now - probe.at > 2 * WAIT and _end(probe, Outcome.HELD, _NO_TURN)
    confirmed = attempt.sent_at or attempt.delivered_at or attempt.read_at
    delivered = attempt.delivered_at or attempt.read_at
    probe.sent_after, probe.delivered_after = _after(attempt, confirmed), _after(attempt, delivered)
    probe.arrived_after = _after(attempt, probe.arrived_at)
    if delivered and (probe.arrived_at or not probe.is_heard):
        took = max(probe.delivered_after or 0.0, probe.arrived_after or 0.0)
        usual = _usual(probe)
        is_slow = usual is not None and took > max(SLOW_AT_LEAST, TIMES_SLOWER * usual)
        return _end(probe, Outcome.SLOW if is_slow else Outcome.GOOD, "")
    if now - attempt.started_at <= WAIT:
        return False
    return _end(probe, Outcome.UNHEARD if delivered else Outcome.UNCONFIRMED, "")


def _end(probe: Probe, outcome: str, reason: str) -> bool:
    """Once, whoever comes twice; an arrival that was noted meanwhile is judged at the next look."""
    times = {name: getattr(probe, name) for name in ("sent_after", "delivered_after", "arrived_after")}
    rows = Probe.objects.filter(pk=probe.pk, outcome=Outcome.OPEN, arrived_at=probe.arrived_at)
    return bool(rows.update(outcome=outcome, reason=reason[:200], **times))


def _after(attempt: Attempt, at: datetime | None) -> float | None:
    return max(0.0, (at - attempt.started_at).total_seconds()) if at else None


def _usual(probe: Probe) -> float | None:
    """Seconds that the sender's good ones took until delivery; None while there are too few."""
    rows = Probe.objects.filter(sender=probe.sender_id, outcome=Outcome.GOOD, delivered_after__isnull=False)
    took = list(rows.order_by("-at").values_list("delivered_after", flat=True)[:USUAL])
    return median(took) if len(took) >= USUAL_LEAST else None


# --- what arrives -----------------------------------------------------------------------------------------------------


def take(letters: Sequence[Letter], now: datetime | None = None) -> list[Letter]:
    """Notes the self-checks among what came in, and returns the rest: what people wrote.

    Inside the caller's transaction. One is ours if its token was written to that session, from the number it came from
    (a LID is not known to be anybody's); whatever else looks like one is somebody's message.
    """
    found = {one: hit[1] for one, letter in enumerate(letters) if (hit := _TOKEN.match(letter.text))}
    if not found:
        return list(letters)
    probes = {one.token: one for one in Probe.objects.filter(token__in=found.values()).select_related("sender")}
    ours: dict[int, int] = {}  # place among the letters -> probe
    for place, token in found.items():
        probe, letter = probes.get(token), letters[place]
        numbers = ("", probe.sender.linked_number) if probe else ()
        if probe is not None and letter.session == probe.receiver_id and letter.phone in numbers:
            ours[place] = probe.pk
    for pk in sorted(set(ours.values())):
        Probe.objects.filter(pk=pk, arrived_at=None).update(arrived_at=now or timezone.now())
    return [letter for place, letter in enumerate(letters) if place not in ours]


# --- what it says of a session ----------------------------------------------------------------------------------------


def findings(rows: Sequence[WaSenderSession], now: datetime) -> dict[int, tuple[str, str]]:
    """Session id -> (outcome, sentence) of those whose last self-check within some hours went wrong, in two queries."""
    found: dict[int, tuple[str, str]] = {}
    for side, words in (("sender", _SENDERS), ("receiver", _RECEIVERS)):
        recent = Probe.objects.filter(**{f"{side}__in": rows}, at__gt=now - COUNTS)
        recent = recent.exclude(outcome__in=[Outcome.OPEN, Outcome.HELD])
        for one in recent.order_by(f"{side}_id", "-at", "-pk").distinct(f"{side}_id"):
            if one.outcome in words:
                found.setdefault(getattr(one, f"{side}_id"), (one.outcome, words[Outcome(one.outcome)]))
    return found


def prune() -> int:
    """Forgets old self-checks, with their messages."""
    old = list(Probe.objects.filter(at__lt=timezone.now() - KEPT).values_list("pk", "message")[:2000])
    Message.objects.filter(pk__in=[message for __, message in old if message], kind=Kind.PROBE).delete()
    return Probe.objects.filter(pk__in=[pk for pk, __ in old]).delete()[0]
