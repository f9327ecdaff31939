"""The restore guard: a database that is a copy sends nothing until a person has looked (docs/operations.md).

What was sent after the copy was made is not in it. So while the installation's row is held, the grant gives nothing
(dispatch/sql/tick.py), no call leaves for a gateway (`gate`), and chores that would make one rest (`is_held`).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.db.models import Max, Q
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways import sync
from phonebank.gateways.errors import Unreachable
from phonebank.language import stored
from phonebank.whatsappapi.models import Campaign, Installation, WorkerReport
from phonebank.whatsappapi.services.capabilities import check_administrator

log = logging.getLogger(__name__)

RESTORED = stored("It was restored from a backup.")
MOVED = stored("It runs at another place than before: it was moved, or it is a copy.")
OLDER = stored("It is older than what this machine remembers: an earlier state was put back.")
MARK = "phonebank: restored "  # as the table's comment, in whatever release's schema; followed by the backup's time
PAUSED = stored("Held after a restore: see who was written to since the backup, then resume.")
_LATELY = 1.0  # seconds that `is_held` believes its last look

# The server's own number and the database's tell a copy from its original; a physical one keeps both.
_HERE = """
SELECT system_identifier::text || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
FROM pg_control_system()
"""
_COMMENT = "SELECT obj_description('whatsappapi_installation'::regclass, 'pg_class')"

_may_read: ContextVar[bool] = ContextVar("guard_may_read", default=False)
_last: tuple[float, bool] = (0.0, False)


class Held(Unreachable):
    """Nothing was sent: the installation is held."""

    code = "held"
    user_message = stored(
        "Nothing leaves for the gateway: this is a restored copy, which an administrator has yet to confirm."
    )


def held() -> Installation | None:
    """The installation while it is held, else None."""
    return Installation.objects.filter(pk=1, held_at__isnull=False).first()


def is_held() -> bool:
    """The same for chores, which may be a second late: `gate` is what holds."""
    global _last
    at, found = _last
    if time.monotonic() - at > _LATELY:
        found = held() is not None
        _last = (time.monotonic(), found)
    return found


def gate() -> None:
    """Before each call to a gateway. Raises Held."""
    if not _may_read.get() and held() is not None:
        raise Held


@contextmanager
def reading() -> Iterator[None]:
    """What is called inside only reads, because an administrator asked for it: it passes the gate."""
    token = _may_read.set(True)
    try:
        yield
    finally:
        _may_read.reset(token)


def resting(verb: Callable[..., Any]) -> Callable[..., Any]:
    """A chore that calls gateways: while held it does nothing, so that no try of it counts."""

    @wraps(verb)
    def unless_held(*args: Any, **kwargs: Any) -> Any:
        return None if is_held() else verb(*args, **kwargs)

    return unless_held


def install() -> None:
    """From now on every call of this process to a gateway passes the gate, but for the engine's sends (the grant)."""
    sync.gate = gate


# --- noticing a copy --------------------------------------------------------------------------------------------------


def look() -> bool:
    """Whether this database is where it was, and not older than this machine remembers; holds it if not.

    At the start of web and worker, and each minute. True when it is held. Before `migrate` it does nothing.
    """
    try:
        with transaction.atomic():
            row = Installation.lock()
            why, known_until = _suspicion(row)
            row.home = _here() or row.home
            row.beats = max(row.beats, _remembered(row)) + 1
            row.save(update_fields=["home", "beats"])
            if why:
                _hold(row, why, known_until)
    except ProgrammingError:  # tables of an earlier release
        return False
    _remember(row)
    return row.held_at is not None


def hold_sql(known_until: datetime) -> str:
    """What a restore runs in its own transaction: it can never be committed without being held.

    The mark is for a schema of an earlier release, which has no column for it; `look` then reads it.
    What is put back may have been a held copy itself: then it knows no more than it did then.
    Logins and login links that ended after the backup must not come alive again: everybody logs in anew.
    """
    at = known_until.isoformat()
    return f"""
DELETE FROM public.django_session;
UPDATE public.accounts_onetimelink SET used_at = now() WHERE purpose = 'login' AND used_at IS NULL;
COMMENT ON TABLE public.whatsappapi_installation IS '{MARK}{at}';
DO $$ BEGIN
  IF EXISTS (SELECT FROM information_schema.columns WHERE table_schema = 'public'
             AND table_name = 'whatsappapi_installation' AND column_name = 'held_at') THEN
    UPDATE public.whatsappapi_installation
    SET held_at = now(), held_why = '{RESTORED}', known_until = least(known_until, '{at}');
  END IF;
END $$;
"""  # noqa: S608 - a time and words of ours


def _suspicion(row: Installation) -> tuple[str, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_COMMENT)
        comment = cursor.fetchone()[0] or ""
        if comment.startswith(MARK):
            cursor.execute("COMMENT ON TABLE whatsappapi_installation IS NULL")
            return RESTORED, datetime.fromisoformat(comment.removeprefix(MARK))
    here = _here()
    why = MOVED if here and row.home and here != row.home else OLDER if _remembered(row) > row.beats else ""
    return why, WorkerReport.objects.aggregate(at=Max("seen_at"))["at"] if why else None


def _hold(row: Installation, why: str, known_until: datetime | None) -> None:
    global _last
    row.held_at = row.held_at or timezone.now()
    row.held_why = why
    row.known_until = min([at for at in (row.known_until, known_until) if at], default=None)
    row.save(update_fields=["held_at", "held_why", "known_until"])
    record(actor=None, verb="installation.held", target=row, reason=why)
    log.warning("Nothing is sent until an administrator confirms this database. %s", why)
    _last = (0.0, False)


def _here() -> str:
    """Server and database; of an embedded server also the machine and the folder, which a copied folder changes.

    Empty where the server does not say: then only its age is compared.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_HERE)
            found = str(cursor.fetchone()[0])
    except DatabaseError:
        return ""
    if settings.DATABASE_URL:
        return found
    machine = ""
    with suppress(OSError):
        machine = Path("/etc/machine-id").read_text().strip()[:12]
    return f"{found} {machine} {settings.HOME}"[-200:]


def _note() -> Path:
    return Path(settings.HOME) / "last-beat"


def _remembered(row: Installation) -> int:
    """The highest beat of this installation that this machine saw; 0 when it saw none."""
    try:
        instance, beats = json.loads(_note().read_text())
        return int(beats) if instance == str(row.instance) else 0
    except (OSError, ValueError, TypeError):
        return 0


def _remember(row: Installation) -> None:
    """After the commit: what is written here was true. Without a folder to write to, the age is not compared."""
    aside = _note().with_name(f".last-beat.{secrets.token_hex(4)}")
    with suppress(OSError):
        aside.write_text(json.dumps([str(row.instance), row.beats]))
        os.replace(aside, _note())


# --- a person's word --------------------------------------------------------------------------------------------------


def confirm(*, actor: User | None, pause: bool = False) -> int:
    """Lets the installation go on. `actor` None is whoever sits at the machine (the command).

    `pause`: campaigns under way wait for their people to resume them. Those whose start fell into the time that is not
    in this database always do. Returns how many wait.
    """
    global _last
    if actor is not None:
        check_administrator(actor)
    with transaction.atomic():
        row = Installation.lock()
        if row.held_at is None:
            return 0
        waiting = Q(state=Campaign.State.SCHEDULED, scheduled_at__lte=timezone.now())
        paused = _pause(actor, waiting | Q(state=Campaign.State.RUNNING) if pause else waiting)
        row.held_at, row.held_why, row.known_until = None, "", None
        row.save(update_fields=["held_at", "held_why", "known_until"])
        record(actor=actor, verb="installation.confirmed", target=row, paused=paused)
    _last = (0.0, False)
    return paused


def _pause(actor: User | None, which: Q) -> int:
    rows = list(Campaign.objects.select_for_update(no_key=True).filter(which).order_by("pk"))
    for campaign in rows:
        campaign.state, campaign.pause_reason = Campaign.State.PAUSED, PAUSED
        campaign.save(update_fields=["state", "pause_reason"])
        record(actor=actor, verb="campaign.pause", target=campaign, reason=PAUSED)
    return len(rows)
