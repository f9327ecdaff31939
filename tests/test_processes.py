"""Children that are started again when they end, and that never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

PARENT = """
import signal, sys, time
from phonebank.processes import Group, end_with_parent
def child():
    end_with_parent()
    signal.pause()
group = Group()
if sys.argv[1] == "fork":
    group.fork("child", child)
else:
    code = "from phonebank.processes import end_with_parent; import signal; end_with_parent(); signal.pause()"
    group.start("child", [sys.executable, "-c", code])
def stop(*_):
    group.stop(5)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
while True:
    print(group.children["child"].pid, flush=True)
    time.sleep(0.1)
    group.revive()
"""


def until(condition: Callable[[], object], patience: float = 60.0) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it is read
        return False


class Parent:
    def __init__(self, how: str) -> None:
        command = [sys.executable, "-c", PARENT, how]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def child(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(params=["fork", "start"])
def parent(request: pytest.FixtureRequest) -> Iterator[Parent]:
    if not os.path.isdir("/proc/self"):
        pytest.skip("reads /proc")
    made = Parent(request.param)
    yield made
    made.process.kill()
    made.process.wait()
    assert made.process.stdout is not None
    made.process.stdout.close()


def test_a_child_does_not_outlive_a_killed_parent(parent: Parent) -> None:
    child = parent.child()
    until(lambda: is_alive(child))
    parent.process.kill()
    until(lambda: not is_alive(child))


def test_a_killed_child_is_started_again(parent: Parent) -> None:
    first = parent.child()
    os.kill(first, signal.SIGKILL)
    until(lambda: parent.child() != first)


def test_stop_ends_parent_and_child(parent: Parent) -> None:
    child = parent.child()
    parent.process.terminate()
    assert parent.process.wait(60) == 0
    assert not is_alive(child)
