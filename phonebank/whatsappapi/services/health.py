"""A session's light: evidence, not the gateway's word alone. Always colour, word and reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from django.db import connection
from django.db.models import Case, F, IntegerField, Q, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext

from phonebank.language import grouped, said
from phonebank.whatsappapi.models import WaSenderSession
from phonebank.whatsappapi.models.sessions import WaSenderSessionQuerySet

Status = WaSenderSession.Status

NEARLY = 0.8  # of today's limit
SILENT = timedelta(minutes=15)  # a connected session is looked at each minute
DAY_AT_LEAST = timedelta(hours=20)  # between two new days, whatever the owner does to the time zone
GRACE = timedelta(seconds=2)  # shorter rests are the ordinary pace, not news

# What a person reads for a status that cannot send.
WORDS: dict[str, tuple[str, str]] = {
    Status.DISCONNECTED: (gettext_noop("Not connected"), gettext_noop("The link is down. Connect it again.")),
    Status.CONNECTING: (gettext_noop("Connecting"), gettext_noop("The phone was scanned; the link is coming up.")),
    Status.NEED_SCAN: (gettext_noop("Needs a scan"), gettext_noop("Scan the QR code with the phone.")),
    Status.NEED_PASSKEY: (gettext_noop("Needs a passkey"), gettext_noop("WhatsApp asks the phone for its passkey.")),
    Status.LOGGED_OUT: (gettext_noop("Logged out"), gettext_noop("The phone ended the link. Scan the QR code again.")),
    Status.EXPIRED: (gettext_noop("Expired"), gettext_noop("The link is too old. Scan the QR code again.")),
    Status.UNKNOWN: (gettext_noop("Unknown"), gettext_noop("The gateway reported a state we do not know.")),
}
RATE_LIMITED = gettext_lazy("Rate limited")
LIMIT_REACHED = gettext_lazy("Limit reached")
DOUBTS = {"failures": gettext_lazy("Failures rising"), "acks": gettext_lazy("Confirmed late")}


@dataclass(frozen=True, slots=True)
class Health:
    """`light`: green (connected), yellow (connected, with doubts) or red (cannot send now)."""

    light: str
    word: str
    reason: str


def health(wa_session: WaSenderSession, now: datetime) -> Health:
    """The light of a session loaded with its limit (`with_limit`) and with today's count in `messages_sent_today`.

    `with_light` says the same in SQL; a test compares the two.
    """
    return _red(wa_session, now) or _yellow(wa_session, now) or Health("green", _("Connected"), _("Ready to send."))


def _red(one: WaSenderSession, now: datetime) -> Health | None:
    if not one.is_active:
        return Health("red", pgettext("a session", "Switched off"), _("It was taken out of service here."))
    if one.status != Status.CONNECTED:
        if one.wasender_id is None:
            return Health("red", _("Being created"), said(one.status_reason) or _("The gateway is asked for it."))
        word, reason = WORDS.get(one.status, WORDS[Status.UNKNOWN])
        return Health("red", _(word), said(one.status_reason) or _(reason))
    if one.is_surplus:
        return Health(
            "red", _("Over the plan"), _("Your plan has fewer sessions than you use; this one does not send.")
        )
    if one.rejected_key_version == one.key_version:
        return Health("red", _("Refused"), said(one.status_reason) or _("The gateway refused this session's key."))
    if one.paused_until and one.paused_until > now + GRACE:
        return Health("red", RATE_LIMITED, _("The gateway asked us to wait; it goes on by itself."))
    limit = _limit(one)
    if limit is not None and one.messages_sent_today >= limit:
        return Health(
            "red", LIMIT_REACHED, _("All %(limit)s of today's messages are used.") % {"limit": grouped(limit)}
        )
    return None


def _yellow(one: WaSenderSession, now: datetime) -> Health | None:
    if (one.last_active_at or one.status_since) < now - SILENT:
        return Health("yellow", _("Silent"), _("Said to be connected, but there was no sign of life for a while."))
    doubt = getattr(one, "doubt", None)
    if doubt is not None and doubt.kind:
        return Health("yellow", DOUBTS[doubt.kind], said(doubt.reason))
    limit = _limit(one)
    if limit is not None and one.messages_sent_today > NEARLY * limit:
        return Health(
            "yellow",
            _("Nearly full"),
            _("Over 80 %% of today's %(limit)s messages are used.") % {"limit": grouped(limit)},
        )
    if one.strikes:
        return Health("yellow", _("Slowed down"), _("The gateway limits its rate; we send slower for a while."))
    return None


def _limit(one: WaSenderSession) -> int | None:
    return getattr(one, "effective_limit", one.daily_limit)


def used_today(one: WaSenderSession, now: datetime, zone: tzinfo) -> int:
    """What counts against the session's limit now: the stored count, unless its day is over (docs/send-path.md 5)."""
    if one.usage_date is None or one.usage_date >= now.astimezone(zone).date():
        return one.messages_sent_today
    is_over = one.usage_opened_at is None or one.usage_opened_at <= now - DAY_AT_LEAST
    return 0 if is_over else one.messages_sent_today


def resets_at(one: WaSenderSession, now: datetime, zone: tzinfo) -> datetime:
    """When today's count starts anew: the owner's midnight, but never within 20 hours of the last time."""
    today = now.astimezone(zone).date()
    day = max(today, one.usage_date or today)
    midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
    if one.usage_opened_at is None or one.usage_date is None:
        return midnight
    earliest = one.usage_opened_at + DAY_AT_LEAST
    return max(earliest, midnight) if one.usage_date >= today else earliest if earliest > now else midnight


def with_light(rows: WaSenderSessionQuerySet, now: datetime, zone: tzinfo) -> WaSenderSessionQuerySet:
    """Adds `used_today`, and `light` (0 red, 1 yellow, 2 green), so that lists are sorted and filtered by them.

    `zone`: the owner's.
    """
    over = Q(usage_date__lt=now.astimezone(zone).date()) & (
        Q(usage_opened_at=None) | Q(usage_opened_at__lte=now - DAY_AT_LEAST)
    )
    limit = Q(effective_limit__isnull=False)
    red = (
        Q(is_active=False)
        | ~Q(status=Status.CONNECTED)
        | Q(is_surplus=True)
        | Q(rejected_key_version=F("key_version"))
        | Q(paused_until__gt=now + GRACE)
        | limit & Q(used_today__gte=F("effective_limit"))
    )
    yellow = (
        Q(seen_at__lt=now - SILENT)
        | Q(doubt__kind__gt="")
        | limit & Q(used_today__gt=NEARLY * F("effective_limit"))
        | Q(strikes__gt=0)
    )
    light = Case(When(red, then=Value(0)), When(yellow, then=Value(1)), default=Value(2), output_field=IntegerField())
    return (
        rows.with_limit()
        .annotate(
            used_today=Case(When(over, then=Value(0)), default=F("messages_sent_today")),
            seen_at=Coalesce("last_active_at", "status_since"),
        )
        .annotate(light=light)
    )


# --- doubts -------------------------------------------------------------------------------------------------------
# A session's latest attempts against its own earlier ones. Failing: at least 5 of its last 50 answers, a tenth of them,
# and twice its earlier share. Late: half of its last 30 accepted messages were not confirmed by WhatsApp within three
# times what 9 in 10 of the earlier ones took (at least a minute).
WEIGH = """
WITH s AS (
  SELECT s.id FROM whatsappapi_wasendersession s
  LEFT JOIN whatsappapi_sessiondoubt d ON d.session_id = s.id
  WHERE s.deleted_at IS NULL AND s.status = 'connected' AND s.last_used_at > now() - interval '25 hours'
    AND (d.weighed_at IS NULL OR d.weighed_at < now() - interval '1 minute')
  ORDER BY d.weighed_at NULLS FIRST, s.id LIMIT %(limit)s
), a AS MATERIALIZED (
  SELECT s.id, x.outcome, x.started_at, x.sent_at - x.started_at AS took,
    row_number() OVER (PARTITION BY s.id, x.outcome = 'accepted' ORDER BY x.started_at DESC) AS nth,
    row_number() OVER (PARTITION BY s.id ORDER BY x.started_at DESC) AS n
  FROM s CROSS JOIN LATERAL (
    SELECT t.outcome, t.started_at, t.sent_at FROM whatsappapi_attempt t
    WHERE t.session_id = s.id AND t.started_at > now() - interval '24 hours'
      AND t.outcome IN ('accepted', 'rejected', 'unknown')
    ORDER BY t.started_at DESC LIMIT 250
  ) x
), f AS (
  SELECT id, count(*) FILTER (WHERE n <= 50) AS recent, count(*) FILTER (WHERE n > 50) AS earlier,
    count(*) FILTER (WHERE n <= 50 AND outcome <> 'accepted') AS bad,
    count(*) FILTER (WHERE n > 50 AND outcome <> 'accepted') AS bad_earlier
  FROM a GROUP BY id
), e AS (
  SELECT id, greatest(interval '1 minute', 3 * percentile_disc(0.9) WITHIN GROUP (ORDER BY took)) AS expected
  FROM a WHERE outcome = 'accepted' AND nth > 30 AND took IS NOT NULL GROUP BY id HAVING count(*) >= 20
), l AS (
  SELECT a.id, e.expected, count(*) AS recent, count(*) FILTER (WHERE took IS NULL OR took > e.expected) AS late
  FROM a JOIN e USING (id) WHERE a.outcome = 'accepted' AND a.nth <= 30 AND a.started_at < now() - e.expected
  GROUP BY a.id, e.expected
), v AS (
  SELECT s.id, CASE
      WHEN f.bad >= 5 AND f.bad * 10 >= f.recent AND f.bad * f.earlier >= 2 * f.bad_earlier * f.recent THEN 'failures'
      WHEN l.recent >= 10 AND l.late * 2 >= l.recent THEN 'acks' ELSE '' END AS kind,
    f.bad, f.recent AS answers, l.late, l.recent, ceil(extract(epoch FROM l.expected) / 60)::int AS minutes
  FROM s LEFT JOIN f USING (id) LEFT JOIN l USING (id)
)
INSERT INTO whatsappapi_sessiondoubt (session_id, kind, reason, weighed_at)
SELECT id, kind, CASE kind
    WHEN 'failures' THEN format('%%s of its last %%s messages failed; that is more than before.', bad, answers)
    WHEN 'acks' THEN format('%%s of its last %%s messages were not confirmed within %%s min, as they used to be.',
      late, recent, minutes)
    ELSE '' END, now()
FROM v ORDER BY id
ON CONFLICT (session_id) DO UPDATE
  SET kind = excluded.kind, reason = excluded.reason, weighed_at = excluded.weighed_at
"""


def weigh(limit: int = 100) -> int:
    """Weighs the sessions that wrote within a day and were not weighed for a minute. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(WEIGH, {"limit": limit})
        return cursor.rowcount
