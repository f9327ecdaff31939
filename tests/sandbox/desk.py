"""A client of the sandbox for tests, and a subscriber to its webhooks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from phonebank.sandbox import SandboxServer

FAST = {
    "latency": 0,
    "sent_after": 0.02,
    "delivered_after": 0.04,
    "read_after": 0.06,
    "read_fraction": 1,
    "connecting_seconds": 0,
}
EVENTS = ["session.status", "qrcode.updated", "messages.update", "message.sent", "messages.received"]
ANNA = "+14155550101"
BEN = "+14155550102"


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits for a condition (plain or awaitable) to come true and answers its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


class Desk:
    """Speaks to one sandbox: `api` with a credential, `admin` without."""

    def __init__(self, server: SandboxServer, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.client = client
        self.numbers = 0

    async def call(self, method: str, path: str, token: str | None = None, body: Any = None) -> Answer:
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = self.server.url + path
        async with self.client.request(method, url, json=body, headers=headers, allow_redirects=False) as response:
            data = await response.read()
            parsed = json.loads(data) if "json" in response.headers.get("Content-Type", "") and data else data
            return Answer(response.status, parsed, response.headers)

    async def account(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.call(method, "/api" + path, self.server.token, body)

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.call(method, "/sandbox" + path, None, body)
        assert answer.status < 300, answer
        return answer.body

    async def turn(self, where: str = "", **knobs: Any) -> None:
        await self.admin("PATCH", "/knobs" + where, knobs)

    async def fault(self, kind: str, **about: Any) -> None:
        await self.admin("POST", "/faults", {"kind": kind, **about})

    async def create(self, **settings: Any) -> dict[str, Any]:
        self.numbers += 1
        number = f"+121255501{self.numbers:02d}"
        wanted = {"name": f"Line {self.numbers}", "phone_number": number, "account_protection": False}
        answer = await self.account("POST", "/whatsapp-sessions", wanted | {"log_messages": True} | settings)
        assert answer.status in (200, 201), answer
        return answer.body["data"]

    async def linked(self, **settings: Any) -> dict[str, Any]:
        """A session that is connected."""
        session = await self.create(**settings)
        await self.account("POST", f"/whatsapp-sessions/{session['id']}/connect")
        await self.admin("POST", f"/sessions/{session['id']}/scan")
        await until(lambda: self.status_is(session, "connected"))
        return session

    async def status(self, session: dict[str, Any]) -> str:
        return (await self.admin("GET", f"/sessions/{session['id']}"))["status"]

    async def status_is(self, session: dict[str, Any], wanted: str) -> bool:
        return await self.status(session) == wanted

    async def send(self, session: dict[str, Any], to: str = ANNA, text: str = "Hello", **fields: Any) -> Answer:
        return await self.call("POST", "/api/send-message", session["api_key"], {"to": to, "text": text, **fields})

    async def logs(self, session: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
        answer = await self.account("GET", f"/whatsapp-sessions/{session['id']}/message-logs{query}")
        return answer.body["data"]["data"]

    async def ledger(self, query: str = "") -> Any:
        return await self.admin("GET", "/ledger" + query)


@dataclass
class Subscriber:
    """Receives webhooks; `status` is what it answers."""

    url: str = ""
    status: int = 200
    events: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.events.append(await request.json())
        self.headers.append(request.headers)
        self.arrived.append(time.time())
        return web.Response(status=self.status)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [item["data"] for item in self.events if item["event"] == event]

    def statuses(self) -> list[int]:
        return [data["status"] for data in self.of("messages.update")]

    def settings(self, *events: str) -> dict[str, Any]:
        """What a session needs to be created with to post here."""
        return {"webhook_url": self.url, "webhook_enabled": True, "webhook_events": list(events or EVENTS)}
