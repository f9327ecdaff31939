"""`make audit`: every scan of the security programme, each with what it looked at. ARGS=bandit for one or some of them.

A scan that looked at nothing proves nothing, so each says how much it saw and fails below that. Exit 0 is all clean, 1
something found, 3 nothing found but not everything could be checked (no network).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOOLS = ROOT / ".venv-audit/bin"
OURS = ROOT / ".venv/bin"
RUNTIME = ROOT / ".venv-audit/runtime"  # what requirements.lock names and nothing else
DIST = ROOT / "dist"
CODE = ["phonebank", "deploy", "assets", "bench"]
EXAMPLES = "deploy/audit/examples"
# Not looked at for secrets: hashes of packages and files, minified files, and tests, whose secrets open nothing.
WITHOUT_SECRETS = r"^tests/|\.lock$|package-lock\.json$|\.sha256$|static/vendor/|/locale/"
# What looks like a secret and is none: examples of addresses, names of files and tests, the settings of a benchmark.
PLACEHOLDERS = r"^password$|^secret-key$|^for this benchmark alone$|/var/lib/phonebank$|\.py::test_"


class Found(Exception):
    """Something that must be mended, or a scan that saw too little."""


class Unchecked(Exception):
    """The answer lies elsewhere and could not be had."""


def run(*command: str | Path, ok: tuple[int, ...] = (0,), env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """What it prints, when it ends as expected."""
    done = subprocess.run(  # noqa: S603
        [str(one) for one in command], cwd=cwd, capture_output=True, text=True, env=os.environ | (env or {})
    )
    if done.returncode not in ok:
        raise Found(f"{Path(command[0]).name} ended with {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def demand(clean: bool, text: str) -> None:
    if not clean:
        raise Found(text)


# --- the source -------------------------------------------------------------------------------------------------------
def bandit() -> str:
    options = ["-r", "phonebank", "-ll", "-q", "-c", "pyproject.toml", "-f", "json"]
    seen = json.loads(run(TOOLS / "bandit", *options, ok=(0, 1)))
    found = [f"{one['filename']}:{one['line_number']} {one['test_id']} {one['issue_text']}" for one in seen["results"]]
    lines = seen["metrics"]["_totals"]["loc"]
    demand(not found and not seen["errors"], "\n".join([*found, *map(str, seen["errors"])]))
    demand(lines > 10_000, f"only {lines} lines were read")
    return f"0 of medium or higher in {lines:,} lines"


def ruff() -> str:
    run(OURS / "ruff", "check", ".")
    return "0, the rules S (flake8-bandit) among them"


def semgrep() -> str:
    rules = set(re.findall(r"^  - id: (\S+)", (HERE / "rules.yaml").read_text(), re.M))
    wanted = Counter(
        name
        for file in (ROOT / EXAMPLES).iterdir()
        for line in re.findall(r"breaks: ([\w, -]+)", file.read_text())
        for name in re.findall(r"[a-z][\w-]+[a-z]", line)
    )
    shown, _ = _semgrep(EXAMPLES)
    good = [one for one in shown if "good" in one[0]]
    demand(not good, f"found where nothing is: {good}")
    demand(set(wanted) == rules, f"without an example: {sorted(rules ^ set(wanted))}")
    by_rule = Counter(one[2] for one in shown)
    demand(by_rule == wanted, f"the examples break {dict(wanted)}, found were {dict(by_rule)}")
    found, files = _semgrep(*CODE, "--exclude", "examples")
    demand(not found, "\n".join(f"{file}:{line} {rule}" for file, line, rule in found))
    demand(files > 300, f"only {files} files were read")
    return f"0 by {len(rules)} rules of ours in {files} files; {len(shown)} planted ones found"


def _semgrep(*where: str) -> tuple[list[tuple[str, int, str]], int]:
    options = ["--metrics=off", "--disable-version-check", "--json", "--quiet", "--no-git-ignore"]
    seen = json.loads(run(TOOLS / "semgrep", "scan", *options, "--config", "deploy/audit/rules.yaml", *where))
    demand(not seen["errors"], "\n".join(str(one.get("message")) for one in seen["errors"]))
    found = [(one["path"], one["start"]["line"], one["check_id"].rpartition(".")[2]) for one in seen["results"]]
    return found, len(seen["paths"]["scanned"])


def secrets() -> str:
    options = ["-n", "--exclude-secrets", PLACEHOLDERS]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "planted.py").write_text('key = "AKIA' + "Q7XJ2LMW9RTB4ZKD" + '"\n')
        planted = json.loads(run(TOOLS / "detect-secrets", "scan", "--all-files", *options, ".", cwd=Path(folder)))
    demand(bool(planted["results"]), "a planted key was not found")
    seen = json.loads(run(TOOLS / "detect-secrets", "scan", *options, "--exclude-files", WITHOUT_SECRETS))
    found = [f"{file}:{one['line_number']} {one['type']}" for file, ones in seen["results"].items() for one in ones]
    demand(not found, "\n".join(found))
    files = [one for one in run("git", "ls-files").split("\n") if one and not re.search(WITHOUT_SECRETS, one)]
    return f"0 in {len(files)} files; a planted one found"


def deployment() -> str:
    public = {"PUBLIC_URL": "https://phonebank.example"}
    run(OURS / "python", "-m", "phonebank", "check", "--deploy", "--fail-level", "WARNING", env=public)
    return "0 warnings"


# --- its parts --------------------------------------------------------------------------------------------------------
def locked() -> dict[str, str]:
    """Name and version of each part that requirements.lock names for this machine and the product's Python."""
    asked = "import platform; print(platform.python_version())"
    full = run(RUNTIME / "bin/python", "-c", asked).strip()
    here = {"python_full_version": full, "python_version": full.rpartition(".")[0]}
    lines = re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*?)\s*\\?$", (ROOT / "requirements.lock").read_text(), re.M)
    parts = [Requirement(one) for one in lines]
    named = [one for one in parts if one.marker is None or one.marker.evaluate(here)]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in named}


def sbom() -> str:
    path = DIST / "sbom.json"
    DIST.mkdir(exist_ok=True)
    run(TOOLS / "cyclonedx-py", "environment", RUNTIME / "bin/python", "--of", "JSON", "-o", path)
    listed = {canonicalize_name(one["name"]): one["version"] for one in json.loads(path.read_text())["components"]}
    wanted = locked()
    demand(listed == wanted, f"listed and locked differ: {sorted(set(listed.items()) ^ set(wanted.items()))}")
    return f"{len(listed)} parts, as many as are locked: {path.relative_to(ROOT)} (CycloneDX)"


def holes() -> str:
    [packages] = RUNTIME.glob("lib/python*/site-packages")
    command = [TOOLS / "pip-audit", "--path", packages, "-f", "json", "--progress-spinner", "off", "--timeout", "15"]
    try:
        seen = json.loads(run(*command, ok=(0, 1)) or "{}").get("dependencies", [])
    except json.JSONDecodeError:
        seen = []
    return looked_up(seen, locked())


def looked_up(seen: list[dict[str, Any]], wanted: dict[str, str]) -> str:
    """pip-audit finds nothing in parts that nobody told it of: only as many answers as parts are an answer."""
    scanned = {canonicalize_name(one["name"]): one for one in seen if "skip_reason" not in one}
    found = [f"{name} {one['version']}: {hole['id']}" for name, one in scanned.items() for hole in one["vulns"]]
    demand(not found, "\n".join(found))
    if not scanned:
        raise Unchecked(f"no network: the advisory service told of 0 of {len(wanted)} parts")
    demand(set(scanned) == set(wanted), f"not looked up: {sorted(set(wanted) ^ set(scanned))}")
    return f"0 known holes; {len(scanned)} of {len(wanted)} parts were looked up"


# --- the running product ----------------------------------------------------------------------------------------------
def wapiti() -> str:
    told = run(OURS / "python", HERE / "attack.py")
    return told.strip().splitlines()[-1]


SCANS: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (bandit, ruff, semgrep, secrets, deployment, sbom, holes, wapiti)
}


def main(names: list[str]) -> int:
    if unknown := set(names) - set(SCANS):
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(SCANS)}.", file=sys.stderr)
        return 2
    ends = Counter[str]()
    for name in names or SCANS:
        begun = time.monotonic()
        try:
            result, said = "ok", SCANS[name]()
        except Found as error:
            result, said = "FOUND", str(error)
        except Unchecked as error:
            result, said = "NOT CHECKED", str(error)
        ends[result] += 1
        print(f"{name:<11} {result:<12} {said}  ({time.monotonic() - begun:.0f} s)", flush=True)
    return 1 if ends["FOUND"] else 3 if ends["NOT CHECKED"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
