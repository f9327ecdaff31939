"""The gateway's own log of what a session sent, read page by page within the account's budget."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from phonebank.gateways import sync
from phonebank.gateways.base import LogEntry
from phonebank.gateways.errors import GatewayError, Throttled
from phonebank.whatsappapi.dispatch import budget
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession

SKEW = timedelta(seconds=60)  # log times have whole seconds, no zone and another clock than our database
PAGES = 20  # of 100 entries per session and round
LOOK_AGAIN = 0.25  # seconds between two looks at a budget that is waited for


@dataclass(slots=True)
class Reading:
    """What was read of a log: everything since `since`, which is None when not a page was.

    `is_whole`: that goes back past what was asked for. `error`: what the gateway answered instead of a page.
    """

    entries: dict[int, LogEntry] = field(default_factory=dict)
    since: datetime | None = None
    pages: int = 0
    is_whole: bool = False
    error: GatewayError | None = None


def read_log(
    wa_session: WaSenderSession, back_to: datetime, *, most: int = PAGES, until: float | None = None
) -> Reading:
    """The log from now back past `back_to`: at most so many pages, and as far as the budget goes.

    `until`, a moment of time.monotonic(): till then the budget, and a gateway that asks to slow down, are waited for;
    after it nothing is read. Without it nothing is waited for.
    """
    account, number = wa_session.account, wa_session.wasender_id or 0
    token, found = account.token, Reading()
    while found.pages < most and not found.is_whole and _may_read(account, until):
        page = found.pages + 1
        try:
            got = sync.run(
                account.base_url,
                lambda gateway, page=page: gateway.message_logs(token, number, page=page, per_page=100),
            )
        except GatewayError as error:
            if isinstance(error, Throttled):
                budget.close(budget.account_key(account.pk), max(1.0, error.retry_after or 0.0))
                if until is not None:
                    continue
            found.error = error
            break
        found.pages = page
        found.entries |= {entry.id: entry for entry in got.entries}
        found.since = min((entry.created_at for entry in got.entries), default=back_to)
        if page >= got.last_page:
            found.since = datetime.min.replace(tzinfo=UTC)
        found.is_whole = found.since < back_to
    return found


def digits_of(to: str) -> str:
    """The number of a recipient, in whichever form the log names one; empty where it does not."""
    return "".join(c for c in to.split("@")[0] if c.isdigit())


def _may_read(account: GatewayAccount, until: float | None) -> bool:
    if until is None:
        return budget.may_read_log(account)
    while time.monotonic() < until:
        if budget.may_read_log(account):
            return True
        time.sleep(LOOK_AGAIN)
    return False
