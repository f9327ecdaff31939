"""A whole database into one file and back, by PostgreSQL's own programs. The file is an ordinary pg_dump archive."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from . import binaries
from .check import DatabaseUnavailable, connection_parameters

_CREATED = re.compile(r"^; Archive created at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.M)
_TIMEOUT = b"SET transaction_timeout = 0;"  # written by pg_restore 17 and later, unknown to older servers
_CHUNK = 1 << 20  # bytes
_FULL = "No space left"


class ArchiveError(RuntimeError):
    """It was not done, and nothing was changed or left behind. The message is for a person."""


def dump(target: str | Mapping[str, Any], path: Path) -> None:
    """Writes the database into `path`, readable by us alone: the whole of it, or there is no such file.

    It is one moment of the database, whatever runs meanwhile, and was read back once. Never replaces a file.
    Raises ArchiveError.
    """
    if path.exists():
        raise ArchiveError(f"{path} exists already. It was left as it is; choose another name.")
    env, conninfo, version = _server(target)
    tools = _tools(version)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror}. Nothing was backed up.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            command = [tools / "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--dbname={conninfo}"]
            _run(command, env, file)
            os.fsync(file.fileno())
        _run([tools / "pg_restore", "--file=/dev/null", aside], env)
        _name(aside, path)
    except FileExistsError:
        raise ArchiveError(f"{path} exists by now. It was left as it is; choose another name.") from None
    except OSError as error:
        raise ArchiveError(f"{path} could not be written: {error.strerror}. Nothing was kept.") from error
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _name(aside: Path, path: Path) -> None:
    """Gives the file its name, and takes nobody else's away, as a rename would."""
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # FAT and some shares know no links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.replace(aside, path)


def load(target: str | Mapping[str, Any], path: Path, finish: str) -> None:
    """Puts an archive into an empty database, then runs the SQL `finish`: all in one transaction, or nothing at all.

    Raises ArchiveError.
    """
    env, conninfo, version = _server(target)
    tools = _tools(version)
    psql = [tools / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", f"--dbname={conninfo}"]
    source = [tools / "pg_restore", "--no-owner", "--no-privileges", "--file=-", path]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaint:
        read = subprocess.Popen(source, stdout=subprocess.PIPE, stderr=complaint, env=env)  # noqa: S603 no shell
        sink = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, env=env)  # noqa: S603
        assert read.stdout and sink.stdin
        try:
            sink.stdin.write(b"BEGIN;\n")
            for chunk in _script(read.stdout, version):
                sink.stdin.write(chunk)
            if read.wait() == 0:
                sink.stdin.write(f"\n{finish}\nCOMMIT;\n".encode())
            sink.stdin.close()
        except BrokenPipeError:
            pass  # psql met an error; below it says which
        finally:
            read.stdout.close()  # which ends pg_restore where psql has ended
        if sink.wait() or read.wait():
            # The archive's own fault first: psql only notices that the end is missing.
            raise ArchiveError(f"{_why(complaint) or _why(said)}. The database was left as it was.")


def created_at(path: Path) -> datetime:
    """When an archive was begun: what it holds is that moment or some seconds later. Raises ArchiveError."""
    listed = _read(["--list", path])
    found = _CREATED.search(listed)
    if found is None:
        raise ArchiveError(f"{path} does not say when it was made. Nothing was changed.")
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)


def rows(path: Path, table: str) -> list[list[str]]:
    """The rows of a small table in an archive, as COPY writes them. Raises ArchiveError."""
    inside, found = False, []
    for line in _read(["--data-only", f"--table={table}", "--file=-", path]).splitlines():
        if line.startswith("COPY "):
            inside = True
        elif line == "\\.":
            inside = False
        elif inside:
            found.append(line.split("\t"))
    return found


def _read(arguments: list[str | Path]) -> str:
    with tempfile.TemporaryFile() as out:
        _run([_tools(0) / "pg_restore", *arguments], _env(), out)
        out.seek(0)
        return out.read().decode(errors="replace")


def _script(source: IO[bytes], version: int) -> Iterator[bytes]:
    """The SQL, without the one setting at its top that an older server does not know."""
    top = source.read(_CHUNK)
    if version < 170000:
        head, _, rest = top.partition(_TIMEOUT)
        top = head + rest
    while top:
        yield top
        top = source.read(_CHUNK)


def _server(target: str | Mapping[str, Any]) -> tuple[dict[str, str], str, int]:
    """Environment and connection string for the programs, and the server's version; no password on a command line."""
    import psycopg
    from psycopg import conninfo

    params = connection_parameters(target)
    try:
        with psycopg.connect(**params) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        raise ArchiveError(f"The database cannot be reached: {' '.join(str(error).split())}") from error
    env = _env()
    if password := params.pop("password", None):
        env["PGPASSWORD"] = str(password)
    return env, conninfo.make_conninfo(**params), version


def _env() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return env | {"LC_ALL": "C", "TZ": "UTC"}


def _tools(server: int) -> Path:
    """The folder with pg_dump, pg_restore and psql, at least as new as the server (version number; 0: any)."""
    major = server // 10000
    folders = []
    with suppress(DatabaseUnavailable):
        folders.append(binaries._bundled())
    if installed := shutil.which("pg_dump"):
        folders.append(Path(installed).parent)
    for folder in folders:
        if all(_major(folder / one) >= major for one in ("pg_dump", "pg_restore", "psql")):
            return folder
    raise ArchiveError(
        f"PostgreSQL {major}'s programs pg_dump, pg_restore and psql are needed, of version {major} or newer. "
        "Install PostgreSQL's client package and put it on the PATH. Nothing was changed."
    )


def _major(program: Path) -> int:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, env=_env())  # noqa: S603
    except OSError:
        return -1
    found = re.search(r"(\d+)\.", said.stdout)
    return int(found[1]) if found else -1


def _run(command: list[str | Path], env: dict[str, str], out: IO[bytes] | None = None) -> None:
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(  # noqa: S603 - fixed programs, no shell
            command, env=env, stdin=subprocess.DEVNULL, stdout=out or subprocess.DEVNULL, stderr=said
        )
        if done.returncode:
            raise ArchiveError(f"{_why(said) or f'{Path(command[0]).name} ended early'}. Nothing was changed.")


def _why(said: IO[bytes]) -> str:
    """The first error that a program wrote, in a sentence."""
    said.seek(0)
    text = said.read(100_000).decode(errors="replace")
    if _FULL in text:
        return "The disk is full"
    if "valid archive" in text or "valid tar archive" in text:
        return "This file is no backup of Phonebank"
    if "unsupported version" in text or "server version mismatch" in text:
        return "It was made by a newer PostgreSQL than the programs here: install that version's client package"
    lines = [line for line in text.splitlines() if "rror:" in line or "FATAL" in line] or text.splitlines()
    return " ".join(lines[0].split()).rstrip(".") if lines else ""
