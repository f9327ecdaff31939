"""Child processes that start together, end together, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

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


class Fork:
    """A child that is a copy of this process: there in milliseconds, where a new interpreter takes seconds.

    For parents without threads of their own work and without open database connections. Has the part of
    subprocess.Popen's interface that Group needs.
    """

    def __init__(self, target: Callable[[], None], close: int) -> None:
        sys.stdout.flush()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._be(target, close)

    def _be(self, target: Callable[[], None], close: int) -> None:
        code = 1
        try:
            os.close(close)  # the parent's end of the pipe: while a child held it, none would see the parent go
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            target()
            code = 0
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Group:
    """Processes by name. One that ends is started again; `stop` ends all of them."""

    def __init__(self) -> None:
        self.children: dict[str, subprocess.Popen[bytes] | Fork] = {}
        self.starters: dict[str, Callable[[], object]] = {}
        self.started: dict[str, float] = {}
        self.read, self.write = os.pipe()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts `command` in a session of its own, so that Ctrl-C reaches us alone."""
        environment = os.environ | dict(env or {}) | {PARENT: str(self.read)}
        child = subprocess.Popen(command, env=environment, pass_fds=[self.read], start_new_session=True)  # noqa: S603
        self._keep(name, child, lambda: self.start(name, command, env))
        return child

    def fork(self, name: str, target: Callable[[], None]) -> Fork:
        """Runs `target` in a copy of this process (see Fork)."""
        os.environ[PARENT] = str(self.read)
        child = Fork(target, self.write)
        self._keep(name, child, lambda: self.fork(name, target))
        return child

    def _keep(self, name: str, child: subprocess.Popen[bytes] | Fork, again: Callable[[], object]) -> None:
        self.children[name], self.starters[name] = child, again
        self.started[name] = time.monotonic()

    def revive(self) -> list[str]:
        """Starts again what has ended (not more than twice a second each). Returns the names."""
        revived = []
        for name, child in list(self.children.items()):
            if child.poll() is not None and time.monotonic() - self.started[name] > 0.5:
                self.starters[name]()
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
