"""`/sandbox/...`: ground truth, knobs and the simulated world's levers. Outside the API, for this machine only.

No credentials: whoever may run programs here may turn the knobs. Foreign machines and foreign web pages may not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .calls import Call, Refused, Route, Routes, failed
from .faults import FaultError
from .http import Exchange, Request, Response, json_response
from .identity import digits_of, recipient_of
from .knobs import KnobError
from .links import LinkError
from .messages import Message
from .sends import invalid
from .sessions import describe
from .state import Inbound, Session

if TYPE_CHECKING:
    from .server import Sandbox

MOST_ENTRIES = 100_000
ACK_FORMS = ("pn", "lid", "empty")


def _is_local(name: str | None) -> bool:
    try:
        return ip_address(name or "").is_loopback
    except ValueError:
        return name == "localhost"


def is_trusted(request: Request) -> bool:
    """From this machine, by a local name (no rebinding of foreign names), and not out of a foreign web page."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    return (
        _is_local(request.peer)
        and _is_local(urlsplit(f"//{host}").hostname)
        and (origin is None or urlsplit(origin).netloc == host)
        and request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    )


def handle(box: Sandbox, exchange: Exchange) -> None:
    """Answers one request under /sandbox."""
    request = exchange.request
    if not is_trusted(request):
        exchange.answer(failed(403, "Only from this machine."))
        return
    route, args, known = ROUTES.find(request.method, request.path)
    if route is None:
        exchange.answer(failed(405 if known else 404, "No such lever; see docs/sandbox.md."))
        return
    try:
        exchange.answer(route.handler(box, Call(request, args)))
    except Refused as refused:
        exchange.answer(refused.response)
    except (KnobError, FaultError, LinkError) as error:
        exchange.answer(failed(422, str(error)))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _session(box: Sandbox, text: str, *, former: bool = False) -> Session:
    """The session with this id, also a deleted one if `former`. Raises Refused (404)."""
    number = _whole(text)
    session = box.world.sessions.get(number) or (box.world.former.get(number) if former else None)
    if session is None:
        raise Refused(failed(404, "No such session."))
    return session


def _digits(value: Any, name: str) -> str:
    digits = digits_of(value)
    if digits is None:
        raise Refused(invalid({name: ["A telephone number is needed."]}))
    return digits


# Ledger


def _scope(box: Sandbox, call: Call) -> Session | None:
    text = call.query.get("session")
    return _session(box, text, former=True) if text else None


def ledger(box: Sandbox, call: Call) -> Response:
    """Totals, and with `?to=` what one recipient got."""
    session, to = _scope(box, call), recipient_of(call.query.get("to"))
    if to is None:
        return json_response(200, box.ledger.summary(session))
    entries = [message.entry() for message in box.ledger.to(to) if session in (None, message.session)]
    return json_response(200, {"to": to, "accepted": len(entries), "entries": entries})


def recipients(box: Sandbox, call: Call) -> Response:
    """Recipient -> number of accepted messages, from `min` on."""
    least = call.page("min", 1, 10**9)
    counts = box.ledger.counts(_scope(box, call))
    return json_response(200, {to: count for to, count in counts if count >= least})


def entries(box: Sandbox, call: Call) -> Response:
    """Full entries in order of acceptance, after msgId `after`, at most `limit`."""
    session = _scope(box, call)
    after, limit = _whole(call.query.get("after", "")), call.page("limit", 1000, MOST_ENTRIES)
    if session is None:
        start = max(after + 1 - box.ledger.first_id, 0)
        found: list[Message] = box.ledger.messages[start : start + limit]
    else:
        found = [message for message in session.accepted if message.id > after][:limit]
    last = found[-1].id if len(found) == limit else None
    return json_response(200, {"entries": [message.entry() for message in found], "next_after": last})


# Knobs and faults


def _target(box: Sandbox, call: Call) -> dict[str, Any]:
    query = call.query
    if "number" in query:
        to = recipient_of(query["number"])
        if to is None:
            raise Refused(invalid({"number": ["A recipient is needed."]}))
        return {"number": to}
    return {"session_id": _session(box, query["session"]).id} if "session" in query else {}


def read_knobs(box: Sandbox, call: Call) -> Response:
    return json_response(200, box.knobs.describe())


def turn_knobs(box: Sandbox, call: Call) -> Response:
    """For all, for `?session=ID` or for the recipient `?number=`."""
    box.knobs.change(call.body, **_target(box, call))
    return read_knobs(box, call)


def restore_knobs(box: Sandbox, call: Call) -> Response:
    box.knobs.restore()
    return read_knobs(box, call)


def read_faults(box: Sandbox, call: Call) -> Response:
    return json_response(200, box.faults.describe())


def add_fault(box: Sandbox, call: Call) -> Response:
    return json_response(201, asdict(box.faults.add(call.body)))


def remove_faults(box: Sandbox, call: Call) -> Response:
    box.faults.clear(_whole(call.args[0]) if call.args else 0)
    return read_faults(box, call)


def seed(box: Sandbox, call: Call) -> Response:
    """Starts all chance anew from `seed`."""
    number = call.body.get("seed")
    if isinstance(number, bool) or not isinstance(number, int):
        return invalid({"seed": ["A whole number is needed."]})
    for random in (box.random, box.faults.random, box.sends.random, box.events.random):
        random.seed(number)
    return json_response(200, {"seed": number})


# Sessions and phones


def sessions(box: Sandbox, call: Call) -> Response:
    return json_response(200, [describe_phone(box, session) for session in box.world.sessions.values()])


def describe_phone(box: Sandbox, session: Session) -> dict[str, Any]:
    """A session with its secrets, whose it is, the linked number and the code that waits for a scan."""
    beside = {"account": session.account_id, "linked": session.linked, "qr": session.qr}
    return describe(box, session, secret=True) | beside | {"accepted": len(session.accepted)}


def session(box: Sandbox, call: Call) -> Response:
    return json_response(200, describe_phone(box, _session(box, call.args[0])))


def scan(box: Sandbox, call: Call) -> Response:
    """The session's phone scans; `number` lets another phone do it."""
    number = call.body.get("number")
    phone = _session(box, call.args[0])
    box.links.scan(phone, _digits(number, "number") if number else "")
    return json_response(200, describe_phone(box, phone))


def _lever(name: str) -> Callable[[Sandbox, Call], Response]:
    def pull(box: Sandbox, call: Call) -> Response:
        phone = _session(box, call.args[0])
        getattr(box.links, name)(phone)
        return json_response(200, describe_phone(box, phone))

    return pull


def receive(box: Sandbox, phone: Session, digits: str, text: str, *, lid_only: bool = False) -> Inbound:
    """A person's phone writes to the session's number."""
    inbound = box.world.add_inbound(phone, digits, text, lid_only=lid_only)
    box.events.received(phone, inbound)
    return inbound


def inbound(box: Sandbox, call: Call) -> Response:
    body = call.body
    text = body.get("text")
    if not isinstance(text, str) or not text:
        return invalid({"text": ["A text is needed."]})
    return _received(box, call, text)


def stop(box: Sandbox, call: Call) -> Response:
    return _received(box, call, "STOP")


def _received(box: Sandbox, call: Call, text: str) -> Response:
    phone = _session(box, call.args[0])
    digits = _digits(call.body.get("from"), "from")
    message = receive(box, phone, digits, text, lid_only=call.body.get("lid_only") is True)
    return json_response(200, asdict(message))


def event(box: Sandbox, call: Call) -> Response:
    """Posts any event as it is given, to see what a subscriber makes of it."""
    name = call.body.get("event")
    if not isinstance(name, str) or "data" not in call.body:
        return invalid({"event": ["An event and its data are needed."]})
    box.events.emit(_session(box, call.args[0]), name, call.body["data"])
    return json_response(202, {"event": name})


def ack(box: Sandbox, call: Call) -> Response:
    """The ack shape of `messages.update`: somebody sent or read by hand on the phone."""
    body = call.body
    form, status = body.get("form", "pn"), body.get("status", 4)
    if form not in ACK_FORMS or isinstance(status, bool) or not isinstance(status, int):
        return invalid({"form": ["One of " + ", ".join(ACK_FORMS) + " is needed."]})
    digits = _digits(body.get("number"), "number")
    phone = _session(box, call.args[0])
    box.events.acknowledged(phone, digits, status, from_me=body.get("from_me") is not False, form=form)
    return json_response(202, {"form": form, "status": status})


# The rest


def stats(box: Sandbox, call: Call) -> Response:
    """Answers per operation and status, webhooks, connections."""
    requests: dict[str, dict[str, int]] = {}
    for (endpoint, outcome), count in box.stats.items():
        requests.setdefault(endpoint, {})[str(outcome)] = count
    too_many = sum(outcomes.get("429", 0) for outcomes in requests.values())
    webhooks = dict(box.courier.counts) | {"waiting": box.courier.waiting}
    return json_response(
        200,
        {"requests": requests, "429": too_many, "webhooks": webhooks, "connections": len(box.connections)},
    )


def reset(box: Sandbox, call: Call) -> Response:
    box.reset(sessions=call.body.get("sessions") is True)
    return json_response(200, {"reset": True})


def accounts(box: Sandbox, call: Call) -> Response:
    return json_response(200, [asdict(account) for account in box.world.accounts.values()])


def _account_fields(call: Call) -> dict[str, Any]:
    wanted = {"name": str, "plan": str, "subscribed": bool, "session_limit": int}
    body = {name: value for name, value in call.body.items() if name in wanted}
    for name, value in body.items():
        if type(value) is not wanted[name] or (name == "plan" and value not in ("paid", "trial")):
            raise Refused(invalid({name: ["The value is invalid."]}))
    return body


def add_account(box: Sandbox, call: Call) -> Response:
    return json_response(201, asdict(box.world.add_account(**_account_fields(call))))


def change_account(box: Sandbox, call: Call) -> Response:
    account = box.world.accounts.get(_whole(call.args[0]))
    if account is None:
        return failed(404, "No such account.")
    for name, value in _account_fields(call).items():
        setattr(account, name, value)
    box.world.record_account(account)
    return json_response(200, asdict(account))


def _routes() -> list[Route]:
    levers = {"drop": "drop", "restore": "restore", "logout": "log_out", "expire": "expire"}
    table = [
        ("GET", "/ledger", ledger),
        ("GET", "/ledger/recipients", recipients),
        ("GET", "/ledger/entries", entries),
        ("GET", "/knobs", read_knobs),
        ("PATCH", "/knobs", turn_knobs),
        ("DELETE", "/knobs", restore_knobs),
        ("GET", "/faults", read_faults),
        ("POST", "/faults", add_fault),
        ("DELETE", "/faults", remove_faults),
        ("DELETE", "/faults/{}", remove_faults),
        ("POST", "/seed", seed),
        ("GET", "/sessions", sessions),
        ("GET", "/sessions/{}", session),
        ("POST", "/sessions/{}/scan", scan),
        ("POST", "/sessions/{}/inbound", inbound),
        ("POST", "/sessions/{}/stop", stop),
        ("POST", "/sessions/{}/event", event),
        ("POST", "/sessions/{}/ack", ack),
        ("GET", "/stats", stats),
        ("POST", "/reset", reset),
        ("GET", "/accounts", accounts),
        ("POST", "/accounts", add_account),
        ("PATCH", "/accounts/{}", change_account),
        *(("POST", f"/sessions/{{}}/{path}", _lever(name)) for path, name in levers.items()),
    ]
    return [Route(method, path, path, handler) for method, path, handler in table]


ROUTES = Routes("/sandbox", _routes())
