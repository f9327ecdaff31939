"""The vendor's own SDK, as published, against the sandbox (contract 9)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from .desk import Desk

FOLDER = Path(__file__).parents[1] / "node"


async def run(*command: str, cwd: Path, seconds: float) -> tuple[int, str]:
    """Exit status and output; the process does not outlive the test."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


def test_lock_names_no_host():
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/wasenderapi"]["version"] == "0.4.0"
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


@pytest.mark.e2e
async def test_vendor_sdk_works_as_it_is(start: Callable[..., Awaitable[Desk]], tmp_path: Path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("node and npm are needed for the vendor's SDK")
    for name in ("package.json", "package-lock.json", "sdk.mjs"):
        shutil.copy(FOLDER / name, tmp_path)
    status, output = await run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=tmp_path, seconds=120)
    assert status == 0, output
    desk = await start(knobs={"latency": [0.005, 0.02]})
    status, output = await run(node, "sdk.mjs", desk.server.url, desk.server.token, cwd=tmp_path, seconds=60)
    assert status == 0 and output.startswith("ok"), output
