"""Accepted messages, the ledger of what was really taken and delivered, and the message log (contract 2.3 and 3)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from .http import encode
from .state import Session

FIRST_MESSAGE_ID = 20_000_001
ERROR, PENDING, SENT, DELIVERED, READ = range(5)
LOG_WORDS = {ERROR: "failed", PENDING: "in_progress"}


class Message:
    """One accepted send. Times are epoch seconds; `content` is the text, or the request's fields if not only text.

    `sent_at`, `delivered_at` and `read_at` are fixed at acceptance; 0 = never. With a reason in `fails` the message
    fails at `sent_at`.
    """

    __slots__ = (
        "accepted_at",
        "content",
        "deleted",
        "delivered_at",
        "fails",
        "first_byte",
        "id",
        "logged",
        "read_at",
        "sent_at",
        "session",
        "status",
        "to",
    )

    def __init__(self, id: int, session: Session, to: str, content: str | dict[str, Any], first_byte: float) -> None:
        self.id = id
        self.session = session
        self.to = to
        self.content = content
        self.first_byte = first_byte
        self.accepted_at = self.sent_at = self.delivered_at = self.read_at = 0.0
        self.fails = ""
        self.deleted = False
        self.logged = True
        self.status = PENDING

    @property
    def text(self) -> str:
        """What a reader sees: the text or caption."""
        return self.content if isinstance(self.content, str) else str(self.content.get("text") or "")

    @property
    def fields(self) -> dict[str, Any]:
        """The request's fields without `to`."""
        return {"text": self.content} if isinstance(self.content, str) else self.content

    def entry(self) -> dict[str, Any]:
        """The ledger's line about this message; `fields` are the request's, where it was not only text."""
        more = {} if isinstance(self.content, str) else {"fields": self.content}
        return more | {
            "msgId": self.id,
            "session": self.session.id,
            "to": self.to,
            "text": self.text,
            "time": self.accepted_at,
            "accepted": self.accepted_at,
            "first_byte": self.first_byte,
            "status": self.status,
        }


class Ledger:
    """The ground truth, outside the API: everything that was accepted, per recipient, with running counts."""

    def __init__(self) -> None:
        self.next_id = FIRST_MESSAGE_ID
        self.clear()

    def clear(self) -> None:
        """Forgets all messages; ids go on, as they would at the service."""
        self.first_id = self.next_id
        self.messages: list[Message] = []
        # One message stands for itself: most recipients get one, and a list for each would double the memory.
        self.recipients: dict[str, Message | list[Message]] = {}
        self._seen: set[int] = set()
        self.duplicates = self.delivered = self.read = self.failed = 0

    def add(self, message: Message) -> None:
        """Takes a new message with its status. Its id must be the next."""
        self.messages.append(message)
        self.next_id = message.id + 1
        known = self.recipients.setdefault(message.to, message)
        if known is not message:
            if isinstance(known, list):
                known.append(message)
            else:
                self.recipients[message.to] = [known, message]
        mark = hash((message.to, message.content if isinstance(message.content, str) else encode(message.content)))
        if mark in self._seen:
            self.duplicates += 1
        self._seen.add(mark)
        self.count(message.status)

    def count(self, status: int) -> None:
        """A message reached this status. Read ones were delivered before, which only `add` of an old one skips."""
        if status == DELIVERED:
            self.delivered += 1
        elif status == READ:
            self.read += 1
        elif status == ERROR:
            self.failed += 1

    def get(self, message_id: int) -> Message | None:
        index = message_id - self.first_id
        return self.messages[index] if 0 <= index < len(self.messages) else None

    def to(self, recipient: str) -> list[Message]:
        """What was accepted for this recipient, oldest first."""
        found = self.recipients.get(recipient, [])
        return found if isinstance(found, list) else [found]

    def counts(self, session: Session | None = None) -> Iterator[tuple[str, int]]:
        """(recipient, number of accepted messages), of one session only if given."""
        if session is None:
            for recipient, found in self.recipients.items():
                yield recipient, len(found) if isinstance(found, list) else 1
            return
        counts: dict[str, int] = {}
        for message in session.accepted:
            counts[message.to] = counts.get(message.to, 0) + 1
        yield from counts.items()

    def summary(self, session: Session | None = None) -> dict[str, int]:
        """Totals. `repeats`: accepted beyond the first per recipient; `duplicates`: of these, with the same content."""
        if session is None:
            accepted, recipients = len(self.messages), len(self.recipients)
            totals = (self.duplicates, self.delivered, self.read, self.failed)
        else:
            own = session.accepted
            statuses = [message.status for message in own]
            accepted, recipients = len(own), len({message.to for message in own})
            different = len({(message.to, encode(message.content)) for message in own})
            delivered = sum(status >= DELIVERED for status in statuses)
            totals = (accepted - different, delivered, statuses.count(READ), statuses.count(ERROR))
        names = ("duplicates", "delivered", "read", "failed")
        return {
            "accepted": accepted,
            "recipients": recipients,
            "repeats": accepted - recipients,
            **dict(zip(names, totals, strict=True)),
        }


def log_stamp(moment: float) -> str:
    """Epoch seconds as message logs write them: UTC without a zone."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


def log_item(message: Message) -> dict[str, Any]:
    """One line of message-logs; without message logging neither recipient nor content is known (contract 2.3)."""
    kept = message.session.settings.get("log_messages")
    changed = message.sent_at if message.status != PENDING else message.accepted_at
    return {
        "id": message.id,
        "whatsapp_session_id": message.session.id,
        "to": message.to if kept else None,
        "content": encode(message.fields) if kept else None,
        "status": LOG_WORDS.get(message.status, "sent"),
        "failed_reason": message.fails if message.status == ERROR else None,
        "created_at": log_stamp(message.accepted_at),
        "updated_at": log_stamp(changed),
    }


def visible_log(session: Session, *, until: float, status: str = "") -> tuple[int, Callable[[int, int], list[Message]]]:
    """Number of log lines accepted up to `until`, and a function (skip, take) that reads them newest first."""
    log: list[Message] = session.log
    end = bisect_right(log, until, key=attrgetter("accepted_at"))
    if status:
        log = [message for message in log[:end] if LOG_WORDS.get(message.status, "sent") == status]
        end = len(log)

    def read(skip: int, take: int) -> list[Message]:
        stop = max(end - skip, 0)
        return log[max(stop - take, 0) : stop][::-1]

    return end, read
