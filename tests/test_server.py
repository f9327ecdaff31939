"""`serve_web` over real sockets, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phonebank.whatsappapi.management.stage import free_port

SERVE = """
import sys
from phonebank.server import serve_web
options = {"workers": int(sys.argv[2]), "trusted_proxy": sys.argv[3], "threads": 4}
serve_web("127.0.0.1", int(sys.argv[1]), application="tests.tiny:application", **options)
print("returned")
"""
CHECKOUT = Path(__file__).resolve().parents[1]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> object:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


class Server:
    def __init__(self, workers: int = 1, proxy: str = "", **env: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-c", SERVE, str(self.port), str(workers), proxy]
        options = {"stdout": subprocess.PIPE, "text": True, "process_group": 0, "cwd": CHECKOUT}
        self.process = subprocess.Popen(command, env=os.environ | env, **options)

    def connect(self) -> socket.socket:
        def attempt() -> socket.socket | None:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 60)
            except ConnectionRefusedError:
                assert self.process.poll() is None, "the server ended"
                return None

        return wait_for(attempt)

    def say(self, text: str) -> tuple[str, dict]:
        """Status line and, where the tiny application answered, what it told."""
        with self.connect() as client:
            client.sendall(text.replace("\n", "\r\n").encode())
            head, body = answer(client)
        return head.split("\r\n")[0], json.loads(body) if body.startswith(b"{") else {}

    def get(self, path: str = "/") -> dict:
        return self.say(f"GET {path} HTTP/1.1\nHost: x\nConnection: close\n\n")[1]

    def gone(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return not [stat for stat in self._group() if stat.rsplit(")", 1)[1].split()[0] != "Z"]

    def _group(self) -> Iterator[str]:
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                stat = path.read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rsplit(")", 1)[1].split()[2]) == self.process.pid:
                yield stat

    def close(self) -> None:
        if not self.gone():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def answer(client: socket.socket) -> tuple[str, bytes]:
    """One answer of a connection that stays open; the body as its Content-Length says."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = client.recv(65536)
        assert piece, f"closed after {got!r}"
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += client.recv(65536)
    return head.decode(), body


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def make(*arguments: object, **options: object) -> Server:
        started.append(Server(*arguments, **options))
        return started[-1]

    yield make
    for server in started:
        server.close()


CHUNKED = "POST / HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n\n"


def test_a_chunked_body_is_read_to_its_end(shared):
    status, told = shared.say(CHUNKED + '7\n{"a":1}\n5;extension\n12345\n0\n\n')
    assert (status, told["body"], told["length"]) == ("HTTP/1.1 200 OK", '{"a":1}12345', "12")


def test_an_empty_chunked_body_is_seen_as_empty(shared):
    assert shared.say(CHUNKED + "0\n\n")[1]["length"] == "0"


@pytest.mark.parametrize("rest", ['7\n{"a', "7\n{}garbage\nzz\n"])
def test_a_chunked_body_without_its_end_never_reaches_the_application(shared, rest):
    with shared.connect() as client:
        client.sendall((CHUNKED + rest).replace("\n", "\r\n").encode())
        client.shutdown(socket.SHUT_WR)
        assert b" 200 " not in client.recv(65536)


def test_an_unknown_transfer_coding_is_refused(shared):
    request = "POST / HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: gzip, chunked\n\n0\n\n"
    assert shared.say(request)[0].startswith("HTTP/1.1 501")


def test_a_head_answer_has_no_body(shared):
    with shared.connect() as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = b""
        while piece := client.recv(65536):
            got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    assert body == b""
    assert b"Content-Length: " in head


def test_headers_that_only_a_proxy_may_set_are_dropped(shared):
    lines = "X_Webhook_Signature: forged\nX-Forwarded-For: 192.0.2.1\nX_Forwarded_For: 192.0.2.2\nX-Webhook-Id: 1"
    told = shared.say(f"GET / HTTP/1.1\nHost: x\nConnection: close\nX-Forwarded-Proto: https\n{lines}\n\n")[1]
    assert told["headers"] == {"HTTP_X_WEBHOOK_ID": "1"}
    assert (told["peer"], told["scheme"]) == ("127.0.0.1", "http")


def test_a_trusted_proxy_says_whom_it_speaks_for(start):
    server = start(proxy="127.0.0.1")
    lines = "X-Forwarded-For: 192.0.2.9, 192.0.2.1\nX-Forwarded-Proto: https"
    told = server.say(f"GET / HTTP/1.1\nHost: x\nConnection: close\n{lines}\n\n")[1]
    assert (told["peer"], told["scheme"]) == ("192.0.2.1", "https")


def test_slow_clients_hold_no_thread(shared):
    slow = [shared.connect() for _ in range(40)]
    for number, client in enumerate(slow):
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + (b"Content-Length: 9\r\n\r\nx" if number % 2 else b""))
    begun = time.monotonic()
    assert shared.get()["body"] == ""
    assert time.monotonic() - begun < 8  # threads that they held would be free when their ten seconds are over
    for client in slow:
        client.close()


def test_a_silent_connection_is_closed(shared):
    with shared.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        assert client.recv(65536) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_signal_lets_a_running_request_finish(start, tmp_path, number, workers):
    server = start(workers)
    held = tmp_path / "held"
    with server.connect() as client, server.connect() as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer(idle)
        client.sendall(f"GET /slow?{held} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(held.exists)
        os.killpg(server.process.pid, number)  # as the terminal does: the workers get it too
        wait_for(lambda: refused(server.port))
        assert idle.recv(1) == b""
        held.unlink()
        assert answer(client)[0].startswith("HTTP/1.1 200")
    assert server.process.communicate(timeout=60)[0] == "returned\n"
    assert server.process.returncode == 0
    assert server.gone()


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was closed while we knocked
        pass
    return False


def test_several_workers_share_the_work_and_a_dead_one_is_replaced(start):
    server = start(2)
    pids: set[int] = set()
    wait_for(lambda: pids.add(server.get()["pid"]) or len(pids) == 2)
    assert server.process.pid not in pids
    wait_for(lambda: old_enough(server, pids))
    with server.connect() as client:
        client.sendall(b"GET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1) == b""
    wait_for(lambda: pids.add(server.get()["pid"]) or len(pids) == 3)


def old_enough(server: Server, pids: set[int]) -> bool:
    """The workers have outlived the time in which an end counts as a failure to start."""
    from phonebank.server import QUICK_DEATH

    uptime = float(Path("/proc/uptime").read_text().split()[0])
    begun = [int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]) for pid in pids]
    return all(uptime - ticks / os.sysconf("SC_CLK_TCK") > QUICK_DEATH + 0.5 for ticks in begun)


def test_workers_do_not_outlive_a_killed_supervisor(start):
    server = start(2)
    server.get()
    server.process.kill()
    wait_for(server.gone)


def test_a_worker_that_cannot_start_ends_the_server(start):
    server = start(2, TINY_CANNOT_START="1")
    assert server.process.wait(60) == 1
    assert server.gone()


def test_a_taken_address_is_an_error_at_once():
    from phonebank.server import serve_web

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve_web("127.0.0.1", taken.getsockname()[1], workers=2)
