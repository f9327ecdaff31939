"""Reports of errors (SENTRY_DSN): that they arrive, and what is not in them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

PHONE, KEY, TOKEN, TYPED = "+12125550142", "ab" * 32, "pbk_" + "c" * 40, "our spring opening"
FAILS = f"""
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "phonebank.config.settings"
django.setup()
import sentry_sdk
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path
from django.test import RequestFactory
from phonebank.config import urls
def view(request, token):
    held = {TYPED!r} + request.POST["text"]
    raise RuntimeError("no answer for {PHONE} with {KEY}")
view.csrf_exempt, view.login_required = True, False
urls.urlpatterns.insert(0, path("link/<str:token>/", view))
sent = RequestFactory().post("/link/{TOKEN}/?q={TYPED.split()[1]}", {{"text": {TYPED!r}}}, HTTP_HOST="127.0.0.1",
    HTTP_COOKIE="seen=" + "s" * 32, HTTP_AUTHORIZATION="Bearer {TOKEN}")
answer = WSGIHandler()(sent.environ, lambda *told: print(told[0]))
sentry_sdk.flush(20)
"""


@pytest.fixture
def received() -> Iterator[tuple[str, list[bytes]]]:
    """A DSN, and what arrived there."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{'d' * 32}@127.0.0.1:{server.server_address[1]}/1", bodies
    server.shutdown()
    server.server_close()


def run(code: str, dsn: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"SENTRY_DSN": dsn, "LOG_LEVEL": "CRITICAL"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_a_failing_page_is_reported_without_anybodys_data(received: tuple[str, list[bytes]]) -> None:
    dsn, bodies = received
    done = run(FAILS, dsn)
    assert "500" in done.stdout, done.stderr
    [body] = bodies
    event = json.loads(body.splitlines()[2])
    assert event["exception"]["values"][-1]["value"] == "no answer for …0142 with ***"
    assert event["request"] == {"method": "POST", "url": "http://127.0.0.1/link/***/"}
    for secret in (PHONE, KEY, TOKEN, TYPED, "spring", "s" * 32):
        assert secret.encode() not in body


def test_without_an_address_nothing_of_it_is_loaded() -> None:
    code = "import phonebank.config.settings, sys; print('sentry_sdk' in sys.modules)"
    assert run(code, "").stdout.strip() == "False"


def test_a_wrong_address_is_said_at_once() -> None:
    done = run("import phonebank.config.settings", "desk.example.org")
    assert done.returncode and "SENTRY_DSN is no DSN" in done.stderr
