"""`phonebank sandbox`: the emulated gateway with its simulated phones, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from phonebank.processes import end_with_parent
from phonebank.sandbox import SandboxConfig, run


class Command(BaseCommand):
    help = "Runs the sandbox gateway: try everything without a WaSender account."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8025)
        parser.add_argument("--journal", type=Path, help="a file that keeps sessions and messages over restarts")

    def handle(self, *args: Any, port: int, journal: Path | None, **options: Any) -> None:
        end_with_parent()
        run(SandboxConfig(port=port, journal=journal))
