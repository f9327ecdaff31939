"""A backup is whole or not there, and a restore happens whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from phonebank.embedded import Cluster, archive
from phonebank.embedded.archive import ArchiveError


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An address prefix for databases of our own on the suite's server."""
    yield os.environ["DATABASE_URL"]


def drop(admin: psycopg.Connection[Any], name: str) -> None:
    """A vacuum of the server's own may be in it, which only a superuser may end: it ends by itself."""
    end = time.monotonic() + 60
    while True:
        try:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            assert time.monotonic() < end
            time.sleep(0.2)
        else:
            return


@pytest.fixture
def made(server: str) -> Iterator[tuple[str, str]]:
    """Two databases: one with two tables of 20,000 rows, one empty."""
    names = [f"archive_full_{os.getpid()}", f"archive_empty_{os.getpid()}"]
    addresses = [psycopg.conninfo.make_conninfo(server, dbname=name) for name in names]
    with psycopg.connect(server, autocommit=True) as admin:
        for name in names:
            drop(admin, name)
            admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(addresses[0]) as full:
            full.execute("CREATE TABLE people AS SELECT n, md5(n::text) AS word FROM generate_series(1, 20000) n")
            full.execute("CREATE TABLE zebra AS SELECT * FROM people")
        yield addresses[0], addresses[1]
        for name in names:
            drop(admin, name)


def tables(address: str) -> list[str]:
    with psycopg.connect(address) as asked:
        rows = asked.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return sorted(name for (name,) in rows.fetchall())


def test_there_and_back(made: tuple[str, str], tmp_path: Path) -> None:
    full, empty = made
    file = tmp_path / "a.dump"
    begun = datetime.now(UTC)
    archive.dump(full, file)
    assert [*tmp_path.iterdir()] == [file] and file.stat().st_mode & 0o777 == 0o600
    assert begun - timedelta(seconds=2) <= archive.created_at(file) <= datetime.now(UTC)
    assert archive.rows(file, "people")[1] == ["2", "c81e728d9d4c2f636f067f89cc14862c"]
    archive.load(empty, file, "COMMENT ON TABLE public.people IS 'restored';")
    with psycopg.connect(empty) as asked:
        [(n, said)] = asked.execute("SELECT count(*), obj_description('people'::regclass) FROM people").fetchall()
    assert (n, said) == (20000, "restored")
    with pytest.raises(ArchiveError, match="exists already"):
        archive.dump(full, file)


@pytest.mark.parametrize("finish", ["SELECT 1 / 0;", None])
def test_half_a_restore_leaves_nothing(made: tuple[str, str], tmp_path: Path, finish: str | None) -> None:
    """A file cut short, and a last statement that fails: the tables before it are not there either."""
    full, empty = made
    file = tmp_path / "a.dump"
    archive.dump(full, file)
    if finish is None:
        file.write_bytes(file.read_bytes()[:-200_000])
    with pytest.raises(ArchiveError, match="left as it was"):
        archive.load(empty, file, finish or "SELECT 1;")
    assert tables(empty) == []


def test_what_is_no_backup_is_said_to_be_none(made: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "a.dump"
    file.write_text("minutes of the meeting")
    with pytest.raises(ArchiveError, match="no backup"):
        archive.created_at(file)


def test_a_backup_that_cannot_be_written_whole_is_not_there(made: tuple[str, str], tmp_path: Path) -> None:
    """The disk takes no more after 64 KB."""
    code = (
        "import resource, sys; from pathlib import Path; from phonebank.embedded import archive\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "archive.dump(sys.argv[1], Path(sys.argv[2]))"
    )
    file = tmp_path / "a.dump"
    done = subprocess.run([sys.executable, "-c", code, made[0], str(file)], capture_output=True, text=True)
    assert done.returncode and "ArchiveError" in done.stderr and [*tmp_path.iterdir()] == []
    with pytest.raises(ArchiveError, match="cannot be written"):
        archive.dump(made[0], tmp_path / "no such folder" / "a.dump")


def test_a_database_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="cannot be reached"):
        archive.dump(Cluster(tmp_path).url, tmp_path / "a.dump")
    assert [*tmp_path.iterdir()] == []


def test_a_server_newer_than_any_program_is_said_to_be(
    made: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, conninfo, _ = archive._server(made[0])
    monkeypatch.setattr(archive, "_server", lambda target: (env, conninfo, 990000))
    with pytest.raises(ArchiveError, match="of version 99 or newer"):
        archive.dump(made[0], tmp_path / "a.dump")
    assert [*tmp_path.iterdir()] == []


def test_a_place_that_knows_no_links_takes_a_backup_too(
    made: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(archive.os, "link", refuse)
    file = tmp_path / "a.dump"
    archive.dump(made[0], file)
    assert [*tmp_path.iterdir()] == [file] and file.stat().st_mode & 0o777 == 0o600 and file.stat().st_size > 1000
