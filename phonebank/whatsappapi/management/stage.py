"""What `phonebank serve` and `phonebank demo` put on: the processes, and who is let in."""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from phonebank.accounts.models import OneTimeLink, User
from phonebank.accounts.services import has_administrator, make_link
from phonebank.processes import Group, phonebank

DEMO = "demo@phonebank.example"
_turn = itertools.count()


def free_port(wanted: int = 0) -> int:
    """`wanted` when it is free, else any free one.

    Below those that the system hands out, and each process from a stretch of its own: between our look and the server's
    bind nobody else may take it, and be answered instead of us.
    """
    begin = 15_000 + os.getpid() % 340 * 50
    for port in itertools.chain([wanted] * bool(wanted), (begin + next(_turn) % 50 for _ in range(50)), [0]):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")


@dataclass(slots=True)
class Stage:
    """Web, worker and sandbox on this machine."""

    web_port: int
    sandbox_port: int
    journal: Path | None = None
    group: Group = field(default_factory=Group)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def start(self) -> None:
        """Starts all three and returns when web and sandbox answer."""
        os.environ["LOCAL_URL"] = settings.LOCAL_URL = self.web
        keep = ["--journal", str(self.journal)] if self.journal else []
        self.group.start("sandbox", phonebank("sandbox", "--port", str(self.sandbox_port), *keep))
        self.group.start("web", phonebank("web", "--port", str(self.web_port)))
        self.group.start("worker", phonebank("worker"))
        for url in (self.sandbox + "/", self.web + reverse("account_login")):
            wait_for(url, self.group)


def wait_for(url: str, group: Group, patience: float = 60.0) -> None:
    """Returns when `url` answers at all. Raises RuntimeError when a process ended or patience did."""
    parts = urlsplit(url)
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if gone := [name for name, child in group.children.items() if child.poll() is not None]:
            raise RuntimeError(f"The {gone[0]} process ended while starting; see its message above.")
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            connection.request("GET", parts.path)
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"{url} did not answer within {patience:.0f} s.")


def demo_user() -> User:
    """The demo user, on Pro."""
    found = User.objects.filter(email=DEMO).first()
    return found or User.objects.create_user(DEMO, plan="pro", name="Demo")


def doors(base: str, user: User) -> list[tuple[str, str]]:
    """Who may come in by which fresh one-time link: (who, address)."""

    def address(token: str) -> str:
        return base + reverse("accounts:link", args=[token])

    links = [(f"Demo user ({user.email})", address(make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user)))]
    if not has_administrator():
        links.append(("First administrator", address(make_link(purpose=OneTimeLink.Purpose.SETUP))))
    else:
        admin = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if admin is not None:
            token = make_link(purpose=OneTimeLink.Purpose.LOGIN, user=admin)
            links.append((f"Administrator ({admin.email})", address(token)))
    return links
