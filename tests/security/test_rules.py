"""Rules of ours that no linter knows: what stands nowhere in the source, or only where it is listed with a reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "phonebank"
Found = tuple[str, int, str]  # file, line, what

# Text that is marked as safe: escaped or made of numbers where it is made.
MARKED_SAFE = {
    "whatsappapi/templatetags/whatsapp.py",  # each part is escaped there
    "whatsappapi/templatetags/figures.py",  # numbers, dates, and names that are escaped there
    "whatsappapi/views/session_pages.py",  # a QR code's squares
}
# Where a row is looked up by an id alone, without its owner.
BY_ID_ALONE = {
    "whatsappapi/views/administration.py",  # every view there is for administrators
    "whatsappapi/views/installation.py",
    "whatsappapi/views/operations.py",
}
WHOSE = {"user", "owner", "session", "campaign", "lanes__campaign"}
# SQL that is put together: of constants and column names of ours.
COMPOSED = re.compile(r"whatsappapi/(dispatch/|services/\w+_sql\.py|management/)|accounts/migrations|embedded/")
# Each request there is made within a total deadline of its own (tests/gateways/test_transport.py, test_outbound.py).
DEADLINES = {"gateways/outbound.py", "gateways/transport.py"}
CLIENTS = {"requests", "httpx", "urllib3", "pycurl"}
DANGEROUS = {"pickle", "marshal", "shelve", "yaml", "xml.etree.ElementTree", "telnetlib", "ftplib"}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    files = sorted(PACKAGE.rglob("*.py"))
    return [(str(one.relative_to(PACKAGE)), ast.parse(one.read_text())) for one in files]


def nodes(*kinds: type[ast.AST], within: str = "", but: str = "$^") -> Iterator[tuple[str, ast.AST]]:
    """Every node of these kinds in files that begin with `within` and do not match `but`."""
    for file, tree in sources():
        if file.startswith(within) and not re.match(but, file):
            yield from ((file, node) for node in ast.walk(tree) if isinstance(node, kinds))


def name_of(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def calls(pattern: str, within: str = "", but: str = "$^") -> Iterator[tuple[str, ast.Call]]:
    for file, node in nodes(ast.Call, within=within, but=but):
        if re.search(pattern, name_of(node.func)):  # type: ignore[attr-defined]
            yield file, node  # type: ignore[misc]


def marked_safe() -> Iterator[Found]:
    for file, node in calls(r"(^|\.)(mark_safe|SafeString|SafeText)$"):
        if file not in MARKED_SAFE:
            yield file, node.lineno, "mark_safe: escape with format_html, or list it here with its reason"


def by_id_alone() -> Iterator[Found]:
    """A page or an address of the API that finds a thing by its id must say whose it is."""
    for within in ("whatsappapi/views/", "whatsappapi/api/", "accounts/"):
        for file, node in calls(r"\.objects\.(get|filter)$|get_object_or_404$", within=within):
            asked = {one.arg for one in node.keywords}
            by_id = asked & {"pk", "id", "public_id"} and not asked & {
                "user",
                "owner",
                "session",
                "campaign",
                "lanes__campaign",
            }
            is_whole = not node.args or name_of(node.args[0]).endswith(".objects") or isinstance(node.args[0], ast.Name)
            value = next((ast.unparse(one.value) for one in node.keywords if one.arg in ("pk", "public_id")), "")
            own = re.search(r"request\.user|actor|\b(user|row|one|answer|token)\.pk|^built\[", value)
            if by_id and is_whole and not own and file not in BY_ID_ALONE and not _is_scoped(node):
                yield file, node.lineno, f"looked up by id alone: {ast.unparse(node)[:80]}"


def _is_scoped(node: ast.Call) -> bool:
    return bool(node.args) and name_of(node.args[0]) in {"rows", "queryset"}


def logged_requests() -> Iterator[Found]:
    for file, node in calls(r"^(log|logger|logging)\.\w+$"):
        for part in node.args + [one.value for one in node.keywords]:
            if re.search(r"request\.(body|POST|GET|META|COOKIES|headers|data)\b|\.(api_key|token|secret|password)\b",
                         ast.unparse(part)):  # fmt: skip
                yield file, node.lineno, "a request's content or a secret in a log line"


def unbounded_clients() -> Iterator[Found]:
    for file, node in nodes(ast.Import, ast.ImportFrom):
        found = {one.name for one in node.names} | {getattr(node, "module", None) or ""}  # type: ignore[attr-defined]
        opens = "urllib.request" in found and not file.startswith(("sandbox", "whatsappapi/management"))
        if found & CLIENTS or opens:
            yield file, node.lineno, "requests go through gateways/"  # type: ignore[attr-defined]
    for file, node in calls(r"(^|\.)(ClientSession|HTTPConnection|urlopen)$"):
        if file not in DEADLINES and not any(one.arg == "timeout" for one in node.keywords) and len(node.args) < 3:
            yield file, node.lineno, "a client without a deadline"
    for file, node in nodes(ast.keyword):
        if node.arg in ("ssl", "verify_ssl", "verify") and ast.unparse(node.value) == "False":  # type: ignore[attr-defined]
            yield file, node.lineno, "certificates must be checked"  # type: ignore[attr-defined]
        if node.arg == "allow_redirects" and ast.unparse(node.value) == "True":  # type: ignore[attr-defined]
            yield file, node.lineno, "no redirect is followed"  # type: ignore[attr-defined]


def composed_sql() -> Iterator[Found]:
    for file, node in calls(r"\.(execute|executemany|raw|extra)$|(^|\.)RawSQL$"):
        made = node.args and isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
        of_constants = made and re.fullmatch(r"[A-Z_]+( \+ [A-Z_]+)*", ast.unparse(node.args[0]))
        if made and not of_constants and not COMPOSED.match(file):
            yield file, node.lineno, f"SQL put together: {ast.unparse(node.args[0])[:80]}"


def swallowed() -> Iterator[Found]:
    for file, node in nodes(ast.ExceptHandler):
        kind = name_of(node.type) if node.type else "everything"  # type: ignore[attr-defined]
        silent = all(isinstance(one, ast.Pass | ast.Continue) for one in node.body)  # type: ignore[attr-defined]
        if kind == "everything" or (silent and kind in ("Exception", "BaseException")):
            yield file, node.lineno, f"swallows {kind}"  # type: ignore[attr-defined]


def dangerous() -> Iterator[Found]:
    for file, node in nodes(ast.Import, ast.ImportFrom):
        found = {one.name for one in node.names} | {getattr(node, "module", None) or ""}  # type: ignore[attr-defined]
        if found & DANGEROUS:
            yield file, node.lineno, f"imports {found & DANGEROUS}"  # type: ignore[attr-defined]
    for file, node in calls(r"^(eval|exec|compile|__import__)$|^os\.(system|popen)$|^hashlib\.(md5|sha1)$"):
        yield file, node.lineno, ast.unparse(node.func)
    for file, node in nodes(ast.keyword):
        if node.arg == "shell" and ast.unparse(node.value) != "False":  # type: ignore[attr-defined]
            yield file, node.lineno, "a shell"  # type: ignore[attr-defined]


def weak_chance() -> Iterator[Found]:
    """`random` is for jitter; keys, tokens and digests come from `secrets`."""
    for within in ("accounts/", "audit/", "config/", "whatsappapi/models/", "whatsappapi/views/", "whatsappapi/api/"):
        for file, node in nodes(ast.Import, ast.ImportFrom, within=within):
            if "random" in {one.name for one in node.names} | {getattr(node, "module", None)}:  # type: ignore[attr-defined]
                yield file, node.lineno, "random instead of secrets"  # type: ignore[attr-defined]


def open_forms() -> Iterator[Found]:
    """A form or serializer names its fields: what it does not name cannot be set by whoever posts it."""
    for file, node in nodes(ast.ClassDef):
        if node.name != "Meta" or "models" in file or "migrations" in file:  # type: ignore[attr-defined]
            continue
        for one in node.body:  # type: ignore[attr-defined]
            named = {name_of(target) for target in getattr(one, "targets", [])}
            if "exclude" in named or ("fields" in named and "__all__" in ast.unparse(one)):
                yield file, one.lineno, "a form without its list of fields"


RULES: list[Callable[[], Iterator[Found]]] = [
    marked_safe, by_id_alone, logged_requests, unbounded_clients, composed_sql, swallowed, dangerous, weak_chance,
    open_forms,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_source_breaks(rule: Callable[[], Iterator[Found]]) -> None:
    assert list(rule()) == []


BREAKS = """
import pickle, requests
from random import random
mark_safe(name)
Campaign.objects.get(public_id=request.POST["id"])
log.info("got %s", request.body)
aiohttp.ClientSession()
cursor.execute(f"SELECT {name}")
eval(text)
try:
    x()
except Exception:
    pass
class F:
    class Meta:
        fields = "__all__"
"""


def test_every_rule_finds_what_it_is_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.sources", lambda: [("whatsappapi/views/bad.py", ast.parse(BREAKS))])
    assert [rule.__name__ for rule in RULES if not list(rule())] == []


TEMPLATES = {
    r"\|\s*safe(seq)?\b": "marked as safe",
    r"autoescape\s+off": "escaping switched off",
    r"<script(?![^>]*\bsrc=)(?![^>]*application/json)": "a script in the page",
    r"\sstyle=\"": "a style in the page",
    r"\son[a-z]+=\"": "a handler in the page",
    r"(?:src|href)=\"https?://(?!www\.w3\.org)": "something from elsewhere",
    r"target=\"_blank\"(?![^>]*noopener)": "a window that reaches back",
    r"hx-on|hx-vals=[\"']js:|javascript:": "a script in an attribute",
}
ELSEWHERE = {"session.html"}  # the link to WhatsApp itself, without a way back


def test_no_template_breaks_the_policy() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("templates/**/*.html")):
        if "mail" in file.parts:
            continue  # a mail has neither a policy nor a stylesheet
        text = file.read_text()
        for pattern, why in TEMPLATES.items():
            found += [(file.name, why, one[0]) for one in re.finditer(pattern, text)]
    allowed = [one for one in found if one[1] == "something from elsewhere" and one[0] in ELSEWHERE]
    assert [one for one in found if one not in allowed] == []


SCRIPTS = r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function|setTimeout\(\s*[\"'])\b"
STORED = r"\b(localStorage|sessionStorage|indexedDB|document\.cookie)\b"


def test_our_scripts_write_text_and_keep_nothing() -> None:
    found = []
    for file in sorted((PACKAGE / "whatsappapi/static/whatsappapi").glob("*.js")):
        text = re.sub(r"//[^\n]*", "", file.read_text())
        found += [(file.name, one[0]) for one in re.finditer(f"{SCRIPTS}|{STORED}", text)]
    assert found == []
