"""The phones page: small pages for this machine on which a person plays the recipients. Works without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from . import pages
from .admin import is_trusted, receive
from .calls import Call, Refused, Route, Routes
from .http import Exchange, Response
from .identity import digits_of, recipient_of
from .links import LinkError
from .messages import Message
from .state import Inbound, Session

if TYPE_CHECKING:
    from .server import Sandbox

SHOWN = 60  # people in a list, and bubbles per direction in a chat
LOOKED_THROUGH = 2000  # newest messages in which the list looks for people
HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)
ASSETS = {
    name: (Path(__file__).with_name(name).read_bytes(), content_type)
    for name, content_type in (("phones.css", "text/css"), ("phones.js", "text/javascript"))
}
LEVERS = {"scan": "scan", "drop": "drop", "restore": "restore", "logout": "log_out", "connect": "connect"}


def handle(box: Sandbox, exchange: Exchange) -> None:
    """Answers one request for a page or a press of one of its buttons."""
    request = exchange.request
    if not is_trusted(request):
        exchange.answer(_page(pages.problem("Only from this machine."), 403))
        return
    route, args, known = ROUTES.find(request.method, request.path)
    if route is None:
        exchange.answer(_page(pages.problem("There is no such page."), 405 if known else 404))
        return
    try:
        exchange.answer(route.handler(box, Call(request, args)))
    except Refused as refused:
        exchange.answer(refused.response)


def _page(html: str, status: int = 200) -> Response:
    return Response(status, html.encode(), "text/html; charset=utf-8", HEADERS)


def _missing(text: str) -> Refused:
    return Refused(_page(pages.problem(text), 404))


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.request.body.decode("utf-8", "replace")))


def _back(call: Call, note: str = "") -> Response:
    """To the page that the button was on, with a word about what went wrong."""
    came_from = urlsplit(call.request.headers.get("referer", ""))
    path = came_from.path if came_from.netloc == call.request.headers.get("host") else "/"
    where = quote(path or "/", safe="/+@%") + ("?" + urlencode({"note": note}) if note else "")
    return Response(303, b"", "text/plain", (("Location", where), *HEADERS))


def _session(box: Sandbox, text: str) -> Session:
    session = box.world.sessions.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else None
    if session is None:
        raise _missing("There is no such number.")
    return session


def _recipient(call: Call) -> str:
    to = recipient_of(call.args[0])
    if to is None:
        raise _missing("This is no telephone number.")
    return to


# What the lists show


def _latest(box: Sandbox, wanted: str, session: Session | None) -> list[tuple[str, Message | Inbound]]:
    """Each person's newest message, newest person first; `wanted` is a part of the number."""
    sent = session.accepted if session else box.ledger.messages
    phones = [session] if session else box.world.sessions.values()
    latest: dict[str, Message | Inbound] = {}
    for message in sent[-LOOKED_THROUGH:]:
        latest[message.to] = message
    for phone in phones:
        for inbound in phone.inbound[-LOOKED_THROUGH:]:
            known = latest.get("+" + inbound.digits)
            if known is None or pages.moment(known) < inbound.at:
                latest["+" + inbound.digits] = inbound
    if wanted and (to := recipient_of(wanted)) is not None and to not in latest and (found := box.ledger.to(to)):
        latest[to] = found[-1]
    part = wanted.lstrip("+")
    people = [(to, message) for to, message in latest.items() if part in to]
    people.sort(key=lambda item: pages.moment(item[1]), reverse=True)
    return people[:SHOWN]


def overview(box: Sandbox, call: Call) -> Response:
    wanted = call.query.get("q", "").strip()
    people = _latest(box, wanted, None)
    sessions = list(box.world.sessions.values())
    html = pages.overview(sessions, people, box.ledger.summary(), wanted=wanted, note=call.query.get("note", ""))
    return _page(html)


def number(box: Sandbox, call: Call) -> Response:
    session = _session(box, call.args[0])
    people = _latest(box, "", session)
    summary = box.ledger.summary(session)
    return _page(pages.number(session, people, summary, note=call.query.get("note", "")))


def chat(box: Sandbox, call: Call) -> Response:
    """One person's phone: everything that arrived, from whichever number, and what the person wrote."""
    to = _recipient(call)
    arrived = box.ledger.to(to)[-SHOWN:]
    sessions = list(box.world.sessions.values())
    wrote = [(inbound, phone) for phone in sessions for inbound in phone.inbound if "+" + inbound.digits == to]
    bubbles = [(message, message.session) for message in arrived] + wrote[-SHOWN:]
    bubbles.sort(key=lambda item: pages.moment(item[0]))
    # Whoever wrote last is whom a reply goes to.
    partners = list(dict.fromkeys(phone.id for _, phone in reversed(bubbles)))
    known = [box.world.sessions[number] for number in partners if number in box.world.sessions]
    return _page(pages.chat(to, bubbles, known or sessions, note=call.query.get("note", "")))


# Buttons


def pull(box: Sandbox, call: Call) -> Response:
    session = _session(box, call.args[0])
    lever = LEVERS.get(call.args[1])
    if lever is None:
        raise _missing("There is no such button.")
    try:
        getattr(box.links, lever)(session)
    except LinkError as error:
        return _back(call, str(error))
    return _back(call)


def reply(box: Sandbox, call: Call) -> Response:
    form = _form(call)
    text = form.get("text", "").strip()
    return _write(box, call, form, text) if text else _back(call, "Write something first.")


def stop(box: Sandbox, call: Call) -> Response:
    return _write(box, call, _form(call), "STOP")


def _write(box: Sandbox, call: Call, form: dict[str, str], text: str) -> Response:
    digits = digits_of(_recipient(call))
    if digits is None:
        raise _missing("Only people can reply.")
    receive(box, _session(box, form.get("session", "")), digits, text, lid_only="lid_only" in form)
    return _back(call)


def asset(box: Sandbox, call: Call) -> Response:
    found = ASSETS.get(call.args[0])
    if found is None:
        raise _missing("There is no such file.")
    return Response(200, found[0], f"{found[1]}; charset=utf-8", HEADERS[2:])


ROUTES = Routes(
    "",
    [
        Route("GET", "/", "phones", overview),
        Route("GET", "/numbers/{}", "number", number),
        Route("POST", "/numbers/{}/{}", "lever", pull),
        Route("GET", "/people/{}", "chat", chat),
        Route("POST", "/people/{}/reply", "reply", reply),
        Route("POST", "/people/{}/stop", "stop", stop),
        Route("GET", "/assets/{}", "asset", asset),
    ],
)
