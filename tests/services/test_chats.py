"""Chats as apprise really sends them: over TLS, to stand-ins of Slack, Discord and Telegram.

Nothing is patched: the product runs as behind a company's forward proxy (HTTPS_PROXY) with a certificate authority of
its own (REQUESTS_CA_BUNDLE). The proxy takes CONNECT for any name and answers as that host itself.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.management.stage import free_port
from phonebank.whatsappapi.models import Alert, AlertRule, Delivery, GatewayAccount, WaSenderSession
from phonebank.whatsappapi.services import alerts, channels, deliveries, incidents, telling
from tests.services.conftest import make_session

pytestmark = pytest.mark.django_db(transaction=True)

HOSTS = {"Slack": "hooks.slack.com", "Discord": "discord.com", "Telegram": "api.telegram.org"}
ADDRESSES = [
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "https://discord.com/api/webhooks/12345678901234/abcdefghijklmnopqrstuvwxyz0123456789",
    "tgram://123456789:abcdefg_hijklmnop/12315544/",
]
# What each of them answers when it has taken a message.
TAKEN = {"hooks.slack.com": b"ok", "discord.com": b"", "api.telegram.org": b'{"ok":true,"result":{"message_id":1}}'}


class Authority:
    """A certificate authority made for one test, and a server's certificate of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.bundle, own = folder / f"{name}.pem", folder / f"{name}-server.pem"
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        ca = self._about(root, root, root_key, x509.BasicConstraints(True, None)).sign(root_key, hashes.SHA256())
        leaf = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS.values()])
        issued = self._about(leaf, root, key, x509.BasicConstraints(False, None)).add_extension(names, False)
        self.bundle.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        own.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            + issued.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(own)

    @staticmethod
    def _about(subject: x509.Name, issuer: x509.Name, key: Any, basic: x509.BasicConstraints) -> Any:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).add_extension(basic, True)
        return made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))


class Asked(NamedTuple):
    host: str
    path: str
    body: dict[str, Any]


class StandIn:
    """The internet: a proxy that is each of the hosts itself. `status`: what they answer; None: nothing at all."""

    def __init__(self, authority: Authority) -> None:
        self.tls = authority.tls
        self.status: int | None = 200
        self.asked: list[Asked] = []
        self.connects: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[peer], daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.recv(1)
        host, _, port = head.split()[1].decode().partition(":")
        self.connects.append(f"{host}:{port}")
        peer.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        try:
            with self.tls.wrap_socket(peer, server_side=True) as stream, stream.makefile("rb") as lines:
                path = lines.readline().split()[1].decode()
                headers = {}
                while line := lines.readline().strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = lines.read(int(headers.get("content-length", 0)))
                self.asked.append(Asked(host, path, json.loads(body)))
                if self.status is None:
                    lines.read(1)  # until the client gives up
                    return
                said = TAKEN[host] if self.status == 200 else b"down"
                stream.sendall(
                    b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (self.status, len(said))
                    + said
                )
        except (ssl.SSLError, OSError):
            return  # a client that does not trust us

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def internet(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    authority = Authority(tmp_path, "ours")
    made = StandIn(authority)
    settings.ALERT_ALLOW_PRIVATE = True  # these names lead nowhere here; test_a_name_that_leads_inside_... is the guard
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", made.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    yield made
    made.close()


@pytest.fixture
def lost(account: GatewayAccount, user: User) -> WaSenderSession:
    """A session that lost its link, with a rule that tells the three chats at once."""
    row = make_session(account, "a" * 64, "b" * 32, status="disconnected", last_active_at=timezone.now())
    channels.settings_of(user)
    AlertRule.objects.all().delete()
    told = [channels.add(actor=user, kind="chat", name="", address=address) for address in ADDRESSES]
    channels.save_rule(actor=user, rule=None, name="Chats", kinds=["lost"], channels=told, delay=0)
    alerts.notice_links()
    incidents.fold()
    telling.tell()
    return row


def go_round() -> set[tuple[str, int]]:
    """One round of sending in which all that waits is due. Returns state and tries of the three."""
    Delivery.objects.filter(state="waiting").update(due_at=timezone.now())
    telling.tell()
    deliveries.deliver()
    return set(Delivery.objects.filter(event="opened").values_list("state", "tries"))


def test_three_chats_are_told_once_however_often_they_were_down(
    lost: WaSenderSession, internet: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tries, status in enumerate((500, 503), start=1):
        internet.status = status
        assert go_round() == {("waiting", tries)}
    assert Counter(one.host for one in internet.asked) == dict.fromkeys(HOSTS.values(), 2)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")  # refused
    assert go_round() == {("waiting", 3)}
    assert set(Delivery.objects.values_list("outcome", flat=True)) == {
        f"{name} did not take it. See whether its address is still right." for name in HOSTS
    }
    assert Alert.objects.filter(key__startswith="hook:", closed_at=None).count() == 3

    monkeypatch.setenv("HTTPS_PROXY", internet.url)
    internet.status, internet.asked = 200, []
    assert go_round() == {("sent", 4)} and go_round() == {("sent", 4)}
    asked = {one.host: one for one in internet.asked}
    assert len(internet.asked) == 3 == len(asked) and set(internet.connects) == {f"{h}:443" for h in HOSTS.values()}
    assert asked["hooks.slack.com"].path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert asked["discord.com"].path.startswith("/api/webhooks/12345678901234/abcdefghijklmnopqrstuvwxyz0123456789")
    assert asked["api.telegram.org"].path == "/bot123456789:abcdefg_hijklmnop/sendMessage"
    assert str(asked["api.telegram.org"].body["chat_id"]) == "12315544"
    for one in asked.values():
        said = json.dumps(one.body, ensure_ascii=False)
        assert lost.session_name in said and "lost its link" in said and lost.phone_number not in said
    assert not Alert.objects.filter(key__startswith="hook:", closed_at=None).exists()

    WaSenderSession.objects.update(status="connected")
    alerts.notice_links()
    incidents.fold()
    internet.asked.clear()
    go_round()
    go_round()
    assert Counter(one.host for one in internet.asked) == dict.fromkeys(HOSTS.values(), 1)  # that it is over: once
    assert all("Over:" in json.dumps(one.body) for one in internet.asked)


def test_a_host_with_another_s_certificate_gets_no_word(
    lost: WaSenderSession, internet: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path, "theirs").bundle))
    assert go_round() == {("waiting", 1)}
    assert len(internet.connects) == 3 and internet.asked == []


def test_a_chat_that_says_nothing_is_tried_again(lost: WaSenderSession, internet: StandIn) -> None:
    internet.status = None
    assert go_round() == {("waiting", 1)} and len(internet.asked) == 3
    internet.status = 200
    assert go_round() == {("sent", 2)} and len(internet.asked) == 6


def test_a_name_that_leads_inside_is_not_asked(
    lost: WaSenderSession, internet: StandIn, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a hosts file, or a name server that lies: every name is this machine."""
    real = socket.getaddrinfo

    def here(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host in HOSTS.values() else host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    settings.ALERT_ALLOW_PRIVATE = False
    assert go_round() == {("waiting", 1)} and internet.connects == []
    assert set(Delivery.objects.values_list("outcome", flat=True)) == {
        "The address leads into a private network. Only public ones are asked."
    }
    settings.ALERT_ALLOW_PRIVATE = True
    assert go_round() == {("sent", 2)} and len(internet.asked) == 3
