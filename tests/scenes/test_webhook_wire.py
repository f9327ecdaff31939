"""Webhooks over a real socket to the shipped server, in the framings that a sender may choose."""

from __future__ import annotations

import json
import socket

import pytest

from phonebank.whatsappapi.models import InboundMessage, WaSenderSession, WebhookEvent

from .conftest import Scene

pytestmark = pytest.mark.django_db(transaction=True)


def event(one: WaSenderSession, text: str) -> bytes:
    message = {
        "key": {"id": f"K{len(text)}", "fromMe": False, "remoteJid": "12015550142@s.whatsapp.net",
                "cleanedSenderPn": "12015550142"},
        "messageBody": text,
        "message": {"conversation": text},
        "pushName": "Ana",
    }  # fmt: skip
    body = {"event": "messages.received", "sessionId": one.api_key, "data": {"messages": message}}
    return json.dumps(body).encode()


def post(scene: Scene, one: WaSenderSession, framing: str, payload: bytes) -> bytes:
    """Sends the head and `payload` as they are; returns the status line."""
    path = f"/whatsappapi/webhook/{scene.user.public_id}/{one.webhook_token}/"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Webhook-Signature: {one.webhook_secret}\r\n{framing}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", scene.web_port), 60) as client:
        client.sendall(head.encode() + payload)
        answer = b""
        while part := client.recv(65536):
            answer += part
    return answer.split(b"\r\n")[0]


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_chunked_webhook_is_stored_whole(scene: Scene) -> None:
    [one] = scene.link(1)
    body = event(one, "What time do you close on Saturdays? " * 50)
    assert post(scene, one, "Transfer-Encoding: chunked", chunks(body, 100)).split()[1] == b"200"
    stored = WebhookEvent.objects.filter(session=one).order_by("-pk").first()
    assert stored is not None
    assert len(bytes(stored.body)) >= len(body) - 64  # the session key is blanked
    assert one.api_key.encode() not in bytes(stored.body)
    scene.until("the message", lambda: InboundMessage.objects.filter(session=one, phone="+12015550142").exists())
    assert InboundMessage.objects.get(session=one).text == json.loads(body)["data"]["messages"]["messageBody"]


def test_an_empty_or_broken_chunked_body_is_never_answered_200(scene: Scene) -> None:
    [one] = scene.link(1)
    before = WebhookEvent.objects.count()
    assert post(scene, one, "Transfer-Encoding: chunked", b"0\r\n\r\n").split()[1] == b"400"
    assert post(scene, one, "Transfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n").split()[1] == b"400"
    assert WebhookEvent.objects.count() == before


def test_a_wrong_secret_stores_nothing(scene: Scene) -> None:
    [one] = scene.link(1)
    before = WebhookEvent.objects.count()
    body = event(one, "STOP")
    one.webhook_secret = "0" * 32
    assert post(scene, one, f"Content-Length: {len(body)}", body).split()[1] == b"401"
    assert WebhookEvent.objects.count() == before
