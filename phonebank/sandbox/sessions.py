"""The session endpoints: everything under `/whatsapp-sessions`, with a personal access token (contract 2)."""

from __future__ import annotations

import re
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .calls import ACCOUNT_TOKEN, Call, Refused, Route, failed, ok
from .http import Response, json_response
from .identity import PN_SUFFIX, digits_of, lid_of
from .links import LinkError
from .messages import log_item, visible_log
from .sends import invalid
from .state import CONNECTED, NEED_PASSKEY, NEED_SCAN, SETTINGS, Session, iso

if TYPE_CHECKING:
    from .server import Sandbox

NOT_FOUND = "The specified session was not found."
NO_PLAN = "You need to have an active subscription to use this feature."
LIMIT = "You have reached your WhatsApp session limit. Please upgrade your plan."
FLAGS = [name for name, default in SETTINGS.items() if isinstance(default, bool)]
REQUIRED = ("name", "phone_number", "account_protection", "log_messages")
LOCAL_HOST = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?\Z")
PER_PAGE = 10
MOST_PER_PAGE = 1000


def describe(box: Sandbox, session: Session, *, secret: bool) -> dict[str, Any]:
    """The Session object; `secret` adds API key and webhook secret, which lists never carry (contract 2.1)."""
    about = {
        "id": session.id,
        **session.settings,
        "status": session.status,
        "created_at": iso(session.created_at),
        "updated_at": iso(session.updated_at),
    }
    old_python = box.knobs.of(session.id).compat == "py"
    if secret or old_python:
        about |= {"api_key": session.api_key, "webhook_secret": session.webhook_secret}
    if old_python:
        about |= {"user_id": session.account_id, "session_data": {}, "last_active_at": iso(session.updated_at)}
        events = session.settings["webhook_events"]
        about["webhook_events"] = [event for event in events or () if event != "messages.received"]
    return about


def own_session(box: Sandbox, call: Call) -> Session:
    """The session named in the path if it is the account's. Raises Refused (404)."""
    text = call.args[0]
    session = box.world.sessions.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 19 else None
    if session is None or session.account_id != call.account.id:
        raise Refused(failed(404, NOT_FOUND))
    return session


def _webhook_url_ok(url: Any) -> bool:
    """HTTPS as at the service, or plain HTTP to this machine, where the sandbox's subscribers live."""
    parts = urlsplit(url) if isinstance(url, str) and len(url) <= 2048 else None
    if parts is None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and LOCAL_HOST.match(parts.netloc) is not None)


def _checked(box: Sandbox, body: dict[str, Any], session: Session | None) -> dict[str, Any]:
    """The settings in a create or update. Raises Refused (422)."""
    given = {name: body[name] for name in SETTINGS if name in body}
    errors: dict[str, list[str]] = {}
    if session is None:
        for name in REQUIRED:
            if given.get(name) in (None, ""):
                errors[name] = [f"The {name.replace('_', ' ')} field is required."]
    for name in FLAGS:
        if name in given and not isinstance(given[name], bool):
            errors.setdefault(name, [f"The {name.replace('_', ' ')} field must be true or false."])
    if "name" in given and not (isinstance(given["name"], str) and 0 < len(given["name"]) <= 255):
        errors.setdefault("name", ["The name field must be a string of at most 255 characters."])
    if "phone_number" in given and "phone_number" not in errors:
        digits = digits_of(given["phone_number"])
        if digits is None:
            errors["phone_number"] = ["The phone number field format is invalid."]
        elif box.world.number_taken(digits, session):
            errors["phone_number"] = ["The phone number has already been taken."]
    url, events = given.get("webhook_url"), given.get("webhook_events")
    if url is not None and not _webhook_url_ok(url):
        errors["webhook_url"] = ["The webhook url must be a valid HTTPS URL."]
    if events is not None and not (isinstance(events, list) and all(isinstance(event, str) for event in events)):
        errors["webhook_events"] = ["The webhook events field must be an array."]
    proxy = given.get("proxy_url")
    if proxy is not None and not (isinstance(proxy, str) and proxy.startswith(("http://", "https://", "socks5://"))):
        errors["proxy_url"] = ["The proxy url format is invalid."]
    if errors:
        raise Refused(invalid(errors))
    return given


def check_token(box: Sandbox, call: Call) -> Response:
    return json_response(200, {"success": True})


def list_sessions(box: Sandbox, call: Call) -> Response:
    return ok([describe(box, session, secret=False) for session in box.world.sessions_of(call.account)])


def create(box: Sandbox, call: Call) -> Response:
    account = call.account
    if not account.subscribed:
        return failed(403, NO_PLAN)
    settings = SETTINGS | _checked(box, call.body, None)
    if account.session_limit and len(box.world.sessions_of(account)) >= account.session_limit:
        return failed(403, LIMIT)
    session = box.world.add_session(account, settings)
    return json_response(box.knobs.base.create_status, {"success": True, "data": describe(box, session, secret=True)})


def read(box: Sandbox, call: Call) -> Response:
    return ok(describe(box, own_session(box, call), secret=True))


def update(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    session.settings.update(_checked(box, call.body, session))
    session.updated_at = time()
    box.world.save(session)
    return ok(describe(box, session, secret=True))


def delete(box: Sandbox, call: Call) -> Response:
    box.world.remove_session(own_session(box, call))
    return Response(204)


def connect(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    if not call.account.subscribed:
        return failed(403, NO_PLAN)
    method = call.body.get("linkMethod", "qr")
    if method not in ("qr", "passkey"):
        return invalid({"linkMethod": ["The selected link method is invalid."]})
    answer = box.links.connect(session, method)
    if box.knobs.of(session.id).compat == "py":
        answer = answer | {"status": answer["status"].lower()}
    return ok(answer)


def qr_code(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    if not call.account.subscribed:
        return failed(403, NO_PLAN)
    if session.status != NEED_SCAN:
        return failed(400, "Session is not in NEED_SCAN state. Please call the connect endpoint first.")
    return ok({"qrCode": session.qr})


def disconnect(box: Sandbox, call: Call) -> Response:
    box.links.disconnect(own_session(box, call))
    return ok({"status": "disconnected", "message": "WhatsApp session disconnected successfully"})


def restart(box: Sandbox, call: Call) -> Response:
    try:
        box.links.restart(own_session(box, call))
    except LinkError as error:
        return failed(400, str(error))
    return json_response(200, {"success": True, "message": "WhatsApp session restarted successfully"})


def regenerate_key(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    box.world.new_key(session)
    return json_response(200, {"success": True, "api_key": session.api_key})


def paginated(call: Call, total: int, items: list[dict[str, Any]], page: int, per_page: int) -> Response:
    """A page in the paginator's envelope (contract 2.3)."""
    path = f"http://{call.request.headers.get('host', 'localhost')}{call.request.path}"
    last = max((total + per_page - 1) // per_page, 1)
    start = (page - 1) * per_page

    def link(number: int) -> str:
        return f"{path}?page={number}"

    return ok(
        {
            "current_page": page,
            "data": items,
            "first_page_url": link(1),
            "from": start + 1 if items else None,
            "last_page": last,
            "last_page_url": link(last),
            "next_page_url": link(page + 1) if page < last else None,
            "path": path,
            "per_page": per_page,
            "prev_page_url": link(page - 1) if page > 1 else None,
            "to": start + len(items) if items else None,
            "total": total,
        }
    )


def message_logs(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    page, per_page = call.page("page", 1, 10**9), call.page("per_page", PER_PAGE, MOST_PER_PAGE)
    until = time() - box.knobs.of(session.id).log_lag
    total, lines = visible_log(session, until=until, status=call.query.get("status", ""))
    items = [log_item(message) for message in lines((page - 1) * per_page, per_page)]
    return paginated(call, total, items, page, per_page)


def session_logs(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    page, per_page = call.page("page", 1, 10**9), call.page("per_page", PER_PAGE, MOST_PER_PAGE)
    lines = list(enumerate(session.events, 1))[::-1][(page - 1) * per_page : page * per_page]
    items = [
        {
            "id": session.id * 100_000 + number,
            "whatsapp_session_id": session.id,
            "event_type": event_type,
            "status": status,
            "occurred_at": iso(when),
        }
        for number, (when, event_type, status) in lines
    ]
    return paginated(call, len(session.events), items, page, per_page)


def passkey_token(box: Sandbox, call: Call) -> Response:
    session = own_session(box, call)
    if session.status != NEED_PASSKEY:
        return failed(400, "Session is not in NEED_PASSKEY state.")
    return ok(session.passkey)


def status(box: Sandbox, call: Call) -> Response:
    """With the session's key; bare, without envelope (contract 2)."""
    return json_response(200, {"status": call.session.status})


def user(box: Sandbox, call: Call) -> Response:
    session = call.session
    if session.status != CONNECTED:
        return failed(400, "Session is not connected.")
    digits = session.number
    return ok({"id": f"{digits}:42{PN_SUFFIX}", "name": session.settings["name"], "lid": lid_of(digits)})


def _account(method: str, path: str, name: str, handler: Any) -> Route:
    return Route(method, path, name, handler, ACCOUNT_TOKEN)


ROUTES = [
    _account("GET", "/auth-check", "auth-check", check_token),
    _account("GET", "/whatsapp-sessions", "list", list_sessions),
    _account("POST", "/whatsapp-sessions", "create", create),
    _account("GET", "/whatsapp-sessions/{}", "get", read),
    _account("PUT", "/whatsapp-sessions/{}", "update", update),
    _account("DELETE", "/whatsapp-sessions/{}", "delete", delete),
    _account("POST", "/whatsapp-sessions/{}/connect", "connect", connect),
    _account("GET", "/whatsapp-sessions/{}/qrcode", "qrcode", qr_code),
    _account("POST", "/whatsapp-sessions/{}/disconnect", "disconnect", disconnect),
    _account("POST", "/whatsapp-sessions/{}/restart", "restart", restart),
    _account("POST", "/whatsapp-sessions/{}/regenerate-key", "regenerate-key", regenerate_key),
    _account("GET", "/whatsapp-sessions/{}/message-logs", "message-logs", message_logs),
    _account("GET", "/whatsapp-sessions/{}/session-logs", "session-logs", session_logs),
    _account("GET", "/whatsapp-sessions/{}/passkey-token", "passkey-token", passkey_token),
    Route("GET", "/status", "status", status),
    Route("GET", "/user", "user", user),
]
