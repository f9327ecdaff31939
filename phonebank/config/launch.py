"""Before Django starts: the database that a command needs, running and reachable, or one clear sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from phonebank.embedded import Cluster, DatabaseUnavailable, check_server, data_home, ephemeral

# Commands that read or write no data.
BARE = {
    "sandbox",
    "help",
    "check",
    "makemessages",
    "compilemessages",
    "collectstatic",
    "--help",
    "-h",
    "version",
    "--version",
}


def with_database(argv: list[str]) -> int:
    """Runs a command; returns the exit status."""
    from django.core.management import execute_from_command_line

    command = argv[1] if len(argv) > 1 else "help"
    try:
        if command in BARE:
            execute_from_command_line(argv)
        elif command == "demo":
            with throwaway():
                execute_from_command_line(argv)
        else:
            # The web process and workers may run side by side: none of them ends the server under the others.
            with database(stop=command not in ("web", "worker")):
                execute_from_command_line(argv)
    except DatabaseUnavailable as error:
        print(f"phonebank: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def database(*, stop: bool) -> Iterator[None]:
    """The server that DATABASE_URL names, checked; or else the embedded one, started when it is not running.

    `stop`: end the embedded server afterwards, if it was started here.
    """
    if url := os.environ.get("DATABASE_URL"):
        check_server(url)
        yield
        return
    cluster = Cluster(data_home())
    started = cluster.start()
    try:
        yield
    finally:
        if stop and started:
            cluster.stop()


@contextmanager
def throwaway() -> Iterator[None]:
    """A database and a home that are gone afterwards, even after a kill -9."""
    with ephemeral() as cluster:
        os.environ["DATABASE_URL"] = cluster.url
        os.environ["PHONEBANK_DATA"] = str(cluster.home / "app")
        yield
