"""How a runner talks with the benchmark that started it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def task() -> dict[str, Any]:
    """What to do: url, keys of the sessions, phones, and what a runner needs beyond that."""
    return json.loads(Path(sys.argv[1]).read_text())


def wait_for_go() -> None:
    """Ready; returns when the benchmark has read the clocks."""
    say(event="ready")
    if not sys.stdin.readline():
        sys.exit(1)


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)
