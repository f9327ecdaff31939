"""After a restore: whom the gateway's own logs name that this database does not know to have been written to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.language import grouped, said, stored
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.dispatch.message_log import SKEW, Reading, digits_of, read_log
from phonebank.whatsappapi.dispatch.statuses import skip_person
from phonebank.whatsappapi.models import Attempt, Campaign, WaSenderSession
from phonebank.whatsappapi.services import guard
from phonebank.whatsappapi.services.errors import ServiceError

REASON = stored("Written to after the backup, says the gateway's log")
PAGES = 500  # of 100 entries, per session
PATIENCE = 60.0  # seconds that a page may take, within the two minutes of a proxy
LONG = 3600.0  # the same for the command, at which somebody sits
DEALING = gettext_lazy("still getting its people in line")


@dataclass(slots=True)
class Meanwhile:
    """What the logs say. `written`: people, for each user who may have written to them; `unread`: what does not tell
    (everything), and why; `left_out`: messages that were skipped for it."""

    read: int = 0
    written: dict[int, set[str]] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)
    left_out: int = 0

    @property
    def people(self) -> int:
        return len(set().union(*self.written.values()))


def compare(*, patience: float = PATIENCE) -> Meanwhile:
    """Reads each session's message log back to the backup. Only reads, and waits for the budget of real accounts.

    Read anew each time: what was kept from an earlier look would not show a copy that still sends.
    """
    held, found = guard.held(), Meanwhile()
    if held is None or held.known_until is None:
        return found
    until = time.monotonic() + patience
    rows = WaSenderSession.objects.alive().exclude(wasender_id=None).select_related("account")
    for row in rows.order_by("pk"):
        phones, why = _written(row, held.known_until - SKEW, until)
        if why:
            found.unread.append((row.session_name, why))
        else:
            found.read += 1
        # The log does not say who wrote: the owner, or whoever it was ever lent to. Each has rows of their own.
        writers = {row.user_id, *row.shares.exclude(user=None).values_list("user_id", flat=True)} if phones else ()
        for user in writers:
            found.written.setdefault(user, set()).update(phones)
    return found


def leave_out(*, actor: User | None, strict: bool = True, patience: float = PATIENCE) -> Meanwhile:
    """Skips what is queued for the people whom the logs name. Confirms nothing.

    Raises ServiceError where a log does not tell, or somebody is not in line yet; then nothing is changed. Without
    `strict` it goes by what the logs do tell, and `unread` names what does not.
    """
    dealing = list(Campaign.objects.filter(state=Campaign.State.DEALING).values_list("name", flat=True))
    if strict and dealing:
        raise ServiceError(
            _("A campaign is still getting its people in line. See that a worker runs, wait a minute and try again.")
        )
    found = compare(patience=patience)
    if strict and found.unread:
        names = "; ".join(f"{name}: {why}" for name, why in found.unread[:5])
        raise ServiceError(
            _("Some logs do not tell, so nothing was changed. %(names)s") % {"names": names}, code="unread"
        )
    found.unread += [(name, str(DEALING)) for name in dealing]
    for user, phones in found.written.items():
        for phone in sorted(phones):
            with transaction.atomic(), connection.cursor() as cursor:
                found.left_out += skip_person(cursor, user, phone, REASON)
    return found


def _written(row: WaSenderSession, back_to: datetime, until: float) -> tuple[set[str], str]:
    """Whom its log names and this database does not, and why that may not be everybody."""
    if not row.account.token:
        return set(), _("its account has no access token")
    if not row.log_messages:
        return set(), _("message logging is off at WaSender")
    with guard.reading():
        log = read_log(row, back_to, most=PAGES, until=until)
    sent = {one.id: one for one in log.entries.values() if one.created_at >= back_to and one.status != "failed"}
    for known in Attempt.objects.filter(session=row, msg_id__in=list(sent)).values_list("msg_id", flat=True):
        sent.pop(known or 0, None)
    numbers = {digits_of(one.to or "") for one in sent.values()}
    why = _shortfall(log) or (_("its log hides recipients") if "" in numbers else "")
    return {f"+{number}" for number in numbers if number}, why


def _shortfall(log: Reading) -> str:
    if log.error is not None:
        return said(log.error.user_message)
    if log.is_whole:
        return ""
    if log.pages >= PAGES:
        return _("more than %(n)s messages since the backup") % {"n": grouped(PAGES * 100)}
    return _(
        "not read in time, for the gateway may be asked only every %(n)s seconds; on the machine, "
        "phonebank resume-after-restore waits for it up to an hour"
    ) % {"n": f"{budget.ACCOUNT_GAP:g}"}
