"""Every answer that the gateway may get, from the shipped server over real sockets, alone and behind the shipped nginx
configuration (where nginx is installed); and a fuzz of what may be posted.

`WEBHOOK_FUZZ=100000` in the environment posts as many bodies instead of 2,000.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import random
import socket
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.processes import Group, phonebank
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import Alert, GatewayAccount, InboundMessage, WaSenderSession, WebhookEvent
from phonebank.whatsappapi.services import webhooks
from tests.reference import restore

from . import nginx
from .conftest import test_database as database_url

pytestmark = pytest.mark.django_db(transaction=True)
BODY = json.dumps({"event": "session.status", "data": {"status": "need_scan"}, "timestamp": 1_790_000_000_000}).encode()
BIG = 1024 * 1024


class Server:
    """The web process alone, and a client that writes its bytes itself."""

    host = "127.0.0.1"

    def __init__(self, workers: int = 1, **env: str) -> None:
        self.group, self.port = Group(), free_port()
        env = {"DATABASE_URL": database_url(), "LOG_LEVEL": "ERROR"} | env
        self.group.start("web", phonebank("web", "--port", str(self.port), "--workers", str(workers)), env)
        wait_for(f"http://127.0.0.1:{self.port}/accounts/login/", self.group)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def raw(self, text: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status (0: closed without one), headers in lower case, body."""
        with self.connect() as client:
            answer = b""
            with contextlib.suppress(OSError):  # refused and closed before we were done; the answer is there to read
                client.sendall(text)
            with contextlib.suppress(ConnectionResetError):
                while part := client.recv(65536):
                    answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        return (int(lines[0].split()[1]) if answer else 0), headers, body

    def post(
        self, path: str, body: bytes = BODY, *, secret: str | None = None, method: str = "POST", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        given = {"Host": self.host, "Connection": "close", "Content-Type": "application/json"}
        given |= {"Content-Length": str(len(body))} | {name.replace("_", "-"): text for name, text in headers.items()}
        if secret is not None:
            given["X-Webhook-Signature"] = secret
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in given.items() if v != "none")
        return self.raw(head.encode() + b"\r\n" + body)


class BehindNginx(Server):
    """The same through the proxy, over TLS."""

    host = nginx.NAME

    def __init__(self, folder: Path) -> None:
        super().__init__(PUBLIC_URL=f"https://{nginx.NAME}")
        self.outside, self.context = nginx.begin(self.group, folder, self.port)
        wait_for(f"http://127.0.0.1:{self.outside}/", self.group)

    def connect(self) -> socket.socket:
        return nginx.speak(self.outside, self.context)


BEHIND = pytest.param("nginx", marks=pytest.mark.skipif(not nginx.PROGRAM, reason="nginx is not installed"))
everywhere = pytest.mark.parametrize("server", ["alone", BEHIND], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, transactional_db: None, tmp_path: Path) -> Iterator[Server]:
    restore()
    made = BehindNginx(tmp_path) if getattr(request, "param", "") == "nginx" else Server()
    yield made
    made.group.stop(20)


@pytest.fixture
def account(transactional_db: None) -> GatewayAccount:
    restore()
    return account_of("ana@example.org")


def account_of(email: str) -> GatewayAccount:
    user = User.objects.create_user(email, plan="enterprise")
    return GatewayAccount.objects.create(
        user=user, name="Box", base_url="http://127.0.0.1:9/api", token="1|x", is_sandbox=True
    )


def session(account: GatewayAccount) -> WaSenderSession:
    n = WaSenderSession.objects.count() + 1
    row = WaSenderSession(
        user=account.user, account=account, wasender_id=1000 + n, session_name=f"Desk {n}",
        phone_number=f"+12125550{n:03d}", status="connected",
    )  # fmt: skip
    row.set_api_key(f"{n:02x}" * 32)
    row.set_webhook_secret(f"{n + 160:02x}" * 16)
    row.save()
    return row


def path(row: WaSenderSession, token: str | None = None) -> str:
    token = row.webhook_token if token is None else token
    return f"/whatsappapi/webhook/{row.user.public_id}/{token}/".replace("//", "/")


def event(key: Any, n: int = 0, name: str = "session.status") -> bytes:
    body = {"event": name, "sessionId": key, "data": {"status": "need_scan"}, "timestamp": 1_790_000_000_000 + n}
    return json.dumps(body).encode()


def kept() -> dict[str, int]:
    found: dict[str, int] = {}
    for state in WebhookEvent.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


@everywhere
def test_every_answer(server: Server, account: GatewayAccount) -> None:
    """The table of answers, row by row; each with what it left behind."""
    one, two = session(account), session(account)
    theirs = session(account_of("charlie@example.org"))
    ok = {"secret": one.webhook_secret}

    # Valid, new or duplicate, known or unknown event: 200 and an empty object, stored once.
    for _ in range(2):
        status, headers, body = server.post(path(one), event(one.api_key), **ok)
        assert (status, body) == (200, b"{}")
    assert server.post(path(one), event(one.api_key, 1, "never.heard.of"), **ok)[0] == 200
    assert server.post(path(two), event(two.wasender_id), secret=two.webhook_secret)[0] == 200
    assert server.post(path(theirs), event(None), secret=theirs.webhook_secret)[0] == 200
    assert kept() == {"new": 4}
    assert headers["x-content-type-options"] == "nosniff" and "default-src 'none'" in headers["content-security-policy"]

    # Both addresses in both spellings; a redirect would lose the body.
    for n, address in enumerate((path(one), path(one)[:-1], path(one, ""), path(one, "")[:-1])):
        assert server.post(address, event(one.api_key, 10 + n), **ok)[0] == 200
    assert kept() == {"new": 8}

    # Secret right, no JSON, wrong shape or too deep: 200, for a refusal would lose it.
    for raw in (b"no json", b"[]", b'{"event":1}', b"[" * 100_000, b"\xff\x00"):
        assert server.post(path(one), raw, **ok)[0] == 200
    webhooks.process_batch()
    assert kept()["quarantined"] == 5 and Alert.objects.get(session=one).times == 5

    # The body names another session, of the same owner or of another: 403, put aside, applied to nobody.
    for n, key in enumerate((two.api_key, two.wasender_id, theirs.api_key, theirs.wasender_id)):
        assert server.post(path(one), event(key, 20 + n), **ok)[0] == 403
    assert kept()["quarantined"] == 9
    assert not WebhookEvent.objects.filter(session=two, note__contains="another").exists()

    # No or wrong secret, unknown user, another's secret, wrong token or another's token: 401, all alike.
    before = WebhookEvent.objects.count()
    refused = [
        server.post(path(one), secret=None),
        server.post(path(one), secret="0" * 32),
        server.post(f"/whatsappapi/webhook/{uuid.uuid4()}/", **ok),
        server.post(path(one), secret=theirs.webhook_secret),
        server.post(path(one), secret=two.webhook_secret),
        server.post(path(one, "wrong"), **ok),
        server.post(path(one, two.webhook_token), **ok),
    ]
    assert {(status, body) for status, _, body in refused} == {(401, b'{"error": "Not accepted."}')}
    assert WebhookEvent.objects.count() == before

    # Larger than allowed: 413 before a byte of it is asked for.
    assert server.post(path(one), b"", Content_Length=str(BIG + 1), **ok)[0] == 413
    assert server.post(path(one), b" " * (BIG - 2) + b"[]", **ok)[0] == 200
    chunk = b"%x\r\n%s\r\n" % (BIG + 1, b" " * (BIG + 1))
    framed = {"Content_Length": "none", "Transfer_Encoding": "chunked"}
    assert server.post(path(one), chunk + b"0\r\n\r\n", **framed, **ok)[0] == 413

    # Chunked: read to its end; empty: 400, never 200 on nothing.
    assert server.post(path(one), b"5\r\n[1, 2\r\n1\r\n]\r\n0\r\n\r\n", **framed, **ok)[0] == 200
    assert bytes(WebhookEvent.objects.order_by("-pk")[0].body) == b"[1, 2]"
    assert server.post(path(one), b"0\r\n\r\n", **framed, **ok)[0] == 400
    assert server.post(path(one), b"", **ok)[0] == 400
    assert server.post(path(one), b"", Content_Length="none", **ok)[0] == 400

    # Encodings and types.
    assert server.post(path(one), BODY, Content_Encoding="gzip", **ok)[0] == 415
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert server.post(path(one), BODY, Content_Type=kind, **ok)[0] == 415
    for n, kind in enumerate(("text/plain", "none", "application/json; charset=utf-8")):
        assert server.post(path(one), event(one.api_key, 30 + n), Content_Type=kind, **ok)[0] == 200

    # Other methods: 405, nothing stored, and no body after a HEAD.
    before = WebhookEvent.objects.count()
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        status, headers, body = server.post(path(one), b"", method=method, **ok)
        assert (status, headers["allow"]) == (405, "post")
        assert (body == b"") == (method == "HEAD")
    assert WebhookEvent.objects.count() == before


@everywhere
def test_rotated_keys_and_secrets_and_sessions_that_are_gone(server: Server, account: GatewayAccount) -> None:
    row = session(account)
    key, secret = row.api_key, row.webhook_secret
    row.set_api_key("e5" * 32)
    row.set_webhook_secret("f6" * 16)
    row.save()
    assert server.post(path(row), event(key), secret=secret)[0] == 200
    assert server.post(path(row), event("e5" * 32, 1), secret="f6" * 16)[0] == 200
    assert list(WebhookEvent.objects.order_by("pk").values_list("note", flat=True)) == ["previous secret", ""]
    past = timezone.now() - timedelta(seconds=1)
    WaSenderSession.objects.update(previous_key_until=past, previous_secret_until=past)
    assert server.post(path(row), event(key, 2), secret=secret)[0] == 401
    assert server.post(path(row), event(key, 3), secret="f6" * 16)[0] == 403
    User.objects.update(is_active=False)
    assert server.post(path(row), event("e5" * 32, 4), secret="f6" * 16)[0] == 200  # a STOP counts all the same
    WaSenderSession.objects.update(deleted_at=timezone.now())
    assert server.post(path(row), event("e5" * 32, 5), secret="f6" * 16)[0] == 410
    assert kept() == {"new": 3, "quarantined": 1}


@everywhere
def test_guessing_ends_in_429_and_the_right_secret_still_passes(server: Server, account: GatewayAccount) -> None:
    row = session(account)
    assert server.post(path(row), event(row.api_key), secret=row.webhook_secret)[0] == 200
    answers = [server.post(path(row), secret=f"guess {n}") for n in range(22)]
    assert [status for status, _, _ in answers] == [401] * 20 + [429] * 2
    assert int(answers[-1][1]["retry-after"]) > 0
    assert server.post(path(row), event(row.api_key, 1), secret=row.webhook_secret)[0] == 200


def test_many_at_once_are_each_told_their_own(server: Server, account: GatewayAccount) -> None:
    """They share commits, not answers."""
    rows = [session(account) for _ in range(5)]

    def one(n: int) -> tuple[int, int]:
        row, wrong = rows[n % 5], n % 7 == 0
        secret = rows[(n + 1) % 5].webhook_secret if wrong and n < 100 else row.webhook_secret
        return 401 if wrong and n < 100 else 200, server.post(path(row), event(row.api_key, n), secret=secret)[0]

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(one, range(300)))
    assert [told for _, told in answers] == [due for due, _ in answers]
    assert kept() == {"new": sum(due == 200 for due, _ in answers)}
    for row in rows:
        assert all(
            json.loads(bytes(body))["timestamp"] % 5 == rows.index(row)
            for body in WebhookEvent.objects.filter(session=row).values_list("body", flat=True)
        )


def test_plain_http_is_refused_where_https_is_demanded(transactional_db: None, account: GatewayAccount) -> None:
    row = session(account)
    server = Server(PUBLIC_URL="https://desk.example.org")
    try:
        assert server.post(path(row), secret=row.webhook_secret)[0] == 403
        told = server.post(path(row), secret=row.webhook_secret, X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.1")
        assert told[0] == 200 and "max-age=" in told[1]["strict-transport-security"]
    finally:
        server.group.stop(20)
    assert kept() == {"new": 1}


def test_a_key_grown_together_with_its_neighbour_is_not_stored(server: Server, account: GatewayAccount) -> None:
    row = session(account)
    for mark, glued in enumerate((f"A{row.api_key}9", f"{row.api_key}" + "z" * 200, row.api_key.upper())):
        body = f'{{"event": "call", "data": "{glued}", "mark": {mark}'.encode()
        assert server.post(path(row), body, secret=row.webhook_secret)[0] == 200
    bodies = [bytes(body) for body in WebhookEvent.objects.values_list("body", flat=True)]
    assert len(bodies) == 3
    assert not any(row.api_key.lower().encode() in body.lower() for body in bodies)


# --- fuzz ------------------------------------------------------------------------------------------------------------


def odd_value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(12 if depth < 4 else 9)
    if kind < 9:
        return dice.choice([
            None, True, -1, 0, 2**70, 1e308, float("nan"), "", "\x00", "\ud800", "+12125550142", "5550@lid",
            "12125550142@s.whatsapp.net", "STOP", "Baja", "é" * 300, "x" * 5000, dice.random(),
        ])  # fmt: skip
    if kind < 11:
        names = ["key", "id", "msgId", "status", "fromMe", "remoteJid", "messages", "update", "message", "data", "qr",
                 "conversation", "messageBody", "messageTimestamp", "pushName", "senderLid", "cleanedSenderPn",
                 "session_id", "sessionId", "success", "error"]  # fmt: skip
        return {dice.choice(names): odd_value(dice, depth + 1) for _ in range(dice.randrange(8))}
    return [odd_value(dice, depth + 1) for _ in range(dice.randrange(5))]


def fuzzed(dice: random.Random, row: WaSenderSession) -> bytes:
    """Anything between noise and a good delivery; the session's key may be anywhere in it."""
    names = ["messages.update", "messages.received", "messages.upsert", "session.status", "qrcode.updated",
             "message.sent", "call", "", "\x00", "x" * 3000]  # fmt: skip
    kind = dice.randrange(10)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 400))
    if kind == 1:
        return b"[" * dice.randrange(1, 60_000)
    if kind == 2:
        return b'{"event": ' + b"9" * dice.randrange(1, 6000) + b"}"
    body: dict[str, Any] = {"event": dice.choice(names), "data": odd_value(dice), "timestamp": odd_value(dice)}
    if dice.random() < 0.8:
        body["sessionId"] = dice.choice([row.api_key, row.wasender_id, str(row.wasender_id), odd_value(dice)])
    if dice.random() < 0.3:
        body["data"] = {"secret place": row.api_key, "more": [row.api_key.upper(), odd_value(dice)]}
    text = json.dumps(body, ensure_ascii=dice.random() < 0.7)
    encoded = text.encode(dice.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32"]), "surrogatepass")
    if kind == 3:
        return encoded[: dice.randrange(1, len(encoded))]
    if kind == 4:
        at = dice.randrange(len(encoded))
        return encoded[:at] + dice.randbytes(3) + encoded[at:]
    return encoded


def test_no_body_breaks_anything(server: Server, account: GatewayAccount) -> None:
    """No 5xx, no secret stored, nothing acknowledged and lost, and all of it can be applied."""
    rows, count = [session(account) for _ in range(3)], int(os.environ.get("WEBHOOK_FUZZ", "2000"))

    def one(seed: int) -> tuple[int, str]:
        dice = random.Random(seed)
        row = rows[seed % 3]
        mark = f'"mark{seed:08d}"'.encode()
        body = fuzzed(dice, row)
        status, _, answer = server.post(path(row), body + mark, secret=row.webhook_secret)
        assert status in (200, 403), (seed, status, answer)
        return status, mark.decode()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(count)))
    bodies = [bytes(body) for body in WebhookEvent.objects.values_list("body", flat=True)]
    assert len(bodies) == count  # each has its mark, so none is another's duplicate
    cut = [body for body in bodies if body.endswith(b'"***"')]  # where the mark became the session's key
    found = {body[-14:].decode() for body in bodies if body not in cut}
    assert found < {mark for _, mark in answers} or not cut
    assert len(found) + len(cut) == count
    secrets = [row.api_key.encode() for row in rows] + [row.webhook_secret.encode() for row in rows]
    for secret in secrets:
        assert not any(secret in body for body in bodies)
    while webhooks.process_batch():
        pass
    left = WebhookEvent.objects.exclude(state__in=["done", "quarantined", "unmatched"]).count()
    assert left == 0 and sum(kept().values()) == count
    for value in InboundMessage.objects.values_list("text", flat=True):
        assert "\x00" not in value
