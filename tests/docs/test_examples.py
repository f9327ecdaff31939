"""The examples that ask an installation are run as they stand in the documentation, before the real processes.

Of each page the shell blocks are one script and the Python blocks another; what is written to a file has its name as
the block's title. A block of JSON behind a command is its answer: the shape must be the same, and an error's words too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phonebank.accounts.api_tokens import create_token
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.management.stage import free_port
from phonebank.whatsappapi.services import gateways
from tests.docs.pages import DOCS, PAGES, ROOT, Fence, fences
from tests.scenes.conftest import Scene, scene

__all__ = ["scene"]

ENV = {"ALERT_ALLOW_PRIVATE": "1", "LOG_LEVEL": "WARNING"}
MARK = "@@ block "
PATIENCE = 180.0  # seconds for all examples of a page; a busy machine needs some
# What a reader has, and the documentation does not make.
FILES = {"menu.pdf": b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\ntrailer\n<< >>\n%%EOF\n"}
WORDS = {"type", "code", "detail", "attr", "kind", "event", "outcome"}  # of an answer, what must be the very same
PRELUDE = next(one for one in fences(DOCS / "api.md") if one.is_live)  # `api`, which other pages use too


@dataclass(slots=True)
class Reader:
    """Somebody who types what the pages say. `stands_for`: what there stands for something of theirs."""

    scene: Scene
    folder: Path
    token: str
    stands_for: dict[str, str]

    def fill(self, text: str) -> str:
        for word, value in self.stands_for.items():
            text = text.replace(word, value)
        return text

    def run(self, command: list[str], what: str) -> str:
        """The output. A phone scans each code that the example has drawn."""
        output, errors, drawn = (self.folder / name for name in ("output", "errors", "code.svg"))
        drawn.unlink(missing_ok=True)
        with output.open("wb") as out, errors.open("wb") as err:
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            env = {"PATH": path, "HOME": str(self.folder), "PHONEBANK": self.scene.web, "TOKEN": self.token}
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=out, stderr=err, start_new_session=True
            )
        try:
            self.scene.until(what, lambda: self._scan(drawn) or process.poll() is not None, PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it left running too
            process.wait()
        said = output.read_text()
        assert process.returncode == 0, f"{what} ended with {process.returncode}: {errors.read_text()}\n{said}"
        return said

    def _scan(self, drawn: Path) -> None:
        if drawn.exists() and "</svg>" in drawn.read_text():
            drawn.unlink()
            waiting = [
                one for one in self.scene.sandbox.call("GET", "/sandbox/sessions") if one["status"] == "need_scan"
            ]
            for one in waiting:
                self.scene.sandbox.scan(one["id"])


def stories() -> list[tuple[Path, str]]:
    """(page, language) of each script: Python first, which needs nothing but us."""
    found = [(page, "python") for page in PAGES if any(_is_script(one) for one in fences(page))]
    return found + [(page, "sh") for page in PAGES if any(one.is_live for one in fences(page))]


def _is_script(one: Fence) -> bool:
    return one.language == "python" and not one.title


@pytest.mark.parametrize("scene", [ENV], indirect=True, ids=[""])
def test_what_the_pages_show_works(scene: Scene, tmp_path: Path) -> None:
    told = stories()
    assert {page.name for page, _ in told} >= {"api.md", "api-python.md", "webhooks.md", "sandbox.md"}
    gateways.ensure_sandbox_account(owner=scene.user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    _, token = create_token(actor=scene.user, name="Reader", scope="write", days=None)
    port = free_port()
    stands_for = {
        "http://127.0.0.1:8000": scene.web,
        "http://127.0.0.1:8025": scene.sandbox.url,
        "pbk_...": token,
        "https://alerts.example.org/phonebank": f"http://127.0.0.1:{port}/phonebank",
        '("127.0.0.1", 9000)': f'("127.0.0.1", {port})',
        # Who reads takes longer to type the next line than it takes to begin.
        "received.txt &": f"received.txt &\nuntil (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done",
    }
    text = "".join(page.read_text() for page, _ in told)
    assert [word for word in stands_for if word not in text] == []
    reader = Reader(scene, tmp_path, token, stands_for)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    for page, language in told:
        for one in fences(page):
            if one.title and one.language == "python":
                (tmp_path / one.title).write_text(reader.fill(one.text))
        if language == "sh":
            if lacking := [tool for tool in ("bash", "curl", "jq") if not shutil.which(tool)]:
                pytest.skip(f"The Python examples work; those for the shell need {' and '.join(lacking)}.")
            check_answers(page, reader)
        else:
            script = "\n".join(reader.fill(one.text) for one in fences(page) if _is_script(one))
            (tmp_path / "script.py").write_text(script)
            reader.run([sys.executable, "script.py"], f"the Python of {page.name}")


def check_answers(page: Path, reader: Reader) -> None:
    """Runs the page's shell blocks; what they say is no error, and what the page says they say."""
    script, wanted = ["set -euo pipefail", "jq --version >/dev/null", reader.fill(PRELUDE.text)], answers_of(page)
    for one in (one for one in fences(page) if one.is_live and one != PRELUDE):
        is_error = "errors" in wanted.get(one.line, {})
        body = reader.fill(one.text)
        script += [f"echo; echo '{MARK}{one.line}'", f"{{ {body} }} || true" if is_error else body]
    said = reader.run(["bash", "-c", "\n".join(script)], f"the shell of {page.name}")
    parts = said.split(MARK)
    for part in parts[1:]:
        line, _, output = part.partition("\n")
        found = documents(output)
        if int(line) in wanted:
            assert found, f"{page.name}:{line} was not answered in JSON: {output}"
            assert differences(wanted[int(line)], found[-1]) == [], f"{page.name}:{line}: {found[-1]}"
        else:
            assert [one for one in found if isinstance(one, dict) and "errors" in one] == [], f"{page.name}:{line}"
    if PRELUDE.page == page:
        assert differences(wanted[PRELUDE.line], documents(parts[0])[-1]) == []


def answers_of(page: Path) -> dict[int, Any]:
    """What the page says is answered, by the line of the block that asks."""
    found, asked = {}, None
    for one in fences(page):
        if one.language == "json" and asked is not None:
            found[asked] = json.loads(one.text)
        asked = one.line if one.is_live else None
    return found


def documents(text: str) -> list[Any]:
    """The JSON objects in an output, one behind the other or between other words."""
    found, at, decoder = [], 0, json.JSONDecoder()
    while (at := text.find("{", at)) >= 0:
        try:
            one, at = decoder.raw_decode(text, at)
            found.append(one)
        except ValueError:
            at += 1
    return found


def differences(wanted: Any, real: Any, name: str = "") -> list[str]:
    """Where a documented answer is not like the real one: fields, kinds of values, and the words of an error."""
    if isinstance(wanted, dict) and isinstance(real, dict):
        found = [f"{name}.{key}" for key in wanted.keys() ^ real.keys()]
        return found + [one for key in wanted.keys() & real.keys() for one in differences(wanted[key], real[key], key)]
    if isinstance(wanted, list) and isinstance(real, list):
        return [one for a, b in zip(wanted, real, strict=False) for one in differences(a, b, name)]
    if name in WORDS and wanted != real:
        return [f"{name}: {real}"]
    is_like = wanted is None or real is None or type(wanted) is type(real)
    return [] if is_like else [f"{name}: {real!r}"]


def test_a_wrong_answer_is_noticed() -> None:
    assert differences({"id": "a", "n": 1}, {"id": "b", "n": 2}) == []
    assert differences({"id": "a"}, {"id": "b", "n": 2}) == [".n"]
    assert differences({"errors": [{"code": "a"}]}, {"errors": [{"code": "b"}]}) == ["code: b"]
    assert differences({"n": 1}, {"n": "1"}) == ["n: '1'"]
    assert documents('+1\n{"a": {"b": 1}}{"c": 2}') == [{"a": {"b": 1}}, {"c": 2}]


def test_every_answer_belongs_to_a_command() -> None:
    """JSON in a page with examples is an answer, or says by a title what else it is."""
    loose = []
    for page in PAGES:
        blocks = fences(page)
        loose += [
            str(one)
            for before, one in zip([None, *blocks], blocks, strict=False)
            if one.language == "json" and not one.title and not (before and before.is_live)
        ]
    assert loose == []


def test_pages_are_those_of_this_checkout() -> None:
    assert all(page.is_relative_to(ROOT) for page in PAGES) and len(PAGES) > 15
