"""Write down, commit, then send - seen from outside: what system calls a worker and the database make, in their order.

One strace watches the sending process and the whole database server, so that its file is one sequence. For every
request to the gateway it must show, earlier: the claim of that person going to the database, the log being flushed to
disk, and the answer to COMMIT coming back.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from phonebank.embedded import Cluster
from phonebank.whatsappapi.management.journey import until
from phonebank.whatsappapi.management.verdict import Line
from phonebank.whatsappapi.management.world import World, children, ended
from phonebank.whatsappapi.models import Attempt

CALLS = "sendto,recvfrom,sendmsg,recvmsg,write,writev,read,fdatasync,fsync"
LINE = re.compile(r"^(?P<pid>\d+) +(?P<resumed><\.\.\. )?(?P<call>\w+)(?: resumed>|\()(?P<rest>.*)$")
PHONE = re.compile(r"\+1201\d{7}")
POST = re.compile(r'"POST /api/send-message .*?\\"to\\":\s*\\"(?P<phone>\+\d+)\\"')
COMMITTED = r"COMMIT\0"
OUT, IN, FLUSH = {"sendto", "sendmsg", "write", "writev"}, {"recvfrom", "recvmsg", "read"}, {"fdatasync", "fsync"}


@dataclass(slots=True)
class Found:
    """What the sequence shows about requests: `early` left before their claim was known to be committed."""

    requests: int = 0
    in_order: int = 0
    flushed: int = 0
    early: list[str] = field(default_factory=list)


def read(lines: Iterable[str], sender: int) -> Found:
    """Judges a file of strace. `sender` is the worker's process; all others are the database's."""
    found = Found()
    claimed: dict[tuple[str, str], int] = {}  # connection and phone -> where its claim went out, not yet committed
    committed: dict[str, list[bool]] = defaultdict(list)  # phone -> a commit each: was the log flushed in between?
    flush, waiting = -1, ""
    for place, text in enumerate(lines):
        line = LINE.match(text)
        if line is None:
            continue
        call, rest, unfinished = line["call"], line["rest"], "<unfinished ...>" in line["rest"]
        if int(line["pid"]) != sender:
            if call in FLUSH and not unfinished:
                flush = place
            continue
        where = waiting if line["resumed"] else rest.split(",", 1)[0]
        waiting = where if unfinished else ""
        if call in OUT and not line["resumed"]:
            # What is written counts from the moment at which the call begins.
            if post := POST.search(rest):
                _request(found, committed, post["phone"])
            else:
                claimed.update({(where, phone): place for phone in PHONE.findall(rest)})
        elif call in IN and not unfinished and COMMITTED in rest:
            for one, at in [(key, at) for key, at in claimed.items() if key[0] == where]:
                committed[one[1]].append(flush > at)
                del claimed[one]
    return found


def _request(found: Found, committed: dict[str, list[bool]], phone: str) -> None:
    found.requests += 1
    if not committed[phone]:
        found.early.append(phone[-4:])
        return
    found.in_order += 1
    found.flushed += committed[phone].pop(0)


def check(world: World, people: int = 220) -> list[Line]:
    """Sends to some people under strace. Raises RuntimeError where strace cannot watch."""
    strace = shutil.which("strace")
    if strace is None:
        raise RuntimeError("This needs strace (Debian: apt-get install strace).")
    world.start()
    world.turn(latency=[0.01, 0.03], webhook_loss=1)
    owner = world.owner()
    listed, _ = world.people(owner, people)
    linked = world.link(owner, 4)
    # The first message tells which process sends.
    one, _ = world.people(owner, 1, "One", first=500_000)
    ended([world.campaign(owner, one, linked, "One")], 60)
    sender = int(Attempt.objects.values_list("worker", flat=True)[0].rsplit(":", 1)[1])
    file = world.home / "strace.txt"
    tracer = _attach(strace, file, [sender, *_server()])
    try:
        if not ended([world.campaign(owner, listed, linked)], 120):
            raise RuntimeError("The campaign did not end under strace.")
    finally:
        tracer.terminate()
        tracer.wait()
    with file.open(errors="replace") as lines:
        found = read(lines, sender)
    return [
        Line("R6  requests seen", str(found.requests), found.requests >= 200),
        Line(
            "R6  COMMIT of the claim answered before the first byte", f"{found.in_order} of {found.requests}",
            found.in_order == found.requests > 0,
        ),
        Line(
            "R6  log flushed to disk between claim and that answer", f"{found.flushed} of {found.requests}",
            found.flushed == found.requests > 0,
        ),
    ]  # fmt: skip


def _server() -> list[int]:
    """The database server's process and all of its children."""
    cluster = Cluster(settings.HOME.parent)
    postmaster = int((cluster.data / "postmaster.pid").read_text().split()[0])
    return [postmaster, *children(postmaster)]


def _attach(strace: str, file: Path, pids: list[int]) -> subprocess.Popen[bytes]:
    """strace on these processes and what they start; returns once it watches."""
    command = [strace, "-f", "-q", "-s", "200000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(file)]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE)  # noqa: S603 - found by its name, our own arguments
    time.sleep(0.3)

    def watching() -> bool:
        if tracer.poll() is not None:
            said = tracer.stderr.read().decode(errors="replace") if tracer.stderr else ""
            raise RuntimeError(f"strace cannot watch here: {said.strip()}")
        return all(_traced(pid) for pid in pids)

    until("strace to watch", watching, 20)
    return tracer


def _traced(pid: int) -> bool:
    """Whether somebody watches a process; one that is gone needs no watching."""
    try:
        return "\nTracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
