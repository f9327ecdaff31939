"""Every command in the documentation is run, or named here with the reason why not.

`test_examples.py` runs what asks a running installation, `test_run.py` our own commands; here is all the rest.
"""

from __future__ import annotations

import getpass
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from django.core.management import CommandParser, get_commands, load_command_class
from django.urls import resolve
from django.urls.exceptions import Resolver404

from phonebank import __version__
from tests.docs.pages import PAGES, ROOT, Fence, commands, fences, inline, without_comments

LANGUAGES = {"sh", "python", "json", "text", "csv", "mermaid"}
# How a command begins that nothing here can run, and why.
NOT_RUN = {
    "apt-get install": "changes the machine",
    "useradd": "changes the machine",
    "docker compose": "needs a Docker daemon; tests/management/test_production.py compares the file with the program",
    "systemctl": "needs systemd as the first process; test_production.py has systemd-analyze look at the units",
    "python3 -m venv": "a new environment; deploy/check_wheel.py makes one and serves from it",
    "python3.12 -m venv": "another Python than the one the tests have",
    "pip install": "asks the package index; `make` and deploy/check_wheel.py do the same",
    "python -m pytest": "runs tests; which are named is looked at below",
    "pytest": "the same",
    "python tests/api/fuzz.py": "needs a program that is no dependency of ours, and minutes",
}
# What stands for something of the reader's, and something that a parser takes in its place.
STANDS_FOR = {"EMAIL": "ana@example.org", "FILE": "backup.dump", "ID": "17", "N": "2", "TOKEN": "1|x"}
# What tests below run, or have make and a shell look at.
RUN_HERE = {"make", "export", "set", ".", "install"}
# Code in the text that has the form of a command, and is none.
NO_COMMAND = {
    "ignore_startup_parameters = options",
    'server = await serve(SandboxConfig(port=0, knobs={"latency": 0}))',
    "await server.close()",
    "msgId session to text time accepted first_byte status",
    "name plan subscribed session_limit",
    "id mod SEND_SHARDS",
    "c.user_id = owner OR EXISTS (...)",
    "one message",
    "~/Library/Application Support/phonebank",
}
_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*[a-z~./][\w~./+-]* \S")


def shell() -> list[Fence]:
    """Blocks for a terminal that `test_examples.py` does not run."""
    return [one for page in PAGES for one in fences(page) if one.language == "sh" and not one.is_live]


def said() -> list[tuple[str, list[str]]]:
    """(where, words) of each command of these blocks, and of those that stand in the text."""
    found = [(str(one), words) for one in shell() for words in commands(without_comments(one.text))]
    for page in PAGES:
        for text in inline(page):
            if _COMMAND.match(text) and text not in NO_COMMAND:
                found += [(page.name, _without_settings(words)) for words in commands(text)]
    return found


def _without_settings(words: list[str]) -> list[str]:
    """`FLEET=40 pytest ...` is pytest's."""
    return words[1:] if len(words) > 1 and re.match(r"[A-Z_]+=", words[0]) else words


SAID = said()


def ours(words: list[str]) -> list[str] | None:
    """The words from our program on: name of the command, arguments. To `install` it is a person."""
    if words[0] in RUN_HERE:
        return None
    for i, word in enumerate(words):
        if re.fullmatch(r"(\S+/)?phonebank", word) and len(words) > i + 1:
            return words[i + 1 :]
    return None


def excuse(words: list[str]) -> str:
    """How it begins in NOT_RUN; nothing where it does not."""
    text = re.sub(r"^\S*/bin/", "", " ".join(words)) + " "
    return next((begin for begin in NOT_RUN if text.startswith(f"{begin} ")), "")


def test_blocks_say_what_they_are() -> None:
    unknown = [f"{one}: {one.info!r}" for page in PAGES for one in fences(page) if one.language not in LANGUAGES]
    assert unknown == []
    used = {one.language for page in PAGES for one in fences(page)}
    assert LANGUAGES - used == set()


def test_no_command_hides_in_another_kind_of_block() -> None:
    """A block of plain text is a drawing; one that is only indented would have no kind."""
    assert {one.page.name for page in PAGES for one in fences(page) if one.language == "text"} == {"ARCHITECTURE.md"}
    indented = []
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```$", "```", page.read_text(), flags=re.M | re.S)
        indented += [f"{page.name}: {line}" for line in re.findall(r"\n\n(?: {4}|\t)(\S.*)", text)]
    assert indented == []
    assert [page.name for page in PAGES if re.search(r"<(pre|code|kbd)\b", page.read_text())] == []


def test_there_are_commands() -> None:
    assert len(SAID) > 80 and len(shell()) > 8


def test_every_command_is_accounted_for() -> None:
    """What is not ours and not looked at below must be in NOT_RUN, whatever program it is; or in NO_COMMAND."""
    strange = [
        (where, words)
        for where, words in SAID
        if not (excuse(words) or ours(words) or words[0] in RUN_HERE or "phonebank.sandbox" in words)
    ]
    assert strange == []


@pytest.mark.parametrize(
    "line", ["sudo reboot", "curl -sS http://127.0.0.1/", "A=1 ./run.sh --now", "phonebanks go", "pip download x"]
)
def test_a_new_command_does_not_slip_through(line: str) -> None:
    assert _COMMAND.match(line)
    [words] = commands(line)
    words = _without_settings(words)
    assert not (excuse(words) or ours(words) or words[0] in RUN_HERE)


def test_no_excuse_is_left_over() -> None:
    assert NOT_RUN.keys() - {excuse(words) for _, words in SAID} == set()
    texts = {text for page in PAGES for text in inline(page)}
    assert NO_COMMAND - texts == set()


@pytest.mark.parametrize("where, words", [one for one in SAID if ours(one[1])], ids=lambda one: str(one)[:60])
def test_our_own_parser_takes_it(where: str, words: list[str]) -> None:
    name, *arguments = ours(words) or []
    arguments = [STANDS_FOR.get(one, one) for one in arguments if one != "..."]
    name = name.replace("-", "_")
    assert name in get_commands(), f"{where}: there is no command {name}"
    if where.endswith(".md") and not arguments:
        return  # the text names the command, and gives it nothing
    app = get_commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    parser: CommandParser = command.create_parser("phonebank", name)
    parser.called_from_command_line = False  # raises in place of ending the process
    parser.parse_args(arguments)


def test_the_sandbox_alone_runs() -> None:
    [shown] = [words for _, words in SAID if "phonebank.sandbox" in words]
    assert shown[:2] == ["python", "-m"]
    with subprocess.Popen([sys.executable, *shown[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and "Sandbox gateway: http://127.0.0.1:" in process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_make_knows_what_it_is_asked_for() -> None:
    named = {tuple(words) for _, words in SAID if words[0] == "make"}
    assert len(named) > 8
    for words in sorted(named):
        done = subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stderr}"


def test_files_are_installed_as_shown(tmp_path: Path) -> None:
    """Into a folder of ours in place of the machine's, for who runs this in place of its user."""
    shown = [words for _, words in SAID if words[0] == "install"]
    assert len(shown) == 3
    for words in shown:
        line = " ".join(re.sub(r"^/(etc|var)/", f"{tmp_path}/", word) for word in words)
        line = line.replace("-o phonebank", f"-o {getpass.getuser()}")
        (tmp_path / "systemd/system").mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", "-c", line], cwd=ROOT, check=True)
    units = {path.name for path in (ROOT / "deploy/systemd").iterdir()}
    assert {path.name for path in (tmp_path / "systemd/system").iterdir()} == units
    assert (tmp_path / "phonebank.env").stat().st_mode & 0o777 == 0o600 and (tmp_path / "backups/phonebank").is_dir()


def test_the_environment_is_handed_over_as_shown(tmp_path: Path) -> None:
    [shown] = [line for one in shell() for line in one.text.splitlines() if line.startswith("set -a; ")]
    shutil.copy(ROOT / ".env.example", tmp_path / "phonebank.env")
    line = shown.replace("/etc/", f"{tmp_path}/") + "; env"
    told = subprocess.run(["sh", "-c", line], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    assert "PUBLIC_URL=https://phonebank.example\n" in told.stdout and told.stderr == ""


def test_files_that_commands_name_are_there() -> None:
    named = [word for _, words in SAID for word in words if re.match(r"(tests|deploy|docs|bench|assets)/", word)]
    assert len(named) > 3 and [name for name in named if not list(ROOT.glob(name))] == []


@pytest.mark.parametrize("part", ["drill", "bench"])
def test_arguments_given_to_make_are_taken(part: str) -> None:
    app = get_commands()[part]
    command = load_command_class(app, part) if isinstance(app, str) else app
    parser = command.create_parser("phonebank", part)
    parser.called_from_command_line = False
    given = [word[5:] for _, words in SAID if words[:2] == ["make", part] for word in words[2:] if word[:5] == "ARGS="]
    assert part == "bench" or given
    for one in given:
        parser.parse_args(one.split())


def test_the_wheel_is_named_as_it_is_built() -> None:
    named = {word for _, words in SAID for word in words if word.endswith(".whl")}
    assert named == {f"phonebank-{__version__}-py3-none-any.whl"}


def test_addresses_of_the_api_are_there() -> None:
    """What the text names as `GET replies/` or `POST /api/shares/`."""
    wrong = []
    for page in PAGES:
        for text in inline(page):
            found = re.match(r"(GET|POST|PATCH|DELETE) (/?[\w<>/-]+/)(\?|$)", text)
            if found and not found[2].startswith(("/sandbox", "/ledger", "/knobs", "/faults", "/sessions", "/stats")):
                path = re.sub(r"<\w+>|\bID\b", str(uuid.uuid4()), found[2])
                wrong += _lacking(page, found[1], path if path.startswith("/") else f"/api/{path}")
    assert wrong == []


def _lacking(page: Path, method: str, path: str) -> list[str]:
    try:
        match = resolve(path)
    except Resolver404:
        return [f"{page.name}: {path}"]
    if not path.startswith("/api/"):
        return []
    actions = getattr(match.func, "actions", None)
    if match.url_name == "no_such_address" or (actions and method.lower() not in actions):
        return [f"{page.name}: {method} {path}"]
    return []
