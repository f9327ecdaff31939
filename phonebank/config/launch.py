"""Before Django starts: the database that a command needs, running and reachable, or one clear sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connections
from environ import FileAwareEnv

from phonebank.embedded import Cluster, DatabaseUnavailable, check_server, data_home, ephemeral

# Commands that bring a database of their own.
THROWAWAY = {"demo", "drill", "bench"}
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


# Whether a command that started the embedded server ends it again. Web and workers may run side by side.
ALWAYS, UNUSED, NEVER = "always", "unused", "never"
STOP = {"serve": ALWAYS, "web": NEVER, "worker": NEVER}


def with_database(argv: list[str]) -> int:
    """Runs a command; returns the exit status."""
    from django.core.management import execute_from_command_line

    command = argv[1] if len(argv) > 1 else "help"
    try:
        if command in BARE:
            execute_from_command_line(argv)
        elif command in THROWAWAY:
            with throwaway():
                execute_from_command_line(argv)
        else:
            with database(stop=STOP.get(command, UNUSED)):
                execute_from_command_line(argv)
    except DatabaseUnavailable as error:
        print(f"phonebank: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def database(*, stop: str) -> Iterator[None]:
    """The server that DATABASE_URL names, checked; or else the embedded one, started when it is not running.

    `stop`: whether to end the embedded server afterwards, if it was started here.
    """
    if url := FileAwareEnv().str("DATABASE_URL", default=""):
        check_server(url)
        yield
        return
    cluster = Cluster(data_home())
    started = cluster.start()
    try:
        yield
    finally:
        if started and (stop == ALWAYS or (stop == UNUSED and not _in_use(cluster))):
            cluster.stop()


def _in_use(cluster: Cluster) -> bool:
    """Whether anybody but us is connected: a web process may have come to rely on the server meanwhile."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    connections.close_all()
    try:
        with psycopg.connect(cluster.url) as own:
            row = own.execute(query).fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])


@contextmanager
def throwaway() -> Iterator[None]:
    """A database and a home that are gone afterwards, even after a kill -9."""
    with ephemeral() as cluster:
        os.environ["DATABASE_URL"] = cluster.url
        os.environ["PHONEBANK_DATA"] = str(cluster.home / "app")
        yield
