"""The same file twice: uploaded again, or open in two windows."""

from __future__ import annotations

from django.db import connection
from django.utils.translation import gettext as _

from phonebank.whatsappapi.models import ContactImport
from phonebank.whatsappapi.services.errors import ServiceError

State = ContactImport.State
_ONE_START = "SELECT pg_advisory_xact_lock(hashtextextended('import ' || %s, %s))"


def earlier_import(job: ContactImport) -> ContactImport | None:
    """The last import of the very same file that is done or under way; None when there is none."""
    rows = ContactImport.objects.filter(
        user=job.user_id, what=job.what, file_hash=job.file_hash, is_dry_run=False,
        state__in=(State.WAITING, State.RUNNING, State.DONE),
    )  # fmt: skip
    return rows.exclude(pk=job.pk).order_by("-id").first()


def refuse_to_race(job: ContactImport) -> None:
    """Raises ServiceError while the same file is being imported: both would report half of it as known before.

    In the transaction that starts `job`; of two at once one waits for the other.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ONE_START, [job.file_hash, job.user_id])
    twin = earlier_import(job)
    if twin is not None and twin.state != State.DONE:
        raise ServiceError(
            _(
                "The same file (%(filename)s) is being imported right now. Nothing was started: wait "
                "until that is finished, and import this one only if its list, tags or consent differ."
            )
            % {"filename": twin.filename},
            code="busy",
        )


def refuse_stale(job: ContactImport, seen: str) -> None:
    """Raises ServiceError when the check that somebody looked at (`seen`, see `mark`) is not the last one."""
    if seen and seen != mark(job):
        raise ServiceError(
            _("This import was changed in another window since you looked. Nothing was imported: look at it again."),
            code="changed",
        )


def mark(job: ContactImport) -> str:
    """What tells one check of a file from the next."""
    return job.finished_at.isoformat() if job.finished_at else ""
