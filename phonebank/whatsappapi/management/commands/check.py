"""`phonebank check`: Django's checks of the set-up, and whether the gateway can reach this installation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.commands.check import Command as Checks
from django.db import DatabaseError
from django.utils import timezone
from django.utils.timesince import timesince

from phonebank.whatsappapi.services.gateways import Reach, reach


class Command(Checks):
    help = "Checks the set-up, then tells of each gateway account whether its events arrive, and what to do if not."

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if options["list_tags"] or options["tags"] or args:
            return
        try:
            found = reach()
        except DatabaseError:
            self.stdout.write("\nThe database is not running, so the gateway accounts were not looked at.")
            return
        self.stdout.write("\nEvents from the gateway" if found else "\nThere is no gateway account yet.")
        for one in found:
            self._tell(one)

    def _tell(self, one: Reach) -> None:
        self.stdout.write(f"  {one.account} ({one.owner})")
        self.stdout.write(f"    address     {one.url or 'none'}")
        self.stdout.write(f"    last event  {_ago(one.last_event)}")
        self.stdout.write(f"    proven      {one.proven} of {one.sessions} sessions")
        if one.remedy:
            self.stdout.write(self.style.WARNING(f"    to do       {one.remedy}"))


def _ago(at: datetime | None) -> str:
    return f"{timesince(at, timezone.now())} ago" if at else "none yet"
