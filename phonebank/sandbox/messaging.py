"""Messages after their acceptance, presence and uploads, with the session's key (contract 3.2 and 3.3)."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from .calls import Call, Refused, Route, failed, ok
from .events import message_data
from .http import Response, json_response
from .media import MediaError
from .messages import ERROR, PENDING, Message
from .sends import MAX_TEXT, invalid
from .state import iso

if TYPE_CHECKING:
    from .server import Sandbox

PRESENCES = ("composing", "recording", "available", "unavailable", "paused")
NOT_FOUND = "The specified message was not found."
NOT_YOURS = "You are not authorized to modify this message."


def _message(box: Sandbox, call: Call, *, foreign: tuple[int, str] = (404, NOT_FOUND)) -> Message:
    """The session's message named in the path. Raises Refused (404, or `foreign` for one of another session)."""
    text = call.args[0]
    found = box.ledger.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else None
    if found is None:
        raise Refused(failed(404, NOT_FOUND))
    if found.session is not call.session:
        raise Refused(failed(*foreign))
    return found


def send(box: Sandbox, call: Call) -> Response:
    """`api` carries sends out itself: their answer may have to wait for a webhook."""
    response, _ = box.sends.answer(call.session, call.body, call.request.first_byte)
    return response


def info(box: Sandbox, call: Call) -> Response:
    message = _message(box, call)
    return ok(message_data(message, message.status))


def edit(box: Sandbox, call: Call) -> Response:
    message = _message(box, call, foreign=(403, NOT_YOURS))
    text = call.body.get("text")
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
        return invalid({"text": ["The text field is required."]})
    message.content = text if isinstance(message.content, str) else message.content | {"text": text}
    box.journal.record("edit", message.id, message.content)
    data = message_data(message, PENDING)
    data["message"] = {"protocolMessage": {"key": data["key"], "editedMessage": {"conversation": text}}}
    return ok(data)


def delete(box: Sandbox, call: Call) -> Response:
    message = _message(box, call, foreign=(403, NOT_YOURS))
    message.deleted = True
    box.journal.record("deleted", message.id)
    return json_response(200, {"success": True, "message": "Message deleted successfully"})


def resend(box: Sandbox, call: Call) -> Response:
    """Only with message logging and only what failed, which therefore cannot arrive twice."""
    message = _message(box, call, foreign=(403, NOT_YOURS))
    if not call.session.settings.get("log_messages"):
        return failed(400, "Message logging is not enabled for this session.")
    if message.status != ERROR:
        return failed(400, "Only messages with status 'failed' can be resent.")
    box.sends.resend(message)
    return json_response(200, {"success": True, "message": "Message resend initiated."})


def mark_read(box: Sandbox, call: Call) -> Response:
    key = call.body.get("key")
    if not isinstance(key, dict) or not key.get("id") or not key.get("remoteJid"):
        return invalid({"key": ["The key field is required."]})
    return json_response(200, {"success": True, "message": "Message marked as read"})


def presence(box: Sandbox, call: Call) -> Response:
    body = call.body
    if not body.get("jid"):
        return invalid({"jid": ["The jid field is required."]})
    if body.get("type") not in PRESENCES:
        return invalid({"type": ["The selected type is invalid."]})
    return json_response(200, {"success": True, "message": "Presence updated"})


def upload(box: Sandbox, call: Call) -> Response:
    """Raw bytes with their type, or JSON with base64; the public address is at the top level and works for a day."""
    request = call.request
    try:
        name = box.media.take(request, call)
    except MediaError as error:
        return failed(error.status, str(error))
    host = request.headers.get("host", "localhost")
    return json_response(200, {"success": True, "publicUrl": f"http://{host}/media/{name}"})


def decrypt(box: Sandbox, call: Call) -> Response:
    """Media of an inbound message; simulated phones send none, so the address leads nowhere."""
    try:
        key = call.body["data"]["messages"]["key"]["id"]
    except (KeyError, TypeError):
        return invalid({"data.messages.key.id": ["The data.messages.key.id field is required."]})
    host = call.request.headers.get("host", "localhost")
    return json_response(
        200, {"success": True, "publicUrl": f"http://{host}/media/{key}.bin", "expires_at": iso(time() + 3600)}
    )


ROUTES = [
    Route("POST", "/send-message", "send-message", send),
    Route("GET", "/messages/{}/info", "info", info),
    Route("PUT", "/messages/{}", "edit", edit),
    Route("DELETE", "/messages/{}", "delete-message", delete),
    Route("POST", "/messages/{}/resend", "resend", resend),
    Route("POST", "/messages/read", "mark-read", mark_read),
    Route("POST", "/send-presence-update", "presence", presence),
    Route("POST", "/upload", "upload", upload),
    Route("POST", "/decrypt-media", "decrypt-media", decrypt),
]
