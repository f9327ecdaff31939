"""What only the old Python SDK expects (contract 9): paths and names that the service is not known to have.

Served with the knob `compat` at `py` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import people, sessions
from .calls import ACCOUNT_TOKEN, Call, Route, Routes, ok
from .http import Response, json_response

if TYPE_CHECKING:
    from .server import Sandbox


def qr_code(box: Sandbox, call: Call) -> Response:
    response = sessions.qr_code(box, call)
    return ok({"qr_code": sessions.own_session(box, call).qr}) if response.status == 200 else response


def status(box: Sandbox, call: Call) -> Response:
    return json_response(200, {"status": sessions.own_session(box, call).status})


ROUTES = Routes(
    "/api",
    [
        Route("GET", "/whatsapp-sessions/{}/qr-code", "qrcode", qr_code, ACCOUNT_TOKEN),
        Route(
            "POST", "/whatsapp-sessions/{}/regenerate-api-key", "regenerate-key", sessions.regenerate_key, ACCOUNT_TOKEN
        ),
        Route("GET", "/sessions/{}/status", "status", status, ACCOUNT_TOKEN),
        Route("GET", "/contacts/{}/profile-picture", "picture", people.picture),
    ],
)
