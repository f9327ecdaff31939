from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from phonebank.embedded import Cluster, DatabaseUnavailable, check_server


@contextmanager
def server_that_says(version: str) -> Iterator[str]:
    """Speaks as much of PostgreSQL's protocol as a log-in takes; yields its URL."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!I", len(body) + 4) + body

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(1024)
            hello = [message(b"R", struct.pack("!I", 0)), message(b"S", b"client_encoding\0UTF8\0")]
            hello += [message(b"S", b"server_version\0" + version.encode() + b"\0"), message(b"Z", b"I")]
            client.sendall(b"".join(hello))
            client.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        yield f"postgres://somebody:secret@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"
        thread.join()


@contextmanager
def refused_port() -> Iterator[int]:
    """Bound, so that nobody else gets it, and not listening."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


@pytest.mark.parametrize("version", ["14.19", "9.6.24"])
def test_an_old_server_is_named_with_what_is_needed(version):
    with server_that_says(version) as url, pytest.raises(DatabaseUnavailable, match="needs PostgreSQL 15 or newer"):
        check_server(url)


def test_version_15_is_enough():
    with server_that_says("15.0") as url:
        check_server(url)


def test_an_unreachable_server_is_one_line_without_the_password():
    said = r"PostgreSQL at 127\.0\.0\.1 cannot be used: .*refused"
    with refused_port() as port, pytest.raises(DatabaseUnavailable, match=said) as caught:
        check_server(f"postgres://somebody:secret@127.0.0.1:{port}/x")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://somebody:secret@127.0.0.1/x", "postgres://somebody:secret@[::1/x"])
def test_a_url_of_something_else_is_said_without_the_password(url):
    with pytest.raises(DatabaseUnavailable, match="not a postgres:// URL") as caught:
        check_server(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_takes_an_entry_of_djangos_databases(home):
    cluster = Cluster(home)
    cluster.start()
    entry = {"ENGINE": "django.db.backends.postgresql", "PASSWORD": "", "OPTIONS": {"pool": True}}
    check_server(entry | Cluster.location(home))
    with pytest.raises(DatabaseUnavailable, match='database "missing" does not exist'):
        check_server(entry | Cluster.location(home) | {"NAME": "missing"})
