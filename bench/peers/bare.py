"""The floor: POSTs of the same size to the same gateway, and nothing else. Plain aiohttp, no database."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle
from typing import Any

import aiohttp
from signals import say, task, wait_for_go


async def main(work: dict[str, Any]) -> None:
    jobs = zip(work["phones"], cycle(work["keys"]), strict=False)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=20)) as http:
        wait_for_go()

        async def one_after_the_other() -> None:
            for phone, key in jobs:
                body = json.dumps({"to": phone, "text": work["text"]}).encode()
                headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                async with http.post(work["url"], data=body, headers=headers) as answer:
                    if not json.loads(await answer.read())["success"]:
                        raise SystemExit("not accepted")

        await asyncio.gather(*(one_after_the_other() for _ in range(work["concurrency"])))
    say(event="done")


asyncio.run(main(task()))
