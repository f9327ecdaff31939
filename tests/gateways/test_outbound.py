"""Nothing that a person types in makes us connect into a private network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from aiohttp.abc import AbstractResolver

from phonebank.gateways import outbound

FORMS = [  # of 127.0.0.1, and of what else must not be reached
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "0x7f000001", "0x7f.1", "0x7f.0.0.1", "2130706433", "017700000001",
    "0177.0.0.1", "0177.1", "127.0.0.1.", "127.000.000.001", "00000127.0.0.1", "127.0.0.1%00", "127。0。0。1",
    "①②⑦.0.0.1", "127.255.255.254", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "a.localhost",
    "ip6-localhost", "lvh.local", "foo.internal", "metadata.google.internal", "metadata", "instance-data",
    "kubernetes.default.svc.cluster.local", "host.docker.internal", "gateway.lan", "router.home.arpa", "printer.home",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2002:7f00:0001::1]", "[2001:0:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[fc00::1]", "[fd00::1]",
    "[ff02::1]", "[::ffff:0:127.0.0.1]", "[2002:a9fe:a9fe::]", "[64:ff9b::a9fe:a9fe]", "[::ffff:169.254.169.254]",
    "[100::1]", "[2001:db8::1]", "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
    "169.254.43518", "10.0.0.1", "10.1", "0x0a000001", "167772161", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "192.168.1", "3232235777", "0xc0a80101", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "0.0.0.1",
    "192.88.99.1", "1", "256", "4294967296", "1.1", "-1", "127.0.0.1,example.org", "[::1", "::1", "%31%32%37.0.0.1",
    "127.0.0.1#example.org", "127.0.0.1\\@example.org", "example.org:80@127.0.0.1", "", ".", "..", "a..b",
]  # fmt: skip
PAYLOADS = [
    *(f"https://{one}/hook" for one in FORMS),
    "https://user@127.0.0.1/", "https://user:pass@127.0.0.1/", "https://example.org@127.0.0.1/",
    "https://127.0.0.1@example.org/", "https://example.org%2f@127.0.0.1/", "https://127.0.0.1%2f@example.org/",
    "http://127.0.0.1/", "http://example.org/", "https://127.0.0.1:8080/", "https://example.org:22/",
    "https://example.org:8443/", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "dict://127.0.0.1/",
    "unix:///run/x.sock", "jar:https://127.0.0.1!/", "//127.0.0.1/", "127.0.0.1", "https:127.0.0.1", "https:///127.0.0.1",
    "https://\t127.0.0.1/", "https://127.0.0.1\n/", " https://127.0.0.1/", "https://127.0.0.1/\r\nHost: x", "data:,x",
    "https://[::1]:443/", "HTTPS://LOCALHOST/", "https://127.0.0.1:443/", "javascript:alert(1)",
]  # fmt: skip


class Canary:
    """A listening port of this machine that counts who comes, and answers `answer`."""

    def __init__(self, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> None:
        self.answer, self.contacts, self.requests = answer, 0, list[bytes]()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.contacts += 1
            with peer:
                self.requests.append(peer.recv(65536))
                peer.sendall(self.answer)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary()
    yield made
    made.close()


class Liar(AbstractResolver):
    """Says public the first time and loopback from then on; or both at once."""

    def __init__(self, port: int, *answers: list[str]) -> None:
        self.port, self.answers, self.asked = port, list(answers), 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET):  # type: ignore[no-untyped-def]
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            {"hostname": host, "host": one, "port": self.port, "family": family, "proto": 0, "flags": 0}
            for one in answer
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("payload", PAYLOADS)
def test_private_addresses_are_refused_unasked(payload: str) -> None:
    """Whatever of these is let through must at least resolve, which is forbidden here: nobody gets as far as that."""
    with pytest.raises(outbound.Forbidden):
        outbound.check_url(payload)
    assert outbound.post(payload, b"{}", {}).status is None


def test_there_are_many() -> None:
    assert len(set(PAYLOADS)) >= 120


def test_names_that_lead_to_this_machine_are_not_followed(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(outbound, "_guarded_socket", lambda address: tried.append(address) or socket.socket())
    for answers in ([["127.0.0.1"]], [["1.1.1.1", "127.0.0.1"]], [["::ffff:127.0.0.1"]], [["::1"]]):
        liar = Liar(canary.port, *answers)
        answer = outbound.post("https://hooks.example.org/x", b"{}", {}, resolver=liar, deadline=20)
        assert answer.status is None and "private network" in answer.why
    assert canary.contacts == 0 and tried == []  # not even the public one among them


def test_what_was_looked_up_is_what_is_connected_to(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when looked at and this machine when used gets no second look-up."""
    liar = Liar(canary.port, ["192.0.2.1"], ["127.0.0.1"])
    monkeypatch.setattr(outbound, "is_public", lambda address: address == "192.0.2.1")
    answer = outbound.post("https://hooks.example.org/x", b"{}", {}, resolver=liar, deadline=2)
    assert answer.status is None and liar.asked == 1 and canary.contacts == 0


def test_the_socket_is_the_last_guard(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where neither the address's text nor the resolver was looked at."""
    monkeypatch.setattr(outbound, "check_host", lambda host: None)
    monkeypatch.setitem(outbound.PORTS, "https", canary.port)
    answer = outbound.post(f"https://127.0.0.1:{canary.port}/", b"{}", {}, deadline=20)
    assert answer.status is None and "private network" in answer.why and canary.contacts == 0


def test_redirects_are_not_followed(canary: Canary) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/secret\r\nContent-Length: 0\r\n\r\n" % canary.port
    door = Canary(answer)
    assert outbound.post(f"http://127.0.0.1:{door.port}/", b"{}", {}, allow_private=True).status == 302
    assert door.contacts == 1 and canary.contacts == 0
    door.close()


def test_a_post_arrives_where_it_may(canary: Canary) -> None:
    url = f"http://127.0.0.1:{canary.port}/hook"
    assert outbound.post(url, b'{"a":1}', {"X-Test": "yes"}, allow_private=True).status == 204
    assert canary.requests[0].startswith(b"POST /hook HTTP/1.1") and b"X-Test: yes" in canary.requests[0]
    assert outbound.post("http://127.0.0.1:9/", b"", {}, allow_private=True).why == "It cannot be reached."


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2002:0808:0808::1", "64:ff9b::808:808"])
def test_public_addresses_are_public(address: str) -> None:
    assert outbound.is_public(address)
    assert outbound.check_url("https://hooks.example.org/a/b?c=d#e").host == "hooks.example.org"
