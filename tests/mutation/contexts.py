"""A pytest plugin for `make coverage`: lines remember which test ran them.

Processes that a test starts are told by coverage's own setting, which reads PYTEST_CURRENT_TEST.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from coverage import Coverage


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    tracer = Coverage.current()
    assert tracer is not None, "This plugin is for `coverage run`."
    tracer.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        tracer.switch_context("")
