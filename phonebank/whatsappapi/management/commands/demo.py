"""`phonebank demo`: the main job on a throw-away database. Exit 0 only if all 300 people got it exactly once."""

from __future__ import annotations

import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from rich.console import Console

from phonebank.whatsappapi.management import journey, stage
from phonebank.whatsappapi.models import Message


class Command(BaseCommand):
    help = "Shows the main job on a throw-away database, then stops."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        console = Console(highlight=False)
        call_command("migrate", verbosity=0)
        place = stage.Stage(stage.free_port(), stage.free_port())
        where = connection.cursor().connection.info
        console.print("[bold]Phonebank demo[/]  three numbers, three hundred people, one campaign")
        console.print(f"  database PostgreSQL {where.server_version // 10000} at {where.host} (throw-away)")
        console.print(f"  web {place.web}   sandbox gateway {place.sandbox}")
        try:
            place.start()
            sandbox = journey.Sandbox(place.sandbox)
            campaign, linked = journey.main_job(console, stage.demo_user(), sandbox)
            console.print(journey.closing_table(campaign))
            people = set(Message.objects.filter(campaign=campaign).values_list("phone", flat=True))
            faults = journey.check_ledger(sandbox, people, linked)
            ledger = sandbox.call("GET", "/sandbox/ledger")
            until_completed(campaign)
        except RuntimeError as error:
            raise CommandError(str(error)) from None
        finally:
            place.group.stop()
        if faults or len(people) != 300:
            raise CommandError("The sandbox's ledger disagrees: " + "; ".join(faults or [f"{len(people)} people"]))
        console.print(
            f"[green]{ledger['delivered']} of {len(people)} delivered, {ledger['duplicates']} duplicates by the "
            f"sandbox's own ledger[/], in {time.monotonic() - started:.0f} s."
        )


def until_completed(campaign: Any) -> None:
    def completed() -> bool:
        campaign.refresh_from_db()
        return campaign.state == "completed"

    journey.until("the campaign to be marked completed", completed, 15)
