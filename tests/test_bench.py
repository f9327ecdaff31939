"""The benchmark's instruments: what they read is what was there. The measurements themselves are `make bench`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from phonebank.whatsappapi.management.bench import load, machine, report, results
from phonebank.whatsappapi.management.bench.statements import counted

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
BURN = "import time\nwhile time.process_time() < 0.6: pass\n"


@linux
def test_cpu_of_a_tree_counts_children_dead_and_alive():
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\n{BURN}"
         "print(flush=True)\nsys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with parent:
        parent.stdout.readline()
        assert 1.1 < machine.cpu(parent.pid) < 2.5
        assert machine.cpu(parent.pid, 2**22 + 1) == pytest.approx(machine.cpu(parent.pid), abs=0.1)
        assert machine.memory(parent.pid, "VmHWM") > 2**20
        parent.stdin.close()


@linux
def test_pinning():
    core = min(os.sched_getaffinity(0))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        machine.pin([child.pid], {core})
        assert os.sched_getaffinity(child.pid) == {core}
        child.stdin.close()


def test_statements_are_counted_by_transaction():
    tick = ["statement: BEGIN", "execute <unnamed>: ", "execute _pg3_1: ", "execute <unnamed>: x", "statement: COMMIT"]
    lines = [f"7 phonebank LOG:  {text}" for text in tick * 2]
    lines += [
        f"8 phonebank LOG:  {text}" for text in ("execute <unnamed>: SELECT 1", "statement: BEGIN", "statement: COMMIT")
    ]
    lines += ["9 phonebank LOG:  statement: SELECT 1", "7 peers LOG:  statement: SELECT 1", "7 phonebank DETAIL:  none"]
    found = counted(lines, mine=9)
    assert found.statements == 7
    assert dict(found.ticks) == {3: 2}


async def test_the_load_keeps_its_rate_and_its_books():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            status = b"503 No" if body == b"7" else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        await writer.wait_closed()

    served: set[Any] = set()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        posts = [load.Delivery(n, load.post("/", str(n).encode(), X_Secret="s")) for n in range(100)]
        found = await load.send(port, posts, rate=500)
        await asyncio.gather(*served)
    assert found.kept == set(range(100)) - {7}
    assert found.answers == {200: 99, 503: 1}
    assert found.seconds > 98 / 500  # the last may start up to a millisecond early
    assert len(found.latencies) == 100


def figures(**of: float) -> dict[str, Any]:
    names = ("messages", "rate", "cpu_ms", "worker_ms", "database_ms", "broker_ms", "commits")
    return dict.fromkeys(names, 1.0) | of


PARTS: dict[str, Any] = {
    "peers": {
        "rounds": 5, "missing": {"celery": "redis-server is not installed"},
        "0": {
            "phonebank": figures(rate=4000, cpu_ms=0.2), "bare": figures(cpu_ms=0.1),
            "loop": figures(rate=150, cpu_ms=4),
        },
        "200": {"phonebank": figures(rate=2000), "bare": figures(), "loop": figures(rate=10)},
    },
    "sizes": {
        str(n): {"people": n, "deal_seconds": 1.0, "deal_rate": n, "first_seconds": s, "cost": figures(),
                 "send_mib": m, "work_mib": 90.0, "backend_mib": 20.0}
        for n, s, m in ((10_000, 1.0, 100.0), (100_000, 6.0, 105.0))
    } | {"at": "2026-11-22T00:00:00+00:00", "seconds": 9},
}  # fmt: skip


def test_goals_say_what_is_met():
    found = {one.what: one.met for one in results.goals(PARTS)}
    assert found["CPU a message, worker and database, to a bare aiohttp POST"] is True
    assert found["CPU a message of the loop to ours"] is False
    assert found["Rate at 0 ms to loop"] is True
    assert found["Rate at 200 ms to loop"] is False
    assert found["Launch to first message, 100,000 people"] is False
    assert found["Peak memory of send, 100,000 people to 10,000"] is True


def test_the_report_fills_its_markers_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = tmp_path / "benchmarks.md"
    page.write_text("# Title\n<!-- peers -->\nold\n<!-- /peers -->\nprose\n<!-- pace -->\nkept\n<!-- /pace -->\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "IMAGES", tmp_path)
    about = {"cpu": "X", "cores": 2, "memory_gib": 8, "system": "Linux", "python": "3.11", "postgresql": 18,
             "versions": {"aiohttp": "3"}, "load_at_start": 0.1, "split": "one core"}  # fmt: skip
    written = report.write({"machine": about, "parts": PARTS})
    text = page.read_text()
    assert "old" not in text and "prose" in text and "kept" in text
    assert "redis-server is not installed" in text and "4,000" in text
    pictures = [path for path in written if path.suffix == ".svg"]
    assert len(pictures) == 4
    for picture in pictures:
        assert ET.parse(picture).getroot().get("aria-label")


def test_results_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.save({"cpu": "X"}, {"pace": {"n": 1}}, datetime.now(UTC))
    results.save({"cpu": "X"}, {"pages": {"n": 2}}, datetime.now(UTC))
    assert {name: part["n"] for name, part in results.load()["parts"].items()} == {"pace": 1, "pages": 2}
