"""A real sandbox on a free port, a client and a subscriber for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from phonebank.sandbox import SandboxConfig, serve

from .desk import FAST, Desk, Subscriber


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
async def start(client: aiohttp.ClientSession) -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    """Starts sandboxes with knobs other than the fast ones."""
    running = []

    async def begin(*, knobs: dict[str, Any] | None = None, **config: Any) -> Desk:
        server = await serve(SandboxConfig(port=0, knobs=FAST | (knobs or {}), **config))
        running.append(server)
        return Desk(server, client)

    yield begin
    for server in running:
        await server.close()


@pytest.fixture
async def desk(start: Callable[..., Awaitable[Desk]]) -> Desk:
    return await start()


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    found = Subscriber()
    app = web.Application()
    app.router.add_post("/hook", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # the only way to learn a free port from aiohttp
    found.url = f"http://127.0.0.1:{port}/hook"
    yield found
    await runner.cleanup()
