"""`phonebank audit verify` proves the audit log; `phonebank audit prune` ends what has been kept long enough."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from phonebank.audit import chain
from phonebank.audit.models import record
from phonebank.audit.verify import Report, verify


class Command(BaseCommand):
    help = "Proves that nobody changed the audit log, or prunes it."

    def add_arguments(self, parser: CommandParser) -> None:
        parts = parser.add_subparsers(dest="part", required=True)
        proof = parts.add_parser("verify", help="walk the chain; exit 1 if anything in it was changed")
        proof.add_argument("--noted", default="", help="a head written down earlier: proves that it is still in there")
        pruning = parts.add_parser("prune", help="delete the oldest events for good")
        pruning.add_argument("--before", required=True, type=_day, help="the first day to keep, such as 2026-01-31")

    def handle(self, *args: Any, part: str, **options: Any) -> None:
        try:
            chain.seal()
            if part == "prune":
                self.prune(options["before"])
            else:
                self.verify(options["noted"])
        except ValueError as error:
            raise CommandError(str(error)) from None
        except chain.ChainBroken as error:
            if part == "prune":
                raise CommandError(f"{error} Nothing was deleted. See `phonebank audit verify`.") from None
            self.verify(options["noted"])

    def prune(self, before: datetime) -> None:
        report = verify()
        if not report.is_whole:
            raise CommandError("The audit log was tampered with. Nothing was deleted. See `phonebank audit verify`.")
        gone = chain.prune(before)
        record(actor=None, verb="audit.pruned", before=before.date(), events=gone)
        self.stdout.write(f"{gone:,} events before {before:%Y-%m-%d} (UTC) were deleted.")

    def verify(self, noted: str) -> None:
        report = verify(noted)
        self.stdout.write(_summary(report))
        if report.is_whole:
            return
        for finding in report.findings:
            self.stderr.write(finding)
        if report.more:
            self.stderr.write(f"... and {report.more:,} more.")
        raise CommandError("The audit log is not as it was written.")


def _summary(report: Report) -> str:
    lines = [f"{report.sealed:,} events proven."]
    if report.pruned:
        lines.append(f"The first {report.pruned:,} were pruned.")
    if report.waiting and report.waiting_since:
        age = int((timezone.now() - report.waiting_since).total_seconds())
        lines.append(f"{report.waiting:,} wait to be sealed, the oldest for {age} s.")
    if report.head:
        lines.append(f"Head, to be noted elsewhere: {report.head}")
    return "\n".join(lines)


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
