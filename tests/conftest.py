"""The suite runs on a throw-away PostgreSQL of its own, or on the server that DATABASE_URL names."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

_open: list[object] = []


def pytest_configure(config: pytest.Config) -> None:
    """Before Django reads its settings: a home for keys, and a database."""
    from phonebank.embedded import ephemeral

    os.environ.setdefault("PHONEBANK_DATA", tempfile.mkdtemp(prefix="phonebank-tests-"))
    if not os.environ.get("DATABASE_URL"):
        context = ephemeral(fsync=False)
        os.environ["DATABASE_URL"] = context.__enter__().url
        _open.append(context)


def pytest_unconfigure(config: pytest.Config) -> None:
    for context in _open:
        context.__exit__(None, None, None)  # type: ignore[attr-defined]
    _open.clear()


@pytest.fixture(scope="session", autouse=True)
def _home() -> Iterator[None]:
    yield
