"""Who runs the server, where its data lie, and that no folder of anybody else changes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from phonebank.embedded import Cluster, DatabaseUnavailable, binaries, data_home
from phonebank.embedded import home as homes

from .conftest import CHECKOUT, processes, python

as_root = pytest.mark.skipif(not homes.is_root(), reason="only root can try what happens to root")
NOBODY = pwd.getpwnam("nobody")
HOME = "from phonebank.embedded import data_home; print(data_home())"
ORDINARY = """
import os, sys
from phonebank.embedded import Cluster, DatabaseUnavailable, data_home, ephemeral
cluster = Cluster(data_home())
try:
    print(cluster.start(), cluster.start(), cluster.data.stat().st_uid == os.geteuid(), cluster.stop())
    with ephemeral() as other:
        print(other.status())
except DatabaseUnavailable as error:
    print(error)
"""


def checkout(folder: Path) -> Path:
    shutil.copytree(CHECKOUT / "phonebank" / "embedded", folder / "phonebank" / "embedded")
    for name in ("phonebank/__init__.py", "pyproject.toml", "manage.py"):
        (folder / name).touch()
    return folder


def said_in(folder: Path, code: str, **options: object) -> str:
    """What `code` prints in the checkout in `folder` when nothing is configured."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHONEBANK")}
    env["PYTHONPATH"] = sysconfig.get_path("platlib")  # for an interpreter outside the virtual environment
    return python(code, cwd=folder, env=env, **options).communicate(timeout=180)[0].strip()


def as_nobody() -> dict[str, object]:
    """Options to run Python as an ordinary user, who may not be able to enter the folder of our own interpreter."""
    drop = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}
    for executable in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with suppress(OSError):
            if not subprocess.run([executable, "-c", ""], cwd="/", **drop).returncode:
                return {"executable": executable, **drop}
    pytest.skip("no interpreter here that an ordinary user can run")


def test_the_environment_decides_where_the_data_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("PHONEBANK_DATA", str(tmp_path / "there"))
    assert data_home() == tmp_path / "there"
    assert not data_home().exists()


def test_two_checkouts_never_share(home):
    one, two = (Path(said_in(checkout(home / name), HOME)) for name in ("one", "two"))
    assert one != two
    assert one.parent == (homes.SYSTEM_ROOT if homes.is_root() else home / "one")


@as_root
def test_an_ordinary_user_has_the_data_in_the_checkout(home):
    ordinary = as_nobody()
    folder = checkout(home / "mine")
    assert said_in(folder, HOME, **ordinary) == str(folder / "var")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    assert said_in(folder, ORDINARY, **ordinary).split() == ["True", "False", "True", "True", "ready"]
    assert processes(folder) == []
    os.chown(folder / "var/postgres", 0, 0)
    assert "belongs to another user" in said_in(folder, ORDINARY, **ordinary)


@as_root
def test_as_root_a_system_user_runs_the_server(home):
    cluster = Cluster(home)
    cluster.start()
    pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("phonebank").pw_uid == cluster.folder.stat().st_uid
    assert home.stat().st_uid == 0


@as_root
def test_as_root_data_of_a_user_stay_that_users(home):
    (home / "postgres").mkdir(mode=0o700)
    os.chown(home / "postgres", NOBODY.pw_uid, NOBODY.pw_gid)
    cluster = Cluster(home)
    cluster.start()
    assert cluster.data.stat().st_uid == NOBODY.pw_uid


@as_root
def test_as_root_a_folder_that_the_user_cannot_enter_is_refused_not_opened(home):
    home.chmod(0o700)
    with pytest.raises(DatabaseUnavailable, match=f"The user phonebank cannot enter {home}"):
        Cluster(home).start()
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
def test_as_root_a_locked_checkout_keeps_its_mode_and_lends_a_copy(home, monkeypatch):
    package = binaries._bundled().parents[1]
    locked = home / "locked"
    shutil.copytree(package, locked / package.name)
    if package.with_name(f"{package.name}.libs").is_dir():
        shutil.copytree(package.with_name(f"{package.name}.libs"), locked / f"{package.name}.libs")
    locked.chmod(0o700)
    programs = locked / binaries._bundled().relative_to(package.parent)
    monkeypatch.setattr(binaries, "_bundled", lambda: programs)
    monkeypatch.setattr(homes, "SYSTEM_ROOT", home / "system")
    cluster = Cluster(home / "system" / "checkout")
    cluster.start()
    assert locked.stat().st_mode & 0o777 == 0o700
    pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
    copy = Path(f"/proc/{pid}/exe").readlink()
    assert copy.is_relative_to(home / "system")
    assert copy.stat().st_uid == 0
    assert not copy.stat().st_mode & 0o022
    with psycopg.connect(cluster.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    cluster.stop()
    assert cluster.start(), "the copy is used again"
    cluster.stop()
