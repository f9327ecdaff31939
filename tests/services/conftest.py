from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phonebank.accounts.models import Plan, User
from phonebank.sandbox import SandboxConfig, SandboxServer, serve
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession

KEY = "a1" * 32
SECRET = "c0ffee" * 5 + "00"


class Sandbox:
    """A sandbox in a thread of its own, with its levers."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: SandboxServer = self._run(serve(SandboxConfig(port=0, knobs={"latency": 0})))
        self.url, self.token = self._server.url, self._server.token

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def pull(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Pulls a lever under /sandbox and returns what it says."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/sandbox{path}", data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def fault(self, kind: str, endpoint: str, **more: Any) -> None:
        self.pull("POST", "/faults", {"kind": kind, "endpoint": endpoint, **more})

    def send(self, key: str, to: str, text: str = "Hi") -> None:
        """Sends over the session with this key, as another installation would."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        body = json.dumps({"to": to, "text": text}).encode()
        request = urllib.request.Request(f"{self.url}/api/send-message", body, headers)
        urllib.request.urlopen(request, timeout=60).close()

    def sessions(self) -> list[dict[str, Any]]:
        return self.pull("GET", "/sessions")

    def link(self, number: int, settled: Callable[[], bool]) -> None:
        """The session's phone scans the code that waits; returns when `settled` (which may look itself) is true."""
        self.pull("POST", f"/sessions/{number}/scan", {})
        wait_for(settled)

    def close(self) -> None:
        self._run(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true value of `condition`, asked again and again."""
    tick, asked = threading.Event(), 0.0
    while not (value := condition()):
        assert asked < seconds, "waited in vain"
        tick.wait(0.02)
        asked += 0.02
    return value


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    running = Sandbox()
    yield running
    running.close()


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Sandbox:
    _sandbox.pull("POST", "/reset", {"sessions": True})
    _sandbox.pull("PATCH", "/knobs", {"connecting_seconds": 0.02, "qr_seconds": 60})
    return _sandbox


@pytest.fixture
def plans(db: None) -> None:
    """The plans, also after a test that emptied all tables."""
    for slug, most, daily in (("free", 1, 100), ("basic", 3, 500), ("pro", 5, 1000), ("enterprise", 10, None)):
        Plan.objects.update_or_create(
            slug=slug, defaults={"name": slug.title(), "max_sessions": most, "daily_limit": daily}
        )


@pytest.fixture
def user(plans: None) -> User:
    return User.objects.create_user("alice@example.org", plan="pro", name="Alice")


@pytest.fixture
def stranger(plans: None) -> User:
    return User.objects.create_user("charlie@example.org", plan="pro")


@pytest.fixture
def account(user: User) -> GatewayAccount:
    """An account whose gateway is never asked."""
    return GatewayAccount.objects.create(
        user=user, name="Box", base_url="http://127.0.0.1:9/api", token="1|x", is_sandbox=True
    )


@pytest.fixture
def linked(account: GatewayAccount) -> WaSenderSession:
    """A connected session with key and secret."""
    return make_session(account, KEY, SECRET)


def make_session(account: GatewayAccount, key: str, secret: str, **fields: Any) -> WaSenderSession:
    number = WaSenderSession.objects.count() + 1
    values = {
        "user": account.user,
        "account": account,
        "wasender_id": 100 + number,
        "session_name": f"Desk {number}",
        "phone_number": f"+1212555010{number}",
        "status": "connected",
    }
    row = WaSenderSession(**values | fields)
    row.set_api_key(key)
    row.set_webhook_secret(secret)
    row.save()
    return row
