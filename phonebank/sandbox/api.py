"""The way of an API request: credential, faults, limits, the operation itself, the answer after its latency."""

from __future__ import annotations

import asyncio
import contextlib
from math import ceil
from time import time
from typing import TYPE_CHECKING

from . import compat, messaging, people, sessions
from .calls import ACCOUNT_TOKEN, Call, Refused, Route, Routes, failed
from .faults import Fault, spoil, too_many
from .http import Exchange, Request, Response, json_response
from .identity import recipient_of
from .knobs import pick
from .limits import CAPPED, Verdict
from .links import LinkError
from .sends import not_connected
from .state import Session

if TYPE_CHECKING:
    from .server import Sandbox

SEND = "send-message"
ROUTES = Routes("/api", sessions.ROUTES + messaging.ROUTES + people.ROUTES)
TRIAL = (1, 60.0, 50)  # sends: limit, seconds, per day


def handle(box: Sandbox, exchange: Exchange) -> None:
    """Answers one request under /api, now or later."""
    request = exchange.request
    route, args, known = ROUTES.find(request.method, request.path)
    if route is None and box.knobs.base.compat == "py":
        route, args, known = compat.ROUTES.find(request.method, request.path)
    if route is None:
        refusal = failed(405 if known else 404, "The route could not be found.", name="message")
        _count(box, "unknown", refusal)
        exchange.answer(refusal)
        return
    call = Call(request, args)
    try:
        _authenticate(box, route, call)
        _carry(box, exchange, route, call)
    except Refused as refused:
        _answer_later(box, exchange, route, call, refused.response)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _authenticate(box: Sandbox, route: Route, call: Call) -> None:
    """Finds whose call it is. Raises Refused (401)."""
    token = _bearer(call.request)
    if route.credential == ACCOUNT_TOKEN:
        call.account = box.world.by_token.get(token)
        if call.account is None:
            raise Refused(failed(401, "Unnotarized", name="message"))
        return
    call.session = box.world.by_key.get(token)
    if call.session is None:
        raise Refused(failed(401, "Invalid API key" if token else "API key is required", name="message"))
    call.account = box.world.accounts[call.session.account_id]


def _carry(box: Sandbox, exchange: Exchange, route: Route, call: Call) -> None:
    """Faults, then limits, then the operation. Raises Refused."""
    session = call.session
    rule = _fault(box, route, call) if box.faults.rules else None
    if rule is not None and not rule.carries_out:
        _refuse_by_fault(box, exchange, route, call, rule)
        return
    if session is not None:
        _enter(box, exchange, session)
    verdict = _limit(box, route, call)
    if verdict is not None and verdict.wait > 0:
        raise Refused(_limited(box, verdict))
    delay = rule.seconds if rule is not None and rule.kind == "late" else 0.0
    if route.name == SEND:
        if not call.account.subscribed:
            raise Refused(failed(403, "Active subscription or trial is required to use the API", name="message"))
        delay += pick(box.random, box.knobs.of(session.id, _to(route, call)).acceptance_delay)
    if delay:
        asyncio.get_running_loop().call_later(delay, _perform, box, exchange, route, call, rule, verdict)
    else:
        _perform(box, exchange, route, call, rule, verdict)


def _perform(
    box: Sandbox, exchange: Exchange, route: Route, call: Call, rule: Fault | None, verdict: Verdict | None
) -> None:
    """Does what was asked, whether or not the client still waits."""
    message = None
    try:
        if route.name == SEND:
            response, message = box.sends.answer(call.session, call.body, call.request.first_byte)
        else:
            response = route.handler(box, call)
    except Refused as refused:
        response = refused.response
    if verdict is not None:
        response.headers += _limit_headers(box, verdict)
    if message is None:
        _answer_later(box, exchange, route, call, response, rule)
    elif box.knobs.of(call.session.id, message.to).webhook_early:
        box.sends.hurry(message, lambda: _answer_later(box, exchange, route, call, response, rule))
    else:
        box.sends.begin(message)
        _answer_later(box, exchange, route, call, response, rule)


# Faults


def _to(route: Route, call: Call) -> str:
    """The recipient of a send, empty for everything else and for what is no send yet."""
    if route.name != SEND:
        return ""
    try:
        return recipient_of(call.body.get("to")) or ""
    except Refused:
        return ""


def _fault(box: Sandbox, route: Route, call: Call) -> Fault | None:
    session_id, accepted = (call.session.id, len(call.session.accepted)) if call.session else (0, 0)
    if call.session is None and call.args and call.args[0].isdigit():
        session_id = int(call.args[0])
    return box.faults.pick(route.name, session_id, accepted, _to(route, call))


def reset_at_headers(box: Sandbox, request: Request) -> bool:
    """Does a `reset_headers` rule strike? Asked before the body is there, so the recipient is not known."""
    route, _, _ = ROUTES.find(request.method, request.path)
    if route is None:
        return False
    session = box.world.by_key.get(_bearer(request))
    session_id, accepted = (session.id, len(session.accepted)) if session else (0, 0)
    struck = box.faults.pick(route.name, session_id, accepted, "", headers=True) is not None
    if struck:
        box.stats[route.name, "reset"] += 1
    return struck


def _refuse_by_fault(box: Sandbox, exchange: Exchange, route: Route, call: Call, rule: Fault) -> None:
    """A fault without the operation: a wrong refusal, or a broken answer to nothing done."""
    session = call.session
    if rule.kind == "429":
        response = too_many(rule, time())
    elif rule.kind == "unauthorized":
        response = failed(401, "Invalid API key", name="message")
    elif rule.kind in ("not_connected", "disconnect"):
        if rule.kind == "disconnect" and session is not None:
            with contextlib.suppress(LinkError):  # down already, which is what the rule wants
                box.links.drop(session)
        response = not_connected(box.knobs.of(session.id if session else 0))
        response.status = rule.status or response.status
    else:
        box.stats[route.name, rule.kind] += 1
        delay = pick(box.random, box.knobs.of(session.id if session else 0).latency)
        asyncio.get_running_loop().call_later(delay, spoil, exchange, rule, None)
        return
    _answer_later(box, exchange, route, call, response)


# Limits


def _enter(box: Sandbox, exchange: Exchange, session: Session) -> None:
    """Counts the request against the session's cap of requests at the same time. Raises Refused (429)."""
    cap = box.knobs.of(session.id).concurrency
    if cap and session.in_flight >= cap:
        payload = {"message": "Too many concurrent requests for this session.", "retry_after": 1}
        raise Refused(json_response(429, payload))
    session.in_flight += 1

    def leave() -> None:
        session.in_flight -= 1

    exchange.done = leave


def _limit(box: Sandbox, route: Route, call: Call) -> Verdict | None:
    """The limiter's word on this call, None where no limit applies."""
    session, name = call.session, route.name
    if session is None:
        rate = box.knobs.base.account_rate
        return box.limiter.check(("account", call.account.id), "account", rate, 60) if rate else None
    trial = call.account.plan == "trial"
    if name == SEND:
        knobs = box.knobs.of(session.id)
        if not knobs.rate_limit:
            return None
        if trial:
            return box.limiter.check(session.id, SEND, *TRIAL)
        if session.protected and knobs.protected_gap:
            return box.limiter.check(session.id, SEND, 1, knobs.protected_gap)
        return box.limiter.check(session.id, SEND, knobs.rate_limit, knobs.rate_window)
    if name in CAPPED:
        per_minute, per_day = CAPPED[name][:2] if trial else CAPPED[name][2:]
        return box.limiter.check(session.id, name, per_minute, 60, per_day)
    return None


def _limited(box: Sandbox, verdict: Verdict) -> Response:
    """429: a body without `success` (contract 5.1)."""
    seconds = max(ceil(verdict.wait), 1)
    payload = {"message": "Too many requests. Please try again later.", "retry_after": seconds}
    return json_response(429, payload, _limit_headers(box, verdict))


def _limit_headers(box: Sandbox, verdict: Verdict) -> tuple[tuple[str, str], ...]:
    headers = [("", verdict.limit, verdict.remaining, verdict.reset)]
    if verdict.daily is not None:
        headers.append(("Daily-", *verdict.daily))
    epoch = box.knobs.base.reset_form == "epoch"
    found = []
    for prefix, limit, remaining, reset in headers:
        when = ceil(reset) if epoch else max(ceil(reset - time()), 0)
        found += [
            (f"X-RateLimit-{prefix}Limit", str(limit)),
            (f"X-RateLimit-{prefix}Remaining", str(remaining)),
            (f"X-RateLimit-{prefix}Reset", str(when)),
        ]
    return tuple(found)


# Answers


def _count(box: Sandbox, name: str, response: Response) -> None:
    box.stats[name, response.status] += 1


def _answer_later(
    box: Sandbox, exchange: Exchange, route: Route, call: Call, response: Response, rule: Fault | None = None
) -> None:
    """Answers after the latency in force, spoilt by a rule unless the operation was refused anyway."""
    _count(box, route.name, response)
    low, high = box.knobs.of(call.session.id if call.session else 0).latency
    if rule is not None and response.status < 400:
        end, args = spoil, (exchange, rule, response)
    else:
        end, args = exchange.answer, (response,)
    if high:
        asyncio.get_running_loop().call_later(box.random.uniform(low, high), end, *args)
    else:
        end(*args)
