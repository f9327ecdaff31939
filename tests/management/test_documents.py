"""Every command, file and make target that docs/operations.md and deploy/ name is there, with the options they give."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()


def commands() -> list[str]:
    """Command lines of ours: in fenced blocks and after backticks, in units, the Procfile and the compose file."""
    found = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]
    found += re.findall(r"`(phonebank [^`]+)`", TEXT)
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        found += re.findall(r"^ExecStart=(.+)$", unit.read_text(), re.M)
    found += [line.split(": ", 1)[1] for line in (ROOT / "deploy/Procfile").read_text().splitlines()]
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"].values()
    found += [" ".join(one["command"]) for one in services if one.get("command", [""])[0] == "phonebank"]
    ours = [re.search(r"(?:^|[\s/])phonebank ([a-z].*)", line.split("  #")[0]) for line in found]
    return sorted({one[1].strip("'\" ") for one in ours if one})


def test_there_are_commands() -> None:
    assert len(commands()) > 12


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one_of_ours_and_takes_what_it_is_given(line: str) -> None:
    line = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", line)
    name, *arguments = shlex.split(re.sub(r"\$\(.*?\)", "x", line).replace('"', ""))
    name = name.replace("-", "_")
    app = get_commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    command.create_parser("phonebank", name).parse_args(arguments)


def test_files_and_targets_are_there() -> None:
    for name in set(re.findall(r"`((?:deploy|docs|tests)/[\w./-]+)`", TEXT)):
        assert (ROOT / name).exists(), name
    for page in set(re.findall(r"\]\(([\w./-]+)\)", TEXT)):
        assert (ROOT / "docs" / page).exists(), page
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)", TEXT)):
        assert re.search(rf"^{target}:", makefile, re.M), target
