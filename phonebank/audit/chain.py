"""The chain: each sealed event carries a code over itself and its predecessor. Rules and limits: docs/audit.md.

Events are inserted in human transactions without waiting for one another; a job seals what is committed, in id order.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from phonebank.audit.models import Event, Head, Seal

START = bytes(32)
BATCH = 1000

# In this order they are what is sealed.
COLUMNS = (
    "id", "at", "actor_id", "owner_id", "actor_ref", "owner_ref", "verb", "target", "target_id", "label", "how",
    "address", "request_id", "changes", "data",
)  # fmt: skip

_FILL = """
UPDATE audit_seal s SET position = u.position, link = u.link
FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[]) AS u(event, position, link)
WHERE s.event_id = u.event AND s.position IS NULL
"""


class ChainBroken(Exception):
    """The head is not what was left: nothing is sealed onto it until a person has looked."""


def link_of(previous: bytes, position: int, values: Sequence[Any]) -> bytes:
    """The code of the event with `values` (COLUMNS) at `position`, after `previous`."""
    text = json.dumps([position, *map(_plain, values)], sort_keys=True, separators=(",", ":"))
    return hmac.digest(_key(), previous + text.encode(), "sha256")


def code_of(head: Head) -> bytes:
    """What only the key can say about a head."""
    said = f"head|{head.count}|{bytes(head.link).hex()}|{head.base_count}|{bytes(head.base_link).hex()}"
    return hmac.digest(_key(), said.encode(), "sha256")


def is_genuine(head: Head) -> bool:
    return hmac.compare_digest(bytes(head.code), code_of(head))


def seal(limit: int = BATCH) -> int:
    """Seals up to `limit` committed events, in id order. Returns how many; 0 also while another worker does it."""
    if not Seal.objects.filter(position=None).exists():
        return 0
    _make_head()
    with transaction.atomic():
        head = Head.objects.select_for_update(no_key=True, skip_locked=True).first()
        if head is None:
            return 0
        if not is_genuine(head):
            raise ChainBroken("The head of the audit chain was not written by this installation's key.")
        rows = Event.objects.filter(seal__position=None, seal__isnull=False).order_by("id").values_list(*COLUMNS)
        filled: list[tuple[int, int, bytes]] = []
        position, link = head.count, bytes(head.link)
        for values in rows[:limit]:
            position, link = position + 1, link_of(link, position + 1, values)
            filled.append((values[0], position, link))
        if filled:
            with connection.cursor() as cursor:
                cursor.execute(_FILL, [list(column) for column in zip(*filled, strict=True)])
            _write(head, count=position, link=link)
    return len(filled)


def prune(before: datetime) -> int:
    """Retention: takes away the oldest events up to the first that is not older than `before`. Returns how many.

    The chain then begins behind them, and its head says so. What is not sealed stays.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        head = Head.objects.select_for_update(no_key=True).first()
        if head is None:
            return 0
        if not is_genuine(head):
            raise ChainBroken("The head of the audit chain was not written by this installation's key.")
        kept = Seal.objects.filter(position__isnull=False, event__at__gte=before).order_by("position").first()
        last = kept.position - 1 if kept else head.count
        end = Seal.objects.filter(position=last).first()
        if end is None:
            return 0
        cursor.execute("SET LOCAL phonebank.maintenance = 'on'")
        cursor.execute(
            "DELETE FROM audit_event e USING audit_seal s WHERE s.event_id = e.id AND s.position <= %s", [last]
        )
        cursor.execute("DELETE FROM audit_seal WHERE position <= %s", [last])
        gone = cursor.rowcount
        cursor.execute("SET LOCAL phonebank.maintenance = ''")
        _write(head, base_count=last, base_link=bytes(end.link))
    return gone


def _make_head() -> None:
    """The first head. Where events were sealed and the head is gone, none is made: that would hide what was done."""
    if Head.objects.exists():
        return
    if Seal.objects.filter(position__isnull=False).exists():
        raise ChainBroken("The head of the audit chain is gone.")
    head = Head(link=START, base_link=START)
    head.code = code_of(head)
    Head.objects.bulk_create([head], ignore_conflicts=True)


def _write(head: Head, **values: Any) -> None:
    for name, value in values.items():
        setattr(head, name, value)
    head.sealed_at, head.code = timezone.now(), code_of(head)
    head.save()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if isinstance(value, int | dict | list | None) else str(value)


def _key() -> bytes:
    return settings.AUDIT_KEY.encode()
