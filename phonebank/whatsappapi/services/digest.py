"""The morning's mail: what each session did yesterday, and what needs a hand."""

from __future__ import annotations

import smtplib
import zoneinfo
from datetime import date, datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import ngettext

from phonebank.accounts.models import User
from phonebank.language import grouped
from phonebank.whatsappapi.models import AlertSettings, Digest, Incident, WaSenderSession
from phonebank.whatsappapi.services import analytics, incidents
from phonebank.whatsappapi.services.deliveries import SMTP_TIMEOUT, base

AT = 8  # o'clock, where the person lives
UNTIL = 20  # from then on it is no morning's mail any more
TRIES = 4
AGAIN = timedelta(minutes=10)
ROWS = 100  # sessions in one mail
KEPT = timedelta(days=90)


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
    """The mail about the person's `day`, as text and as HTML, in their language."""
    with translation.override(user.language):
        return _compose(user, day)


def _compose(user: User, day: date) -> EmailMultiAlternatives:
    scope = analytics.Scope(user, day, day)
    lines, __ = analytics.compare(scope, limit=ROWS)
    total = analytics.total(scope)
    needs = incidents.in_words(Incident.objects.visible_to(user).open().order_by("-opened_at")[:10])
    down = WaSenderSession.objects.visible_to(user).filter(is_active=True)
    context = {
        "user": user,
        "day": day,
        "lines": lines,
        "total": total,
        "needs": needs,
        "down": down.exclude(status=WaSenderSession.Status.CONNECTED).count(),
        "base": base(),
    }
    text = render_to_string("whatsappapi/mail/digest.txt", context)
    html = render_to_string("whatsappapi/mail/digest.html", context)
    facts = {"sent": grouped(total.sent), "day": date_format(day, "l"), "n": len(needs)}
    subject = ngettext("Phonebank: %(sent)s message on %(day)s", "Phonebank: %(sent)s messages on %(day)s", total.sent)
    subject %= facts
    if needs:
        subject += ngettext(", %(n)s thing needs a hand", ", %(n)s things need a hand", len(needs)) % facts
    mail = EmailMultiAlternatives(
        subject, text, None, [user.email], connection=get_connection(timeout=SMTP_TIMEOUT),
        headers={"Auto-Submitted": "auto-generated"},
    )  # fmt: skip
    mail.attach_alternative(html, "text/html")
    return mail


def prune() -> int:
    """Forgets which mails went out long ago."""
    return Digest.objects.filter(date__lt=(timezone.now() - KEPT).date()).delete()[0]
