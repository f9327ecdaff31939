"""Small wrong changes to a file: each one that no test notices is a rule that no test holds.

Written here because most of the send path is SQL, which no tool that we know of changes.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "is not": "is",
             "in": "not in", "not in": "in", "and": "or", "or": "and", "+": "-", "-": "+", "*": "/", "//": "*",
             "%": "*"}  # fmt: skip
SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
         ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.And: "and", ast.Or: "or", ast.Add: "+",
         ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%"}  # fmt: skip
SILENT = ("annotation", "returns", "decorator_list", "bases", "keywords")  # of definitions
# Where it is found in a line of SQL, and what it becomes.
SQL = [
    (r"(?<![<>!=])<=", "<"), (r"(?<![<>!=-])<(?![=>@-])", "<="), (r"(?<![<>!=])>=", ">"),
    (r"(?<![-=<>@])>(?![=>])", ">="), (r"<>", "="), (r"\bIS NULL\b", "IS NOT NULL"), (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bAND\b(?!.*\bFOLLOWING)", "OR"), (r"\bOR\b", "AND"), (r"(?<!IS )\bNOT (?!MATERIALIZED|NULL|EXISTS SELECT)", ""),
    (r"\bleast\(", "greatest("), (r"\bgreatest\(", "least("), (r" \+ ", " - "), (r" - ", " + "),
    (r"\btrue\b", "false"), (r"\bfalse\b", "true"), (r"\bmin\(", "max("), (r"\bmax\(", "min("), (r" DESC\b", ""),
]  # fmt: skip
CONDITION = re.compile(r"\b(WHERE|AND|OR|ON|WHEN|NOT)\b")
IS_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT|DELETE|WHERE|CASE WHEN|IS NULL|AND)\b")
TALK = {"log", "logger", "LOG"}  # what is written to the log is for people


@dataclass(frozen=True, slots=True)
class Mutant:
    """`start` to `end` (bytes) of the file become `new`. `line` counts from 1; `name` is what holds a piece of SQL."""

    line: int
    start: int
    end: int
    old: str
    new: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.line}: {' '.join(self.old.split())[:50]} -> {' '.join(self.new.split())[:50] or 'nothing'}"

    def of(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants(source: bytes) -> list[Mutant]:
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = [*_Python(source, starts).walk(tree), *_sql(source, starts, tree)]
    return [one for one in found if _is_valid(one.of(source))]


def _is_valid(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


class _Python:
    def __init__(self, source: bytes, starts: list[int]) -> None:
        self.source, self.starts = source, starts

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def mutant(self, node: ast.expr | ast.stmt, new: str, start: int = -1, end: int = -1) -> Mutant:
        if start < 0:
            start, end = self.span(node)
        line = self.source.count(b"\n", 0, start) + 1
        return Mutant(line, start, end, self.source[start:end].decode(), new)

    def walk(self, node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        yield from self.of(node)
        for name, value in ast.iter_fields(node):
            if name in (
                "annotation",
                "returns",
                "decorator_list",
                "type_params",
                "bases",
                "keywords",
            ) and not isinstance(node, ast.Call):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                    yield from self.walk(child)

    def of(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Compare():
                parts = [node.left, *node.comparators]
                for sign, left, right in zip(node.ops, parts, parts[1:], strict=False):
                    yield from self.between(left, right, SIGNS[type(sign)])
            case ast.BoolOp():
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self.between(left, right, SIGNS[type(node.op)])
            case ast.BinOp() if type(node.op) in SIGNS and not _is_text(node.left):
                yield from self.between(node.left, node.right, SIGNS[type(node.op)])
            case ast.UnaryOp(op=ast.Not()):
                yield self.mutant(node, f"({ast.unparse(node.operand)})")
            case ast.Constant(value=bool()):
                yield self.mutant(node, str(not node.value))
            case ast.Constant(value=int() | float()):
                yield self.mutant(node, repr(node.value * 2 if node.value > 2 else node.value + 1))
            case ast.If() | ast.While() | ast.IfExp() if not isinstance(node.test, ast.Constant):
                yield self.mutant(node.test, f"(not ({ast.unparse(node.test)}))")
            case ast.Return(value=ast.expr()) if not _is_nothing(node.value):
                yield self.mutant(node.value, "None")
            case ast.Raise() | ast.Delete() | ast.AugAssign() | ast.Continue() | ast.Break():
                yield self.mutant(node, "pass")
            case ast.Expr(value=ast.Call() | ast.Await()) if not _is_talk(node.value):
                yield self.mutant(node, "pass")

    def between(self, left: ast.expr, right: ast.expr, sign: str) -> Iterator[Mutant]:
        begin, end = self.span(left)[1], self.span(right)[0]
        if found := re.search(rb"(?<![\w<>=!])" + re.escape(sign.encode()) + rb"(?![\w<>=!])", self.source[begin:end]):
            yield self.mutant(left, OPERATORS[sign], begin + found.start(), begin + found.end())


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_talk(node: ast.expr) -> bool:
    call = node.value if isinstance(node, ast.Await) else node
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in TALK
    )


def _sql(source: bytes, starts: list[int], tree: ast.Module) -> Iterator[Mutant]:
    """In every text that reads like SQL."""
    docs = {id(node.body[0].value) for node in ast.walk(tree) if _has_doc(node)}  # type: ignore[attr-defined]
    described = {node.lineno for node in ast.walk(tree) if id(node) in docs and isinstance(node, ast.expr)}
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.FunctionDef):
            name = node.name if isinstance(node, ast.FunctionDef) else ast.unparse(node.targets[0])
            names |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), name)
    lines = source.splitlines(keepends=True)
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type != tokenize.STRING or token.start[0] in described or not IS_SQL.search(token.string):
            continue
        for number in range(token.start[0], token.end[0] + 1):
            line = lines[number - 1].decode()
            begin = token.start[1] if number == token.start[0] else 0
            end = token.end[1] if number == token.end[0] else len(line)
            for place, old, new in _changes(line, begin, end):
                start = starts[number - 1] + len(line[:place].encode())
                yield Mutant(number, start, start + len(old.encode()), old, new, names.get(number, ""))


def _changes(line: str, begin: int, end: int) -> Iterator[tuple[int, str, str]]:
    if line.strip().startswith("--") or " BETWEEN " in line:
        return
    rules = [*SQL, (r"(?<= )=(?= )", "<>")] if CONDITION.search(line) else SQL
    for pattern, new in rules:
        for found in re.finditer(pattern, line[:end]):
            if found.start() >= begin and not _is_in_braces(line, found.start()):
                yield found.start(), found.group(), new


def _is_in_braces(line: str, place: int) -> bool:
    return line.rfind("{", 0, place) > line.rfind("}", 0, place)


def _has_doc(node: ast.AST) -> bool:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
