"""`phonebank restore FILE`: a backup into an empty database. Nothing is sent until a person has confirmed it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.fernet import InvalidToken
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from phonebank.embedded.archive import ArchiveError, created_at, load, rows
from phonebank.whatsappapi.models.fields import ring
from phonebank.whatsappapi.services import guard


class Command(BaseCommand):
    help = "Puts a backup into an empty database and holds all sending until an administrator confirms."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        if not file.is_file():
            raise CommandError(f"There is no file {file}. Nothing was changed.")
        if tables := _tables():
            raise CommandError(
                f"This database holds {tables} tables already. Restore into an empty one: set PHONEBANK_DATA to a new "
                "folder, or DATABASE_URL to a new database. Nothing was changed."
            )
        try:
            at = created_at(file)
            _check_release(file)
            load(connection.settings_dict, file.absolute(), guard.hold_sql(at))
        except ArchiveError as error:
            raise CommandError(str(error)) from None
        call_command("migrate", verbosity=0)
        guard.look()
        self.stdout.write(f"Restored: everything as it was at {at:%Y-%m-%d %H:%M} UTC.")
        self.stdout.write("Nothing leaves for the gateway until an administrator confirms it on the status page, or")
        self.stdout.write("  phonebank resume-after-restore")
        self.stdout.write("People may have been written to after the backup; what to look at: docs/operations.md.")
        if not _keys_fit():
            self.stderr.write(
                self.style.ERROR(
                    "FIELD_ENCRYPTION_KEYS here do not open all access tokens, API keys and second factors of this "
                    "backup. Put the old ones into the environment (or the old field-keys file into the data folder) "
                    "before you confirm."
                )
            )


def _tables() -> int:
    with connection.cursor() as cursor:
        return len(connection.introspection.table_names(cursor))


def _check_release(file: Path) -> None:
    """A backup of a newer release would be restored, and then nothing here could use it."""
    ours = MigrationLoader(None).disk_migrations
    apps = {app for app, _ in ours}
    done = [(row[1], row[2]) for row in rows(file, "django_migrations")]
    if not done:
        raise CommandError(f"{file} is no backup of Phonebank. Nothing was changed.")
    replaced = {name for one in ours.values() for name in one.replaces}
    newer = sorted(f"{app}.{name}" for app, name in done if app in apps and (app, name) not in ours.keys() | replaced)
    if newer:
        raise CommandError(
            f"This backup is of a newer Phonebank ({newer[-1]} is not known here). Install that release first. "
            "Nothing was changed."
        )


def _keys_fit() -> bool:
    """Of every row: a backup that was made during `rotate-keys` needs the old key and the new one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT token FROM whatsappapi_gatewayaccount WHERE token <> '' "
            "UNION ALL SELECT api_key FROM whatsappapi_wasendersession WHERE api_key <> '' "
            "UNION ALL SELECT data->>'secret' FROM mfa_authenticator WHERE type = 'totp'"
        )
        found = cursor.fetchall()
    try:
        return all(ring().decrypt(one.encode()) for (one,) in found)
    except InvalidToken:
        return False
