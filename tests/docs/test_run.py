"""Every command of ours that the documentation shows is run as it stands there, in a folder and database of its own.

`web`, `worker`, `serve` and the sandbox are started that way too, and must answer. BY_OTHERS names who runs the rest.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from phonebank.accounts.models import User
from phonebank.processes import Group
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.services import gateways
from tests.docs.pages import ROOT
from tests.docs.test_commands import SAID, ours
from tests.reference import restore
from tests.scenes.conftest import test_database

# In which order: each finds what those before it made.
STARTED = ["sandbox", "web", "worker"]
ENDING = [
    "migrate", "createsuperuser", "login_link", "check", "adopt", "rotate_keys", "shell", "backup", "restore", "serve",
    "resume_after_restore", "audit", "demo",
]  # fmt: skip
# These take minutes to hours: who runs them, or their parts, and how that file writes it.
BY_OTHERS = {"drill": (".ci/run", "make drill"), "bench": ("tests/test_bench.py", "management.bench")}
COPY = "docs_copy"


def shown() -> list[tuple[str, ...]]:
    """The commands from the name on, each once. Of one that the text only names, a block or a table has the rest."""
    found = dict.fromkeys(tuple(words) for _, all_words in SAID if (words := ours(all_words)))
    whole = {words[0] for words in found if len(words) > 1}
    return [words for words in found if len(words) > 1 or words[0] not in whole | BY_OTHERS.keys()]


@dataclass(slots=True)
class Machine:
    """Where the commands run. `stands_for`: what there stands for something of the reader's."""

    folder: Path
    env: dict[str, str]
    stands_for: dict[str, str]
    group: Group = field(default_factory=Group)

    def line(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "phonebank", *(self.stands_for.get(one, one) for one in words)]

    def run(self, words: tuple[str, ...], *more: str) -> str:
        done = subprocess.run(
            [*self.line(words), *more], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout


@pytest.fixture
def machine(transactional_db: None, tmp_path: Path) -> Iterator[Machine]:
    restore()
    ports = {"8000": str(free_port()), "8025": str(free_port())}
    keys = {"FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS), "AUDIT_KEY": settings.AUDIT_KEY}
    here = {
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": test_database(),
        "LOCAL_URL": f"http://127.0.0.1:{ports['8000']}",
        "WASENDER_URL": f"http://127.0.0.1:{ports['8025']}/api",
        "DJANGO_SUPERUSER_PASSWORD": "a long one, of 4 words",
        "LOG_LEVEL": "WARNING",
    }
    made = Machine(
        tmp_path, os.environ | keys | here, ports | {"N": "2", "sandbox.journal": str(tmp_path / "sandbox.journal")}
    )
    try:
        yield made
    finally:
        made.group.stop(20)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")


def test_every_command_of_ours_is_run_by_somebody() -> None:
    assert {words[0].replace("-", "_") for words in shown()} == {*STARTED, *ENDING, *BY_OTHERS} - _only_named()
    for name, (file, written) in BY_OTHERS.items():
        assert written in (ROOT / file).read_text(), f"{file} does not run {name}"


def _only_named() -> set[str]:
    """What the pages name without arguments, and others run."""
    return BY_OTHERS.keys() - {words[0] for words in shown()}


def test_every_command_of_ours_runs(machine: Machine) -> None:
    wanted = [words for words in shown() if words[0] not in BY_OTHERS]
    by_name = {name: [one for one in wanted if one[0].replace("-", "_") == name] for name in STARTED + ENDING}
    _start(machine, by_name)
    _prepare(machine)
    for name in ENDING:
        for words in {tuple(machine.line(one)): one for one in sorted(by_name[name], key=len)}.values():
            _end(machine, name, words)


def _start(machine: Machine, by_name: dict[str, list[tuple[str, ...]]]) -> None:
    """Each way of starting them that is shown, one after another; the last one stays."""
    for name in STARTED:
        for words in {tuple(machine.line(one)): one for one in by_name[name]}.values():
            if name in machine.group.children:
                child = machine.group.children.pop(name)
                child.send_signal(signal.SIGTERM)
                assert child.wait(60) == 0, f"{words} follows one that did not end well"
            port = {"web": ["--port", machine.stands_for["8000"]]}.get(name, [])
            machine.group.start(name, [*machine.line(words), *port], machine.env)
            if address := {"web": "LOCAL_URL", "sandbox": "WASENDER_URL"}.get(name):
                wait_for(machine.env[address], machine.group)


def _prepare(machine: Machine) -> None:
    """Two people, and two sessions at the gateway that are not here yet."""
    api = machine.env["WASENDER_URL"]
    ana = User.objects.create_user("ana@example.org", plan="pro")
    User.objects.create_user("demo@phonebank.example", plan="pro")
    gateways.ensure_sandbox_account(owner=ana, url=api.removesuffix("/api"), token=DEFAULT_TOKEN)
    for shown_as, name, number in (("17", "Sales", "+12125550151"), ("18", "Shop", "+12125550152")):
        body = {"name": name, "phone_number": number, "account_protection": True, "log_messages": True}
        headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{api}/whatsapp-sessions", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            machine.stands_for[shown_as] = str(json.load(answer)["data"]["id"])
    backup = str(machine.folder / "today.dump")
    machine.stands_for |= {"EMAIL": "ana@example.org", "FILE": backup, "/var/backups/phonebank/today.dump": backup}


def _end(machine: Machine, name: str, words: tuple[str, ...]) -> None:
    """Runs one that ends by itself, or `serve`."""
    if name == "backup":
        (machine.folder / "today.dump").unlink(missing_ok=True)
    elif name == "restore":
        _empty_copy(machine)
    elif name == "serve":
        return _serve(machine, words)
    said = machine.run(words, *(["--noinput", "--email", "boss@example.org"] if name == "createsuperuser" else []))
    if head := re.search(r"noted elsewhere: (\S+)", said):
        machine.stands_for["1234:9f3a…"] = head[1]
    return None


def _empty_copy(machine: Machine) -> None:
    """An empty database on the same server, and another folder: the commands go on with these."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {COPY}")
    machine.env["DATABASE_URL"] = urlunsplit(urlsplit(test_database())._replace(path=f"/{COPY}"))
    machine.env["PHONEBANK_DATA"] = str(machine.folder / "home")


def _serve(machine: Machine, words: tuple[str, ...]) -> None:
    """Until it says how to stop it. The database is held then: there is no main job to wait for."""
    command, out = machine.line(words), subprocess.PIPE
    with subprocess.Popen(command, cwd=machine.folder, env=machine.env, stdout=out, text=True) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if "Ctrl-C stops everything" in line:
                    break
            assert "Ctrl-C" in said[-1] and any("/link/" in one for one in said), said
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
