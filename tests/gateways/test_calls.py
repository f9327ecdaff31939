"""The management calls: paths, credentials and bodies (contract 2 to 4), and what each bad answer becomes."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime

import pytest

from phonebank.gateways import errors
from phonebank.gateways.base import ConnectResult, WhoAmI
from phonebank.gateways.wasender import WaSender, normalise_status
from tests.gateways.server import KEY, PHONE, TOKEN, RawServer, answer, replies, reset

SECRET = "fedcba9876543210" * 2
SESSION = {
    "id": 7, "name": "Desk", "phone_number": PHONE, "status": "CONNECTED", "account_protection": True,
    "log_messages": True, "webhook_url": None, "webhook_enabled": False, "webhook_events": None,
    "user_id": 3, "session_data": {}, "created_at": "2026-08-01T00:00:00Z",
}  # fmt: skip
FULL = SESSION | {"api_key": KEY, "webhook_secret": SECRET, "webhook_events": ["session.status"]}
PAGE = {"current_page": 1, "last_page": 3, "total": 250, "per_page": 100}
ENTRY = {
    "id": "41", "whatsapp_session_id": 7, "to": PHONE, "content": json.dumps({"text": "Hello"}), "status": "sent",
    "failed_reason": None, "created_at": "2026-08-01 12:30:00",
}  # fmt: skip


def ok(data: object = None, status: int = 200, **more: object) -> bytes:
    return answer(status, {"success": True, "data": data} | more)


async def test_listing(server: RawServer, gateway: WaSender):
    server.behave = replies(ok([SESSION, SESSION | {"id": 8, "status": "zombie"}]))
    one, two = await gateway.list_sessions(TOKEN)
    assert server.requests[0].line == "GET /api/whatsapp-sessions HTTP/1.1"
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert (one.id, one.name, one.phone_number, one.status, one.raw_status) == (
        7,
        "Desk",
        PHONE,
        "connected",
        "CONNECTED",
    )
    assert (one.api_key, one.webhook_secret, one.webhook_url, one.webhook_events) == (None, None, "", ())
    assert (two.status, two.raw_status) == ("unknown", "zombie")


async def test_a_list_of_thousands(server: RawServer, gateway: WaSender):
    server.behave = replies(ok([SESSION | {"id": n} for n in range(1, 3001)]))
    assert [one.id for one in await gateway.list_sessions(TOKEN)] == list(range(1, 3001))


@pytest.mark.parametrize("status", [200, 201])
async def test_creating(server: RawServer, gateway: WaSender, status):
    server.behave = replies(ok(FULL, status))
    info = await gateway.create_session(TOKEN, name="Desk", phone_number=PHONE, webhook_url="https://a.example/x/")
    assert server.requests[0].line.startswith("POST /api/whatsapp-sessions ")
    assert server.requests[0].json == {
        "name": "Desk", "phone_number": PHONE, "account_protection": True, "log_messages": True,
        "webhook_enabled": True, "webhook_url": "https://a.example/x/",
        "webhook_events": ["session.status", "qrcode.updated", "messages.update", "message.sent", "messages.received"],
    }  # fmt: skip
    assert (info.api_key, info.webhook_secret) == (KEY, SECRET)
    assert KEY not in repr(info)
    assert SECRET not in repr(info)


async def test_creating_without_a_webhook(server: RawServer, gateway: WaSender):
    server.behave = replies(ok(FULL))
    await gateway.create_session(TOKEN, name="Desk", phone_number=PHONE)
    assert server.requests[0].json["webhook_enabled"] is False
    assert "webhook_url" not in server.requests[0].json


async def test_reading_and_updating(server: RawServer, gateway: WaSender):
    server.behave = replies(ok(FULL, warning="the node did not answer"))
    assert (await gateway.get_session(TOKEN, 7)).api_key == KEY
    info = await gateway.update_session(TOKEN, 7, webhook_enabled=True, webhook_events=("session.status",))
    assert info.warning == "the node did not answer"
    assert [request.line[:-9] for request in server.requests] == [
        "GET /api/whatsapp-sessions/7",
        "PUT /api/whatsapp-sessions/7",
    ]
    assert server.requests[1].json == {"webhook_enabled": True, "webhook_events": ["session.status"]}
    with pytest.raises(TypeError):
        await gateway.update_session(TOKEN, 7, proxy_url="http://a.example")


@pytest.mark.parametrize(
    ("reply", "deleted"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (answer(200, {"success": True}), True),
        (answer(404, {"success": False, "error": "The specified session was not found."}), False),
    ],
)
async def test_deleting(server: RawServer, gateway: WaSender, reply, deleted):
    server.behave = replies(reply)
    assert await gateway.delete_session(TOKEN, 7) is deleted
    assert server.requests[0].line.startswith("DELETE /api/whatsapp-sessions/7 ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"status": "NEED_SCAN", "qrCode": "2@abc"}, ConnectResult("need_scan", "NEED_SCAN", qr="2@abc")),
        (
            {"status": "NEED_PASSKEY", "passkey": {"token": "t0k", "expires_at": "2026-08-01T00:00:00Z"}},
            ConnectResult("need_passkey", "NEED_PASSKEY", None, "t0k", "2026-08-01T00:00:00Z"),
        ),
        ({"status": "CONNECTED", "message": "ok"}, ConnectResult("connected", "CONNECTED", message="ok")),
        ([], ConnectResult("unknown", "")),
    ],
)
async def test_connecting(server: RawServer, gateway: WaSender, data, expected):
    server.behave = replies(ok(data))
    result = await gateway.connect(TOKEN, 7)
    assert result == expected
    assert server.requests[0].line.startswith("POST /api/whatsapp-sessions/7/connect ")
    assert server.requests[0].json == {"linkMethod": "qr"}
    assert "2@abc" not in repr(result)
    assert "t0k" not in repr(result)


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        ("2026-08-01T00:00:00Z", datetime(2026, 8, 1, tzinfo=UTC)),
        (1785542400, datetime(2026, 8, 1, tzinfo=UTC)),
        (1785542400000, datetime(2026, 8, 1, tzinfo=UTC)),
        (-1, None), (10**30, None), ("soon", None), (None, None),
    ],
)  # fmt: skip
async def test_a_passkey_token(server: RawServer, gateway: WaSender, expires, expected):
    server.behave = replies(ok({"token": "t0k", "expires_at": expires}))
    found = await gateway.passkey_token(TOKEN, 7)
    assert (found.token, found.expires_at) == ("t0k", expected)
    assert server.requests[0].line.startswith("GET /api/whatsapp-sessions/7/passkey-token ")
    assert "t0k" not in repr(found)


async def test_no_passkey_is_asked_for(server: RawServer, gateway: WaSender):
    server.behave = replies(answer(400, {"success": False, "error": "Session is not in NEED_PASSKEY state."}))
    with pytest.raises(errors.NotConnected):
        await gateway.passkey_token(TOKEN, 7)
    server.behave = replies(ok({"expires_at": 1}))
    with pytest.raises(errors.UnexpectedAnswer):
        await gateway.passkey_token(TOKEN, 7)


async def test_the_other_session_calls(server: RawServer, gateway: WaSender):
    server.behave = replies(
        answer(200, {"success": True, "api_key": KEY, "data": {"status": "disconnected", "qrCode": "2@x"}})
    )
    await gateway.auth_check(TOKEN)
    assert (await gateway.qrcode(TOKEN, 7)).qr == "2@x"
    assert await gateway.disconnect(TOKEN, 7) == "disconnected"
    await gateway.restart(TOKEN, 7)
    assert await gateway.regenerate_key(TOKEN, 7) == KEY
    assert [request.line[:-9] for request in server.requests] == [
        "GET /api/auth-check",
        "GET /api/whatsapp-sessions/7/qrcode",
        "POST /api/whatsapp-sessions/7/disconnect",
        "POST /api/whatsapp-sessions/7/restart",
        "POST /api/whatsapp-sessions/7/regenerate-key",
    ]


async def test_message_logs(server: RawServer, gateway: WaSender):
    entries = [
        ENTRY,
        ENTRY | {"id": 42, "to": None, "content": None, "status": "failed", "failed_reason": "no"},
        ENTRY | {"id": 43, "content": "plain words", "created_at": "2026-08-01T12:30:00.000000Z"},
        ENTRY | {"id": 44, "content": json.dumps({"extendedTextMessage": {"text": "nested"}})},
        ENTRY | {"id": 45, "content": json.dumps({"imageUrl": "https://a.example/x.png", "text": "caption"})},
    ]
    server.behave = replies(ok(PAGE | {"data": entries}))
    page = await gateway.message_logs(TOKEN, 7, 2, status="failed")
    assert server.requests[0].line == (
        "GET /api/whatsapp-sessions/7/message-logs?page=2&per_page=100&status=failed HTTP/1.1"
    )
    assert (page.page, page.last_page, page.total) == (1, 3, 250)
    assert [entry.id for entry in page.entries] == [41, 42, 43, 44, 45]
    assert [entry.content for entry in page.entries] == ["Hello", None, "plain words", "nested", "caption"]
    assert page.entries[1].to is None
    assert page.entries[1].failed_reason == "no"
    assert {entry.created_at for entry in page.entries} == {datetime(2026, 8, 1, 12, 30, tzinfo=UTC)}
    assert PHONE not in repr(page)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        PAGE,
        {"data": []},
        PAGE | {"data": [], "last_page": 0},
        PAGE | {"data": [ENTRY, {}]},
        PAGE | {"data": [ENTRY | {"id": True}]},
        PAGE | {"data": [ENTRY | {"id": 2**63}]},
        PAGE | {"data": [ENTRY | {"created_at": "yesterday"}]},
        PAGE | {"data": [ENTRY | {"created_at": None}]},
        PAGE | {"data": [None]},
    ],
)
async def test_a_log_page_with_a_hole_proves_nothing(server: RawServer, gateway: WaSender, data):
    server.behave = replies(ok(data))
    with pytest.raises(errors.UnexpectedAnswer):
        await gateway.message_logs(TOKEN, 7)


async def test_session_logs(server: RawServer, gateway: WaSender):
    entry = {"id": 1, "event_type": "status_change", "status": "connected", "occurred_at": "2026-08-01T12:30:00.5Z"}
    server.behave = replies(ok(PAGE | {"data": [entry]}))
    (found,) = (await gateway.session_logs(TOKEN, 7)).entries
    assert (found.event_type, found.status) == ("status_change", "connected")
    assert found.occurred_at == datetime(2026, 8, 1, 12, 30, 0, 500_000, UTC)


async def test_calls_with_the_session_key(server: RawServer, gateway: WaSender):
    server.behave = replies(answer(200, {"status": "Connected"}))
    assert await gateway.session_status(KEY) == "connected"
    server.behave = replies(ok({"id": "12125550123:42@s.whatsapp.net", "name": "Ann", "lid": "99@lid"}))
    assert await gateway.who_am_i(KEY) == WhoAmI(PHONE, "99@lid", "Ann")
    server.behave = replies(ok({"exists": True}))
    assert await gateway.on_whatsapp(KEY, PHONE) is True
    server.behave = replies(ok({"pn": "12125550123@s.whatsapp.net"}))
    assert await gateway.pn_from_lid(KEY, "99@lid") == PHONE
    server.behave = replies(ok({"pn": "99@lid"}))
    assert await gateway.pn_from_lid(KEY, "99@lid") is None
    server.behave = replies(ok({"lid": "99@lid"}))
    assert await gateway.lid_from_pn(KEY, PHONE) == "99@lid"
    server.behave = replies(answer(404, {"success": False, "error": "Phone number not found or invalid."}))
    assert await gateway.lid_from_pn(KEY, PHONE) is None
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert [request.line[4:-9] for request in server.requests] == [
        "/api/status",
        "/api/user",
        "/api/on-whatsapp/%2B12125550123",
        "/api/pn-from-lid/99%40lid",
        "/api/pn-from-lid/99%40lid",
        "/api/lid-from-pn/%2B12125550123",
        "/api/lid-from-pn/%2B12125550123",
    ]


async def test_message_info(server: RawServer, gateway: WaSender):
    data = {
        "msgId": 5, "id": "3EB0A", "remoteJid": "12125550123@s.whatsapp.net", "status": 3, "messageTimestamp": "1",
        "key": {"id": "3EB0A", "fromMe": True}, "message": {"extendedTextMessage": {"text": "Hello"}},
    }  # fmt: skip
    server.behave = replies(ok(data))
    info = await gateway.message_info(KEY, 5)
    assert (info.msg_id, info.key_id, info.status, info.text) == (5, "3EB0A", 3, "Hello")
    assert server.requests[0].line.startswith("GET /api/messages/5/info ")
    server.behave = replies(ok(data | {"status": 9}))
    assert (await gateway.message_info(KEY, 5)).status is None
    server.behave = replies(ok(data | {"status": True}))
    assert (await gateway.message_info(KEY, 5)).status is None
    with pytest.raises(errors.UnexpectedAnswer, match="another message"):
        await gateway.message_info(KEY, 6)


async def test_uploading(server: RawServer, gateway: WaSender):
    content = bytes(range(256)) * 8192  # beyond aiohttp's limit for a body in one piece
    server.behave = replies(answer(200, {"success": True, "publicUrl": "https://a.example/1.png"}))
    assert await gateway.upload(KEY, content, "image/png") == "https://a.example/1.png"
    assert server.requests[0].headers["content-type"] == "image/png"
    assert server.requests[0].body == content
    server.behave = replies(answer(200, {"success": True, "publicUrl": "javascript:alert(1)"}))
    with pytest.raises(errors.UnexpectedAnswer):
        await gateway.upload(KEY, b"x", "image/png")
    server.behave = replies(answer(413, {"success": False, "error": "File size exceeds the limit"}))
    with pytest.raises(errors.Refused, match="exceeds"):
        await gateway.upload(KEY, b"x", "image/png")


ROWS = [
    (401, {"message": "Unnotarized"}, errors.Unauthorized),
    (403, {"error": "You have reached your WhatsApp session limit. Upgrade"}, errors.LimitReached),
    (403, {"message": "Forbidden"}, errors.Unauthorized),
    (403, {"error": "You need to have an active subscription ..."}, errors.NoSubscription),
    (402, b"", errors.NoSubscription),
    (404, {"error": "The specified session was not found."}, errors.NotFound),
    (404, b"<html>", errors.ConfigurationError),
    (400, b"<html>", errors.ConfigurationError),
    (405, b"", errors.ConfigurationError),
    (302, b"", errors.ConfigurationError),
    (400, {"error": "Session not in NEED_SCAN state. Please call the connect endpoint first."}, errors.NotConnected),
    (400, {"error": "Failed to get QR code. please re initialize the session."}, errors.NotConnected),
    (200, {"success": False, "error": "Your Whatsapp Session is not connected"}, errors.NotConnected),
    (200, {"success": False, "error": "no"}, errors.Refused),
    (422, {"message": "Validation failed", "errors": {"name": ["taken"]}}, errors.Refused),
    (429, {"message": "slow", "retry_after": 7}, errors.Throttled),
    (200, b"<html>", errors.UnexpectedAnswer),
    (200, b"[]", errors.UnexpectedAnswer),
    (200, {"success": True, "data": {"id": "x"}}, errors.UnexpectedAnswer),
    (200, b"", errors.UnexpectedAnswer),
    (200, b"[" * 60_000, errors.UnexpectedAnswer),
]


@pytest.mark.parametrize(("status", "body", "kind"), ROWS)
async def test_errors(server: RawServer, gateway: WaSender, status, body, kind):
    server.behave = replies(answer(status, body))
    for call in (gateway.get_session(TOKEN, 7), gateway.update_session(TOKEN, 7, name="x")):
        with pytest.raises(errors.GatewayError) as caught:
            await call
        assert type(caught.value) is kind
        assert caught.value.code
        assert caught.value.user_message
        assert caught.value.__context__ is None
    if kind is errors.Throttled:
        assert caught.value.retry_after == 7


@pytest.mark.parametrize(("status", "body"), [(500, b""), (502, b"<html>"), (503, {"message": "later"})])
async def test_a_broken_server_matters_more_to_a_write(server: RawServer, gateway: WaSender, status, body):
    server.behave = replies(answer(status, body))
    with pytest.raises(errors.Unreachable) as caught:
        await gateway.get_session(TOKEN, 7)
    assert caught.value.retryable
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await gateway.create_session(TOKEN, name="x", phone_number=PHONE)
    assert not caught.value.retryable


async def test_a_broken_connection(server: RawServer, gateway: WaSender):
    async def behave(request, writer):
        reset(writer)
        return True

    server.behave = behave
    with pytest.raises(errors.Unreachable):
        await gateway.get_session(TOKEN, 7)
    before = len(server.requests)
    for call in (gateway.connect(TOKEN, 7), gateway.delete_session(TOKEN, 7), gateway.upload(KEY, b"x", "image/png")):
        with pytest.raises(errors.OutcomeUnknown):
            await call
    lines = [request.line.split()[0] for request in server.requests[before:]]
    assert lines.count("POST") == 2


async def test_an_unknown_path_is_no_lost_session(server: RawServer, gateway: WaSender):
    server.behave = replies(answer(404, {"message": "Not Found"}))
    with pytest.raises(errors.ConfigurationError):
        await gateway.list_sessions(TOKEN)


async def test_no_error_shows_a_credential(server: RawServer, gateway: WaSender):
    server.behave = replies(answer(422, {"message": f"{TOKEN} Bearer {TOKEN} {KEY} {PHONE}"}))
    for call in (gateway.get_session(TOKEN, 7), gateway.session_status(KEY)):
        with pytest.raises(errors.GatewayError) as caught:
            await call
        text = repr(caught.value) + str(caught.value) + "".join(traceback.format_exception(caught.value))
        for secret in (TOKEN, TOKEN[3:], KEY, PHONE):
            assert secret not in text
        assert caught.value.__context__ is None


@pytest.mark.parametrize("call", ["get_session", "qrcode"])
async def test_library_errors_are_not_chained(server: RawServer, gateway: WaSender, call):
    """aiohttp's response error keeps the request headers."""
    server.behave = replies(b"220 no HTTP\r\n\r\n")
    with pytest.raises(errors.GatewayError) as caught:
        await getattr(gateway, call)(TOKEN, 7)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["", "host/api", "ftp://a.example/api", "https://", "https://u:p@a.example/api", "https://a.example/api?x=1",
     "https://a.example/#x", "https://a.example:99999/api", None],
)  # fmt: skip
async def test_impossible_base_urls(http, url):
    with pytest.raises(errors.ConfigurationError) as caught:
        WaSender(url, http)
    assert caught.value.__context__ is None


async def test_a_trailing_slash_is_the_same_base_url(server: RawServer, http):
    server.behave = replies(answer(200, {"status": "open"}))
    assert await WaSender(server.url + "/", http).session_status(KEY) == "unknown"
    assert server.requests[0].line.startswith("GET /api/status ")


@pytest.mark.parametrize(
    ("raw", "word"),
    [("CONNECTED", "connected"), (" need_scan ", "need_scan"), ("open", "unknown"), (None, "unknown"),
     (True, "unknown"), ("", "unknown"), (["connected"], "unknown")],
)  # fmt: skip
def test_normalising_a_status(raw, word):
    assert normalise_status(raw) == word
