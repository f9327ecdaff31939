"""`phonebank migrate`: Django's, beside workers that go on sending, whom it never holds up for long."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.commands.migrate import Command as Migrate
from django.db import OperationalError, connection
from psycopg import errors

PATIENCE = 300.0  # seconds of tries, each from where the last one got to
WAIT = "3s"  # for a table; whoever comes after us waits behind us meanwhile
ALONE = 4_017_226_093  # advisory lock: of two that migrate, the second waits and finds nothing to do
IN_THE_WAY = (errors.DeadlockDetected, errors.LockNotAvailable, errors.QueryCanceled)


class Command(Migrate):
    """A migration is one transaction: when it runs into a running worker's, it is undone and tried again."""

    def handle(self, *args: Any, **options: Any) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_lock(%s)", [ALONE])
                    cursor.execute("SELECT set_config('lock_timeout', %s, false)", [WAIT])
                super().handle(*args, **options)
                break
            except OperationalError as error:
                if not isinstance(error.__cause__, IN_THE_WAY) or time.monotonic() > end:
                    raise
                self.stdout.write("A running process was in the way; trying again.")
                # Django may have left the transaction open: the schema editor's last statements are outside its care.
                connection.close()
                connection.connect()
                time.sleep(0.5)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', '0', false), pg_advisory_unlock(%s)", [ALONE])
