"""`python -m phonebank.sandbox`: the gateway alone, without the product."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import DEFAULT_TOKEN, SandboxConfig, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="phonebank.sandbox", description="An emulated WaSender gateway.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8025, help="0 takes a free one")
    parser.add_argument("--journal", type=Path, help="file that keeps accounts, sessions and messages over restarts")
    parser.add_argument("--token", default=DEFAULT_TOKEN, help="personal access token of the first account")
    parser.add_argument("--seed", type=int, default=1, help="makes chance repeatable")
    options = parser.parse_args()
    run(SandboxConfig(**vars(options)))


if __name__ == "__main__":
    main()
