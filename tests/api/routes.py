"""Every address of the API by method: a body, and what its owner is answered. A new one without an entry fails.

The gateway of these accounts is not there: 424 says that a request got as far as that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import URLPattern

from phonebank.whatsappapi.api.urls import urlpatterns
from tests.api.conftest import PNG, Form

Things = dict[str, Any]
Entry = int | tuple[int, Callable[[Things], Any]]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

# The address's pattern -> method -> status for the owner, or status and body.
ENTRIES: dict[str, dict[str, Entry]] = {
    "sessions/": {
        "GET": 200,
        "POST": (424, lambda mine: {"phone_number": "+12125550150", "account": mine["accounts"]}),
    },
    "sessions/stats/": {"GET": 200},
    "sessions/<uuid:id>/": {"GET": 200, "PATCH": (200, lambda _: {"session_name": "New"}), "DELETE": 424},
    "sessions/<uuid:id>/set-default/": {"POST": 200},
    "sessions/<uuid:id>/connect/": {"POST": 424},
    "sessions/<uuid:id>/disconnect/": {"POST": 424},
    "sessions/<uuid:id>/qr/": {"GET": 200},
    "sessions/<uuid:id>/leave/": {"POST": 404},
    "shares/": {
        "GET": 200,
        "POST": (201, lambda mine: {"session": mine["sessions"], "email": "new@example.org", "role": "viewer"}),
    },
    "shares/<uuid:id>/": {"GET": 200, "PATCH": (200, lambda _: {"role": "operator"}), "DELETE": 204},
    "invitations/": {"GET": 200},
    "invitations/<uuid:id>/": {"GET": 200},
    "invitations/<uuid:id>/accept/": {"POST": 204},
    "invitations/<uuid:id>/decline/": {"POST": 204},
    "bulk-actions/": {"GET": 200, "POST": (202, lambda mine: {"verb": "connect", "sessions": [mine["sessions"]]})},
    "bulk-actions/<uuid:id>/": {"GET": 200},
    "bulk-actions/<uuid:id>/results/": {"GET": 200},
    "bulk-actions/<uuid:id>/stop/": {"POST": 200},
    "accounts/": {"GET": 200},
    "groups/": {"GET": 200, "POST": (201, lambda mine: {"name": "Night", "sessions": [mine["sessions"]]})},
    "groups/<uuid:id>/": {
        "GET": 200,
        "PATCH": (200, lambda mine: {"name": "Day", "sessions": [mine["sessions"]]}),
        "DELETE": 204,
    },
    "contacts/": {"GET": 200},
    "contacts/bulk/": {"POST": (200, lambda _: {"list_name": "New", "contacts": [{"phone": "+12125550150"}]})},
    "contacts/<uuid:id>/": {"GET": 200},
    "lists/": {"GET": 200},
    "lists/<uuid:id>/": {"GET": 200},
    "suppressions/": {"GET": 200, "POST": (201, lambda _: {"phone": "+12125550151"})},
    "suppressions/<uuid:id>/": {"GET": 200},
    "campaigns/": {
        "GET": 200,
        "POST": (201, lambda mine: {"body": "Hi", "contact_list": mine["lists"], "sessions": [mine["sessions"]]}),
    },
    "campaigns/<uuid:id>/": {"GET": 200, "PATCH": (200, lambda _: {"pace": 5})},
    "campaigns/<uuid:id>/launch/": {"POST": 200},
    "campaigns/<uuid:id>/pause/": {"POST": 409},
    "campaigns/<uuid:id>/resume/": {"POST": 409},
    "campaigns/<uuid:id>/cancel/": {"POST": 200},
    "campaigns/<uuid:id>/schedule/": {"POST": (200, lambda _: {"at": "2099-01-01T08:00:00Z"})},
    "campaigns/<uuid:id>/unschedule/": {"POST": 409},
    "campaigns/<uuid:id>/retry/": {"POST": 409},
    "campaigns/<uuid:id>/clone/": {"POST": 201},
    "campaigns/<uuid:id>/add-session/": {"POST": (200, lambda mine: {"session": mine["sessions"]})},
    "campaigns/<uuid:id>/remove-session/": {"POST": (404, lambda mine: {"session": mine["sessions"]})},
    "messages/": {"GET": 200, "POST": (201, lambda mine: {"body": "Hi", "contact": mine["contacts"]})},
    "messages/<uuid:id>/": {"GET": 200},
    "replies/": {"GET": 200},
    "conversations/": {"GET": 200},
    "conversations/<uuid:id>/": {"GET": 200},
    "conversations/<uuid:id>/messages/": {"GET": 200},
    "conversations/<uuid:id>/answer/": {"POST": (201, lambda _: {"body": "Hi"})},
    "conversations/<uuid:id>/read/": {"POST": 200},
    "templates/": {"GET": 200, "POST": (201, lambda _: {"name": "Hello", "body": "Hi"})},
    "templates/<uuid:id>/": {"GET": 200, "PATCH": (200, lambda _: {"body": "Hello"}), "DELETE": 204},
    "media/": {"GET": 200, "POST": (201, lambda _: Form.of(file=("a.png", PNG)))},
    "media/<uuid:id>/": {"GET": 200},
    "session-templates/": {"GET": 200, "POST": (201, lambda mine: {"name": "Two", "groups": [mine["groups"]]})},
    "session-templates/<uuid:id>/": {"GET": 200, "PATCH": (200, lambda _: {"naming": "Shop {n}"}), "DELETE": 204},
    "session-templates/<uuid:id>/create-sessions/": {
        "POST": (200, lambda mine: {"phone_numbers": ["+12125550150"], "account": mine["accounts"]}),
    },
    "session-templates/<uuid:id>/follow/": {"POST": (200, lambda mine: {"sessions": [mine["sessions"]]})},
    "sessions/<uuid:id>/health/": {"GET": 200},
    "sessions/<uuid:id>/reconnects/": {"GET": 200, "PATCH": (200, lambda _: {"is_on": False})},
    "sessions/<uuid:id>/phone-links/": {"GET": 200, "POST": 409, "DELETE": 204},
    "sessions/<uuid:id>/self-check/": {"GET": 200, "PATCH": (200, lambda _: {"partner": None})},
    "incidents/": {"GET": 200},
    "incidents/<uuid:id>/": {"GET": 200},
    "incidents/<uuid:id>/acknowledge/": {"POST": 200},
    "alert-rules/": {
        "GET": 200,
        "POST": (201, lambda mine: {"name": "Night", "kinds": ["lost"], "channels": [mine["channels"]]}),
    },
    "alert-rules/<uuid:id>/": {
        "GET": 200,
        "PATCH": (200, lambda mine: {"channels": [mine["channels"]], "session": mine["sessions"]}),
        "DELETE": 204,
    },
    "channels/": {"GET": 200, "POST": (201, lambda _: {"kind": "mail", "address": "night@example.org"})},
    "channels/<uuid:id>/": {"GET": 200, "PATCH": (200, lambda _: {"is_active": False}), "DELETE": 204},
    "channels/<uuid:id>/test/": {"POST": 202},
    "deliveries/": {"GET": 200},
    "deliveries/<uuid:id>/": {"GET": 200},
    "deliveries/<uuid:id>/replay/": {"POST": 202},
    "alert-settings/": {"GET": 200, "PATCH": (200, lambda _: {"quiet_from": 22, "quiet_until": 6})},
    "analytics/days/": {"GET": 200},
    "analytics/sessions/": {"GET": 200},
    "campaigns/<uuid:id>/progress/": {"GET": 200},
    "campaigns/<uuid:id>/recipients/": {"GET": 200},
}
# Bodies that name nothing of the owner's: whoever else sends them does it for themselves.
ABOUT_NOTHING = {"contacts/bulk/", "suppressions/", "templates/", "media/", "channels/", "alert-settings/"}
# Not of the API's own kind: their own tests are in test_docs.py and test_errors.py.
ELSEWHERE = {"schema/", "docs/", ""}


def patterns() -> Iterator[URLPattern]:
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern), "a nested include must be walked too"
        if str(pattern.pattern) not in ELSEWHERE:
            yield pattern


def methods_of(pattern: URLPattern) -> set[str]:
    return {method.upper() for method in pattern.callback.actions if method != "head"}


def body_of(entry: Entry, things: Things) -> Any:
    return entry[1](things) if isinstance(entry, tuple) else None


def status_of(entry: Entry) -> int:
    return entry[0] if isinstance(entry, tuple) else entry


def address(pattern: str, things: Things) -> str:
    if "<uuid:id>" not in pattern:
        return pattern
    return pattern.replace("<uuid:id>", str(things[pattern.split("/")[0]]))
