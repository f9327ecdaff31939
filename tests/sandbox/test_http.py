"""The hand-written HTTP: framing, limits, pipelines, rubbish."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from .desk import ANNA, Desk


async def talk(desk: Desk, *pieces: bytes, end: bytes | None = None) -> bytes:
    """Sends pieces one by one and reads until the server closes, or until `end` was seen."""
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.server.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)  # so that pieces arrive as pieces
        found = b""
        async with asyncio.timeout(60):
            while end is None or end not in found:
                chunk = await reader.read(65536)
                if not chunk:
                    break
                found += chunk
        return found
    finally:
        writer.close()


def request(body: bytes, key: str, *headers: bytes) -> bytes:
    lines = [b"POST /api/send-message HTTP/1.1", b"Host: 127.0.0.1", b"Authorization: Bearer " + key.encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


BODY = json.dumps({"to": ANNA, "text": "Hello"}).encode()
LENGTH = b"Content-Length: %d" % len(BODY)


async def test_byte_by_byte_and_chunked(desk: Desk):
    key = (await desk.linked())["api_key"]
    whole = request(BODY, key, LENGTH, b"Connection: close")
    assert b'"msgId"' in await talk(desk, *(whole[place : place + 40] for place in range(0, len(whole), 40)))
    chunks = b"5;x=y\r\n" + BODY[:5] + b"\r\n" + b"%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\nTrailer: x\r\n\r\n"
    whole = request(chunks, key, b"Transfer-Encoding: chunked", b"Connection: close")
    assert b'"msgId"' in await talk(desk, whole)
    assert b'"msgId"' in await talk(desk, *(whole[place : place + 7] for place in range(0, len(whole), 7)))
    assert (await desk.ledger())["accepted"] == 3


async def test_pipelined_requests_are_answered_in_order(desk: Desk):
    key = (await desk.linked())["api_key"]
    await desk.turn(latency=0.01)
    bodies = [json.dumps({"to": ANNA, "text": f"Number {number}"}).encode() for number in range(20)]
    whole = b"".join(request(body, key, b"Content-Length: %d" % len(body)) for body in bodies)
    last = request(b"", key, b"Content-Length: 0", b"Connection: close")
    found = await talk(desk, whole + last)
    assert found.count(b"HTTP/1.1 200") == 20 and found.count(b"HTTP/1.1 422") == 1
    entries = (await desk.admin("GET", "/ledger/entries"))["entries"]
    assert [entry["text"] for entry in entries] == [f"Number {number}" for number in range(20)]
    ids = [part.split(b",")[0] for part in found.split(b'"msgId":')[1:]]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9999999\r\n", b"413"),
        (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 40000, b"431"),
    ],
)
async def test_rubbish_is_refused(desk: Desk, sent: bytes, status: bytes):
    assert (await talk(desk, sent, end=b"}")).startswith(b"HTTP/1.1 " + status)
    assert (await desk.call("GET", "/sandbox/stats")).status == 200, "and nothing else happens"


async def test_expect_continue(desk: Desk):
    key = (await desk.linked())["api_key"]
    found = await talk(desk, request(b"", key, LENGTH, b"Expect: 100-continue"), BODY, end=b'"msgId"')
    assert found.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


async def test_unknown_paths(desk: Desk):
    assert (await desk.call("GET", "/api/nothing")).status == 404
    assert (await desk.call("GET", "/api/send-message")).status == 405


def test_it_stands_alone():
    """Nothing of the product and no Django is loaded with it."""
    code = (
        "import sys, phonebank.sandbox, phonebank.sandbox.__main__\n"
        "loaded = {name for name in sys.modules if name.startswith(('phonebank.', 'django'))}\n"
        "print(sorted(name for name in loaded if not name.startswith('phonebank.sandbox')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
