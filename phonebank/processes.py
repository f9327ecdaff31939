"""Child processes that start together, end together, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

PARENT = "PHONEBANK_PARENT_FD"


def end_with_parent() -> None:
    """In a child: SIGTERM to ourselves when the parent is gone, however it went. A pipe tells, no polling."""
    number = os.environ.pop(PARENT, "")
    if not number:
        return

    def watch(fd: int) -> None:
        while os.read(fd, 1):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, args=(int(number),), name="parent", daemon=True).start()


def phonebank(*args: str) -> list[str]:
    """The command line of one of our own commands."""
    return [sys.executable, "-m", "phonebank", *args]


class Group:
    """Processes by name. One that ends is started again; `stop` ends all of them."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {}
        self.started: dict[str, float] = {}
        self.read, self.write = os.pipe()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts `command` in a session of its own, so that Ctrl-C reaches us alone."""
        environment = os.environ | dict(env or {}) | {PARENT: str(self.read)}
        child = subprocess.Popen(command, env=environment, pass_fds=[self.read], start_new_session=True)  # noqa: S603
        self.children[name], self.commands[name] = child, (command, env or {})
        self.started[name] = time.monotonic()
        return child

    def revive(self) -> list[str]:
        """Starts again what has ended (not more than once a second each). Returns the names."""
        revived = []
        for name, child in list(self.children.items()):
            if child.poll() is not None and time.monotonic() - self.started[name] > 1:
                self.start(name, *self.commands[name])
                revived.append(name)
        return revived

    def stop(self, patience: float = 40.0) -> None:
        """SIGTERM to all, SIGKILL to those still there after `patience` seconds."""
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        end = time.monotonic() + patience
        for child in self.children.values():
            try:
                child.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.clear()
