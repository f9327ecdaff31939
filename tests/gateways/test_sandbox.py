"""The client against the emulated service: whatever one of them misreads in the contract shows here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
import pytest_asyncio

from phonebank.gateways import errors, webhooks
from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Rejected, SessionInfo, boot_clock
from phonebank.gateways.wasender import WaSender, open_http
from phonebank.sandbox import SandboxConfig, SandboxServer, serve
from tests.gateways.server import PHONE, RawServer, answer, replies

FROM = "+13035550100"
OTHER = "+14155550111"
QUICK = {
    "latency": 0,
    "connecting_seconds": 0.01,
    "sent_after": 0.01,
    "delivered_after": 0.01,
    "read_after": 0.01,
    "read_fraction": 1,
}


class World:
    """A sandbox with one linked session, its levers, and the client."""

    def __init__(self, sandbox: SandboxServer, http: aiohttp.ClientSession) -> None:
        self.url, self.token, self.http = sandbox.url, sandbox.token, http
        self.gateway = WaSender(f"{sandbox.url}/api", http, deadline=20.0)

    async def lever(self, method: str, path: str, body: object = None) -> dict:
        async with self.http.request(method, f"{self.url}/sandbox{path}", json=body) as reply:
            assert reply.status < 300, await reply.text()
            return await reply.json()

    async def linked(self, phone: str = FROM, webhook_url: str = "") -> SessionInfo:
        info = await self.gateway.create_session(
            self.token, name="Desk", phone_number=phone, account_protection=False, webhook_url=webhook_url
        )
        await self.gateway.connect(self.token, info.id)
        await self.lever("POST", f"/sessions/{info.id}/scan", {})
        await self.until(lambda session: session.status == "connected", info.id)
        return info

    async def until(self, condition: Callable[[SessionInfo], bool], session_id: int) -> SessionInfo:
        async with asyncio.timeout(60):
            while not condition(info := await self.gateway.get_session(self.token, session_id)):
                await asyncio.sleep(0.01)
        return info

    async def delivered(self, to: str = PHONE) -> int:
        return (await self.lever("GET", f"/ledger?to=%2B{to[1:]}"))["accepted"]


@pytest_asyncio.fixture
async def world():
    sandbox = await serve(SandboxConfig(port=0, knobs=QUICK))
    try:
        async with open_http() as http:
            yield World(sandbox, http)
    finally:
        await sandbox.close()


async def test_the_life_of_a_session(world: World):
    gateway, token = world.gateway, world.token
    await gateway.auth_check(token)
    with pytest.raises(errors.Unauthorized):
        await gateway.auth_check("1|" + "x" * 40)
    info = await gateway.create_session(token, name="Desk", phone_number=FROM)
    assert (info.status, info.phone_number, info.account_protection) == ("disconnected", FROM, True)
    assert len(info.api_key) == 64
    assert len(info.webhook_secret) == 32
    with pytest.raises(errors.Refused):
        await gateway.create_session(token, name="Desk", phone_number=FROM)
    with pytest.raises(errors.NotConnected):
        await gateway.qrcode(token, info.id)
    result = await gateway.connect(token, info.id)
    assert (result.status, result.raw_status) == ("need_scan", "NEED_SCAN")
    assert (await gateway.qrcode(token, info.id)).qr == result.qr
    await world.lever("POST", f"/sessions/{info.id}/scan", {})
    await world.until(lambda session: session.status == "connected", info.id)
    assert await gateway.session_status(info.api_key) == "connected"
    assert (await gateway.who_am_i(info.api_key)).number == FROM
    changed = await gateway.update_session(token, info.id, name="Front desk", account_protection=False)
    assert (changed.name, changed.account_protection) == ("Front desk", False)
    (listed,) = await gateway.list_sessions(token)
    assert (listed.id, listed.name, listed.api_key) == (info.id, "Front desk", None)
    assert "status_change" in {entry.event_type for entry in (await gateway.session_logs(token, info.id)).entries}
    key = await gateway.regenerate_key(token, info.id)
    with pytest.raises(errors.Unauthorized):
        await gateway.session_status(info.api_key)
    assert await gateway.session_status(key) == "connected"
    await gateway.restart(token, info.id)
    await world.until(lambda session: session.status == "connected", info.id)
    assert await gateway.disconnect(token, info.id) == "disconnected"
    assert await gateway.delete_session(token, info.id) is True
    assert await gateway.delete_session(token, info.id) is False
    with pytest.raises(errors.NotFound):
        await gateway.get_session(token, info.id)


async def test_sending_and_what_is_known_of_it(world: World):
    info = await world.linked()
    outcome = await world.gateway.send_text(info.api_key, PHONE, "Grüße", send_before=boot_clock() + 30)
    assert type(outcome) is Accepted
    async with asyncio.timeout(60):
        while (found := await world.gateway.message_info(info.api_key, outcome.msg_id)).status != 4:
            await asyncio.sleep(0.01)
    assert (found.text, found.remote_jid) == ("Grüße", "12125550123@s.whatsapp.net")
    page = await world.gateway.message_logs(world.token, info.id, status="sent")
    assert (page.page, page.last_page, page.total) == (1, 1, 1)
    (entry,) = page.entries
    assert (entry.id, entry.to, entry.content, entry.status) == (outcome.msg_id, PHONE, "Grüße", "sent")
    assert await world.delivered() == 1
    with pytest.raises(errors.NotFound):
        await world.gateway.message_info(info.api_key, outcome.msg_id + 1)


async def test_media_and_identity(world: World):
    info = await world.linked()
    url = await world.gateway.upload(info.api_key, b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png")
    outcome = await world.gateway.send(info.api_key, {"to": PHONE, "imageUrl": url, "text": "A picture"})
    assert type(outcome) is Accepted
    assert await world.gateway.on_whatsapp(info.api_key, PHONE) is True
    lid = await world.gateway.lid_from_pn(info.api_key, PHONE)
    assert lid.endswith("@lid")
    assert await world.gateway.pn_from_lid(info.api_key, lid) == PHONE


async def test_refusals(world: World):
    info = await world.linked()
    await world.lever("PATCH", "/knobs", {"unregistered": [OTHER]})
    cases = [
        (info.api_key, OTHER, Rejected, "not_on_whatsapp"),
        (info.api_key, "nonsense", Rejected, "invalid"),
        (world.token, PHONE, NotSent, "unauthorized"),
        ("0" * 64, PHONE, NotSent, "unauthorized"),
    ]
    for key, to, kind, code in cases:
        outcome = await world.gateway.send_text(key, to, "Hello")
        assert (type(outcome), outcome.code) == (kind, code)
    for status in (400, 200, 422):
        await world.lever("PATCH", "/knobs", {"not_connected_status": status})
        await world.gateway.disconnect(world.token, info.id)
        outcome = await world.gateway.send_text(info.api_key, PHONE, "Hello")
        assert (type(outcome), outcome.code, outcome.http_status) == (NotSent, "not_connected", status)
    wrong = await WaSender(f"{world.url}/wrong", world.http).send_text(info.api_key, PHONE, "Hello")
    assert (type(wrong), wrong.code) == (NotSent, "configuration")
    assert await world.delivered() == 0


@pytest.mark.parametrize("form", ["delta", "epoch"])
async def test_the_rate_limit(world: World, form):
    info = await world.linked()
    await world.lever("PATCH", "/knobs", {"rate_limit": 1, "rate_window": 50, "reset_form": form})
    assert type(await world.gateway.send_text(info.api_key, PHONE, "one")) is Accepted
    outcome = await world.gateway.send_text(info.api_key, PHONE, "two")
    assert (type(outcome), outcome.code) == (Deferred, "rate_limited")
    assert 40 < outcome.retry_after <= 52


FAULTS = [
    ({"kind": "reset_headers"}, MaybeSent, "reset", 0),
    ({"kind": "drop", "accept": True}, MaybeSent, "reset", 1),
    ({"kind": "drop", "accept": False}, MaybeSent, "reset", 0),
    ({"kind": "silence", "seconds": 5.0}, MaybeSent, "timeout", 1),
    ({"kind": "drip", "seconds": 60.0}, MaybeSent, "timeout", 1),
    ({"kind": "error", "status": 500}, MaybeSent, "server_error", 1),
    ({"kind": "html"}, MaybeSent, "server_error", 1),
    ({"kind": "answer", "body": "<garbage>"}, MaybeSent, "garbage", 1),
    ({"kind": "answer", "body": '{"success":true,"data":{}}'}, MaybeSent, "no_msg_id", 1),
    ({"kind": "cut"}, MaybeSent, "reset", 1),
    ({"kind": "429", "hint": "all", "retry_after": 9}, Deferred, "rate_limited", 0),
    ({"kind": "429", "hint": "bad"}, Deferred, "rate_limited", 0),
    ({"kind": "429", "hint": "none"}, Deferred, "rate_limited", 0),
    ({"kind": "unauthorized"}, NotSent, "unauthorized", 0),
    ({"kind": "not_connected"}, NotSent, "not_connected", 0),
]


@pytest.mark.parametrize(("fault", "kind", "code", "delivered"), FAULTS)
async def test_accidents(world: World, fault, kind, code, delivered):
    """One request each, whatever happens; what the sandbox really took in is in its ledger."""
    info = await world.linked()
    world.gateway = WaSender(f"{world.url}/api", world.http, deadline=1.0 if code == "timeout" else 20.0)
    await world.lever("POST", "/faults", {"endpoint": "send-message", "next": 1} | fault)
    outcome = await world.gateway.send_text(info.api_key, PHONE, "Hello")
    assert (type(outcome), outcome.code) == (kind, code)
    assert await world.delivered() == delivered
    if fault.get("retry_after"):
        assert 8 < outcome.retry_after <= 10


async def test_webhooks_of_the_sandbox_can_be_read(world: World):
    async with RawServer(behave=replies(answer(200, {}))) as hook:
        info = await world.linked(webhook_url=hook.url)
        sent = await world.gateway.send_text(info.api_key, PHONE, "Hello")
        await world.lever("POST", f"/sessions/{info.id}/stop", {"from": OTHER})

        def events() -> list[object]:
            return [event for request in hook.requests for event in webhooks.parse(request.body).events]

        def done() -> bool:
            found = events()
            statuses = {e.status for e in found if isinstance(e, webhooks.StatusUpdate) and e.msg_id == sent.msg_id}
            return {2, 3, 4} <= statuses and any(isinstance(e, webhooks.Inbound) for e in found)

        await hook.until(done)
        for request in hook.requests:
            assert request.headers["x-webhook-signature"] == info.webhook_secret
            assert webhooks.find_session_ref(request.body) == info.api_key
            assert info.api_key.encode() not in webhooks.blank(request.body, info.api_key)
        found = events()
        (inbound,) = {event for event in found if isinstance(event, webhooks.Inbound)}
        assert (inbound.phone, inbound.text, inbound.is_group) == (OTHER, "STOP", False)
        full = next(event for event in found if isinstance(event, webhooks.StatusUpdate) and event.msg_id)
        assert (full.text, full.remote_jid) == ("Hello", "12125550123@s.whatsapp.net")
        kinds = {type(event) for event in found}
        assert {webhooks.SessionStatus, webhooks.QrUpdated} <= kinds
        assert all(event.why != "unknown event" for event in found if isinstance(event, webhooks.Ignored))
        await world.gateway.delete_session(world.token, info.id)
