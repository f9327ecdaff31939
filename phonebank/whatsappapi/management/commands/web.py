"""`phonebank web`: serves the pages, the API and the webhooks."""

from __future__ import annotations

import contextlib
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection

from phonebank.processes import end_with_parent
from phonebank.server import serve_web
from phonebank.whatsappapi.services import guard


class Command(BaseCommand):
    help = "Serves the pages and takes in webhooks."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=1, help="processes")

    def handle(self, *args: Any, host: str, port: int, workers: int, **options: Any) -> None:
        end_with_parent()
        # Pages may come up before the database; the worker looks too, and sends nothing before it has.
        with contextlib.suppress(DatabaseError):
            guard.look()
        connection.close()
        # Only a proxy that we were told of may say what scheme and address a request came by.
        serve_web(host, port, workers=workers, trusted_proxy=settings.TRUSTED_PROXY)
