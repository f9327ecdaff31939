"""Over the real gateway campaigns start only where its events arrive: PUBLIC_URL unset and set.

The gateway is the sandbox under the address of the real one (WASENDER_URL). It reaches us as WaSender would: by name,
over https, through a proxy that ends TLS. Only the name's address is ours: `sitecustomize` tells it to the processes.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from phonebank.processes import phonebank
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Campaign, CampaignCount, WaSenderSession, WebhookEvent
from phonebank.whatsappapi.services import campaigns, gateways, sessions, single
from phonebank.whatsappapi.services.errors import ServiceError

from .conftest import Scene
from .tls import certificate_of

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "desk.phonebank.example"
# uvloop would look the name up by itself; the sandbox runs without it too.
ONLY_HERE = f"""import socket, sys
sys.modules["uvloop"] = None
known = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **more: known("127.0.0.1" if host == {NAME!r} else host, *args, **more)
"""


class Proxy:
    """Ends TLS for NAME, and says so to the web process as proxies do."""

    def __init__(self, certificate: Path, web_port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = dict(self.headers) | {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
                there = http.client.HTTPConnection("127.0.0.1", web_port, timeout=60)
                there.request("POST", self.path, body, headers)
                answer = there.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                there.close()

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://{NAME}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of NAME; believed, as is its address, by the processes that are started after this."""
    made = tmp_path / "desk.pem"
    made.write_bytes(certificate_of(NAME))
    (tmp_path / "sitecustomize.py").write_text(ONLY_HERE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    return made


@pytest.fixture
def proxy(certificate: Path, scene: Scene) -> Iterator[Proxy]:
    made = Proxy(certificate, scene.web_port)
    yield made
    made.close()


def test_campaigns_wait_for_the_first_event(proxy: Proxy, scene: Scene, settings: Settings) -> None:
    settings.WASENDER_URL, settings.PUBLIC_URL = f"{scene.sandbox.url}/api", ""
    account = gateways.add_account(actor=scene.user, token=DEFAULT_TOKEN)
    one = sessions.create_session(
        actor=scene.user, account=account, phone_number="+16465550100", account_protection=False
    )
    scene.relink(one)  # found by asking; no event can come
    campaign = drafted(scene, one)
    with pytest.raises(ServiceError) as refused:
        campaigns.launch(actor=scene.user, campaign=campaign)
    assert refused.value.code == "webhook_unproven"
    assert "Replies and STOP cannot reach us" in refused.value.message and "PUBLIC_URL" in refused.value.message
    single.send_test(actor=scene.user, wa_session=one, to="+16465550100", body="Hello me")
    scene.until("the test message", lambda: scene.ledger() == {"+16465550100": 1})
    page = logged_in(scene).get("/whatsappapi/").text
    assert "Replies and STOP" in page

    settings.PUBLIC_URL = proxy.url
    scene.env |= {"PUBLIC_URL": proxy.url}
    for name in ("web", "send", "work"):
        scene.kill(name)
        command = ("web", "--port", str(scene.web_port)) if name == "web" else ("worker", "--only", name)
        scene.group.start(name, phonebank(*command), scene.env)
    scene.until("the web process", lambda: answers(scene.web_port))
    assert WebhookEvent.objects.count() == 0
    with pytest.raises(ServiceError):  # set, but nothing proves that it is right
        campaigns.launch(actor=scene.user, campaign=campaign)
    sessions.relink(actor=scene.user, wa_session=one)  # the phone is still linked: nobody has to scan
    proof = scene.until("the proof", lambda: WaSenderSession.objects.get(pk=one.pk).webhook_proven_at)
    assert proof and not WebhookEvent.objects.exclude(event__in=["session.status", "qrcode.updated"]).exists()
    campaigns.launch(actor=scene.user, campaign=campaign)
    scene.completed(campaign)
    scene.until("reports", lambda: delivered(campaign) == 10)
    assert "Replies and STOP" not in logged_in(scene).get("/whatsappapi/").text


def answers(port: int) -> bool:
    there = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        there.request("GET", "/")
        return there.getresponse().status > 0
    except ConnectionRefusedError:
        return False
    finally:
        there.close()


def drafted(scene: Scene, one: WaSenderSession) -> Campaign:
    """A campaign that may be sent at any hour of the night."""
    made = campaigns.create_campaign(
        actor=scene.user, name="Scene", contact_list=scene.people(10), body="Hi", wa_sessions=[one]
    )
    Campaign.objects.filter(pk=made.pk).update(quiet_start=None, quiet_end=None)
    made.refresh_from_db()
    return made


def delivered(campaign: Campaign) -> int:
    rows = CampaignCount.objects.filter(campaign=campaign, state__in=["delivered", "read"])
    return sum(rows.values_list("n", flat=True))


def logged_in(scene: Scene) -> Client:
    client = Client(headers={"X-Forwarded-Proto": "https"})
    client.force_login(scene.user)
    return client
