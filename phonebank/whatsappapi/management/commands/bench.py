"""`phonebank bench`: what it costs and how fast it is, beside other ways to send, on this machine."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from rich.console import Console

from phonebank.whatsappapi.management.bench import (
    analytics,
    compare,
    fanout,
    imports,
    intake,
    machine,
    pace,
    pages,
    profile,
    report,
    results,
    sizes,
    statements,
)
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand, core_note

# A part takes the stand and the options, and returns what JSON can carry. In the order in which they run.
PARTS: dict[str, Callable[[Stand, Options], dict[str, Any]]] = {
    "peers": compare.run,
    "statements": statements.run,
    "sizes": sizes.run,
    "fanout": fanout.run,
    "intake": intake.run,
    "pace": pace.run,
    "pages": pages.run,
    "analytics": analytics.run,
    "import": imports.run,
    "profile": profile.run,
}
NOT_BY_ITSELF = {"profile"}
WORDS = {
    "full": "every part at its full size, with 1,000,000 people",
    "million": "1,000,000 people alone",
    "report": "writes docs/benchmarks.md from the last results",
}


class Command(BaseCommand):
    help = "Measures the send engine and what is around it on a throw-away database, beside other ways to send."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        known = ", ".join([*PARTS, *WORDS])
        parser.add_argument("parts", nargs="*", help=f"{known}; none: all but {', '.join(NOT_BY_ITSELF)}")
        parser.add_argument("--rounds", type=int, help="runs of which the median counts (5)")
        parser.add_argument("--messages", type=int, help="of our engine in one run (20,000)")
        parser.add_argument("--only", nargs="*", default=[], metavar="OPPONENT", help="loop celery post_office bare")
        parser.add_argument("--quick", action="store_true", help="only to see that it works")

    def handle(self, *args: Any, **o: Any) -> None:
        asked = list(o["parts"])
        if unknown := [name for name in asked if name not in PARTS and name not in WORDS]:
            raise CommandError(f"There is no part {unknown[0]}. Known: {', '.join([*PARTS, *WORDS])}.")
        console = Console(highlight=False)
        if asked != ["report"]:
            if not sys.platform.startswith("linux"):
                raise CommandError("The benchmark reads what processes cost from /proc, which only Linux has.")
            self._measure(console, asked, o)
        if "report" in asked:
            for path in report.write(results.load()):
                console.print(f"Wrote {path}")

    def _measure(self, console: Console, asked: list[str], o: dict[str, Any]) -> None:
        options = Options(only=o["only"], say=lambda text: console.print("  " + text, soft_wrap=True))
        if {"full", "million"} & set(asked):
            options.full()
        if o["quick"]:
            options.quick()
        options.rounds, options.messages = o["rounds"] or options.rounds, o["messages"] or options.messages
        chosen = [name for name in PARTS if name in asked or (name == "sizes" and "million" in asked)]
        chosen = chosen or [name for name in PARTS if name not in NOT_BY_ITSELF]
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and the processes of the stand are ended
        at, begun, found, path = datetime.now(UTC), time.monotonic(), {}, None
        call_command("migrate", verbosity=0)
        about = machine.describe(connection.cursor().connection.info.server_version // 10000)
        with Stand() as stand:
            about["split"] = core_note(stand)
            for name in chosen:
                started = time.monotonic()
                console.print(f"[bold]{name}[/]")
                found[name] = PARTS[name](stand, options) | {"seconds": round(time.monotonic() - started)}
                if not o["quick"]:
                    path = results.save(about, found, at)  # a run that is stopped has measured what it has
        if "peers" in found:
            console.print(results.contenders(found["peers"]))
        console.print(results.verdicts(results.goals(found)))
        console.print(f"{time.monotonic() - begun:.0f} s, load {about['load_at_start']} at the start.", end=" ")
        if path:
            console.print(f"Results: {path}. `bench report` writes them down.", soft_wrap=True)
