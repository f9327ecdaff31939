"""`phonebank backup FILE`: the whole database in one file, while everything runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from phonebank.embedded.archive import ArchiveError, dump

KEYS = {"FIELD_ENCRYPTION_KEYS": "field-keys", "SECRET_KEY": "secret-key", "AUDIT_KEY": "audit-key"}


class Command(BaseCommand):
    help = "Writes the whole database into FILE (a pg_dump archive), which must not exist yet. Keys are not in it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            dump(connection.settings_dict, file.absolute())
        except ArchiveError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{file}: {file.stat().st_size:,} bytes, readable by you alone. It was read back once.")
        self.stdout.write("It holds people's numbers and texts: keep it as safe as the database.")
        self.stdout.write("Not in it, and needed to use it. Keep a copy of these, elsewhere than the backup:")
        for name, kept in KEYS.items():
            self.stdout.write(f"  {name:<22} {_where(name, Path(settings.HOME) / kept)}")


def _where(name: str, file: Path) -> str:
    for variable in (name, f"{name}_FILE"):
        if os.environ.get(variable):
            return f"from the environment ({variable})"
    return str(file)
