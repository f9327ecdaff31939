"""Before Django reads its settings: a throw-away home, and a throw-away PostgreSQL unless DATABASE_URL names a server.

Loaded by `-p tests.database` (pyproject.toml): an ordinary conftest comes too late for pytest-django.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from contextlib import ExitStack
from typing import Any

import pytest
from django.utils import translation

from phonebank.embedded import Cluster, DatabaseUnavailable, check_server, ephemeral

_stack = ExitStack()
_cluster: Cluster | None = None
OURS = "PHONEBANK_TESTS_OWN_SERVER"  # set for the processes of a parallel run, each of which has one of its own


def _start() -> None:
    global _cluster
    if os.environ.get(OURS):
        del os.environ["DATABASE_URL"]
    if url := os.environ.get("DATABASE_URL"):
        check_server(url)
        home = tempfile.mkdtemp(prefix="phonebank-tests-")
        _stack.callback(shutil.rmtree, home, ignore_errors=True)
    else:
        _cluster = _stack.enter_context(ephemeral(fsync=False))  # a restart is no power cut
        os.environ["DATABASE_URL"] = _cluster.url
        os.environ[OURS] = "1"
        home = str(_cluster.home / "app")  # goes with the cluster, even after a kill -9
    os.environ["PHONEBANK_DATA"] = home


try:
    _start()
except DatabaseUnavailable as error:
    raise pytest.UsageError(str(error)) from None


def is_ours() -> bool:
    """Whether the server may be killed: ours may, one that DATABASE_URL named may not."""
    return _cluster is not None


def restart_immediately() -> None:
    """What a power cut looks like to clients: no goodbye, then recovery."""
    assert _cluster is not None
    pid = int((_cluster.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    _cluster.start()


def pytest_runtest_setup() -> None:
    """A request leaves its language in its thread; the next test begins without, as a process does."""
    translation.deactivate()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="many more rounds of the tests that roll dice")


def pytest_configure() -> None:
    """The flush between transactional tests says that it is one, for the audit log refuses any other TRUNCATE."""
    from django.db.backends.postgresql.base import DatabaseWrapper

    flush = DatabaseWrapper.ops_class.execute_sql_flush

    def flush_audit_too(self: Any, statements: list[str]) -> None:
        from tests.reference import restore

        # Procrastinate's tables are no models that a flush would know.
        jobs = [f"DELETE FROM procrastinate_{name}" for name in ("periodic_defers", "events", "jobs", "workers")]
        flush(self, ["SET LOCAL phonebank.maintenance = 'on'", *statements, *jobs])
        restore()  # tests run in any order

    DatabaseWrapper.ops_class.execute_sql_flush = flush_audit_too


def pytest_collection_finish() -> None:
    """Every full collection of garbage would walk all modules and tests again: a seventh of the suite's processor."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    return f"database: {'a throw-away PostgreSQL' if is_ours() else 'the server that DATABASE_URL names'}"


def pytest_unconfigure() -> None:
    _stack.close()
