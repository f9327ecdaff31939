"""Faults: what goes wrong on purpose, with a probability or for the next N requests, and how it looks on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import Any

from .http import Exchange, Response, json_response
from .identity import recipient_of

HTML_502 = (
    b"<!DOCTYPE html><html><head><title>502: Bad gateway</title></head><body><h1>Bad gateway</h1>"
    b"<p>Error code 502 &bull; Ray ID: 8f3a5c0e1d2b4a69</p></body></html>"
)
# kind -> the request is carried out before it goes wrong (True, False, or as the rule's `accept` says)
KINDS: dict[str, bool | None] = {
    "reset_headers": False,
    "drop": None,
    "silence": None,
    "late": True,
    "error": None,
    "html": None,
    "answer": None,
    "cut": None,
    "drip": None,
    "429": False,
    "unauthorized": False,
    "not_connected": False,
    "disconnect": False,
}
HINTS = ("body", "header", "delta", "epoch", "bad", "all", "none")


class FaultError(ValueError):
    """A rule that makes no sense."""


@dataclass(slots=True)
class Fault:
    """One rule. See docs/sandbox.md for the kinds; `next` counts down to 0 and the rule goes, None is for ever."""

    kind: str
    endpoint: str = "send-message"  # route name, * for every one
    session: int = 0  # session id, 0 for all
    to: str = ""  # recipient, empty for all
    from_message: int = 0  # only once the session accepted this many messages
    probability: float = 1.0
    next: int | None = None
    accept: bool = True
    status: int = 0
    seconds: float = 1.0
    hint: str = "body"
    retry_after: int = 3
    body: str = "<garbage>"
    content_type: str = "application/json"
    id: int = 0

    @property
    def carries_out(self) -> bool:
        fixed = KINDS[self.kind]
        return self.accept if fixed is None else fixed

    def suits(self, endpoint: str, session_id: int, accepted: int, to: str) -> bool:
        """Is this rule about such a request?"""
        return (
            self.endpoint in ("*", endpoint)
            and self.session in (0, session_id)
            and self.to in ("", to)
            and accepted >= self.from_message
        )


FIELDS = {item.name: item for item in fields(Fault) if item.name != "id"}


def _rule(about: dict[str, Any]) -> Fault:
    for name, value in about.items():
        if name not in FIELDS:
            raise FaultError(f"{name}: no such field")
        default = Fault("drop").next if name == "next" else getattr(Fault("drop"), name)
        wanted = (int, type(None)) if name == "next" else (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise FaultError(f"{name}: wrong type")
    rule = Fault(**about)
    if rule.kind not in KINDS:
        raise FaultError("kind: one of " + ", ".join(KINDS) + " is needed")
    if rule.hint not in HINTS:
        raise FaultError("hint: one of " + ", ".join(HINTS) + " is needed")
    if rule.to:
        rule.to = recipient_of(rule.to) or ""
        if not rule.to:
            raise FaultError("to: a recipient is needed")
    return rule


class FaultBook:
    """The rules in force, asked in the order in which they were added; the first that strikes wins."""

    def __init__(self, seed: int) -> None:
        self.rules: list[Fault] = []
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._next_id = 1

    def add(self, about: dict[str, Any]) -> Fault:
        """A new rule from its JSON. Raises FaultError."""
        if not isinstance(about, dict) or "kind" not in about:
            raise FaultError("kind: missing")
        rule = _rule(about)
        rule.id, self._next_id = self._next_id, self._next_id + 1
        self.rules.append(rule)
        return rule

    def clear(self, rule_id: int = 0) -> None:
        """Removes one rule, or all."""
        self.rules = [rule for rule in self.rules if rule_id and rule.id != rule_id]

    def describe(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self.rules]

    def pick(self, endpoint: str, session_id: int, accepted: int, to: str, *, headers: bool = False) -> Fault | None:
        """The rule that strikes this request, if any. `headers` asks only for those before the body, else the rest."""
        for rule in self.rules:
            if (rule.kind == "reset_headers") is not headers or not rule.suits(endpoint, session_id, accepted, to):
                continue
            if rule.probability < 1 and self.random.random() >= rule.probability:
                continue
            if rule.next is not None:
                rule.next -= 1
                if rule.next <= 0:
                    self.rules.remove(rule)
            return rule
        return None


def too_many(rule: Fault, now: float) -> Response:
    """A 429 that says how long to wait in one of the ways known or feared (contract 5.1)."""
    seconds, hint = rule.retry_after, rule.hint
    headers = []
    payload: dict[str, Any] = {"message": "Too many requests. Please try again later."}
    if hint in ("body", "all"):
        payload["retry_after"] = seconds
    if hint in ("header", "all"):
        headers.append(("Retry-After", str(seconds)))
    if hint in ("delta", "all"):
        headers.append(("X-RateLimit-Reset", str(seconds)))
    if hint == "epoch":
        headers.append(("X-RateLimit-Reset", str(int(now) + seconds)))
    if hint == "bad":
        headers.append(("X-RateLimit-Reset", "soon"))
    return json_response(429, payload, tuple(headers))


def spoil(exchange: Exchange, rule: Fault, response: Response | None) -> None:
    """Ends the exchange as the rule says. `response` is the honest answer if the request was carried out."""
    if rule.kind == "drop":
        exchange.abort()
    elif rule.kind == "error":
        status = rule.status or 500
        exchange.answer(json_response(status, {"success": False, "message": "Server Error"}))
    elif rule.kind == "html":
        exchange.answer(Response(rule.status or 502, HTML_502, "text/html; charset=UTF-8"))
    elif rule.kind == "answer":
        exchange.answer(Response(rule.status or 200, rule.body.encode(), rule.content_type))
    elif rule.kind in ("cut", "drip"):
        honest = (response or json_response(200, {"success": True, "data": {}})).render()
        if rule.kind == "cut":
            exchange.write(honest[:-8])
            exchange.hang_up()
        else:
            _drip(exchange, honest, rule.seconds, 0)
    # silence and late: no answer is the answer


def _drip(exchange: Exchange, data: bytes, seconds: float, position: int) -> None:
    if position == len(data):
        exchange.hang_up()
    elif exchange.write(data[position : position + 1]):
        later: Callable[..., Any] = asyncio.get_running_loop().call_later
        later(seconds, _drip, exchange, data, seconds, position + 1)
