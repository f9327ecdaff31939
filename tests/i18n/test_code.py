"""Every sentence that Python says to people can be translated, and is looked up when it is said."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "phonebank"
# Programs, developers and whoever types a command are spoken to in English (docs/adr/0017).
ENGLISH = {"sandbox", "management", "migrations", "embedded", "api", "gateways", "config"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not ENGLISH & set(path.relative_to(PACKAGE).parts))
LOOKUPS = {"gettext", "ngettext", "pgettext", "npgettext"}
# What raises or shows the words it is given, and the places of these words among its arguments.
SAYS = {
    "ServiceError": 0, "ValidationError": 0, "PermissionDenied": 0, "add_error": 1, "Step": 1, "Need": 1, "Health": 1,
    "tell": 2, "tell_administrators": 1,
}  # fmt: skip
MESSAGES = {"success", "error", "info", "warning"}
NAMED = {"label", "help_text", "empty_label", "title", "placeholder"}
WORD = re.compile(r"[^\W\d_]{2,}")
LETTERS = re.compile(r"https://|WhatsApp|Phonebank")


def words(node: ast.AST) -> str:
    """The literal words that an expression is made of, outside of calls."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return LETTERS.sub("", node.value)
    if isinstance(node, ast.JoinedStr):
        return " ".join(words(one) for one in node.values if isinstance(one, ast.Constant))
    if isinstance(node, ast.BinOp):
        return f"{words(node.left)} {words(node.right) if isinstance(node.op, ast.Add) else ''}"
    if isinstance(node, ast.IfExp):
        return f"{words(node.body)} {words(node.orelse)}"
    if isinstance(node, ast.BoolOp):
        return " ".join(map(words, node.values))
    return ""


def name_of(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    if isinstance(call.func, ast.Attribute):
        if isinstance(call.func.value, ast.Name) and call.func.value.id == "messages" and call.func.attr in MESSAGES:
            return "messages"
        return call.func.attr
    return ""


def unmarked(source: str, is_form: bool = False) -> Iterator[str]:
    """Line and words of what is said to people without being marked. `is_form`: names of fields are said, too."""
    tree = ast.parse(source)
    # What a module keeps as a plain text under a name, and says later.
    kept = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node)
        said = node.args[SAYS[name]] if name in SAYS and len(node.args) > SAYS[name] else None
        if name == "messages" and len(node.args) > 1:
            said = node.args[1]
        found = [said] if said is not None else []
        if is_form:
            found += [one.value for one in node.keywords if one.arg in NAMED]
        found = [kept.get(one.id, one) if isinstance(one, ast.Name) else one for one in found]
        yield from (f"{node.lineno}: {words(one)}" for one in found if WORD.search(words(one)))


def wrongly_looked_up(source: str) -> Iterator[str]:
    """Lookups while a module is loaded, which speak one language for ever, and of words that no catalogue has."""
    tree = ast.parse(source)
    eager, every = set(), {"stored"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
            eager |= {one.asname or one.name for one in node.names if one.name in LOOKUPS}
            every |= {one.asname or one.name for one in node.names if "gettext" in one.name}
    for node, is_inside in _with_depth(tree, False):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in every:
            continue
        if node.func.id in eager and not is_inside:
            yield f"{node.lineno}: looked up while the module is loaded"
        if node.args and isinstance(node.args[0], (ast.JoinedStr, ast.BinOp)):
            yield f"{node.lineno}: filled in before it is looked up"


def _with_depth(node: ast.AST, is_inside: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, is_inside
    is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    body = node.body if is_function else []
    for child in ast.iter_child_nodes(node):
        yield from _with_depth(child, is_inside or (is_function and (child is body or child in _listed(body))))


def _listed(body: object) -> list[ast.AST]:
    return body if isinstance(body, list) else []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_people_are_told_is_marked(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert list(unmarked(source, is_form="forms" in path.name or "views" in path.parts)) == []
    assert list(wrongly_looked_up(source)) == []


def test_the_modules_are_found() -> None:
    names = {str(path.relative_to(PACKAGE)) for path in MODULES}
    assert len(MODULES) > 150
    assert {"whatsappapi/services/sessions.py", "whatsappapi/views/sessions.py", "accounts/forms.py"} <= names


@pytest.mark.parametrize(
    "line",
    [
        'raise ServiceError("Nothing was sent.", code="x")', 'raise ServiceError(f"{name} is gone.")',
        'messages.success(request, "Saved.")', 'form.add_error(None, "Too many." if n else "")',
        'LAST = "The last one."\nraise ServiceError(LAST)',
        'forms.CharField(label="Name")', 'raise ValidationError("Choose " + name)', 'Step(at, "Left out")',
    ],
)  # fmt: skip
def test_a_sentence_that_was_forgotten_is_found(line: str) -> None:
    assert list(unmarked(line, is_form=True))


@pytest.mark.parametrize(
    "source",
    [
        'from django.utils.translation import gettext as _\nNAME = _("Name")',
        'from django.utils.translation import gettext as _\ndef f(a=_("Name")): pass',
        'from django.utils.translation import gettext as _\ndef f(n):\n    return _(f"{n} people")',
        'from django.utils.translation import gettext_lazy\ndef f(n):\n    return gettext_lazy("%s people" % n)',
    ],
)
def test_a_wrong_lookup_is_found(source: str) -> None:
    assert len(list(wrongly_looked_up(source))) == 1


def test_a_right_lookup_is_left_alone() -> None:
    source = (
        "from django.utils.translation import gettext as _, gettext_lazy\n"
        'A = gettext_lazy("Name")\ndef f():\n    return ServiceError(_("%(n)s") % {"n": 1}, code="name")\n'
        'B = lambda: _("Name")\n'
    )
    assert list(wrongly_looked_up(source)) == []
    assert list(unmarked(source, is_form=True)) == []
