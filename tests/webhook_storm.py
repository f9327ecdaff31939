"""A storm of webhooks on the shipped server (docs/send-path.md 6): `python -m tests.webhook_storm --rate 800`.

Web server, work process and database are real and throw-away; the generator runs beside them, on time whatever the
answers (an open loop), 20 % of its deliveries repeated, all shuffled. Prints rate, latencies, what was lost and how
long the backlog took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from typing import Any

SESSIONS = 10


def deliveries(rows: list[Any], count: int, seed: int) -> list[tuple[bytes, str]]:
    """`count` requests, a fifth of them repetitions, with an id each that is found in the stored body."""
    dice = random.Random(seed)
    made: list[tuple[bytes, str]] = []
    for n in range(count):
        if made and dice.random() < 0.2:
            made.append(dice.choice(made))
            continue
        row = rows[n % len(rows)]
        phone = f"1{201 + n % 700}555{100 + n % 100:04d}"
        jid, mark = f"{phone}@s.whatsapp.net", f"3EB0{seed:04d}{n:012d}"
        key = {"id": mark, "fromMe": True, "remoteJid": jid}
        data = {"id": mark, "msgId": 10_000 + n, "status": 2 + n % 3, "remoteJid": jid, "key": key,
                "messageTimestamp": "1790000000", "message": {"conversation": "Hello " * 60}}  # fmt: skip
        if n % 20 == 0:
            key = {"id": mark, "fromMe": False, "remoteJid": jid, "cleanedSenderPn": phone}
            data = {"messages": {"key": key, "messageBody": "What are your hours?", "messageTimestamp": 1_790_000_000}}
        event = "messages.received" if "messages" in data else "messages.update"
        body = json.dumps({"event": event, "sessionId": row.api_key, "data": data, "timestamp": 1_790_000_000_000})
        head = (
            f"POST /whatsappapi/webhook/{row.user.public_id}/{row.webhook_token}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nX-Webhook-Signature: {row.webhook_secret}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(((head + body).encode(), mark))
    dice.shuffle(made)
    return made


async def storm(
    port: int, made: list[tuple[bytes, str]], rate: float, connections: int
) -> list[tuple[str, int, float]]:
    """Sends each at its time; (mark, status, seconds from when it was due to its answer)."""
    queue: asyncio.Queue[tuple[float, bytes, str] | None] = asyncio.Queue()
    results: list[tuple[str, int, float]] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (job := await queue.get()) is not None:
            due, request, mark = job
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(one[15:]) for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")
                )
                await reader.readexactly(length)
                results.append((mark, int(head.split()[1]), time.perf_counter() - due))
            except (OSError, asyncio.IncompleteReadError):
                results.append((mark, 0, time.perf_counter() - due))
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    clients = [asyncio.create_task(client()) for _ in range(connections)]
    begun = time.perf_counter()
    for n, (request, mark) in enumerate(made):
        due = begun + n / rate
        if (wait := due - time.perf_counter()) > 0.002:
            await asyncio.sleep(wait)
        queue.put_nowait((due, request, mark))
    for _ in clients:
        queue.put_nowait(None)
    await asyncio.gather(*clients)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=800.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from phonebank.embedded import ephemeral

    with ephemeral() as cluster, tempfile.TemporaryDirectory() as home:
        os.environ |= {"DATABASE_URL": cluster.url, "PHONEBANK_DATA": home, "LOG_LEVEL": "WARNING",
                       "DJANGO_SETTINGS_MODULE": "phonebank.config.settings"}  # fmt: skip
        subprocess.run([sys.executable, "-m", "phonebank", "migrate", "-v0"], check=True)
        import django

        django.setup()
        run(options, int((cluster.data / "postmaster.pid").read_text().split()[0]))


def run(options: argparse.Namespace, postmaster: int) -> None:
    from phonebank.processes import Group, phonebank
    from phonebank.whatsappapi.management.stage import free_port, wait_for
    from phonebank.whatsappapi.models import InboundMessage, WebhookEvent

    rows, group, port = _sessions(), Group(), free_port()
    made = deliveries(rows, int(options.rate * options.seconds), options.seed)
    web = group.start("web", phonebank("web", "--port", str(port), "--workers", str(options.workers)))
    work = group.start("work", phonebank("worker", "--only", "work"))
    pids = {"web": web.pid, "work": work.pid, "database": postmaster, "generator": os.getpid()}
    wait_for(f"http://127.0.0.1:{port}/accounts/login/", group)
    try:
        asyncio.run(storm(port, deliveries(rows, 200, 9999), 200, 16))  # warm
        before, begun = {name: _cpu(pid) for name, pid in pids.items()}, time.perf_counter()
        results = asyncio.run(storm(port, made, options.rate, options.connections))
        took = time.perf_counter() - begun
        waited = time.perf_counter()
        while WebhookEvent.objects.filter(state="new").exists():
            time.sleep(0.1)
        backlog = time.perf_counter() - waited
        cpu = {name: round(1e6 * (_cpu(pid) - before[name]) / len(results)) for name, pid in pids.items()}
    finally:
        group.stop()
    acknowledged = {mark for mark, status, _ in results if status == 200}
    stored = {
        bytes(body).split(b"3EB0", 1)[1][:16].decode() for body in WebhookEvent.objects.values_list("body", flat=True)
    }
    lost = {mark for mark in acknowledged if mark[4:] not in stored}
    times = sorted(seconds for _, _, seconds in results)
    print(f"{len(results)} in {took:.1f} s: {len(results) / took:.0f}/s; microseconds of CPU for each: {cpu}")
    print(f"answers {dict(Counter(status for _, status, _ in results))}, acknowledged and lost {len(lost)}")
    print(f"p50 {1e3 * times[len(times) // 2]:.0f} ms, p99 {1e3 * times[int(0.99 * len(times))]:.0f} ms")
    print(f"stored {len(stored)}, messages {InboundMessage.objects.count()}, backlog 0 after {backlog:.1f} s")


def _sessions() -> list[Any]:
    from phonebank.accounts.models import User
    from phonebank.whatsappapi.models import GatewayAccount, WaSenderSession

    user = User.objects.create_user("storm@phonebank.example", plan="enterprise")
    account = GatewayAccount.objects.create(user=user, name="Box", base_url="http://127.0.0.1:9/api", token="1|x")
    rows = []
    for n in range(SESSIONS):
        row = WaSenderSession(user=user, account=account, session_name=f"Desk {n}", phone_number=f"+121255501{n:02d}",
                              wasender_id=n + 1, status="connected")  # fmt: skip
        row.set_api_key(f"{n:02x}" * 32)
        row.set_webhook_secret(f"{n + 160:02x}" * 16)
        row.save()
        rows.append(row)
    return rows


def _cpu(pid: int) -> float:
    """CPU seconds of a process and of its children that are running."""
    total = 0.0
    for one in [pid, *([] if pid == os.getpid() else _children(pid))]:
        with open(f"/proc/{one}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(one) for one in file.read().split()]


if __name__ == "__main__":
    main()
