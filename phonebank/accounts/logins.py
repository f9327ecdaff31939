"""Where a person is logged in: what they may know each browser by, and the end of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from phonebank.accounts import lifetime
from phonebank.accounts.models import User
from phonebank.audit.models import record

BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {
    "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS X": "Mac",
    "CrOS": "ChromeOS", "Linux": "Linux",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Login:
    """`name` stands for the session's key, which no page shows. Times are None for logins of an older release."""

    name: str
    browser: str
    system: str
    address: str
    began: datetime | None
    seen: datetime | None
    is_this: bool


def session_keys(user: User) -> Iterator[tuple[str, dict[str, Any]]]:
    """The person's open sessions, key and content. Walks everybody's: there is no column to find them by."""
    for row in Session.objects.filter(expire_date__gt=timezone.now()).iterator(chunk_size=500):
        content = row.get_decoded()
        if content.get(SESSION_KEY) == str(user.pk):
            yield row.session_key, content


def logins_of(user: User, this: str | None) -> list[Login]:
    """The last used first; `this` is the key of the session that asks."""
    found = [_read(key, content, key == this) for key, content in session_keys(user)]
    return sorted(found, key=lambda one: (one.is_this, one.seen or datetime.min.replace(tzinfo=UTC)), reverse=True)


def end(*, actor: User, names: Collection[str] | None, keep: str | None) -> int:
    """Logs the person out where `names` says, or everywhere (None), but for the session `keep`. How many there were."""
    gone = [key for key, _ in session_keys(actor) if key != keep and (names is None or _name(key) in names)]
    with transaction.atomic():
        count, _ = Session.objects.filter(session_key__in=gone).delete()
        if count:
            record(actor=actor, verb="login.ended_elsewhere", target=actor, logins=count)
    return count


def _read(key: str, content: dict[str, Any], is_this: bool) -> Login:
    agent = str(content.get(lifetime.AGENT, ""))
    return Login(
        name=_name(key),
        browser=next((word for mark, word in BROWSERS.items() if mark in agent), ""),
        system=next((word for mark, word in SYSTEMS.items() if mark in agent), ""),
        address=str(content.get(lifetime.ADDRESS, "")),
        began=_moment(content.get(lifetime.BEGAN)),
        seen=_moment(content.get(lifetime.SEEN)),
        is_this=is_this,
    )


def _moment(value: Any) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else None


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
