"""A cluster for one test run or one demonstration, gone at its end, even when that end is a kill -9."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import home as homes
from .cluster import Cluster

MARK = "throwaway.lock"  # held by the owner and its watcher; a folder where nobody holds it was left behind
REMOVAL_TIMEOUT = 120  # seconds


@contextmanager
def ephemeral(*, fsync: bool = True) -> Iterator[Cluster]:
    """A running cluster in a folder of its own. `fsync=False` is faster and loses data only at a power cut.

    A watcher process stops and removes it when this process leaves the block or dies. Raises DatabaseUnavailable.
    """
    if homes.is_root():
        homes.make_folder(homes.SYSTEM_ROOT)
    base, prefix = (homes.SYSTEM_ROOT, "tmp-") if homes.is_root() else (tempfile.gettempdir(), "phonebank-tmp-")
    _remove_left_behind(Path(base), prefix)
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    if homes.is_root():
        home.chmod(0o711)
    mark = os.open(home / MARK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(mark, fcntl.LOCK_EX)
    watcher = _watch(home, mark)
    try:
        cluster = Cluster(home, fsync=fsync)
        cluster.start()
        yield cluster
    finally:
        os.close(mark)
        watcher.stdin.close()
        watcher.wait(REMOVAL_TIMEOUT)


def _watch(home: Path, mark: int) -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[2])
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "phonebank.embedded.watch", str(os.getpid()), str(home)]
    return subprocess.Popen(  # noqa: S603 - ourselves
        command, env=env, cwd="/", stdin=subprocess.PIPE, pass_fds=[mark], start_new_session=True
    )


def _remove_left_behind(base: Path, prefix: str) -> None:
    """Where even the watcher was killed (a power cut, a container's end), the next run clears up."""
    for mark in base.glob(f"{prefix}*/{MARK}"):
        with suppress(OSError):
            handle = os.open(mark, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Cluster(mark.parent).destroy()
            finally:
                os.close(handle)
