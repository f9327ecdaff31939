"""Whatever is sent, the answer is JSON of one shape, and never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from phonebank.whatsappapi.models import ApiUsage, SessionGroup
from tests.api.conftest import Api, Owner


def error(answer: Any) -> tuple[int, str, str | None]:
    found = answer.json()
    assert set(found) == {"type", "errors"}
    assert all(set(one) == {"code", "detail", "attr"} for one in found["errors"])
    return answer.status_code, found["errors"][0]["code"], found["errors"][0]["attr"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "parse_error"),
        (b'{"name": "\xff"}', 400, "parse_error"),
        (b'{"name": NaN}', 400, "parse_error"),
        (b"[" * 100_000, 400, "parse_error"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "parse_error"),
        (b"[]", 400, "invalid"),
        (b'"text"', 400, "invalid"),
        (b"null", 400, "null"),
        (b'{"name": "a\\u0000b"}', 422, "not_text"),
        (b'{"name": "\\ud800"}', 422, "not_text"),
        (b'{"\\u0000": 1}', 422, "not_text"),
        (b'{"name": "x", "colour": "green"}', 400, "invalid_choice"),
        (b'{"name": "x", "sessions": ["1"]}', 400, "invalid"),
        (b'{"name": "x", "sessions": {}}', 400, "not_a_list"),
        (b'{"name": 0}', 400, "type"),
        (b'{"name": "x", "nam": 1}', 400, "unknown"),
        (b'{"name": "x", "user": 1}', 400, "unknown"),
        (b'{"name": " "}', 422, "name"),
        (json.dumps({"name": "x" * 300_000}).encode(), 413, "too_large"),
    ],
)  # fmt: skip
def test_bodies(body: bytes, status: int, code: str, owner: Owner) -> None:
    assert error(owner.api.post("groups/", body))[:2] == (status, code)
    assert not SessionGroup.objects.exists()


def test_types_are_not_bent(owner: Owner) -> None:
    good = {"phone_number": "+12125550150"}
    for field, value in (("is_default", "true"), ("is_default", 1), ("daily_limit", "5"), ("daily_limit", True),
                         ("daily_limit", 1.5), ("account", 7), ("session_name", 7)):  # fmt: skip
        assert error(owner.api.post("sessions/", good | {field: value})) == (400, "type", field)
    for value in (0, -1, 2**31, 10**30):
        assert error(owner.api.post("sessions/", good | {"daily_limit": value}))[0] == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "x", ""])
def test_other_content_types(kind: str, owner: Owner) -> None:
    answer = owner.api.post("groups/", b"name=Night", Content_Type=kind)
    assert error(answer)[:2] == (415, "unsupported_media_type")


def test_a_form_by_cookie_is_refused_before_it_is_read(owner: Owner) -> None:
    """The CSRF check would read a form of any size."""
    by_login = Api(user=owner.user)
    form = b"a=" + b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = by_login.post("groups/", form, Content_Type="application/x-www-form-urlencoded")
    assert error(answer)[:2] == (413, "too_large")


def test_accept(owner: Owner) -> None:
    assert error(owner.api.get("sessions/", Accept="text/html"))[:2] == (406, "not_acceptable")
    assert owner.api.get("sessions/", Accept="text/html,*/*;q=0.1").status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "TRACE", "ODD"])
@pytest.mark.parametrize("path", ["", "nothing/", "sessions", "sessions/1/", "sessions/a%00b/", "sessions/../x/",
                                  "sessions/7d4f0f6e-4a53-4b5c-9f0a-2f6f0b0f1a1/", "schema/x/", "%ff/"])  # fmt: skip
def test_addresses_that_are_none(method: str, path: str, owner: Owner, nobody: Api) -> None:
    for api in (owner.api, nobody):
        assert error(api(method, path))[:2] == (404, "not_found")


def test_methods_say_what_is_allowed(owner: Owner) -> None:
    for method in ("PUT", "TRACE", "OPTIONS", "ODD"):
        answer = owner.api(method, "sessions/")
        assert error(answer)[:2] == (405, "method_not_allowed")
        assert set(answer["Allow"].split(", ")) >= {"GET", "POST"}


def test_nobody_is_asked_to_log_in_not_sent_to_a_page(nobody: Api) -> None:
    answer = nobody.get("sessions/")
    assert error(answer)[:2] == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_host_that_is_not_ours(nobody: Api) -> None:
    assert error(nobody.get("sessions/", Host="evil.example"))[:2] == (400, "bad_request")


def test_refusals_by_the_state_and_by_a_rule(owner: Owner) -> None:
    first = owner.session("Shop")
    campaign = owner.campaign(1)
    assert error(owner.api.post(f"campaigns/{campaign.public_id}/launch/"))[:2] == (409, "wrong_state")
    second = owner.session("Store")
    answer = owner.api("PATCH", f"sessions/{second.public_id}/", {"session_name": first.session_name.upper()})
    assert error(answer) == (409, "name_taken", "session_name")
    assert error(owner.api.post("sessions/", {"phone_number": "12"})) == (422, "phone_number", "phone_number")
    free = owner.api.post("messages/", {"body": "Hi", "phone": "+12125550150"})
    assert error(free) == (422, "no_consent", "phone")


def test_the_plan_is_full(owner: Owner) -> None:
    owner.user.subscribe("free")
    owner.session()
    answer = owner.api.post("sessions/", {"phone_number": "+12125550150"})
    assert error(answer)[:2] == (409, "plan_limit")
    assert not owner.api.get("sessions/stats/").json()["can_create_session"]


def test_the_gateway_is_not_there(owner: Owner) -> None:
    """424, for proxies replace the body of a 502 and clients repeat the request."""
    answer = owner.api.post(f"sessions/{owner.session().public_id}/connect/")
    assert error(answer)[:2] == (424, "unreachable")
    assert "cannot be reached" in answer.json()["errors"][0]["detail"]


def test_the_minutes_requests(owner: Owner, other: Owner) -> None:
    with override_settings(API_RATE=3):
        # The reader's token counts with the writer's, the other person's does not.
        statuses = [api.get("accounts/").status_code for api in (owner.api, owner.reader) * 3]
        if len(set(ApiUsage.objects.values_list("minute"))) == 1 and ApiUsage.objects.get().n == 6:
            assert statuses == [200, 200, 200, 429, 429, 429]
            answer = owner.api.get("accounts/")
            assert error(answer)[:2] == (429, "throttled")
            assert 1 <= int(answer["Retry-After"]) <= 61
        assert other.api.get("accounts/").status_code == 200
