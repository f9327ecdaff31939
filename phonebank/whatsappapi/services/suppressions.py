"""What opt-outs, imports of opt-outs and erasures share."""

from __future__ import annotations

from django.db import connection, transaction

from phonebank.accounts.models import User
from phonebank.language import stored
from phonebank.whatsappapi.dispatch.statuses import skip_person
from phonebank.whatsappapi.services.import_sql import WAITING

SKIP_REASON = stored("Asked not to be written to")


def one_at_a_time(user: User) -> None:
    """A person who writes stop five times within a second must not make five transactions wait for one another."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('opt-out', %s))", [user.pk])


def skip_listed(*, user: User, upload: int) -> int:
    """Skips what waits for people on an imported list of opt-outs. Returns how many messages.

    Not before their suppressions are committed; until then and in between the claims refuse them (send-path 5).
    """
    with connection.cursor() as cursor:
        cursor.execute(WAITING, {"user": user.pk, "upload": upload})
        phones = [phone for (phone,) in cursor.fetchall()]
    skipped = 0
    for phone in phones:
        with transaction.atomic(), connection.cursor() as cursor:
            one_at_a_time(user)
            skipped += skip_person(cursor, user.pk, phone, SKIP_REASON)
    return skipped
