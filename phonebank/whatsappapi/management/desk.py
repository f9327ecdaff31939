"""Somebody at their desk: pages with their login, the API with their token, over HTTP; and who hears our webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.conf import settings
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from phonebank.accounts.api_tokens import create_token
from phonebank.accounts.models import User

SAFE = {"GET", "HEAD"}


class Refused(RuntimeError):
    """An answer that was not the one to come."""


@dataclass(slots=True)
class Desk:
    """A new connection for each request, as browsers and programs of many people make them."""

    port: int
    user: User
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""

    def __post_init__(self) -> None:
        client = Client()
        client.force_login(self.user)
        name = settings.SESSION_COOKIE_NAME
        self.cookies[name] = client.cookies[name].value
        self.token = create_token(actor=self.user, name="Drill", scope="write", days=None)[1]

    def page(self, path: str) -> bytes:
        """A page, a download or a file, to its end."""
        return self._ask("GET", path, b"", {"Cookie": self._cookie()})[0]

    def post(self, path: str, fields: Mapping[str, Any]) -> str:
        """Posts a page's form, files included. Returns where it leads."""
        body = encode_multipart(BOUNDARY, fields)
        csrf = self.cookies[settings.CSRF_COOKIE_NAME]
        headers = {"Cookie": self._cookie(), "Content-Type": MULTIPART_CONTENT, "X-CSRFToken": csrf}
        return self._ask("POST", path, body, headers)[1]["Location"] or ""

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Asks the API; `path` below /api/."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent = b"" if method in SAFE else json.dumps(body or {}).encode()
        return json.loads(self._ask(method, f"/api/{path}", sent, headers)[0] or b"null")

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, HTTPMessage]:
        http = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            http.request(method, path, body or None, dict(headers))
            answer = http.getresponse()
            data = answer.read()
        finally:
            http.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        # A page that leads elsewhere was not seen; a form that does not was not taken.
        wanted = range(200, 300) if method == "GET" or "Authorization" in headers else range(300, 400)
        if answer.status not in wanted:
            raise Refused(f"{method} {path} was answered {answer.status}: {data[-300:]!r}")
        return data, answer.headers


class Listener(ThreadingHTTPServer):
    """A program that hears of alerts by webhook. Counts what comes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hear)
        self.heard = 0
        threading.Thread(target=self.serve_forever, name="listener", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Hear(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: it would stand between the lines of the drill."""
