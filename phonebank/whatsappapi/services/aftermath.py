"""After a restore: whom the gateway's own logs name that this database does not know to have been written to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection, transaction

from phonebank.accounts.models import User
from phonebank.gateways.base import LogEntry
from phonebank.gateways.errors import GatewayError
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.dispatch.statuses import skip_person
from phonebank.whatsappapi.models import Attempt, Campaign, WaSenderSession
from phonebank.whatsappapi.services import guard
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call

REASON = "Written to after the backup, says the gateway's log"
SKEW = timedelta(seconds=60)  # the log's times have whole seconds and another clock
PAGES = 20  # of 100 entries, per session


@dataclass(slots=True)
class Meanwhile:
    """What the logs say. `written`: people of each owner; `unread`: sessions whose log does not tell, and why."""

    read: int = 0
    written: dict[int, set[str]] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)

    @property
    def people(self) -> int:
        return sum(len(phones) for phones in self.written.values())


def compare() -> Meanwhile:
    """Reads each session's message log back to the backup. Only reads; takes about a second for a hundred messages."""
    held, found = guard.held(), Meanwhile()
    if held is None or held.known_until is None:
        return found
    rows = WaSenderSession.objects.alive().exclude(wasender_id=None).select_related("account")
    for row in rows.order_by("pk"):
        try:
            entries = _entries(row, held.known_until - SKEW)
        except ServiceError as error:
            found.unread.append((row.session_name, error.message))
            continue
        found.read += 1
        ours = set(Attempt.objects.filter(session=row, msg_id__in=[one.id for one in entries]).values_list("msg_id"))
        for entry in entries:
            if entry.to and entry.status != "failed" and (entry.id,) not in ours:
                digits = "".join(c for c in entry.to.split("@")[0] if c.isdigit())
                found.written.setdefault(row.user_id, set()).add(f"+{digits}")
    return found


def leave_out(*, actor: User | None) -> int:
    """Takes the people whom the logs name out of all that waits for them. Returns how many messages.

    Raises ServiceError where a log does not tell, or somebody is not in line yet; nothing is confirmed then.
    """
    if Campaign.objects.filter(state=Campaign.State.DEALING).exists():
        raise ServiceError("A campaign is still getting its people in line. Wait a minute and press again.")
    found = compare()
    if found.unread:
        names = "; ".join(f"{name}: {why}" for name, why in found.unread[:5])
        raise ServiceError(f"Some logs do not tell, so nothing was changed. {names}", code="unread")
    left_out = 0
    for user, phones in found.written.items():
        for phone in sorted(phones):
            with transaction.atomic(), connection.cursor() as cursor:
                left_out += skip_person(cursor, user, phone, REASON)
    return left_out


def _entries(row: WaSenderSession, back_to: datetime) -> list[LogEntry]:
    if not row.account.token:
        raise ServiceError("its account has no access token")
    if not row.log_messages:
        raise ServiceError("message logging is off at WaSender")
    entries: list[LogEntry] = []
    for page in _pages(row):
        entries += page
        if page and min(one.created_at for one in page) < back_to:
            break
    recent = [one for one in entries if one.created_at >= back_to]
    if any(one.to is None for one in recent):
        raise ServiceError("its log hides recipients")
    return recent


def _pages(row: WaSenderSession) -> Iterator[list[LogEntry]]:
    token, number = row.account.token, row.wasender_id or 0
    for page in range(1, PAGES + 1):
        if not budget.may_read_log(row.account):
            raise ServiceError("the gateway may be asked no more this minute; press again then")
        try:
            with guard.reading():
                got = client_call(
                    row.account, lambda gateway, page=page: gateway.message_logs(token, number, page=page)
                )
        except GatewayError as error:
            raise ServiceError(error.user_message) from None
        yield list(got.entries)
        if page >= got.last_page:
            return
    raise ServiceError(f"more than {PAGES * 100} messages since the backup")
