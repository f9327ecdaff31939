"""What a process and the database hold at a moment: memory, open handles, threads, connections, rows (Linux)."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

# Estimates that the server keeps for its vacuum: a count of a million rows would be work that the run itself feels.
TABLES = "SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 1"
CONNECTIONS = "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name <> '' GROUP BY 1"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a process. `private`: bytes that no other process shares; `resident`: with what is shared."""

    private: int
    resident: int
    handles: int
    threads: int


def read(pid: int) -> Reading | None:
    """None for a process that is gone."""
    with suppress(OSError):
        place = Path(f"/proc/{pid}")
        found = re.findall(r"^(Rss|Private_\w+): +(\d+) kB", (place / "smaps_rollup").read_text(), re.MULTILINE)
        private = sum(int(size) for name, size in found if name in ("Private_Clean", "Private_Dirty"))
        resident = sum(int(size) for name, size in found if name == "Rss")
        if found:  # nothing is told of one that has ended and waits for its parent
            handles, threads = len(os.listdir(place / "fd")), len(os.listdir(place / "task"))
            return Reading(private * 1024, resident * 1024, handles, threads)
    return None


def tables() -> dict[str, tuple[int, int]]:
    """Rows (about) and bytes with indexes of every table."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        return {name: (rows, size) for name, rows, size in cursor.fetchall()}


def connections() -> dict[str, int]:
    """Database connections by the name that the process gave itself (PGAPPNAME)."""
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS)
        return dict(cursor.fetchall())
