"""The sandbox gateway: the service of the wire contract, emulated on this machine, with every accident to order.

It imports nothing of the rest of the product: a product that tests itself against its own code proves nothing.
"""

from __future__ import annotations

from .config import DEFAULT_TOKEN, SandboxConfig
from .server import SandboxServer, run, serve

__all__ = ["DEFAULT_TOKEN", "SandboxConfig", "SandboxServer", "run", "serve"]
