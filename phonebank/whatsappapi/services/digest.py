"""The morning's mail: what each session did yesterday, and what needs a hand."""

from __future__ import annotations

import smtplib
import zoneinfo
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import AlertSettings, Digest, Incident, WaSenderSession
from phonebank.whatsappapi.services import incidents
from phonebank.whatsappapi.services.deliveries import SMTP_TIMEOUT, base

AT = 8  # o'clock, where the person lives
UNTIL = 20  # from then on it is no morning's mail any more
TRIES = 4
AGAIN = timedelta(minutes=10)
ROWS = 100  # sessions in one mail
KEPT = timedelta(days=90)

_DONE = """
SELECT s.id, s.session_name, x.sent, x.delivered, x.failed, coalesce(o.n, 0) AS opted_out
FROM whatsappapi_wasendersession s
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE a.outcome = 'accepted') AS sent,
    count(*) FILTER (WHERE a.outcome = 'accepted' AND a.delivered_at IS NOT NULL) AS delivered,
    count(*) FILTER (WHERE a.outcome = 'rejected' OR m.state = 'failed' AND m.attempt = a.id) AS failed
  FROM whatsappapi_attempt a JOIN whatsappapi_message m ON m.id = a.message_id
  WHERE a.session_id = s.id AND a.started_at >= %(begin)s AND a.started_at < %(end)s
) x
LEFT JOIN (
  SELECT session_id, count(*) AS n FROM whatsappapi_suppression
  WHERE user_id = %(user)s AND reason = 'stop' AND created_at >= %(begin)s AND created_at < %(end)s GROUP BY 1
) o ON o.session_id = s.id
WHERE s.user_id = %(user)s AND (s.deleted_at IS NULL OR x.sent + x.failed > 0)
ORDER BY x.sent DESC, lower(s.session_name), s.id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A session's yesterday."""

    id: int
    name: str
    sent: int
    delivered: int
    failed: int
    opted_out: int


def send_due(now: datetime | None = None) -> int:
    """Sends the mails whose morning has come, once a person and day. Returns how many went out."""
    if not settings.EMAIL_URL:
        return 0
    wished = AlertSettings.objects.filter(wants_digest=True, user__is_active=True).select_related("user")
    return sum(_send(one.user, now or timezone.now()) for one in wished)


def _send(user: User, now: datetime) -> bool:
    local = now.astimezone(zoneinfo.ZoneInfo(user.time_zone))
    if not AT <= local.hour < UNTIL:
        return False
    day = local.date() - timedelta(days=1)
    row = _claim(user, day, now)
    if row is None:
        return False
    try:
        compose(user, day).send()
    except (smtplib.SMTPException, OSError):
        return False  # the claim says when it is tried again
    Digest.objects.filter(pk=row.pk).update(sent_at=timezone.now())
    return True


def _claim(user: User, day: date, now: datetime) -> Digest | None:
    """The day's row, when this is the moment to send it. One that may have gone out is sent again at most thrice."""
    with transaction.atomic():
        Digest.objects.get_or_create(user=user, date=day, defaults={"due_at": now})
        row = Digest.objects.select_for_update(no_key=True).get(user=user, date=day)
        if row.sent_at is not None or row.due_at > now or row.tries >= TRIES:
            return None
        row.tries, row.due_at = row.tries + 1, now + AGAIN
        row.save(update_fields=["tries", "due_at"])
    return row


def compose(user: User, day: date) -> EmailMultiAlternatives:
    """The mail about the person's `day`, as text and as HTML."""
    lines = done(user, day)
    needs = incidents.in_words(Incident.objects.visible_to(user).open().order_by("-opened_at")[:10])
    down = WaSenderSession.objects.visible_to(user).filter(is_active=True)
    context = {
        "user": user,
        "day": day,
        "lines": lines,
        "total": Line(0, "All", *(sum(getattr(one, name) for one in lines) for name in Line.__slots__[2:])),
        "needs": needs,
        "down": down.exclude(status=WaSenderSession.Status.CONNECTED).count(),
        "base": base(),
    }
    with translation.override(user.locale):
        text = render_to_string("whatsappapi/mail/digest.txt", context)
        html = render_to_string("whatsappapi/mail/digest.html", context)
    subject = f"Phonebank: {context['total'].sent:,} messages on {day:%A}"  # type: ignore[attr-defined]
    if needs:
        subject += f", {len(needs)} {'thing needs' if len(needs) == 1 else 'things need'} a hand"
    mail = EmailMultiAlternatives(
        subject, text, None, [user.email], connection=get_connection(timeout=SMTP_TIMEOUT),
        headers={"Auto-Submitted": "auto-generated"},
    )  # fmt: skip
    mail.attach_alternative(html, "text/html")
    return mail


def done(user: User, day: date) -> list[Line]:
    """What the person's sessions did on a date of theirs, the busiest first."""
    zone = zoneinfo.ZoneInfo(user.time_zone)
    begin, end = (datetime.combine(one, clock(), tzinfo=zone) for one in (day, day + timedelta(days=1)))
    with connection.cursor() as cursor:
        cursor.execute(_DONE, {"user": user.pk, "begin": begin, "end": end, "limit": ROWS})
        return [Line(*row) for row in cursor.fetchall()]


def prune() -> int:
    """Forgets which mails went out long ago."""
    return Digest.objects.filter(date__lt=(timezone.now() - KEPT).date()).delete()[0]
