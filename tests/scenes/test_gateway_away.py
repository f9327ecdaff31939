"""The gateway goes away in mid-run, by its address or by its name, and comes back: the run goes on by itself.

`OUTAGE=600` in the environment keeps it away for as many seconds instead of 4.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from phonebank.whatsappapi.models import GatewayAccount

from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "gateway.phonebank.example"
OUTAGE = float(os.environ.get("OUTAGE", "4"))
# uvloop would look the name up by itself; the processes run without it too.
ONLY_HERE = """import os, socket, sys
sys.modules["uvloop"] = None
known = socket.getaddrinfo
def look_up(host, *args, **more):
    if host == {name!r} and os.path.exists({flag!r}):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return known("127.0.0.1" if host == {name!r} else host, *args, **more)
socket.getaddrinfo = look_up
"""


class Gate:
    """Passes connections on to the sandbox, while it is open."""

    def __init__(self, port: int) -> None:
        self.beyond, self.port, self.pairs = port, 0, set[socket.socket]()
        self.open()

    def open(self) -> None:
        self.door = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._let_in, args=[self.door], daemon=True).start()

    def _let_in(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                here = door.accept()[0]
                there = socket.create_connection(("127.0.0.1", self.beyond))
                self.pairs |= {here, there}
                for one, other in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=[one, other], daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()

    def cut(self) -> None:
        """Whoever is connected no longer is; in the midst of an answer, too."""
        while self.pairs:
            with contextlib.suppress(OSError):
                self.pairs.pop().shutdown(socket.SHUT_RDWR)

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        self.cut()


@pytest.fixture
def flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, the processes that are started after this know no address for NAME."""
    made = tmp_path / "no-names"
    (tmp_path / "sitecustomize.py").write_text(ONLY_HERE.format(name=NAME, flag=str(made)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return made


@pytest.fixture
def gate(flag: Path, scene: Scene) -> Iterator[Gate]:
    made = Gate(urlsplit(scene.sandbox.url).port or 0)
    yield made
    made.shut()


# What its name stood for is remembered for a minute: a shorter outage of names is none.
@pytest.mark.parametrize("how", ["nobody answers", *(["nobody knows its name"] if OUTAGE > 90 else [])])
def test_the_gateway_goes_and_comes_back(flag: Path, scene: Scene, gate: Gate, how: str) -> None:
    linked = scene.link(2, rate=0 if how == "nobody answers" else 300)
    GatewayAccount.objects.update(base_url=f"http://{NAME}:{gate.port}/api")
    campaign = scene.campaign(scene.people(1500), linked)
    scene.until("some are sent", lambda: scene.sent(campaign) >= 100)
    if how == "nobody answers":
        gate.shut()
    else:
        flag.touch()
        for _ in range(70):
            gate.cut()  # those who are connected need no name
            time.sleep(1)
    written = len(scene.ledger())
    assert written < 1500
    time.sleep(OUTAGE)
    assert scene.counts(campaign).get("failed", 0) == 0
    assert len(scene.ledger()) == written
    assert all(child.poll() is None for child in scene.group.children.values())
    if how == "nobody answers":
        gate.open()
    else:
        flag.unlink()
    scene.until("the run to go on", lambda: len(scene.ledger()) > written, 60)
    scene.completed(campaign, 300)
    scene.check(campaign)
    assert scene.sent(campaign) == 1500
