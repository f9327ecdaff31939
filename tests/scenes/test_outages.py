"""The database goes, and comes back: nobody is told a lie meanwhile, and everything goes on by itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest

from phonebank.embedded import Cluster
from phonebank.embedded import home as homes
from phonebank.processes import Group, phonebank
from phonebank.whatsappapi.management.stage import free_port, wait_for

from .. import database
from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)
HOOK = "/whatsappapi/webhook/5f0a37c1-6f0e-4b6e-9d5f-2d6f0c6b7a10/"


def ask(port: int, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, str, str]:
    """Status, Retry-After and body."""
    there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        there.request(method, path, body, {"Content-Type": "application/json"} | headers)
        answer = there.getresponse()
        return answer.status, answer.headers.get("Retry-After", ""), answer.read().decode()
    finally:
        there.close()


def check_refusals(port: int) -> None:
    """What a web process without its database says: live, not ready, come back; and never that it stored a webhook."""
    assert ask(port, "/healthz")[0] == 200
    assert ask(port, "/readyz")[0] == 503
    status, again, page = ask(port, "/whatsappapi/", Cookie="sessionid=0123456789abcdef0123456789abcdef")
    assert status == 503 and int(again) > 0 and "database does not answer" in page and "Traceback" not in page
    status, again, told = ask(port, "/api/sessions/", Authorization="Bearer pbk_" + "0" * 64)
    assert status == 503 and int(again) > 0 and json.loads(told)["errors"][0]["code"] == "unavailable"
    status, again, _ = ask(port, HOOK, "POST", '{"event": "test"}', **{"X-Webhook-Signature": "0" * 32})
    assert status == 503 and int(again) > 0


@pytest.mark.skipif(not database.is_ours(), reason="the server is not ours to stop")
def test_a_database_that_goes_and_comes_back(scene: Scene) -> None:
    assert database._cluster is not None
    campaign = scene.campaign(scene.people(1500), scene.link(2))
    scene.until("some are sent", lambda: scene.sent(campaign) >= 100)
    database._cluster.stop()
    try:
        check_refusals(scene.web_port)
        written = len(scene.ledger())
        assert written < 1500
        assert all(child.poll() is None for child in scene.group.children.values())
    finally:
        database._cluster.start()
    scene.until("web to recover", lambda: ask(scene.web_port, "/accounts/login/")[0] == 200)
    scene.completed(campaign, 150)
    scene.check(campaign)
    assert scene.sent(campaign) == 1500


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a file system of 160 MB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root mounts a small disk")
    homes.make_folder(homes.SYSTEM_ROOT)
    folder = mkdtemp(prefix="disk-", dir=homes.SYSTEM_ROOT)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=0711", "none", folder], capture_output=True)
    if done.returncode:
        os.rmdir(folder)
        pytest.skip("no file system can be mounted here")
    yield Path(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)
    os.rmdir(folder)


MADE = """
from phonebank.accounts.models import User
from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession
user = User.objects.create_user("ana@example.org", plan="pro")
box = GatewayAccount.objects.create(user=user, name="Box", base_url="http://127.0.0.1:9/api", token="1|x",
    is_sandbox=True)
row = WaSenderSession(user=user, account=box, wasender_id=1, session_name="Desk", phone_number="+12125550100",
    status="connected", webhook_token="t" * 32)
row.set_api_key("a1" * 32)
row.set_webhook_secret("c0ffee" * 5 + "00")
row.save()
print("made", f"/whatsappapi/webhook/{user.public_id}/{row.webhook_token}/", row.webhook_secret, row.api_key)
"""


def test_a_full_disk_takes_no_webhook_and_recovers(small_disk: Path, tmp_path: Path) -> None:
    """PostgreSQL's own disk. What was answered 200 is there; while there is no room, no webhook is answered so."""
    cluster, group, port = Cluster(small_disk / "home"), Group(), free_port()
    env = {"DATABASE_URL": cluster.url, "PHONEBANK_DATA": str(tmp_path)}
    filler = small_disk / "filler"

    def run(*args: str) -> str:
        done = subprocess.run(phonebank(*args), env=os.environ | env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        cluster.start()
        run("migrate")
        path, secret, key = run("shell", "-v0", "-c", MADE).split("made ")[1].split()
        group.start("web", phonebank("web", "--port", str(port)), env)
        wait_for(f"http://127.0.0.1:{port}/healthz", group)

        def post(n: int) -> bool:
            noise = random.Random(n).randbytes(300_000).hex()  # does not compress
            data = {
                "messages": {"key": {"id": f"K{n}", "remoteJid": "12015550142@s.whatsapp.net"}, "messageBody": noise}
            }
            body = json.dumps({"event": "messages.received", "sessionId": key, "data": data})
            status = ask(port, path, "POST", body, **{"X-Webhook-Signature": secret})[0]
            assert status in (200, 503)
            return status == 200

        assert post(0)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"0" * 65536):
                pass
        taken = [post(n) for n in range(1, 60)]
        assert not taken[-1], "the disk was not full"
        filler.unlink()
        end = time.monotonic() + 120
        while not post(99):
            assert time.monotonic() < end, "there is room again"
            cluster.start()  # as a service manager does where PostgreSQL itself had ended
            time.sleep(0.2)
        with psycopg.connect(cluster.url) as asked:
            [(stored,)] = asked.execute("SELECT count(*) FROM whatsappapi_webhookevent").fetchall()
        assert stored == 2 + sum(taken)
    finally:
        group.stop(20)
        cluster.stop()
