"""`python -m phonebank.embedded.watch PARENT HOME`: wait for the parent's end, then remove its cluster.

The end shows as the end of standard input, or (when a forked child still holds that pipe) as a new parent.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from .cluster import Cluster

POLL = 0.5  # seconds


def main() -> None:
    parent, home = int(sys.argv[1]), Path(sys.argv[2])
    while os.getppid() == parent and not select.select([sys.stdin], [], [], POLL)[0]:
        pass
    Cluster(home).destroy()


if __name__ == "__main__":
    main()
