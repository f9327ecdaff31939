"""Proof that the chain is whole, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction

from phonebank.audit.chain import COLUMNS, START, is_genuine, link_of
from phonebank.audit.models import Event, Head, Seal

CHUNK = 2000
SHOWN = 1000  # findings kept; more are only counted


@dataclass(slots=True)
class Report:
    """`sealed` events were proven, `waiting` ones will be in a moment; each finding is a sentence."""

    sealed: int = 0
    waiting: int = 0
    waiting_since: datetime | None = None
    pruned: int = 0
    head: str = ""
    findings: list[str] = field(default_factory=list)
    more: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.findings

    def found(self, what: str) -> None:
        if len(self.findings) < SHOWN:
            self.findings.append(what)
        else:
            self.more += 1


def verify(noted: str = "") -> Report:
    """Walks the whole chain, in constant memory. `noted` (position:link) is a head written down earlier, elsewhere."""
    report = Report()
    with transaction.atomic():
        if not connection.savepoint_ids:
            with connection.cursor() as cursor:  # the head and what it is about, as of one moment
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        head = Head.objects.first()
        if head is not None:
            report.head, report.pruned = str(head), head.base_count
            if not is_genuine(head):
                report.found("The head of the chain was not written by this installation's key.")
        last, link = _walk(report, head)
        _check_head(report, head, last, link)
        _check_outside(report)
        if noted:
            _check_noted(report, head, noted)
    return report


def _walk(report: Report, head: Head | None) -> tuple[int, bytes]:
    """Each link against its event and its predecessor. After a finding it goes on with what stands there."""
    last, link = (head.base_count, bytes(head.base_link)) if head else (0, START)
    for position, stored, event_id, values in _rows():
        if position != last + 1:
            what = f"{last + 1} to {position - 1}" if position > last + 1 else f"{position}, again or before the start"
            report.found(f"The chain has a gap: {what}.")
        elif values is None:
            report.found(f"Event {event_id} (position {position}) is gone.")
        elif link_of(link, position, values) != stored:
            report.found(f"Event {event_id} (position {position}, {values[1]:%Y-%m-%d %H:%M:%S} UTC) was changed.")
        else:
            report.sealed += 1
        last, link = position, stored
    return last, link


def _rows() -> Iterator[tuple[int, bytes, int, tuple[Any, ...] | None]]:
    """Seals by position with their events, a chunk at a time."""
    seals = Seal.objects.filter(position__isnull=False).order_by("position")
    rows = seals.values_list("position", "link", "pk").iterator(CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        events = Event.objects.filter(pk__in=[pk for _, _, pk in chunk]).values_list(*COLUMNS)
        found = {values[0]: values for values in events}
        for position, link, pk in chunk:
            yield position, bytes(link or b""), pk, found.get(pk)


def _check_head(report: Report, head: Head | None, last: int, link: bytes) -> None:
    if head is None:
        if last:
            report.found("The head of the chain is gone.")
    elif (head.count, bytes(head.link)) != (last, link):
        report.found(f"The chain ends at {last}; its head says {head.count}: the end was cut off or written anew.")


def _check_outside(report: Report) -> None:
    """Events that no seal knows, seals that wait for an event that is gone."""
    for event in Event.objects.filter(seal=None).order_by("id")[:SHOWN]:
        report.found(f"Event {event.pk} stands outside the chain.")
    waiting = Seal.objects.filter(position=None)
    known = Event.objects.filter(seal__isnull=False, seal__position=None)
    report.waiting = known.count()
    report.waiting_since = known.order_by("id").values_list("at", flat=True).first()
    if (gone := waiting.count() - report.waiting) > 0:
        report.found(f"{gone} event(s) were taken away before they were sealed.")


def _check_noted(report: Report, head: Head | None, noted: str) -> None:
    position, _, link = noted.partition(":")
    if not position.isdecimal() or len(link) != 64:
        raise ValueError("A noted head looks like 123:9f3a… (a position and 64 hexadecimal digits).")
    if head is not None and int(position) == head.base_count:
        found = bytes(head.base_link).hex()
    elif head is not None and int(position) < head.base_count:
        report.found(f"The noted head {position} was pruned since: it can no longer be compared.")
        return
    else:
        row = Seal.objects.filter(position=int(position)).first()
        found = bytes(row.link or b"").hex() if row else ""
    if found != link.lower():
        report.found(f"The noted head {position} is not in this chain: another or an older one stands in its place.")
