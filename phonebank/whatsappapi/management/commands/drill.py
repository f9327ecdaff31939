"""`phonebank drill`: the proof of the send path, on a throw-away database (docs/drill.md)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from phonebank.whatsappapi.management.hooks import NAMES
from phonebank.whatsappapi.management.ordeal import Ordeal, Size
from phonebank.whatsappapi.management.order import check as check_order
from phonebank.whatsappapi.management.points import Everywhere
from phonebank.whatsappapi.management.soak import MINUTES, Soak
from phonebank.whatsappapi.management.soak_report import processes, rows, write
from phonebank.whatsappapi.management.stops import Stops
from phonebank.whatsappapi.management.trials import KINDS, Trials
from phonebank.whatsappapi.management.verdict import Line
from phonebank.whatsappapi.management.world import World

TABLES = 130  # characters that the soak's need, in whatever they are written to
HOSTS = Path(__file__).parents[4] / "tests" / "machines" / "two_hosts.py"
SHORT: dict[str, float] = {
    "people": 5_000, "kills": 50, "freezes": 5, "restarts": 2, "freeze_most": 15.0, "faults": 0.5, "stall": 0.6,
}  # fmt: skip


class Command(BaseCommand):
    help = "Proves the send path on a throw-away database: accidents by the hundred, then every promise checked."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what", nargs="?", default="run", choices=["run", "points", "mutants", "order", "stops", "hosts", "soak"]
        )
        parser.add_argument("minutes", nargs="?", type=float, help=f"soak: how long ({MINUTES:g})")
        parser.add_argument("--short", action="store_true", help="a smaller run, in less than two minutes")
        for name in ("people", "sessions", "kills", "freezes", "restarts", "seed"):
            parser.add_argument(f"--{name}", type=int)
        parser.add_argument("--only", help="points, mutants: those whose name has this in it")

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        if options["minutes"] and what != "soak":
            raise CommandError("Only the soak takes minutes: `phonebank drill soak 30`.")
        self.console = Console(highlight=False)
        self.begun = time.monotonic()
        call_command("migrate", verbosity=0)
        broken = getattr(self, what)(options)
        self.console.print(f"{time.monotonic() - self.begun:.0f} s in all")
        if broken:
            raise CommandError("Broken: " + "; ".join(broken))

    def run(self, options: dict[str, Any]) -> list[str]:
        chosen = (SHORT if options["short"] else {}) | {
            name: options[name] for name in Size.__dataclass_fields__ if options.get(name) is not None
        }
        ordeal = Ordeal(Size(**chosen), self.console)
        try:
            lines = ordeal.run()
        except RuntimeError as error:
            self._log(ordeal.world)
            raise CommandError(str(error)) from None
        finally:
            ordeal.world.close()
        return self.show(f"Drill, seed {ordeal.size.seed}", lines, ordeal.world)

    def mutants(self, options: dict[str, Any]) -> list[str]:
        table = Table(title="Mutants of the send path", title_justify="left")
        for heading in ("World", "Code", "What broke", ""):
            table.add_column(heading)
        trials, broken = Trials(), []
        trials.start()
        try:
            for kind in KINDS:
                wanted = [one for one in kind.mutants if (options["only"] or "") in one]
                for mutant in ["", *wanted] if wanted else []:
                    lines = [line for line in trials.run(kind, mutant) if not line.holds]
                    good = bool(lines) == bool(mutant)
                    text = "\n".join(f"{line.name}: {line.found}" for line in lines) or "nothing"
                    word = "[green]caught[/]" if mutant else "[green]holds[/]"
                    table.add_row(kind.name, mutant or "as it is", text, word if good else "[red]WRONG[/]")
                    self.console.print(f"  {time.monotonic() - self.begun:4.0f} s  {kind.name}, {mutant or 'as it is'}")
                    if not good:
                        broken.append(mutant or f"{kind.name} without a mutant")
        finally:
            trials.world.close()
        self.console.print(table)
        return broken

    def points(self, options: dict[str, Any]) -> list[str]:
        names = [one for one in NAMES if (options["only"] or "") in one]
        every = Everywhere(self.console, names)
        return self._small("A death at every point", every.world, lambda _: every.run())

    def order(self, options: dict[str, Any]) -> list[str]:
        return self._small("Order of claim, commit and request", World(workers=["worker-1"]), check_order)

    def stops(self, options: dict[str, Any]) -> list[str]:
        return self._small("Stops, by the gateway's ledger", World(in_flight=4), lambda world: Stops(world).run())

    def soak(self, options: dict[str, Any]) -> list[str]:
        if not sys.platform.startswith("linux"):
            raise CommandError("The soak reads what processes take from /proc, which only Linux has.")
        soak = Soak(options["minutes"] or MINUTES, self.console)
        try:
            return self._small("Soak", soak.world, lambda _: soak.run())
        finally:
            self._tell(soak)

    def _tell(self, soak: Soak) -> None:
        """The figures, also of a run that broke off, as far as it went."""
        if soak.is_whole:
            self.console.width = max(self.console.width, TABLES)
            for table in (processes(soak), rows(soak)):
                self.console.print(table)
        if soak.samples:
            for path in write(soak, time.strftime("%Y%m%d-%H%M%S")):
                self.console.print(f"Wrote {path}")

    def hosts(self, options: dict[str, Any]) -> list[str]:
        """A script of the checkout, with a database and settings of its own."""
        if not HOSTS.exists():
            raise CommandError("The script for two hosts is in the source checkout only: tests/machines/two_hosts.py.")
        env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PHONEBANK_DATA")}
        done = subprocess.run([sys.executable, HOSTS], env=env | {"PYTHONPATH": str(HOSTS.parents[2])})  # noqa: S603
        return ["two hosts"] if done.returncode else []

    def _small(self, title: str, world: World, act: Callable[[World], list[Line]]) -> list[str]:
        try:
            return self.show(title, act(world), world)
        except RuntimeError as error:
            self._log(world)
            raise CommandError(str(error)) from None
        finally:
            world.close()

    def show(self, title: str, lines: Sequence[Line], world: World) -> list[str]:
        """Prints a verdict; returns the names of the lines that do not hold."""
        table = Table(title=title, title_justify="left")
        for heading in ("Rule", "Found", ""):
            table.add_column(heading)
        for line in lines:
            table.add_row(line.name, line.found, "[green]holds[/]" if line.holds else "[red]BROKEN[/]")
        self.console.print(table)
        broken = [line.name.strip() for line in lines if not line.holds]
        if broken:
            self._log(world)
        return broken

    def _log(self, world: World) -> None:
        """The last of what the processes said, for whoever looks for the reason."""
        if world.log.exists():
            lines = world.log.read_text(errors="replace").splitlines()
            self.console.print("\n".join(lines[-40:]), markup=False)
