"""A fleet that drops together: one incident, one message a channel, everybody back within the gateway's rate.

`FLEET=40` drops so many (the suite takes fewer, for a fleet comes back at the pace that the gateway allows).
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.conf import settings
from django.utils import timezone

from phonebank.accounts.models import Plan, User
from phonebank.whatsappapi.management.stage import free_port
from phonebank.whatsappapi.models import AlertRule, Delivery, Incident, SessionEvent, WaSenderSession
from phonebank.whatsappapi.services import channels, gateways, sessions
from tests.scenes.conftest import DEFAULT_TOKEN, Scene
from tests.services.test_alerts import Hook, Mailbox, verify

pytestmark = pytest.mark.django_db(transaction=True)

FLEET = int(os.environ.get("FLEET", "10"))
RATE = 60  # calls a minute that the gateway takes for one account (contract 5)
ENV = {"ALERT_ALLOW_PRIVATE": "1", "LOG_LEVEL": "WARNING"}


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Its address is in ENV: to be asked for before the scene."""
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    ENV["EMAIL_URL"] = f"smtp://127.0.0.1:{port}"
    yield box
    controller.stop()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


def fleet(scene: Scene) -> list[WaSenderSession]:
    """Sessions that are linked, while the gateway does not yet count our calls."""
    Plan.objects.filter(slug="enterprise").update(max_sessions=FLEET)
    settings.SESSIONS_PER_HOUR = 0
    account = gateways.ensure_sandbox_account(owner=scene.user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    rows = [
        sessions.create_session(
            actor=scene.user, account=account, phone_number=f"+164655501{i:02d}", account_protection=False
        )
        for i in range(FLEET)
    ]
    for one in rows:
        sessions.connect(actor=scene.user, wa_session=one)
        scene.sandbox.scan(one.wasender_id or 0)
    scene.until("the links", lambda: connected() == FLEET)
    return rows


def connected() -> int:
    return WaSenderSession.objects.filter(status="connected").count()


def asked(scene: Scene) -> dict[str, dict[str, int]]:
    """What the gateway was asked, by operation and answer."""
    return scene.sandbox.call("GET", "/sandbox/stats")["requests"]


def said(scene: Scene, one: WaSenderSession, secret: str, status: str, at: float) -> int:
    """Posts an event as WaSender does; the answer's status."""
    data = {
        "event": "session.status",
        "timestamp": int(at * 1000),
        "sessionId": one.api_key,
        "data": {"status": status},
    }
    request = urllib.request.Request(
        f"{scene.web}/whatsappapi/webhook/{scene.user.public_id}/{one.webhook_token}/", json.dumps(data).encode(),
        {"Content-Type": "application/json", "X-Webhook-Signature": secret},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("scene", [ENV], indirect=True, ids=[""])
def test_a_fleet_drops_and_comes_back(mailbox: Mailbox, scene: Scene, hook: Hook, settings: Any) -> None:
    settings.ALERT_ALLOW_PRIVATE = True
    rows = fleet(scene)
    channel = channels.add(actor=scene.user, kind="webhook", name="Ours", address=hook.url)
    AlertRule.objects.get().channels.add(channel)
    AlertRule.objects.update(delay=3)
    scene.sandbox.call("PATCH", "/sandbox/knobs", {"account_rate": RATE})
    before, begun, now = asked(scene), time.monotonic(), timezone.now()
    for one in rows:
        scene.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/drop", {})
    drops = SessionEvent.objects.filter(status="disconnected", at__gt=now)
    scene.until("all to be down", lambda: drops.count() == FLEET, 60)
    scene.until("all to be back", lambda: connected() == FLEET, 120)
    took = time.monotonic() - begun
    scene.until("both messages twice", lambda: Delivery.objects.filter(state="sent").count() == 4, 90)
    calls = Counter({name: sum(answers.values()) for name, answers in asked(scene).items()})
    calls.subtract({name: sum(answers.values()) for name, answers in before.items()})
    print(f"{FLEET} back after {took:.0f} s; calls: {dict(+calls)}")
    assert not any("429" in answers for answers in asked(scene).values())
    assert took < 120 and calls["connect"] == FLEET
    incident = Incident.objects.get()
    assert incident.size == FLEET and incident.closed_at
    title = f"{FLEET} sessions lost their link"
    assert [one["Subject"] for one in mailbox.letters] == [title, f"Over: {title}"]
    assert [json.loads(body)["type"] for _, body in hook.taken] == ["incident.opened", "incident.recovered"]
    assert all(verify(channel.secret, headers, body) for headers, body in hook.taken)

    scene.sandbox.call("PATCH", "/sandbox/knobs", {"account_rate": 0})
    forged_and_replayed(scene, rows[0])
    a_scan_by_a_link(scene, rows[1], mailbox)


def forged_and_replayed(scene: Scene, one: WaSenderSession) -> None:
    """Even who has the secret can make us look, but neither connect nor tell anybody."""
    one.refresh_from_db()
    connects, told = sum(asked(scene)["connect"].values()), messages()
    now = time.time()
    answers = Counter(said(scene, one, "0" * 32, "disconnected", now + i / 1000) for i in range(5))
    assert answers == {401: 5}
    for i in range(30):
        assert said(scene, one, one.webhook_secret, "disconnected", now - 1 + i / 1000) == 200
        said(scene, one, one.webhook_secret, "disconnected", now - 1)
    scene.until("the look at the gateway", lambda: looked(one) and connected() == FLEET, 60)
    assert sum(asked(scene)["connect"].values()) == connects
    assert messages() == told and looked(one) <= 12


def messages() -> int:
    """To channels; what a cool-down held back is none."""
    return Delivery.objects.exclude(state="held").count()


def looked(one: WaSenderSession) -> int:
    return one.events.filter(kind="reconnect", reason__startswith="WaSender says").count()


def a_scan_by_a_link(scene: Scene, one: WaSenderSession, mailbox: Mailbox) -> None:
    """Logged out: one mail, whose link a browser without a login uses."""
    AlertRule.objects.update(cool_down=0)
    known = len(mailbox.letters)
    scene.sandbox.call("POST", f"/sandbox/sessions/{one.wasender_id}/logout", {})
    scene.until("the mail", lambda: len(mailbox.letters) > known, 60)
    [letter] = mailbox.letters[known:]
    link = re.search(r"/link/\S+/", letter.get_content().replace("=\n", ""))
    assert link and "needs a scan" in letter["Subject"]
    url = scene.web + link.group()
    with urllib.request.urlopen(urllib.request.Request(url, b""), timeout=60) as page:
        assert "Scan this code" in page.read().decode()
        watch = page.url
    scene.sandbox.scan(one.wasender_id or 0)
    scene.until("the page to say so", lambda: "is connected again" in urllib.request.urlopen(watch).read().decode(), 60)
    assert WaSenderSession.objects.get(pk=one.pk).status == "connected"
    scene.until("the incident to close", lambda: not Incident.objects.open().exists(), 60)
    assert User.objects.get().incidents.filter(kind="scan").count() == 1
    assert Incident.objects.filter(opened_at__lte=timezone.now(), kind="lost").count() <= 2
