"""One API call on its way to its answer, and the table that finds who answers it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from .http import Request, Response, json_response
from .state import Account, Session

if TYPE_CHECKING:
    from .server import Sandbox

SESSION_KEY = "session key"
ACCOUNT_TOKEN = "account token"  # noqa: S105 - a kind of credential, not one


class Refused(Exception):
    """The call ends with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def ok(data: Any, **beside: Any) -> Response:
    """200 in the usual envelope."""
    return json_response(200, {"success": True, "data": data, **beside})


def failed(status: int, error: str, *, name: str = "error") -> Response:
    """A refusal; session and utility routes name the text `error`, the others `message` (contract 6)."""
    return json_response(status, {"success": False, name: error})


class Call:
    """A matched request: the placeholders of its path in `args`, its JSON object in `body`, and whose it is."""

    __slots__ = ("_body", "account", "args", "request", "session")

    def __init__(self, request: Request, args: tuple[str, ...]) -> None:
        self.request = request
        self.args = args
        self.session: Session | None = None
        self.account: Account | None = None
        self._body: dict[str, Any] | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the body; an empty body is an empty object. Raises Refused (400) for anything else."""
        if self._body is None:
            try:
                value = json.loads(str(self.request.body, "utf-8")) if self.request.body else {}
            except (ValueError, RecursionError):
                raise Refused(failed(400, "The request body is not valid JSON.", name="message")) from None
            if not isinstance(value, dict):
                raise Refused(failed(400, "The request body must be a JSON object.", name="message"))
            self._body = value
        return self._body

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.request.query))

    def page(self, name: str, default: int, largest: int) -> int:
        """A positive number from the query, `default` when it is missing or none."""
        text = self.query.get(name, "")
        return min(max(int(text), 1), largest) if text.isascii() and text.isdigit() else default


Handler = Callable[["Sandbox", Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """Method and path (placeholders are `{}`) of one operation, its name for faults and statistics, its credential."""

    method: str
    path: str
    name: str
    handler: Handler
    credential: str = SESSION_KEY


class Routes:
    """Finds the route of a request: fixed paths by one look-up, the others by number of segments."""

    def __init__(self, prefix: str, routes: list[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._open: dict[int, list[tuple[list[str], Route]]] = {}
        for route in routes:
            path = prefix + route.path
            if "{}" in path:
                parts = path.split("/")
                self._open.setdefault(len(parts), []).append((parts, route))
            else:
                self._fixed.setdefault(path, {})[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route | None, tuple[str, ...], bool]:
        """(route, arguments, is the path known). A known path without a route wants another method."""
        methods = self._fixed.get(path)
        if methods is not None and method in methods:
            return methods[method], (), True
        parts = path.split("/")
        known = methods is not None
        for pattern, route in self._open.get(len(parts), ()):
            if all(wanted in ("{}", part) for wanted, part in zip(pattern, parts, strict=True)):
                known = True
                if route.method == method:
                    found = (unquote(part) for wanted, part in zip(pattern, parts, strict=True) if wanted == "{}")
                    return route, tuple(found), True
        return None, (), known
