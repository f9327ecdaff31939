"""A sandbox with a journal is the same one after a restart."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from phonebank.sandbox import SandboxConfig, serve
from phonebank.sandbox.journal import JournalError

from .desk import ANNA, BEN, FAST, Desk, until


async def test_everything_comes_back(start, tmp_path: Path):
    journal = tmp_path / "deep" / "journal"
    before = await start(journal=journal)
    account = await before.admin("POST", "/accounts", {"plan": "trial", "name": "Second"})
    session, gone, waiting = await before.linked(), await before.linked(), await before.create()
    await before.account("POST", f"/whatsapp-sessions/{waiting['id']}/connect")
    await before.send(session, text="One")
    first = (await before.send(gone, to=BEN)).body["data"]["msgId"]
    await before.call("PUT", f"/api/messages/{first}", gone["api_key"], {"text": "Edited"})
    await before.account("DELETE", f"/whatsapp-sessions/{gone['id']}")
    await before.call("PUT", "/api/contacts", session["api_key"], {"jid": ANNA, "fullName": "Anna"})
    await before.admin("POST", f"/sessions/{session['id']}/stop", {"from": ANNA})
    key = (await before.account("POST", f"/whatsapp-sessions/{session['id']}/regenerate-key")).body["api_key"]

    async def read() -> bool:
        return (await before.ledger())["read"] == 2

    await until(read)
    seen = [await before.admin("GET", path) for path in ("/ledger", "/ledger/entries", "/sessions", "/accounts")]
    await before.server.close()

    after = await start(journal=journal)
    found = [await after.admin("GET", path) for path in ("/ledger", "/ledger/entries", "/sessions", "/accounts")]
    for sessions in (seen[2], found[2]):
        for item in sessions:
            assert bool(item.pop("qr")) == (item["id"] == waiting["id"]), "a waiting session gets a fresh code"
    assert found == seen and found[3][1]["token"] == account["token"]
    assert (await after.call("GET", "/api/status", session["api_key"])).status == 401
    session["api_key"] = key
    assert len(await after.logs(session)) == 1
    assert (await after.send(session)).body["data"]["msgId"] == first + 1
    assert (await after.call("GET", "/api/contacts", key)).body["data"][0]["name"] == "Anna"
    after.numbers = 50
    assert (await after.create())["id"] == waiting["id"] + 1, "ids of sessions are never used again"


async def test_what_was_under_way_goes_on(start, subscriber, tmp_path: Path):
    slow = {"sent_after": 1.5, "delivered_after": 2.0, "read_after": 2.5}
    before = await start(journal=tmp_path / "journal", knobs=slow)
    session = await before.linked(**subscriber.settings("messages.update"))
    await before.send(session)
    await before.server.close()
    after = await start(journal=tmp_path / "journal")
    assert (await after.ledger())["delivered"] == 0
    await until(lambda: subscriber.statuses() == [2, 3, 4])
    ledger = await after.ledger()
    assert (ledger["delivered"], ledger["read"]) == (1, 1)


async def test_reset_is_kept(start, tmp_path: Path):
    before = await start(journal=tmp_path / "journal")
    session = await before.linked()
    last = (await before.send(session)).body["data"]["msgId"]
    await before.admin("POST", "/reset", {})
    await before.server.close()
    after = await start(journal=tmp_path / "journal")
    assert (await after.ledger())["accepted"] == 0
    assert (await after.send(session)).body["data"]["msgId"] == last + 1


async def test_a_torn_line_is_cut_off(start, tmp_path: Path):
    journal = tmp_path / "journal"
    before = await start(journal=journal)
    session = await before.linked()
    await before.send(session)
    await before.server.close()
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'["message",2000')
    after = await start(journal=journal)
    assert (await after.ledger())["accepted"] == 1
    assert (await after.send(session)).status == 200
    await after.server.close()
    again = await start(journal=journal)
    assert (await again.ledger())["accepted"] == 2


@pytest.mark.parametrize("text", ["hello\n", '["unknown",1]\n', '["message",1]\n', '{"a":1}\n'])
async def test_foreign_files_are_refused(tmp_path: Path, text: str):
    journal = tmp_path / "journal"
    journal.write_text(text)
    with pytest.raises(JournalError):
        await serve(SandboxConfig(port=0, journal=journal))
    assert journal.read_text() == text


async def test_a_second_sandbox_keeps_off(start, tmp_path: Path):
    journal = tmp_path / "journal"
    desk = await start(journal=journal)
    await desk.linked()
    known = journal.read_bytes()
    with pytest.raises(OSError):
        await serve(SandboxConfig(port=desk.server.port, journal=journal))
    assert journal.read_bytes() == known


async def test_kill_9_and_sigterm(client, tmp_path: Path):
    journal = tmp_path / "journal"
    command = [sys.executable, "-m", "phonebank.sandbox", "--port", "0", "--journal", str(journal)]

    async def begin() -> tuple[asyncio.subprocess.Process, Desk]:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        line = (await process.stdout.readline()).decode()
        server = type("Server", (), {"url": line.split()[2].removesuffix("/api"), "token": line.split()[4]})
        return process, Desk(server, client)

    process, desk = await begin()
    try:
        await desk.turn(**FAST)
        session = await desk.linked()
        for number in range(20):
            assert (await desk.send(session, text=f"Number {number}")).status == 200
        process.kill()
        await process.wait()
        process, desk = await begin()
        assert (await desk.ledger())["accepted"] == 20, "every answered message is there"
        assert await desk.status(session) == "connected" and (await desk.send(session)).status == 200
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_loads_fast(tmp_path: Path):
    journal = tmp_path / "journal"
    settings = {"name": "A", "phone_number": "+12125550101"}
    lines = [
        ["account", 1, "1|" + "x" * 40, "A", "paid", True, 0],
        ["session", 1001, 1, settings, "k" * 64, "s" * 32, 1.0, 1.0, "connected", "12125550101"],
    ]
    first = 20_000_001
    for number in range(first, first + 20_000):
        times = [1.0, 1.0, 1.2, 1.6, 0.0]
        lines.append(["message", number, 1001, f"+1415{number}", "Hello, the sale starts on Friday", *times, "", True])
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    started = time.process_time()
    server = await serve(SandboxConfig(port=0, journal=journal))
    took = time.process_time() - started
    try:
        assert server.sandbox.ledger.summary()["delivered"] == 20_000
        assert took < 1.5, f"{took:.2f} s of processor time for 20,000 messages"
    finally:
        await server.close()
