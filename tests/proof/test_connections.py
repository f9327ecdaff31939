"""Who is frozen or cut off neither holds up the others nor delivers late what was given up."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from phonebank.gateways.base import MaybeSent
from phonebank.gateways.transport import open_http
from phonebank.gateways.wasender import WaSender
from phonebank.whatsappapi.management import hooks
from phonebank.whatsappapi.management.world import RIG
from phonebank.whatsappapi.models import Attempt, WorkerReport
from tests.scenes.conftest import Scene, scene

__all__ = ["scene"]


@pytest.mark.django_db(transaction=True)
def test_a_worker_frozen_amid_a_transaction_keeps_nobody_waiting(scene: Scene, tmp_path: Path) -> None:
    """It holds the locks of its sessions; the database takes them from it."""
    points = hooks.Points(tmp_path / "points")
    scene.kill("send")
    env = scene.env | {hooks.FOLDER: str(points.folder)}
    frozen = scene.group.start("send", [sys.executable, "-m", RIG, "worker", "--only", "send"], env)
    linked = scene.link(3, rate=120)
    campaign = scene.campaign(scene.people(300), linked)
    scene.until("20 sent", lambda: scene.sent(campaign) >= 20)
    points.set("grant+", "stop")
    scene.until("the freeze", lambda: not points.waiting())
    try:
        other = scene.group.start("other", [sys.executable, "-m", "phonebank", "worker", "--only", "send"], scene.env)
        scene.until("the other to be there", WorkerReport.objects.filter(worker__endswith=f":{other.pid}").exists)
        at = time.time()
        mine = Attempt.objects.exclude(worker__endswith=f":{frozen.pid}")
        scene.until("the other to send for all", lambda: mine.values("session").distinct().count() == 3)
    finally:
        frozen.send_signal(signal.SIGCONT)
    assert time.time() - at < 20
    scene.completed(campaign, 150)
    scene.check(campaign)


async def test_what_was_given_up_is_not_delivered_later() -> None:
    """The connection is reset, not closed: the kernel forgets what it had not delivered yet."""
    ends: list[bytes | type[Exception]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                try:
                    while part := client.recv(65536):
                        ends.append(part)
                    ends.append(b"")
                except ConnectionResetError:
                    ends.append(ConnectionResetError)

        thread = threading.Thread(target=serve)
        thread.start()
        async with open_http(unheard=3.0) as http:
            gateway = WaSender(f"http://127.0.0.1:{listener.getsockname()[1]}", http, deadline=1.0)
            outcome = await gateway.send_text("key", "+12015550100", "Hi")
        await asyncio.to_thread(thread.join, 60)
    assert isinstance(outcome, MaybeSent)
    assert ends[-1] is ConnectionResetError


async def test_the_kernel_gives_up_when_we_do() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("no such option on this system")
    async with open_http(unheard=3.0) as http:
        made = http.connector._socket_factory((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)))  # type: ignore[union-attr,misc]
        with made:
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
