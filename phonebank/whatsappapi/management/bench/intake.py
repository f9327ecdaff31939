"""`phonebank bench intake`: webhooks into the shipped web process - kept before the answer, doubled, out of order."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from phonebank.whatsappapi.management.bench import machine
from phonebank.whatsappapi.management.bench.compare import IN_FLIGHT, SESSIONS
from phonebank.whatsappapi.management.bench.cost import engine
from phonebank.whatsappapi.management.bench.load import Delivery, Load, post, send
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import Attempt, Message, WaSenderSession, WebhookEvent

RATE = 800.0  # deliveries a second
DUPLICATES = 0.2  # of the deliveries are repetitions
STATUSES = (2, 3, 4)  # sent, delivered, read
WARM_UP = 200  # deliveries
PATIENCE = 60.0  # seconds that the backlog has to go

# Each delivery has a number of its own for a time stamp: what was acknowledged is looked for one by one.
STORED = "SELECT ((convert_from(body, 'UTF8')::jsonb) ->> 'timestamp')::bigint FROM whatsappapi_webhookevent"


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """Statuses of messages that our engine really sent, at a steady rate; then what was stored and what it changed."""
    count = int(RATE * options.intake_seconds * (1 - DUPLICATES)) // len(STATUSES)
    linked = stand.sessions(SESSIONS)
    engine(stand, linked, count, 0, stand.workers(in_flight=IN_FLIGHT))
    stand.stop("send", "work")
    deliveries = _deliveries(stand, linked)
    port = free_port()
    web = stand.start("web", "web", "--port", str(port), pinned=False)
    work = stand.start("work", "worker", "--only", "work", pinned=False)
    try:
        wait_for(f"http://127.0.0.1:{port}{reverse('account_login')}", stand.group)
        asyncio.run(send(port, deliveries[:WARM_UP], RATE / 4))  # threads, connections, plans
        before, spent = stand.look(web, work), time.process_time()
        load = asyncio.run(send(port, deliveries[WARM_UP:], RATE))
        spent, backlog, begun = time.process_time() - spent, _backlog(), time.monotonic()
        while _backlog() and time.monotonic() - begun < PATIENCE:
            time.sleep(0.1)
        drained, after = time.monotonic() - begun, stand.look(web, work)
        resident = machine.memory(web, "VmHWM")
    finally:
        stand.stop("web", "work")
    n = len(load.latencies)
    figures = _figures(load) | {
        "messages": count,
        "read": Message.objects.filter(rank=max(STATUSES)).count(),
        "backlog_at_end": backlog,
        "backlog_seconds": round(drained, 2),
        "cpu_ms": round((after.ours + after.database - before.ours - before.database) * 1000 / n, 3),
        "generator_cpu_ms": round(spent * 1000 / n, 3),
        "web_mib": round(resident / 2**20, 1),
    }
    options.say(
        f"{figures['rate']:,.0f} webhooks/s, p50 {figures['p50_ms']:.0f} ms, p99 {figures['p99_ms']:.0f} ms, "
        f"{figures['lost']} acknowledged lost, backlog gone after {figures['backlog_seconds']:.1f} s, "
        f"{figures['read']:,} of {count:,} messages read"
    )
    return figures


def _deliveries(stand: Stand, linked: list[WaSenderSession]) -> list[Delivery]:
    """Every status of every message, some doubled, all shuffled."""
    sessions = {one.pk: one for one in linked}
    number, made = int(time.time() * 1000), []
    for session, msg_id, phone in Attempt.objects.filter(outcome="accepted").values_list("session", "msg_id", "phone"):
        for status in STATUSES:
            number -= 1
            made.append(_delivery(stand, sessions[session], number, (msg_id, phone[1:], status)))
    chance = random.Random(1)  # noqa: S311 repeatable on purpose
    made += chance.sample(made, int(len(made) * DUPLICATES / (1 - DUPLICATES)))
    chance.shuffle(made)
    return made


def _delivery(stand: Stand, wa_session: WaSenderSession, number: int, what: tuple[int, str, int]) -> Delivery:
    """`messages.update` in its full shape (contract 7.4)."""
    msg_id, digits, status = what
    jid = digits + "@s.whatsapp.net"
    key = {"id": f"3EB0{msg_id:018d}", "fromMe": True, "remoteJid": jid}
    data = {
        "id": key["id"], "msgId": msg_id, "remoteJid": jid, "status": status, "key": key,
        "messageTimestamp": str(number // 1000), "message": {"extendedTextMessage": {"text": "Hi"}},
    }  # fmt: skip
    event = {"event": "messages.update", "sessionId": wa_session.api_key, "data": data, "timestamp": number}
    path = reverse("whatsappapi:webhook_token", args=[stand.user.public_id, wa_session.webhook_token])
    request = post(path, json.dumps(event).encode(), X_Webhook_Signature=wa_session.webhook_secret)
    return Delivery(number, request)


def _figures(load: Load) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(STORED)
        stored = {row[0] for row in cursor.fetchall()}
    times = sorted(load.latencies)
    return {
        "deliveries": len(times),
        "rate": round(len(times) / load.seconds, 1),
        "answers": {str(status): n for status, n in load.answers.items()},
        "p50_ms": round(times[len(times) // 2] * 1000, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1),
        "worst_ms": round(times[-1] * 1000, 1),
        "lost": len(load.kept - stored),
    }


def _backlog() -> int:
    return WebhookEvent.objects.filter(state__in=["new", "unmatched"], due_at__lte=timezone.now()).count()
