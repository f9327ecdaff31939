"""What an operator relies on: health, logs, the dashboard, units, the wheel's files, the deployment check."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phonebank.audit import logs
from phonebank.audit.origin import How, acting
from phonebank.server import LARGEST_BODY
from phonebank.whatsappapi.models import WorkerReport
from phonebank.whatsappapi.services import metrics
from tests.views.conftest import Desk, plans

__all__ = ["plans"]
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture
def desk(plans: None) -> Desk:
    return Desk("ana@example.org")


# --- health -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_live_asks_no_database_and_ready_asks_for_all_that_is_needed(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True  # asked from beside us, not through the proxy
    client, now = Client(), timezone.now()
    with CaptureQueriesContext(connection) as asked:
        assert client.get("/healthz").status_code == 200
    assert len(asked) == 0
    assert client.post("/healthz").status_code == 405

    def ready() -> tuple[int, dict[str, bool]]:
        answer = client.get("/readyz")
        return answer.status_code, answer.json()

    assert ready() == (503, {"database": True, "migrations": True, "worker": False})
    values = {"host": "box", "started_at": now, "shards": [0]}
    WorkerReport.objects.create(worker="box:1", kind="send", seen_at=now - timedelta(minutes=2), **values)
    WorkerReport.objects.create(worker="box:2", kind="work", seen_at=now + timedelta(hours=1), **values)
    assert ready()[0] == 503
    WorkerReport.objects.create(worker="box:3", kind="send", seen_at=now + timedelta(hours=1), **values)
    assert ready() == (200, {"database": True, "migrations": True, "worker": True})


@pytest.mark.django_db
def test_tables_of_another_release_are_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    from phonebank.whatsappapi.views import health

    monkeypatch.setattr(health, "_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'whatsappapi' AND name > '0019'")
    answer = Client().get("/readyz")
    assert answer.status_code == 503 and answer.json()["migrations"] is False


# --- logs -------------------------------------------------------------------------------------------------------------

SECRETS = ["a1" * 32, "12|" + "Ab3" * 12, "pbk_" + "x9" * 20, "hunter2secret", "+12125550123", "12125550123"]
SAID = (
    f"key {SECRETS[0]} token {SECRETS[1]} ours {SECRETS[2]} at postgres://me:{SECRETS[3]}@db/x, "
    f"Authorization: Bearer {SECRETS[2]} to {SECRETS[4]} and {SECRETS[5]}@s.whatsapp.net, (212) is an area"
)


@pytest.mark.parametrize("formatter", [logs.Line(), logs.Json()])
def test_no_line_holds_a_secret_or_a_number(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(SAID)
    except ValueError:
        record = logging.LogRecord("phonebank.x", logging.ERROR, "f", 1, "It failed: %s", (SAID,), sys.exc_info())
    with acting(How.PAGE, request_id="0123456789abcdef"):
        logs.RequestId().filter(record)
    line = formatter.format(record)
    assert not [one for one in SECRETS if one in line]
    assert line.count("…0123") >= 4 and "me:***@db" in line and "(212) is an area" in line
    assert "ValueError" in line and "0123456789abcdef" in line


def test_a_json_line_is_one_object() -> None:
    record = logging.LogRecord("phonebank.x", logging.INFO, "f", 1, 'two\nlines and "%s"', ("é",), None)
    line = logs.Json().format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert found["message"] == 'two\nlines and "é"' and found["level"] == "INFO" and "request_id" not in found
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found["time"])


# --- deploy/ ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_name_on_the_dashboard_is_a_metric(desk: Desk) -> None:
    WorkerReport.objects.create(
        worker="box:1", kind="send", host="box", started_at=timezone.now(), seen_at=timezone.now(),
        outcomes={"accepted": 1},
    )  # fmt: skip
    desk.session()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('work', 'x', '{}')")
    exported = set(re.findall(r"^(phonebank_\w+)", metrics.exposition().decode(), re.M))
    board = json.loads((DEPLOY / "grafana/phonebank.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = {name for query in asked for name in re.findall(r"phonebank_\w+", query)}
    assert len(board["panels"]) > 10 and names - exported == set()
    unseen = {name for name in exported - names if not name.endswith("_created")}
    assert unseen == set(), "what is exported is on the dashboard"


def test_the_largest_import_passes_every_door(settings: Any) -> None:
    assert settings.IMPORT_MAX_BYTES + 2**20 < LARGEST_BODY == 52 * 2**20
    assert "client_max_body_size 52m;" in (DEPLOY / "nginx.conf").read_text()
    assert "max_size 52MiB" in (DEPLOY / "Caddyfile").read_text()


def test_compose_file_and_dockerfile_agree_with_what_there_is() -> None:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = found["services"]
    assert services["web"]["command"][:2] == ["phonebank", "web"] and services["worker"]["command"] == [
        "phonebank",
        "worker",
    ]
    assert services["migrate"]["command"] == ["phonebank", "migrate"]
    documented = (DEPLOY.parent / "docs/settings.md").read_text()
    for name in services["web"]["environment"]:
        assert f"`{name}`" in documented, name
    assert services["web"]["environment"]["TRUSTED_PROXY"] == services["proxy"]["networks"]["inside"]["ipv4_address"]
    # On a second network in common, its requests might come from an address that is not trusted.
    assert set(services["web"]["networks"]) & set(services["proxy"]["networks"]) == {"inside"}
    assert {one for service in services.values() for one in service.get("networks", [])} == set(found["networks"])
    assert "worker" not in [name for name, one in services.items() if "ports" in one]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "USER phonebank" in dockerfile and "HEALTHCHECK" in dockerfile and "--require-hashes" in dockerfile
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M):
        for source in line.split():
            assert (DEPLOY.parent / source).exists(), source
    everything = "".join(path.read_text() for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert not re.search(r"index-url|pypi|docker\.io|ghcr", everything)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "phonebank"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    names = []
    for unit in (DEPLOY / "systemd").iterdir():
        name = unit.name.replace("@.", "@1.")
        text = unit.read_text().replace("/opt/phonebank/bin/phonebank", str(program))
        (tmp_path / name).write_text(text)
        (tmp_path / unit.name).write_text(text)
        names.append(str(tmp_path / name))
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if "phonebank" in line]
    assert len(names) == 5 and told == [] and done.returncode == 0


@pytest.mark.django_db(transaction=True)
def test_the_procfiles_lines_start(tmp_path: Path) -> None:
    """Each line as a shell runs it, on the test's database; web must answer."""
    from tests.scenes.conftest import free_port, test_database

    port, folder = free_port(), tmp_path / "bin"
    folder.mkdir()
    (folder / "phonebank").write_text(f'#!/bin/sh\nexec {sys.executable} -m phonebank "$@"\n')
    (folder / "phonebank").chmod(0o755)
    lines = dict(line.split(": ", 1) for line in (DEPLOY / "Procfile").read_text().splitlines())
    assert list(lines) == ["release", "web", "worker"]
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PORT": str(port), "DATABASE_URL": test_database()}
    root = DEPLOY.parent
    subprocess.run(["/bin/sh", "-c", lines["release"]], env=env, cwd=root, check=True, capture_output=True, timeout=120)
    running = [
        subprocess.Popen(["/bin/sh", "-c", f"exec {lines[name]}"], env=env, cwd=root) for name in ("web", "worker")
    ]
    try:
        end = time.monotonic() + 90
        while (found := asked(f"http://127.0.0.1:{port}/readyz")) != 200:
            assert time.monotonic() < end and all(one.poll() is None for one in running), found
            time.sleep(0.2)
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
        codes = [one.wait(60) for one in running]
    assert codes == [0, 0]


def asked(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_the_deployment_check_finds_nothing() -> None:
    env = os.environ | {"PUBLIC_URL": "https://phonebank.example"}
    command = [sys.executable, "-m", "phonebank", "check", "--deploy", "--fail-level", "INFO"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "no issues (0 silenced)" in done.stdout, done.stderr


def test_the_wheel_takes_every_file_along() -> None:
    """Each file but sources falls under a pattern of pyproject.toml (the whole proof: `make wheel`)."""
    import tomllib
    from fnmatch import fnmatch

    patterns = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    package = DEPLOY.parent / "phonebank"
    left = [
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".py", ".po")
        if not any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert left == []


@pytest.mark.django_db
def test_logins_and_links_that_are_over_are_deleted(desk: Desk) -> None:
    from django.contrib.sessions.models import Session

    from phonebank.accounts.models import OneTimeLink
    from phonebank.whatsappapi.services.retention import prune_logins

    now = timezone.now()
    for days in (-1, 1):
        Session.objects.create(session_key=f"k{days}", session_data="", expire_date=now + timedelta(days=days))
    for days in (40, 20):
        OneTimeLink.objects.create(digest=f"d{days}", purpose="login", expires_at=now - timedelta(days=days))
    assert prune_logins() == 2 and prune_logins() == 0
    assert not Session.objects.filter(session_key="k-1") and Session.objects.filter(session_key="k1")
    assert [one.digest for one in OneTimeLink.objects.all()] == ["d20"]
