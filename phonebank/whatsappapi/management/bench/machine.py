"""What processes cost, read from /proc (Linux): CPU time, memory, cores; and what machine this is."""

from __future__ import annotations

import os
import platform
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from phonebank import __version__

PARTS = ("Django", "aiohttp", "psycopg", "procrastinate")
TICKS = os.sysconf("SC_CLK_TCK")


def tree(*roots: int) -> list[int]:
    """The processes beneath (and including) `roots` that are alive."""
    found = [pid for pid in roots if Path(f"/proc/{pid}").exists()]
    for pid in found:
        found += children(pid)
    return found


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def cpu(*roots: int) -> float:
    """CPU seconds that the trees have used so far; those of children that ended are in their parents' figures."""
    ticks = 0
    for pid in tree(*roots):
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # own and reaped children's, user and system
    return ticks / TICKS


def memory(pid: int, what: str) -> int:
    """A figure of /proc/PID/status in bytes. VmHWM: most resident ever; RssAnon: own. 0 for a process that is gone or
    has ended and not been waited for."""
    with suppress(OSError):
        if found := re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    return 0


def pin(pids: Iterable[int], cores: set[int]) -> None:
    """Keeps processes (and what they start from now on) on `cores`; where that is not allowed they stay free."""
    for pid in pids:
        for thread in _threads(pid):
            with suppress(OSError):
                os.sched_setaffinity(thread, cores)


def _threads(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    return []


def split_cores() -> tuple[set[int], set[int]]:
    """Cores for what is measured, and one for the gateway. Alike on a machine with a single core."""
    cores = sorted(os.sched_getaffinity(0))
    return (set(cores[:-1]), {cores[-1]}) if len(cores) > 1 else (set(cores), set(cores))


class Peak(threading.Thread):
    """The most private memory that any single process beneath `root` has had, looked at twice a second."""

    def __init__(self, root: int) -> None:
        super().__init__(name="peak", daemon=True)
        self.root, self.bytes, self.ended = root, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self.bytes = max([self.bytes, *(memory(pid, "RssAnon") for pid in tree(self.root))])

    def end(self) -> int:
        self.ended.set()
        self.join()
        return self.bytes


def describe(database: int) -> dict[str, Any]:
    """The machine, and the versions that matter."""
    model = platform.processor()
    with suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = found[1].strip() if found else model
    total = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(total[1]) / 2**20) if total else 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": database,
        "load_at_start": round(os.getloadavg()[0], 2),
        "versions": {"Phonebank": __version__}
        | {name: version(name) for name in ("Django", "aiohttp", "psycopg", "procrastinate")},
    }
