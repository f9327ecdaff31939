"""The session endpoints and the life of a link (contract 2)."""

from __future__ import annotations

import re

import pytest

from .desk import ANNA, Desk, until

PATH = "/whatsapp-sessions"


async def test_create_shows_secrets_and_lists_do_not(desk: Desk):
    session = await desk.create(name="Shop")
    assert isinstance(session["id"], int) and session["status"] == "disconnected"
    assert re.fullmatch(r"[0-9a-f]{64}", session["api_key"]) and re.fullmatch(
        r"[0-9a-f]{32}", session["webhook_secret"]
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", session["created_at"])
    [listed] = (await desk.account("GET", PATH)).body["data"]
    assert listed["id"] == session["id"] and not {"api_key", "webhook_secret"} & listed.keys()
    read = (await desk.account("GET", f"{PATH}/{session['id']}")).body["data"]
    assert read["api_key"] == session["api_key"]


async def test_credentials(desk: Desk):
    session = await desk.create()
    cases = [
        ("GET", "/api/whatsapp-sessions", "1|wrong", 401, "Unnotarized"),
        ("GET", "/api/whatsapp-sessions", session["api_key"], 401, "Unnotarized"),
        ("GET", "/api/status", None, 401, "API key is required"),
        ("GET", "/api/status", desk.server.token, 401, "Invalid API key"),
    ]
    for method, path, token, status, message in cases:
        answer = await desk.call(method, path, token)
        assert (answer.status, answer.body) == (status, {"success": False, "message": message})
    assert (await desk.account("GET", "/auth-check")).status == 200


async def test_bare_status_and_user(desk: Desk):
    session = await desk.linked()
    key = session["api_key"]
    assert (await desk.call("GET", "/api/status", key)).body == {"status": "connected"}
    user = (await desk.call("GET", "/api/user", key)).body["data"]
    assert user["id"] == session["phone_number"][1:] + ":42@s.whatsapp.net" and user["lid"].endswith("@lid")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"phone_number": "0123"}, "phone_number"),
        ({"account_protection": "yes"}, "account_protection"),
        ({"webhook_url": "http://example.org/hook"}, "webhook_url"),
        ({"webhook_events": "all"}, "webhook_events"),
        ({"log_messages": None}, "log_messages"),
    ],
)
async def test_create_is_validated(desk: Desk, change: dict, field: str):
    body = {"name": "A", "phone_number": "+12125550101", "account_protection": False, "log_messages": True}
    answer = await desk.account("POST", PATH, body | change)
    assert answer.status == 422 and answer.body["message"] == "Validation failed"
    assert list(answer.body["errors"]) == [field]


async def test_numbers_are_unique_and_local_webhooks_allowed(desk: Desk):
    session = await desk.create(webhook_url="http://127.0.0.1:9/hook")
    body = {"name": "B", "phone_number": session["phone_number"], "account_protection": False, "log_messages": True}
    answer = await desk.account("POST", PATH, body)
    assert answer.status == 422 and "already been taken" in answer.body["errors"]["phone_number"][0]


async def test_quota_and_subscription(desk: Desk):
    account = await desk.admin("POST", "/accounts", {"session_limit": 1})
    body = {"name": "A", "phone_number": "+12125550177", "account_protection": False, "log_messages": True}
    assert (await desk.call("POST", "/api" + PATH, account["token"], body)).status == 201
    second = await desk.call("POST", "/api" + PATH, account["token"], body | {"phone_number": "+12125550178"})
    assert second.status == 403 and second.body["error"].startswith("You have reached your WhatsApp session limit")
    await desk.admin("PATCH", f"/accounts/{account['id']}", {"subscribed": False, "session_limit": 0})
    third = await desk.call("POST", "/api" + PATH, account["token"], body | {"phone_number": "+12125550178"})
    assert third.status == 403 and "active subscription" in third.body["error"]


async def test_a_foreign_session_is_not_found(desk: Desk):
    other = await desk.admin("POST", "/accounts", {})
    session = await desk.create()
    for path in (f"{PATH}/{session['id']}", f"{PATH}/999999", f"{PATH}/abc"):
        answer = await desk.call("GET", "/api" + path, other["token"])
        assert answer.status == 404
        assert answer.body == {"success": False, "error": "The specified session was not found."}
    assert (await desk.call("GET", "/api" + PATH, other["token"])).body["data"] == []


async def test_update_delete(desk: Desk):
    session = await desk.create()
    path = f"{PATH}/{session['id']}"
    answer = await desk.account("PUT", path, {"name": "New", "webhook_events": ["session.status"]})
    assert answer.body["data"]["name"] == "New" and answer.body["data"]["api_key"] == session["api_key"]
    gone = await desk.account("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert (await desk.account("DELETE", path)).status == 404
    assert (await desk.call("GET", "/api/status", session["api_key"])).status == 401


async def test_linking_by_scan(desk: Desk):
    session = await desk.create()
    path = f"{PATH}/{session['id']}"
    assert (await desk.account("GET", path + "/qrcode")).status == 400
    answer = (await desk.account("POST", path + "/connect", {})).body["data"]
    assert answer["status"] == "NEED_SCAN" and answer["qrCode"].startswith("2@")
    assert (await desk.account("GET", path + "/qrcode")).body["data"] == {"qrCode": answer["qrCode"]}
    assert await desk.status(session) == "need_scan"
    await desk.admin("POST", f"/sessions/{session['id']}/scan", {"number": ANNA})
    await until(lambda: desk.status_is(session, "connected"))
    again = (await desk.account("POST", path + "/connect")).body["data"]
    assert again["status"] == "CONNECTED" and "qrCode" not in again
    user = (await desk.call("GET", "/api/user", session["api_key"])).body["data"]
    assert user["id"].startswith(ANNA[1:]), "another phone than the one named may scan"


async def test_qr_turns_and_gives_up(desk: Desk):
    await desk.turn(qr_seconds=0.3, qr_limit=4)
    session = await desk.create()
    path = f"{PATH}/{session['id']}"
    first = (await desk.account("POST", path + "/connect")).body["data"]["qrCode"]

    async def another() -> bool:
        answer = await desk.account("GET", path + "/qrcode")
        return answer.status == 200 and answer.body["data"]["qrCode"] != first

    await until(another)
    await until(lambda: desk.status_is(session, "disconnected"))


async def test_passkey(desk: Desk):
    session = await desk.create()
    path = f"{PATH}/{session['id']}"
    answer = (await desk.account("POST", path + "/connect", {"linkMethod": "passkey"})).body["data"]
    assert answer["status"] == "NEED_PASSKEY" and await desk.status(session) == "need_passkey"
    assert (await desk.account("GET", path + "/passkey-token")).body["data"] == answer["passkey"]
    await desk.admin("POST", f"/sessions/{session['id']}/scan")
    await until(lambda: desk.status_is(session, "connected"))
    assert (await desk.account("GET", path + "/passkey-token")).status == 400


async def test_a_dropped_link_comes_back_without_a_scan(desk: Desk):
    session = await desk.linked()
    base = f"/sessions/{session['id']}"
    await desk.admin("POST", base + "/drop")
    assert await desk.status(session) == "disconnected"
    await desk.admin("POST", base + "/restore")
    await until(lambda: desk.status_is(session, "connected"))
    await desk.admin("POST", base + "/drop")
    answer = await desk.account("POST", f"{PATH}/{session['id']}/connect")
    assert answer.body["data"]["status"] == "CONNECTED"
    await until(lambda: desk.status_is(session, "connected"))


@pytest.mark.parametrize(("lever", "status"), [("logout", "logged_out"), ("expire", "expired")])
async def test_an_ended_link_needs_a_scan(desk: Desk, lever: str, status: str):
    session = await desk.linked()
    await desk.admin("POST", f"/sessions/{session['id']}/{lever}")
    assert await desk.status(session) == status
    assert (await desk.call("POST", f"/sandbox/sessions/{session['id']}/restore")).status == 422
    answer = await desk.account("POST", f"{PATH}/{session['id']}/connect")
    assert answer.body["data"]["status"] == "NEED_SCAN"


async def test_disconnect_and_restart(desk: Desk):
    session = await desk.linked()
    path = f"{PATH}/{session['id']}"
    assert (await desk.account("POST", path + "/restart")).body["success"] is True
    await until(lambda: desk.status_is(session, "connected"))
    answer = await desk.account("POST", path + "/disconnect")
    assert answer.body["data"]["status"] == "disconnected" and await desk.status(session) == "disconnected"
    assert (await desk.account("POST", path + "/restart")).status == 400
    await desk.turn(keep_link=False)
    await desk.account("POST", path + "/connect")
    await until(lambda: desk.status_is(session, "connected"))
    await desk.account("POST", path + "/disconnect")
    assert (await desk.account("POST", path + "/connect")).body["data"]["status"] == "NEED_SCAN"


async def test_a_new_key_ends_the_old_one(desk: Desk):
    session = await desk.linked()
    answer = await desk.account("POST", f"{PATH}/{session['id']}/regenerate-key")
    assert answer.body["success"] is True and "data" not in answer.body
    fresh = answer.body["api_key"]
    assert fresh != session["api_key"]
    assert (await desk.send(session)).status == 401
    assert (await desk.send(session | {"api_key": fresh})).status == 200


async def test_session_log(desk: Desk):
    session = await desk.linked()
    answer = await desk.account("GET", f"{PATH}/{session['id']}/session-logs?per_page=2")
    page = answer.body["data"]
    assert (page["total"], page["per_page"], page["last_page"]) == (3, 2, 2)
    assert [item["status"] for item in page["data"]] == ["connected", "connecting"]
    assert page["data"][0]["event_type"] == "status_change"


async def test_old_python_client(desk: Desk):
    session = await desk.linked(webhook_events=["messages.received", "session.status"])
    alias = f"/api{PATH}/{session['id']}/qr-code"
    assert (await desk.call("GET", alias, desk.server.token)).status == 404
    await desk.turn(compat="py")
    [listed] = (await desk.account("GET", PATH)).body["data"]
    assert listed["session_data"] == {} and listed["user_id"] and listed["webhook_events"] == ["session.status"]
    await desk.admin("POST", f"/sessions/{session['id']}/logout")
    answer = await desk.account("POST", f"{PATH}/{session['id']}/connect")
    assert answer.body["data"]["status"] == "need_scan"
    assert (await desk.call("GET", alias, desk.server.token)).body["data"]["qr_code"].startswith("2@")
