"""`phonebank resume-after-restore`: the word that lifts the restore guard, for whoever sits at the machine."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from phonebank.whatsappapi.services import aftermath, guard
from phonebank.whatsappapi.services.errors import ServiceError


class Command(BaseCommand):
    help = "Lets a restored installation send again. People may have been written to after the backup was made."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        words = "go on also where a log does not tell; whom the others name is left out all the same"
        parser.add_argument("--without-logs", action="store_true", help=words)
        parser.add_argument("--pause", action="store_true", help="pause the campaigns under way, for people to resume")

    def handle(self, *args: Any, pause: bool, without_logs: bool, **options: Any) -> None:
        held = guard.held()
        if held is None:
            self.stdout.write("Nothing is held.")
            return
        self.stdout.write("Reading the gateway's logs. Where many messages were sent, this takes minutes.")
        try:
            found = aftermath.leave_out(actor=None, strict=not without_logs, patience=aftermath.LONG)
        except ServiceError as error:
            words = "Nothing is sent yet; --without-logs goes on, and leaves out only whom the other logs name."
            raise CommandError(f"{error.message} {words}") from None
        paused = guard.confirm(actor=None, pause=pause)
        self.stdout.write(f"Sending goes on. {held.held_why}")
        self.stdout.write(f"Left out, for the gateway's logs name them: {found.left_out} messages.")
        self.stdout.write(f"Campaigns paused, for their people to resume: {paused}.")
        for name, why in found.unread:
            self.stdout.write(f"Somebody may be written to twice, for this does not tell: {name}: {why}")
