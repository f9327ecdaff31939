"""`phonebank serve`: everything on this machine. The first time it does the main job before your eyes."""

from __future__ import annotations

import fcntl
import signal
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from rich.console import Console

from phonebank.embedded import Cluster, DatabaseUnavailable
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.management import journey, stage
from phonebank.whatsappapi.models import Campaign
from phonebank.whatsappapi.services import gateways, guard


class Command(BaseCommand):
    help = "Runs database, web, worker and sandbox together, and shows the main job once."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--sandbox-port", type=int, default=8025)

    def handle(self, *args: Any, port: int, sandbox_port: int, **options: Any) -> None:
        settings.HOME.mkdir(parents=True, exist_ok=True)
        with open(settings.HOME / "serve.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CommandError("Phonebank is running already for this data folder. Stop that one first.") from None
            try:
                serve(port, sandbox_port)
            finally:
                (settings.HOME / "address").unlink(missing_ok=True)


def serve(port: int, sandbox_port: int) -> None:
    """Until SIGINT or SIGTERM."""
    started = time.monotonic()
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    console = Console(highlight=False)
    call_command("migrate", verbosity=0)
    place = stage.Stage(stage.free_port(port), stage.free_port(sandbox_port), settings.HOME / "sandbox.journal")
    try:
        place.start()
        (settings.HOME / "address").write_text(place.web)
        user = stage.demo_user()
        gateways.ensure_sandbox_account(owner=user, url=place.sandbox, token=DEFAULT_TOKEN)
        if held := guard.look():
            console.print("[bold]Nothing is sent[/]: this is a restored copy. Confirm it on the status page.")
        else:
            gateways.update_webhooks(user)
        console.print(f"[bold]Phonebank[/] is ready after {time.monotonic() - started:.1f} s")
        console.print(f"  database {connection.cursor().connection.info.host}")
        if not held and not Campaign.objects.filter(user=user).exists():
            campaign, _ = journey.main_job(console, user, journey.Sandbox(place.sandbox))
            console.print(journey.closing_table(campaign))
        console.print(f"\n  [bold]{place.web}[/]   and the simulated phones at {place.sandbox}\n  Log in once with:")
        for who, address in stage.doors(place.web, user):
            console.print(f"    {who}: {address}", soft_wrap=True)
        console.print("  Ctrl-C stops everything; the data stays.")
        cluster = None if settings.DATABASE_URL else Cluster(settings.HOME)
        while not ended.wait(0.5):
            if cluster and cluster.status() == "stopped":
                _start_again(cluster, console)
            for name in place.group.revive():
                console.print(f"  The {name} process had ended; started again.")
    except RuntimeError as error:
        raise CommandError(str(error)) from None
    finally:
        place.group.stop()


def _start_again(cluster: Cluster, console: Console) -> None:
    """The database ended by itself (a full disk, too little memory): the others wait for it."""
    try:
        cluster.start()
        console.print("  The database had ended; started again.")
    except DatabaseUnavailable as error:
        console.print(f"  The database had ended and does not start yet: {error}")
        time.sleep(5)
