"""Sends what is to be told: mail, chats, signed webhooks. By a chore, never in a request; repeated while it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import smtplib
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from phonebank.gateways import outbound
from phonebank.language import grouped, said, stored
from phonebank.whatsappapi.models import Alert, AlertKind, Channel, Delivery, Incident, WaSenderSession
from phonebank.whatsappapi.services import chat, incidents, links

log = logging.getLogger(__name__)

Event, State = Delivery.Event, Delivery.State

PAUSES = (5, 30, 120, 600, 3600, 3 * 3600, 12 * 3600)  # seconds after each try that failed; then it is given up
LEASE = timedelta(seconds=90)  # after which somebody else takes over what a dead worker was sending
ROUND = 8
SMTP_TIMEOUT = 10  # seconds
NAMED = 10  # sessions in a message
LINKED = 3  # sessions that a message still carries one-time links for
ALARMING = 3  # tries after which the channel's owner is told on their other ones
KEPT = timedelta(days=90)
# What came of a delivery is kept in English (docs/adr/0017).
TAKEN = stored("Taken.")
MAILED = stored("The mail server took it.")
POSTED = stored("Taken (HTTP %(status)s).")
SWITCHED_OFF = stored("The channel is switched off.")
NO_MAIL = stored("No mail server is set up (EMAIL_URL).")
REFUSED = stored("The mail server does not take mail for this address.")
NOT_TAKEN = stored("The mail server did not take it (%(error)s).")
GONE = stored("It answered that it is gone for good (HTTP 410).")
ANSWERED = stored("It answered HTTP %(status)s.")
BROKEN = stored("Something went wrong here (%(error)s).")
DEAF = stored("“%(name)s” does not take messages.")


@dataclass(frozen=True, slots=True)
class Letter:
    """What is said, for mail and chats (subject, text) and for programs (payload)."""

    subject: str
    text: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """`why` is empty when it was taken. `is_final`: trying again is of no use."""

    why: str
    outcome: str = "Taken."
    is_final: bool = False
    is_gone: bool = False


def deliver(limit: int = ROUND) -> int:
    """Sends what is due, a few at a time side by side. Returns how many were tried."""
    rows = _claim(limit)
    if not rows:
        return 0
    acts = [(row, _act(row)) for row in rows]
    with ThreadPoolExecutor(max_workers=len(acts)) as pool:
        results = list(pool.map(lambda item: _safely(item[1]), acts))
    for (row, __), result in zip(acts, results, strict=True):
        _settle(row, result)
    return len(rows)


def _claim(limit: int) -> list[Delivery]:
    now = timezone.now()
    with transaction.atomic():
        rows = list(
            Delivery.objects.select_for_update(no_key=True, of=("self",), skip_locked=True)
            .filter(Q(state=State.WAITING) | Q(state=State.SENDING), due_at__lte=now)
            .select_related("channel__user", "incident__user", "incident__account")
            .order_by("due_at")[:limit]
        )
        for row in rows:
            row.state, row.due_at, row.tries = State.SENDING, now + LEASE, row.tries + 1
            row.save(update_fields=["state", "due_at", "tries"])
    return rows


def _act(row: Delivery) -> Callable[[], Result]:
    """What to do for a delivery, without the database."""
    channel, letter = row.channel, compose(row)
    row.subject = letter.subject[:200]
    if not channel.is_active and row.event != Event.TEST:
        return lambda: Result(SWITCHED_OFF, is_final=True)
    address, secret = channel.address, channel.secret
    if channel.kind == Channel.Kind.MAIL:
        to = address or channel.user.email
        return lambda: _mail(to, letter)
    if channel.kind == Channel.Kind.CHAT:
        return lambda: Result(chat.send(address, letter.subject, letter.text))
    body = json.dumps(letter.payload, separators=(",", ":"), ensure_ascii=False).encode()
    return lambda: _post(address, secret, row.public_id, body)


def _safely(act: Callable[[], Result]) -> Result:
    try:
        return act()
    except Exception as error:
        log.exception("a message could not be sent")
        return Result(BROKEN % {"error": type(error).__name__})


def _mail(to: str, letter: Letter) -> Result:
    if not settings.EMAIL_URL:
        return Result(NO_MAIL, is_final=True)
    message = EmailMessage(
        letter.subject, letter.text, None, [to], connection=get_connection(timeout=SMTP_TIMEOUT),
        headers={"Auto-Submitted": "auto-generated"},
    )  # fmt: skip
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused:
        return Result(REFUSED, is_final=True)
    except (smtplib.SMTPException, OSError) as error:
        return Result(NOT_TAKEN % {"error": type(error).__name__})
    return Result("", MAILED)


def _post(url: str, secret: str, message_id: uuid.UUID, body: bytes) -> Result:
    headers = {"Content-Type": "application/json", **sign(secret, message_id, int(time.time()), body)}
    answer = outbound.post(url, body, headers, allow_private=settings.ALERT_ALLOW_PRIVATE)
    if answer.status is None:
        return Result(answer.why)
    if 200 <= answer.status < 300:
        return Result("", POSTED % {"status": answer.status})
    if answer.status == 410:
        return Result(GONE, is_final=True, is_gone=True)
    return Result(ANSWERED % {"status": answer.status})


def sign(secret: str, message_id: uuid.UUID, at: int, body: bytes) -> dict[str, str]:
    """The three headers of the Standard Webhooks scheme; `at` in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    name = f"msg_{message_id.hex}"
    mac = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature}


def _settle(row: Delivery, result: Result) -> None:
    channel = row.channel
    with transaction.atomic():
        now = timezone.now()
        if not result.why:
            row.state, row.outcome, row.sent_at = State.SENT, result.outcome, now
            Channel.objects.filter(pk=channel.pk).update(failures=0)
            Alert.objects.filter(user=channel.user_id, key=_key(channel), closed_at=None).update(closed_at=now)
        elif result.is_final or row.tries > len(PAUSES) or row.event == Event.TEST:
            row.state, row.outcome = State.FAILED, result.why[:200]
            Channel.objects.filter(pk=channel.pk).update(failures=channel.failures + 1)
        else:
            row.state, row.outcome = State.WAITING, result.why[:200]
            row.due_at = now + timedelta(seconds=PAUSES[row.tries - 1])
        if result.is_gone:
            Channel.objects.filter(pk=channel.pk).update(is_active=False)
        row.save(update_fields=["state", "outcome", "sent_at", "due_at", "subject"])
        if result.why and row.event != Event.TEST and (row.tries >= ALARMING or row.state == State.FAILED):
            _alarm(channel, result.why)


def _alarm(channel: Channel, why: str) -> None:
    text = f"{DEAF % {'name': channel.name}} {why}"[:300]
    Alert.objects.get_or_create(user=channel.user, key=_key(channel), closed_at=None, defaults={"text": text})


def _key(channel: Channel) -> str:
    return f"{AlertKind.HOOK}:{channel.pk}"


def prune() -> int:
    """Deletes old entries of the log, and incidents that were over long ago."""
    before = timezone.now() - KEPT
    n, _ = Delivery.objects.filter(created_at__lt=before).exclude(state=State.WAITING).delete()
    m, _ = Incident.objects.filter(closed_at__lt=before).delete()
    return n + m


# --- words ------------------------------------------------------------------------------------------------------------


def compose(row: Delivery) -> Letter:
    """What a delivery says, as things are now: to a person in their language, to a program in English."""
    is_program = row.channel.kind == Channel.Kind.WEBHOOK
    with translation.override(settings.LANGUAGE_CODE if is_program else row.channel.user.language):
        return _compose(row)


def _compose(row: Delivery) -> Letter:
    if row.incident is None:
        text = _("This is a test of the channel “%(name)s”. When something needs a hand, you read it here.") % {
            "name": row.channel.name
        }
        return Letter(_("Phonebank: a test"), text, _payload("test", timezone.now(), {"channel": row.channel.name}))
    incident = row.incident
    [told] = incidents.in_words([incident])
    alerts = list(incidents.members(incident)[:NAMED])
    lines = [_line(one) for one in alerts]
    if incident.size > NAMED:
        lines.append(_("and %(n)s more") % {"n": grouped(incident.size - NAMED)})
    url = f"{base()}/whatsappapi/alerts/{incident.public_id}/"
    if row.event == Event.RECOVERED:
        subject, rest = _over(incident, told.title), []
    else:
        subject, rest = told.title, [told.advice, *_phone_links(incident, alerts)]
    text = "\n".join([f"{subject}.", "", *lines, "", *filter(None, rest), url])
    at = incident.closed_at if row.event == Event.RECOVERED and incident.closed_at else incident.opened_at
    return Letter(subject, text, _payload(f"incident.{row.event}", at, _facts(incident, subject, alerts, url)))


def _over(incident: Incident, title: str) -> str:
    down = incidents.still_down(incident)
    back = max(0, incident.size - down)
    if down and back:
        return _("Back: %(back)s of %(all)s; still down: %(down)s") % {
            "back": grouped(back),
            "all": grouped(incident.size),
            "down": grouped(down),
        }
    if down:
        return _("Still not connected: %(title)s") % {"title": title}
    return _("Over: %(title)s") % {"title": title}


def _line(one: Alert) -> str:
    if one.session is None:
        return f"- {said(one.text)}"
    return f"- {one.session.session_name} ({masked(one.session)}): {said(one.session.status_reason or one.text)}"


def _phone_links(incident: Incident, alerts: list[Alert]) -> list[str]:
    """For who holds the phone, where somebody has to scan and the sessions are few."""
    if incident.kind != AlertKind.SCAN or incident.size > LINKED:
        return []
    lines = []
    for one in alerts:
        token = links.for_incident(one.session, incident) if one.session and one.closed_at is None else None
        if token and one.session:
            lines.append(
                _("For whoever holds the phone of %(session)s: %(link)s")
                % {"session": one.session.session_name, "link": f"{base()}/link/{token}/"}
            )
    return [*lines, _("A link works for a day, once. Whoever has it can link a phone.")] if lines else []


def _facts(incident: Incident, title: str, alerts: list[Alert], url: str) -> dict[str, Any]:
    return {
        "id": str(incident.public_id),
        "kind": incident.kind,
        "title": title,
        "size": incident.size,
        "opened_at": incident.opened_at.isoformat(),
        "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
        "sessions": [
            {"id": str(one.session.public_id), "name": one.session.session_name, "status": one.session.status}
            for one in alerts
            if one.session is not None
        ],
        "url": url,
    }


def _payload(kind: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "timestamp": at.isoformat(), "data": data}


def masked(wa_session: WaSenderSession) -> str:
    """The number's beginning and end: enough to know which phone it is."""
    number = wa_session.linked_number or wa_session.phone_number
    return f"{number[:3]} … {number[-2:]}" if len(number) > 6 else "…"


def base() -> str:
    """Where people reach us."""
    return (settings.PUBLIC_URL or settings.LOCAL_URL).rstrip("/")
