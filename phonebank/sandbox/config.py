"""How a sandbox is started."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Not a secret: it opens an emulator that talks to this machine only.
DEFAULT_TOKEN = "1|" + "PhonebankSandbox" * 3
TOKEN = re.compile(r"\d+\|.{40,}\Z")


@dataclass(slots=True)
class SandboxConfig:
    """`port` 0 takes a free one. `journal` keeps accounts, sessions and messages over restarts, None keeps nothing.

    `token` is the first account's personal access token (`<digits>|<40 characters or more>`), `knobs` are changes to
    the friendly defaults, `faults` rules as `POST /sandbox/faults` takes them. `seed` makes chance repeatable.
    """

    host: str = "127.0.0.1"
    port: int = 8025
    token: str = DEFAULT_TOKEN
    journal: Path | None = None
    knobs: dict[str, Any] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 1

    def __post_init__(self) -> None:
        if not TOKEN.match(self.token):
            raise ValueError("token: <digits>|<40 characters or more> is needed")
