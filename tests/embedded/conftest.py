from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phonebank.embedded import Cluster
from phonebank.embedded.cluster import _all_processes, _command_line

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the server's user may enter, unlike pytest's own when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="pb-"))
    folder.chmod(0o711)
    yield folder
    Cluster(folder).destroy()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def processes(folder: Path) -> list[int]:
    return [pid for pid in _all_processes() if pid != os.getpid() and str(folder) in _command_line(pid)]


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [options.pop("executable", sys.executable), "-c", code, *map(str, arguments)]
    options = {"cwd": CHECKOUT, "text": True, "stdout": subprocess.PIPE, "stdin": subprocess.PIPE} | options
    return subprocess.Popen(command, **options)
