"""The sandbox as a whole and the server in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections import Counter
from random import Random
from typing import Any

from . import admin, api, media, phones
from .agenda import Agenda
from .config import SandboxConfig
from .events import Events
from .faults import FaultBook
from .http import Exchange, HttpProtocol, Request
from .journal import Journal
from .knobs import KnobStore
from .limits import Limiter
from .links import Links
from .messages import Ledger, Message
from .sends import Sends
from .state import CONNECTED, World
from .webhooks import Courier

BODY_LIMIT = 1024 * 1024  # bytes, of anything but an upload


class Sandbox:
    """Everything that one emulated service consists of; also the application that `HttpProtocol` calls."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.connections: set[HttpProtocol] = set()
        self.stats: Counter[tuple[str, int | str]] = Counter()  # (operation, HTTP status or fault) -> answers
        self.random = Random(config.seed)  # noqa: S311 - repeatable on purpose
        self.journal = Journal(config.journal)
        self.knobs = KnobStore(config.knobs)
        self.faults = FaultBook(config.seed)
        for rule in config.faults:
            self.faults.add(rule)
        self.limiter = Limiter()
        self.agenda = Agenda()
        self.courier = Courier()
        self.media = media.Media()
        self.world = World(self.journal.record)
        self.ledger = Ledger()
        self.events = Events(self.knobs, self.agenda, self.courier, config.seed)
        self.links = Links(self.world, self.knobs, self.agenda, self.events)
        self.sends = Sends(
            self.ledger, self.knobs, self.agenda, self.events, self.journal.record, config.seed, self._hear
        )
        self.journal.load(self.world, self.ledger, self.sends, self.links)
        if config.token not in self.world.by_token:
            self.world.add_account(config.token)

    def body_limit(self, request: Request) -> int:
        return media.BODY_LIMIT if request.path == "/api/upload" else BODY_LIMIT

    def at_headers(self, request: Request) -> bool:
        return bool(self.faults.rules) and api.reset_at_headers(self, request)

    def handle(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path.startswith("/api/"):
            api.handle(self, exchange)
        elif path.startswith("/media/"):
            exchange.answer(self.media.serve(exchange.request))
        elif path == "/sandbox" or path.startswith("/sandbox/"):
            admin.handle(self, exchange)
        else:
            phones.handle(self, exchange)

    def _hear(self, message: Message) -> None:
        """What one session's number writes to another's, that one receives, as from any phone."""
        phone = self.world.line((message.to or "").removeprefix("+"))
        if phone is not None and phone is not message.session and phone.status == CONNECTED:
            admin.receive(self, phone, message.session.number, str(message.fields.get("text") or ""))

    def reset(self, *, sessions: bool = False) -> None:
        """Forgets messages, replies, limits, statistics, knobs and faults; with `sessions` these too."""
        self.ledger.clear()
        for session in self.world.sessions.values():
            session.accepted.clear()
            session.log.clear()
            session.inbound.clear()
        self.journal.record("reset", self.ledger.next_id)
        self.limiter.clear()
        self.stats.clear()
        self.courier.counts.clear()
        self.knobs.restore()
        self.faults.clear()
        if sessions:
            for session in list(self.world.sessions.values()):
                self.world.remove_session(session)

    async def close(self) -> None:
        self.agenda.clear()
        for protocol in list(self.connections):
            protocol.transport.abort()
        await self.courier.close()
        self.journal.close()


class SandboxServer:
    """A running sandbox. `port` is the real one, `url` the base without `/api`."""

    def __init__(self, sandbox: Sandbox, server: asyncio.Server) -> None:
        self.sandbox = sandbox
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]
        host = sandbox.config.host
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.token = sandbox.config.token

    async def close(self) -> None:
        """Stops at once: resets connections, drops webhooks that wait, keeps the journal."""
        self._server.close()
        await self.sandbox.close()
        await self._server.wait_closed()


async def serve(config: SandboxConfig) -> SandboxServer:
    """Starts a sandbox in the running loop. Raises OSError (port taken), JournalError, KnobError, FaultError."""
    # The port first: whoever has it may have the journal too, which must not be touched then.
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpProtocol(sandbox), config.host, config.port, backlog=2048, start_serving=False
    )
    try:
        sandbox = Sandbox(config)
    except BaseException:
        server.close()
        raise
    await server.start_serving()
    return SandboxServer(sandbox, server)


async def _serve_until_signal(config: SandboxConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await serve(config)
    # A million remembered messages must not be walked through by every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    print(f"Sandbox gateway: {server.url}/api  token: {config.token}  phones: {server.url}/", flush=True)
    try:
        await stop.wait()
    finally:
        await server.close()


def run(config: SandboxConfig) -> None:
    """Serves until SIGINT or SIGTERM, on uvloop where it is installed."""
    factory: Any = None
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop as factory
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve_until_signal(config))
