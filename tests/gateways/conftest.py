from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from phonebank.gateways import sync
from phonebank.gateways.wasender import WaSender, open_http
from tests.gateways.server import RawServer


@pytest.fixture(autouse=True)
def _no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "gate", None)  # it asks the database, which clients know nothing of


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as running:
        yield running


@pytest_asyncio.fixture
async def http(server: RawServer):  # after the server, so that connections close before it does
    async with open_http() as session:
        yield session


@pytest.fixture
def gateway(server: RawServer, http) -> WaSender:
    return WaSender(server.url, http)
