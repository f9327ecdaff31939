from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg
import pytest

from phonebank.embedded import Cluster, ephemeral

from .conftest import processes, python, wait_for

RUN = """
import sys
from phonebank.embedded import ephemeral, throwaway
inside = throwaway.Cluster.start
def start(cluster):
    print(cluster.home, flush=True)
    return inside(cluster)
throwaway.Cluster.start = start
with ephemeral(fsync=False) as cluster:
    print("up", flush=True)
    sys.stdin.read()
"""


def test_lives_for_the_block_and_leaves_nothing():
    with ephemeral(fsync=False) as cluster:
        home = cluster.home
        with psycopg.connect(cluster.url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
        assert processes(home)
    assert not home.exists()
    assert processes(home) == []


def test_keeps_fsync_unless_told_otherwise():
    with ephemeral() as cluster, psycopg.connect(cluster.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_goes_away_with_a_killed_parent():
    parent = python(RUN)
    home = Path(parent.stdout.readline().strip())
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    parent.communicate()
    wait_for(lambda: not home.exists() and not processes(home))


@pytest.mark.parametrize("moment", ["new-*", "data", "postgres.log", "data/postmaster.pid"])
def test_goes_away_when_killed_in_the_middle_of_the_start(moment):
    parent = python(RUN)
    home = Path(parent.stdout.readline().strip())
    moments = {moment, "data"} if moment == "new-*" else {moment}  # it becomes the other after a second
    wait_for(lambda: [one for name in moments for one in home.glob(f"postgres/{name}")])
    parent.kill()
    parent.communicate()
    wait_for(lambda: not home.exists() and not processes(home))


WRITES = """
import itertools, pathlib, sys
folder = pathlib.Path(sys.stdin.readline().strip())
for number in itertools.count():
    try:
        (folder / "postgres" / str(number)).write_bytes(b"")
    except FileNotFoundError:
        break
    if number == 200:
        print("writing", flush=True)
"""


def test_goes_away_under_a_program_that_does_not_show_as_ours(home):
    # What a killed parent has forked carries the parent's name until its exec, and its files come late.
    (home / "postgres").mkdir()
    writer = python(WRITES)
    writer.stdin.write(f"{home}\n")
    writer.stdin.flush()
    try:
        assert writer.stdout.readline() == "writing\n"
        Cluster(home).destroy()
        assert not home.exists()
    finally:
        writer.kill()
        writer.communicate()


def test_the_interrupt_key_ends_it_cleanly():
    parent = python(RUN, process_group=0)
    home = Path(parent.stdout.readline().strip())
    parent.stdout.readline()
    os.killpg(parent.pid, signal.SIGINT)
    parent.communicate(timeout=180)
    assert not home.exists()


def test_what_a_killed_watcher_left_behind_goes_at_the_next_run():
    parent = python(RUN)
    home = Path(parent.stdout.readline().strip())
    parent.stdout.readline()
    server = int((home / "postgres/data/postmaster.pid").read_text().split()[0])
    watcher = [pid for pid in processes(home) if b"embedded.watch" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in (*watcher, parent.pid):
        os.kill(pid, signal.SIGKILL)
    parent.communicate()
    assert processes(home), "somebody else cleared up"
    with ephemeral(fsync=False) as other:
        assert not home.exists()
        assert server not in processes(home)
        with ephemeral(fsync=False):  # a living one stays
            assert Cluster(other.home).status() == "ready"
