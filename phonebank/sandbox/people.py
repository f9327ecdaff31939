"""Contacts and identity, with the session's key (contract 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .calls import Call, Refused, Route, failed, ok
from .http import Response, json_response
from .identity import PN_SUFFIX, digits_of, digits_of_lid, lid_of
from .sends import invalid
from .state import Session

if TYPE_CHECKING:
    from .server import Sandbox

NO_NUMBER = "Phone number not found or invalid."


def _registered(box: Sandbox, session: Session, digits: str | None) -> bool:
    return digits is not None and "+" + digits not in box.knobs.of(session.id, "+" + digits).unregistered


def on_whatsapp(box: Sandbox, call: Call) -> Response:
    name = call.args[0]
    exists = name.startswith("@") or _registered(box, call.session, digits_of(name))
    return ok({"exists": exists})


def lid_from_number(box: Sandbox, call: Call) -> Response:
    digits = digits_of(call.args[0])
    if not _registered(box, call.session, digits):
        return failed(404, NO_NUMBER)
    return ok({"lid": lid_of(digits)})


def number_from_lid(box: Sandbox, call: Call) -> Response:
    digits = digits_of_lid(call.args[0]) if box.knobs.of(call.session.id).resolve_lids else None
    if digits is None:
        return failed(404, "LID not found or invalid.")
    return ok({"pn": digits + PN_SUFFIX})


def _contact(box: Sandbox, session: Session, digits: str) -> dict[str, Any]:
    name = session.contacts.get(digits)
    about = {
        "jid": digits + PN_SUFFIX,
        "name": name,
        "notify": name or f"Phone {digits[-4:]}",
        "verifiedName": None,
        "imgUrl": None,
        "status": "",
    }
    if box.knobs.of(session.id).compat == "py":
        about["id"] = about["jid"]
    return about


def _people(session: Session) -> list[str]:
    """Everybody this session has to do with: saved, written to, heard from."""
    written = (message.to[1:] for message in session.accepted if message.to.startswith("+"))
    heard = (inbound.digits for inbound in session.inbound)
    return list(dict.fromkeys([*session.contacts, *written, *heard]))


def contacts(box: Sandbox, call: Call) -> Response:
    people = _people(call.session)
    if call.query.get("paginated") != "true":
        return ok([_contact(box, call.session, digits) for digits in people])
    page, limit = call.page("page", 1, 10**9), call.page("limit", 50, 500)
    items = [_contact(box, call.session, digits) for digits in people[(page - 1) * limit : page * limit]]
    pages = max((len(people) + limit - 1) // limit, 1)
    return ok({"items": items, "pagination": {"page": page, "limit": limit, "total": len(people), "totalPages": pages}})


def _named(call: Call) -> str:
    """The digits of the contact in the path. Raises Refused (404)."""
    digits = digits_of(call.args[0])
    if digits is None:
        raise Refused(failed(404, "Contact not found."))
    return digits


def contact(box: Sandbox, call: Call) -> Response:
    return ok(_contact(box, call.session, _named(call)))


def picture(box: Sandbox, call: Call) -> Response:
    _named(call)
    return ok({"imgUrl": None})


def upsert(box: Sandbox, call: Call) -> Response:
    digits, name = digits_of(call.body.get("jid")), call.body.get("fullName")
    if digits is None:
        return invalid({"jid": ["The jid field is required."]})
    call.session.contacts[digits] = name if isinstance(name, str) else ""
    box.journal.record("contact", call.session.id, digits, call.session.contacts[digits])
    return json_response(200, {"success": True, "message": "Contact saved"})


def block(box: Sandbox, call: Call) -> Response:
    call.session.blocked.add(_named(call))
    return ok({"message": "Contact blocked"})


def unblock(box: Sandbox, call: Call) -> Response:
    call.session.blocked.discard(_named(call))
    return ok({"message": "Contact unblocked"})


def groups(box: Sandbox, call: Call) -> Response:
    """Simulated phones are in no group."""
    return ok([])


ROUTES = [
    Route("GET", "/on-whatsapp/{}", "on-whatsapp", on_whatsapp),
    Route("GET", "/lid-from-pn/{}", "lid-from-pn", lid_from_number),
    Route("GET", "/pn-from-lid/{}", "pn-from-lid", number_from_lid),
    Route("GET", "/contacts", "contacts", contacts),
    Route("PUT", "/contacts", "save-contact", upsert),
    Route("GET", "/contacts/{}", "contact", contact),
    Route("GET", "/contacts/{}/picture", "picture", picture),
    Route("POST", "/contacts/{}/block", "block", block),
    Route("POST", "/contacts/{}/unblock", "unblock", unblock),
    Route("GET", "/groups", "groups", groups),
]
