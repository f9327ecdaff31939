"""Two hosts on one PostgreSQL: one dies, one is cut off and comes back. `make drill ARGS=hosts`, as root on Linux.

Two network namespaces with a worker each; database and sandbox stand outside, reached over a bridge. Nobody may be lost
or written to twice, and the other host must take over in time. The namespaces go with the script, whatever happens.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from phonebank.embedded import Cluster, ephemeral
from phonebank.processes import phonebank

NET = "10.213.77"
OUTSIDE = f"{NET}.1"
TAG = secrets.token_hex(2)
BRIDGE = f"pb{TAG}"
HOSTS = {f"host-a-{TAG}": f"{NET}.2", f"host-b-{TAG}": f"{NET}.3"}
PEOPLE, SESSIONS, PACE = 2400, 8, 240
CUT = 15.0  # seconds without a network
DEAD, CUT_OFF = 5.0, 10.0  # seconds until the other host sends for all of its sessions


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def link_of(host: str) -> str:
    """The outer end of a host's cable."""
    return f"pb{TAG}{list(HOSTS).index(host)}"


@contextmanager
def network() -> Iterator[None]:
    """A bridge and two hosts on it."""
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for host, address in HOSTS.items():
            ip("netns", "add", host)
            ip("link", "add", link_of(host), "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("link", "set", link_of(host), "master", BRIDGE, "up")
            ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield
    finally:
        for host in HOSTS:
            kill_all(host)
            for words in (("link", "del", link_of(host)), ("netns", "del", host)):
                with suppress(subprocess.CalledProcessError):
                    ip(*words)
        with suppress(subprocess.CalledProcessError):
            ip("link", "del", BRIDGE)


def kill_all(host: str) -> None:
    """kill -9 to everything on a host."""
    found = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True)
    for pid in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), 9)


class Reachable(Cluster):
    """The throw-away server, listening on the bridge as well."""

    def _options(self) -> str:
        return f"{super()._options()} -c listen_addresses={OUTSIDE}"


@contextmanager
def database() -> Iterator[str]:
    """A server on the bridge; its address for the hosts. Ours is the socket, in the environment."""
    with ephemeral() as cluster:
        cluster.stop()
        with (cluster.data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {NET}.0/24 trust\n")
        Reachable(cluster.home).start()
        os.environ["DATABASE_URL"] = cluster.url
        os.environ["PHONEBANK_DATA"] = str(cluster.home / "app")
        yield f"postgres://phonebank@{OUTSIDE}:5432/phonebank"


def pass_on(port: int) -> None:
    """Lets the hosts reach the sandbox, which talks to its own machine only."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(copy(reader, forth), copy(back, writer))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(one, OUTSIDE, port)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()


class Hosts:
    """The run."""

    def __init__(self, url: str) -> None:
        from phonebank.whatsappapi.management.world import World

        self.url = url
        self.world = World(workers=())
        self.world.gateway = f"http://{OUTSIDE}:{self.world.sandbox_port}"
        self.table: list[tuple[str, str, bool]] = []

    def start(self, host: str) -> None:
        """A worker on a host, under the host's name."""
        inside = ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', host]
        self.world.env = {"DATABASE_URL": self.url}
        self.world.run(host, [*inside, *phonebank("worker")])

    def run(self) -> bool:
        from phonebank.whatsappapi.management import guards
        from phonebank.whatsappapi.management.journey import until
        from phonebank.whatsappapi.management.verdict import Deeds, verdict
        from phonebank.whatsappapi.management.world import ended
        from phonebank.whatsappapi.models import WebhookEvent

        world, (first, second) = self.world, HOSTS
        world.start()
        pass_on(world.sandbox_port)
        guards.install(world.in_flight)
        self.start(first)
        self.start(second)
        owner = world.owner()
        linked = world.link(owner, SESSIONS, rate=PACE)
        people, _ = world.people(owner, PEOPLE)
        campaign = world.campaign(owner, people, linked)
        self.both_send()
        self.dies(first)
        self.start(first)
        self.both_send()
        self.is_cut_off(second)
        self.both_send()
        done = ended([campaign], 120)
        self.row("campaign ended", str(done), done)
        until("stored events to be processed", lambda: not WebhookEvent.objects.filter(state="new").exists(), 60)
        for line in verdict(world.sandbox, Deeds(people={campaign.pk: PEOPLE})):
            self.row(line.name, line.found, line.holds)
        return self.show()

    def dies(self, host: str) -> None:
        """Power off: nothing says goodbye, neither processes nor connections."""
        theirs = self.driven_by(host)
        ip("link", "set", link_of(host), "down")
        kill_all(host)
        self.taken_over(f"{host.rsplit('-', 1)[0]} dies", host, theirs, DEAD)
        self.world.group.children.pop(host).wait()
        ip("link", "set", link_of(host), "up")

    def is_cut_off(self, host: str) -> None:
        """The cable is pulled; what runs there goes on, and finds out by itself. Then it is back."""
        theirs = self.driven_by(host)
        ip("link", "set", link_of(host), "down")
        back = time.time() + CUT
        self.taken_over(f"{host.rsplit('-', 1)[0]} is cut off", host, theirs, CUT_OFF)
        time.sleep(max(0.0, back - time.time()))  # the cut itself
        ip("link", "set", link_of(host), "up")

    def taken_over(self, what: str, host: str, theirs: set[int], most: float) -> None:
        from phonebank.whatsappapi.management.journey import until

        gone = time.time()
        firsts: dict[int, float] = {}

        def all_back() -> bool:
            firsts.update(self.claims_since(gone, host, theirs))
            return firsts.keys() >= theirs

        until("the other host to take over", all_back, 60)
        took = max(firsts.values()) - gone
        self.row(f"{what}: its {len(theirs)} sessions send again after", f"{took:.1f} s", took <= most)

    def both_send(self) -> None:
        """Returns when each host has sent within the last second."""
        from phonebank.whatsappapi.management.journey import until

        until("both hosts to send", lambda: all(self.driven_by(host) for host in HOSTS), 60)

    def driven_by(self, host: str) -> set[int]:
        """Sessions for which a host claimed in the last second."""
        return self.ask(
            "SELECT DISTINCT session_id, 0 FROM whatsappapi_attempt "
            "WHERE started_at > clock_timestamp() - interval '1 s' AND worker LIKE %s", [f"{host}:%"],
        ).keys()  # fmt: skip

    def claims_since(self, gone: float, host: str, theirs: set[int]) -> dict[int, float]:
        """Session -> when another host first claimed for it."""
        return self.ask(
            "SELECT session_id, extract(epoch FROM min(started_at))::float8 FROM whatsappapi_attempt "
            "WHERE started_at > to_timestamp(%s) AND worker NOT LIKE %s AND session_id = ANY(%s) GROUP BY 1",
            [gone, f"{host}:%", list(theirs)],
        )

    def ask(self, query: str, params: list[Any]) -> dict[int, Any]:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(query, params)
            return dict(cursor.fetchall())

    def row(self, name: str, found: str, holds: bool) -> None:
        self.table.append((name, found, holds))

    def show(self) -> bool:
        for name, found, holds in self.table:
            print(f"{name:<70} {found:<16} {'holds' if holds else 'BROKEN'}")
        return all(holds for *_, holds in self.table)


def main() -> None:
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        sys.exit("This makes network namespaces: it needs root, and the programs ip and unshare (Linux).")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "phonebank.config.settings")
    with ExitStack() as stack:
        stack.enter_context(network())
        url = stack.enter_context(database())
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        hosts = Hosts(url)
        stack.callback(hosts.world.close)
        good = hosts.run()
    sys.exit(0 if good else "Not everything holds.")


if __name__ == "__main__":
    main()
