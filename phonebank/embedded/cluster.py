"""One private PostgreSQL per data folder: find it running, start it, recover it, stop it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from . import home as homes
from .binaries import programs
from .check import DatabaseUnavailable

if TYPE_CHECKING:
    import psycopg

NAME = "phonebank"  # the database and the role that owns it
SUPERUSER = "postgres"  # makes the role; the product never connects as it
PORT = "5432"  # only part of the socket's file name; said aloud so that a PGPORT in the environment changes nothing
LONGEST_SOCKET_FOLDER = 85  # bytes; a socket's whole path ends at 103 on some systems
ORPHANS_TIMEOUT = 60.0  # seconds; after a kill -9 the old server's children hold its memory for about one, or longer
RECOVERY_TIMEOUT = 300.0  # seconds to replay the log after a crash
STOP_TIMEOUT = 60.0  # seconds for a fast shutdown, which writes a checkpoint
LOG_LIMIT = 10_000_000  # bytes; a longer log is put aside at the next start

State = Literal["stopped", "starting", "ready", "stopping"]


class Cluster:
    """The server whose data lie in `home`. Any number of processes may hold one object each for the same folder."""

    def __init__(self, home: Path, *, fsync: bool = True) -> None:
        """`fsync=False` risks all data at a power cut: for throw-away data only."""
        self.home = Path(home).resolve()
        self.folder = self.home / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self.fsync = fsync

    @staticmethod
    def location(home: Path) -> dict[str, str]:
        """Django's HOST, PORT, NAME and USER for the server in `home`; starts and creates nothing."""
        return {"HOST": str(Cluster(home).socket_folder), "PORT": PORT, "NAME": NAME, "USER": NAME}

    @property
    def socket_folder(self) -> Path:
        """The server's own private folder; one with a short plain name when clients cannot use that path."""
        path = os.fsencode(self.folder)
        if len(path) <= LONGEST_SOCKET_FOLDER and b"," not in path:  # to a client a comma parts two hosts
            return self.folder
        base = homes.SYSTEM_ROOT if homes.is_root() else Path("/tmp")  # nosec B108 # noqa: S108 - made 0700, its owner is checked
        return base / f"phonebank-{homes.digest(self.home)}"

    @property
    def url(self) -> str:
        """For DATABASE_URL and psycopg alike (django-environ does not decode a percent-encoded host)."""
        return f"postgres://{NAME}@/{NAME}?host={quote(str(self.socket_folder))}&port={PORT}"

    def start(self) -> bool:
        """Return when the server answers and our database exists: True when this call started it.

        Raises DatabaseUnavailable.
        """
        try:
            owner = homes.claim(self.folder)
            with homes.locked(self.home / "postgres.lock"):
                return self._start(owner)
        except OSError as error:
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL cannot use {self.home}: {error}. Set PHONEBANK_DATA or DATABASE_URL."
            ) from error

    def stop(self) -> bool:
        """End the server and wait until it is gone; open connections are cut. True when one was running."""
        if not self.data.exists():
            return False
        with homes.locked(self.home / "postgres.lock"):
            pid = self._postmaster()
            if pid is None:
                return False
            for how in (signal.SIGINT, signal.SIGQUIT):  # fast, then at once (the next start recovers)
                _signal(pid, how)
                if _wait(lambda: not self._is_ours(pid), STOP_TIMEOUT):
                    return True
        raise DatabaseUnavailable(f"The embedded PostgreSQL (process {pid}) does not stop; see {self.log}.")

    def status(self) -> State:
        """What the server's own pid file says, if that process lives and is really the server of our folder."""
        if self._postmaster() is None:
            return "stopped"
        lines = self._pid_file()
        word = lines[7].strip() if len(lines) > 7 else "starting"
        return word if word in ("ready", "stopping") else "starting"  # type: ignore[return-value]

    def destroy(self) -> None:
        """Stop the server and remove the whole data folder, whatever was going on in it."""

        folders = (self.home, self.socket_folder)

        def gone() -> bool:
            self.stop()
            ours = [pid for pid in _all_processes() if pid != os.getpid() and self._is_ours(pid)]
            for pid in ours:
                if not self.data.exists():  # an initdb of a killed starter, or a server without its files
                    _signal(pid, signal.SIGQUIT)
            if ours:
                return False
            # Again when something appeared meanwhile: a program between fork and exec does not yet show as ours.
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            return not any(folder.exists() for folder in folders)

        if not _wait(gone, ORPHANS_TIMEOUT):
            for folder in folders:
                if folder.exists():
                    shutil.rmtree(folder)

    def _start(self, owner: homes.Owner | None) -> bool:
        launched = False
        begun = time.monotonic()
        while True:
            state = self.status()
            trouble: Exception | str | None = "a killed server's last queries still hold its memory; try again"
            if state == "stopped":
                launched = self._launch(owner)
                begun = time.monotonic() if launched else begun
            else:
                trouble = self._trouble()
                if not trouble:
                    self._ensure_database()
                    return launched
            if time.monotonic() - begun > (RECOVERY_TIMEOUT if state in ("starting", "stopping") else ORPHANS_TIMEOUT):
                raise DatabaseUnavailable(f"The embedded PostgreSQL is {state}: {trouble} ({self.log}).")
            time.sleep(0 if launched else 0.1)

    def _launch(self, owner: homes.Owner | None) -> bool:
        """Start the server; False when a killed predecessor is still in the way, for which to try again."""
        bindir = programs(owner)
        if not self.data.exists():
            self._init(bindir, owner)
        self._make_socket_folder(owner)
        for stale in self.socket_folder.glob(".s.PGSQL.*"):  # its lock may name a process number used anew since
            stale.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        offset = self.log.stat().st_size if self.log.exists() else 0
        # pg_ctl builds a shell command and quotes no path in it: hence a relative log, PGDATA, and quoted options.
        command = [bindir / "pg_ctl", "start", "-w", "-t", f"{RECOVERY_TIMEOUT:.0f}", "-l", self.log.name]
        done = homes.run([*command, "-o", self._options()], owner, cwd=self.folder, PGDATA=str(self.data))
        if done.returncode == 0:
            return True
        said = self.log.read_bytes()[offset:].decode(errors="replace") if self.log.exists() else ""
        if "shared memory block" in said:
            return False
        if "lock file" in said and self._postmaster() is None:
            # The number in it belongs to a stranger by now. PostgreSQL only looks whether that process lives.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return False
        reason = next((line for line in said.splitlines() if "FATAL" in line), (said or done.stderr).strip())
        raise DatabaseUnavailable(f"The embedded PostgreSQL does not start: {reason} (log: {self.log})")

    def _init(self, bindir: Path, owner: homes.Owner | None) -> None:
        """initdb into a scratch folder, then rename: `data` is complete or absent, whoever is killed."""
        for abandoned in self.folder.glob("new-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        scratch = tempfile.mkdtemp(prefix="new-", dir=self.folder)
        if owner:
            os.chown(scratch, *owner)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = [f"--username={SUPERUSER}", "--auth-local=trust", "--auth-host=reject"]  # the folder is the guard
        durable = [] if self.fsync else ["--no-sync"]
        done = homes.run([bindir / "initdb", "-D", scratch, *locale, *access, *durable], owner)
        if done.returncode:
            raise DatabaseUnavailable(f"The embedded PostgreSQL cannot be created: {done.stderr.strip()}")
        Path(scratch).rename(self.data)

    def _make_socket_folder(self, owner: homes.Owner | None) -> None:
        folder = self.socket_folder
        if folder == self.folder:
            return
        uid = owner[0] if owner else os.geteuid()
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700)
            if owner:
                os.chown(folder, *owner)
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid != uid or found.st_mode & 0o077:
            raise DatabaseUnavailable(f"{folder} is not a private folder of ours: remove it or set PHONEBANK_DATA.")

    def _options(self) -> str:
        """Said at each start, so that a moved folder or a newer Phonebank needs no edit of old files."""
        folder = str(self.socket_folder).replace('"', '""')
        settings = {
            "data_directory": str(self.data),
            "listen_addresses": "", "unix_socket_directories": f'"{folder}"', "unix_socket_permissions": "0700",
            "port": PORT, "max_connections": "200", "shared_buffers": "128MB", "synchronous_commit": "on",
            "fsync": "on" if self.fsync else "off", "timezone": "UTC", "log_timezone": "UTC", "log_checkpoints": "off",
            # Phone numbers and texts stand in statements and in the detail of a constraint error: not in the log.
            "log_min_error_statement": "panic", "log_error_verbosity": "terse",
        }  # fmt: skip
        return " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())

    def _connect(self) -> psycopg.Connection:
        import psycopg

        where = {"host": str(self.socket_folder), "port": PORT, "user": SUPERUSER, "dbname": "postgres"}
        return psycopg.connect(**where, autocommit=True, connect_timeout=5)

    def _trouble(self) -> Exception | None:
        """Why the server does not answer as the server of our folder; None when it does."""
        import psycopg

        try:
            with self._connect() as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            return error
        return None if os.path.samefile(row[0], self.data) else RuntimeError(f"another server, of {row[0]}")

    def _ensure_database(self) -> None:
        with self._connect() as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE ROLE {NAME} LOGIN CREATEDB")  # CREATEDB: the test database
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {NAME} OWNER {NAME}")

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _postmaster(self) -> int | None:
        lines = self._pid_file()
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        return pid if pid and self._is_ours(pid) else None

    def _is_ours(self, pid: int) -> bool:
        """Does this process's command line name a folder of ours? A number alone may have been used anew."""
        return str(self.folder) in _command_line(pid)


def _command_line(pid: int) -> str:
    """Empty for a process that is gone, or dead and not yet reaped."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="surrogateescape")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    ps = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True).stdout  # noqa: S603


def _all_processes() -> list[int]:
    if sys.platform == "linux":
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    done = subprocess.run(["/bin/ps", "-ax", "-o", "pid="], capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
