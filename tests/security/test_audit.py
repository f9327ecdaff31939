"""What `make audit` relies on: the vendored files are those that were fetched, and every rule has its examples."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
AUDIT = ROOT / "deploy/audit"


def script(path: str) -> ModuleType:
    """A script of the maintainers', which is no module of ours."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def vendor() -> ModuleType:
    return script("assets/vendor.py")


def test_the_front_end_is_what_was_fetched(vendor: ModuleType) -> None:
    """Neither a changed file nor one more nor one less. After a wanted change: `make assets`."""
    assert vendor.hashes() == vendor.HASHES.read_text()


def test_a_changed_file_or_one_more_shows(vendor: ModuleType, tmp_path: Path) -> None:
    vendor.TARGET = tmp_path
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.js").write_text("one")
    before = vendor.hashes()
    (tmp_path / "a/one.js").write_text("two")
    changed = vendor.hashes()
    (tmp_path / "two.js").write_text("one")
    assert before.count("\n") == changed.count("\n") == 1
    assert before != changed
    assert vendor.hashes().startswith(changed) and "two.js" in vendor.hashes()


def test_every_rule_has_an_example_that_breaks_it() -> None:
    rules = re.findall(r"^  - id: (\S+)", (AUDIT / "rules.yaml").read_text(), re.M)
    shown = " ".join(one.read_text() for one in (AUDIT / "examples").iterdir() if "bad" in one.name)
    assert len(rules) > 9
    assert [one for one in rules if not re.search(rf"breaks: [^\n]*\b{one}\b", shown)] == []


def test_the_scanners_are_pinned_with_hashes_and_name_no_host() -> None:
    text = (AUDIT / "requirements.lock").read_text()
    pinned = re.findall(r"^([a-z0-9][^\s=\[]*)(?:\[[^\]]*\])?==", text, re.M)
    asked = re.findall(r"^([a-z0-9-]+)~=", (AUDIT / "requirements.in").read_text(), re.M)
    assert set(asked) <= set(pinned)
    assert len(re.findall(r"==[^\n]*\\\n\s+--hash=sha256:", text)) == len(pinned)
    assert not re.search(r"https?://|--index-url|--find-links", text)


def part(name: str, *holes: str) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": [{"id": one} for one in holes]}


def test_parts_that_nobody_told_of_are_not_without_holes() -> None:
    audit = script("deploy/audit/audit.py")
    wanted = {"django": "1", "aiohttp": "1"}
    skipped = {"name": "aiohttp", "skip_reason": "not found"}
    assert "2 of 2" in audit.looked_up([part("Django"), part("aiohttp")], wanted)
    for seen in ([part("Django"), part("aiohttp", "CVE-1")], [part("Django"), skipped], [part("Django")]):
        with pytest.raises(audit.Found):
            audit.looked_up(seen, wanted)
    for seen in ([], [skipped]):
        with pytest.raises(audit.Unchecked):
            audit.looked_up(seen, wanted)


def report(pages: int, **finding: Any) -> dict[str, Any]:
    url = "https://127.0.0.1/whatsappapi/{}/"
    seen = [{"request": {"url": url.format(n)}, "response": {"status_code": 200}} for n in range(pages)]
    one = {"method": "GET", "path": "/", "info": "", "level": 1, "module": "xss"} | finding
    return {"infos": {"crawled_pages": seen}, "vulnerabilities": {"XSS": [one]}, "anomalies": {}}


def test_what_an_attack_must_have_seen_and_not_found() -> None:
    attack = script("deploy/audit/attack.py")
    assert attack.judge(report(40), True, 0) == 0
    assert attack.judge(report(40, module="cookieflags", info="Secure flag ... 'messages' set at 'https"), True, 0) == 0
    assert attack.judge(report(40, level=2), True, 0) == 1
    assert attack.judge(report(40, module="http_headers"), True, 0) == 1
    assert attack.judge(report(29), True, 0) == 1
    assert attack.judge(report(40), False, 0) == 1
    assert attack.judge(report(40), True, 1) == 1
