"""Levers and ground truth outside the API."""

from __future__ import annotations

import pytest

from phonebank.sandbox import SandboxConfig
from phonebank.sandbox.knobs import KnobError

from .desk import ANNA, BEN, FAST, Desk, until


async def test_ledger(desk: Desk):
    first, second = await desk.linked(), await desk.linked()
    await desk.send(first, text="One")
    await desk.send(first, text="Two")
    await desk.send(second, text="One")
    await desk.send(second, to=BEN)

    async def read() -> bool:
        return (await desk.ledger())["read"] == 4

    await until(read)
    assert await desk.ledger() == {
        "accepted": 4,
        "recipients": 2,
        "repeats": 2,
        "duplicates": 1,
        "delivered": 4,
        "read": 4,
        "failed": 0,
    }
    own = await desk.ledger(f"?session={second['id']}")
    assert (own["accepted"], own["recipients"], own["duplicates"], own["read"]) == (2, 2, 0, 2)
    assert await desk.admin("GET", "/ledger/recipients") == {ANNA: 3, BEN: 1}
    assert await desk.admin("GET", "/ledger/recipients?min=2") == {ANNA: 3}
    assert await desk.admin("GET", f"/ledger/recipients?session={second['id']}") == {ANNA: 1, BEN: 1}
    page = await desk.admin("GET", "/ledger/entries?limit=3")
    assert [entry["text"] for entry in page["entries"]] == ["One", "Two", "One"]
    rest = await desk.admin("GET", f"/ledger/entries?limit=3&after={page['next_after']}")
    assert [entry["to"] for entry in rest["entries"]] == [BEN] and rest["next_after"] is None
    await desk.account("DELETE", f"/whatsapp-sessions/{first['id']}")
    kept = await desk.admin("GET", f"/ledger/entries?session={first['id']}")
    assert len(kept["entries"]) == 2, "a deleted session's messages were accepted all the same"


async def test_knobs_for_all_one_session_one_number(desk: Desk):
    session, other = await desk.linked(), await desk.linked()
    await desk.turn(jid_form="plus")
    await desk.turn(f"?session={session['id']}", jid_form="digits")
    await desk.turn("?number=%2B" + BEN[1:], jid_form="jid")
    jids = [(await desk.send(*pair)).body["data"]["jid"] for pair in ((other, ANNA), (session, ANNA), (session, BEN))]
    assert jids == [ANNA, ANNA[1:], BEN[1:] + "@s.whatsapp.net"]
    known = await desk.admin("GET", "/knobs")
    assert known["all"]["jid_form"] == "plus" and known["numbers"] == {BEN: {"jid_form": "jid"}}
    await desk.admin("DELETE", "/knobs")
    assert (await desk.send(session)).body["data"]["jid"].endswith("@s.whatsapp.net")
    assert (await desk.admin("GET", "/knobs"))["all"]["sent_after"] == [FAST["sent_after"]] * 2


@pytest.mark.parametrize(
    "change",
    [{"speed": 1}, {"latency": -1}, {"latency": [2, 1]}, {"read_fraction": 1.5}, {"logs": 1}, {"reset_form": "x"}],
)
async def test_knobs_are_checked(desk: Desk, change: dict):
    answer = await desk.call("PATCH", "/sandbox/knobs", None, {"sent_after": 9} | change)
    assert answer.status == 422 and next(iter(change)) in answer.body["error"]
    assert (await desk.admin("GET", "/knobs"))["all"]["sent_after"] == [0.02, 0.02], "all or nothing"


async def test_config_is_checked(start):
    with pytest.raises(KnobError):
        await start(knobs={"speed": 1})
    with pytest.raises(ValueError, match="token"):
        SandboxConfig(token="short")


async def test_reset(desk: Desk):
    session = await desk.linked()
    last = (await desk.send(session)).body["data"]["msgId"]
    await desk.admin("POST", f"/sessions/{session['id']}/stop", {"from": ANNA})
    await desk.fault("drop")
    await desk.admin("POST", "/reset", {})
    assert (await desk.ledger())["accepted"] == 0 and await desk.logs(session) == []
    assert (await desk.send(session)).body["data"]["msgId"] == last + 1, "ids are never used again"

    async def settled() -> bool:
        return (await desk.ledger())["read"] == 1

    await until(settled)
    assert (await desk.ledger())["delivered"] == 1, "the forgotten message does not count"
    await desk.admin("POST", "/reset", {"sessions": True})
    assert await desk.admin("GET", "/sessions") == []


async def test_stats(desk: Desk):
    session = await desk.linked()
    await desk.send(session)
    await desk.send(session, to="nonsense")
    stats = await desk.admin("GET", "/stats")
    assert stats["requests"]["send-message"] == {"200": 1, "422": 1} and stats["429"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "sandbox.example.org"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/sandbox/reset", "/people/+14155550101/stop"])
async def test_foreign_pages_are_refused(desk: Desk, headers: dict, path: str):
    async with desk.client.post(desk.server.url + path, headers=headers) as response:
        assert response.status == 403


async def test_foreign_machines_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    session = await desk.linked()
    monkeypatch.setattr(
        "phonebank.sandbox.http.HttpProtocol.peer", property(lambda _: "192.0.2.7", lambda *_: None), raising=False
    )
    async with desk.client.get(desk.server.url + "/sandbox/ledger") as response:
        assert response.status == 403
    assert (await desk.send(session)).status == 200, "the API itself is for everybody"


async def test_unknown_levers(desk: Desk):
    assert (await desk.call("GET", "/sandbox/nothing")).status == 404
    assert (await desk.call("DELETE", "/sandbox/ledger")).status == 405
    assert (await desk.call("POST", "/sandbox/sessions/77/scan")).status == 404
    session = await desk.create()
    assert (await desk.call("POST", f"/sandbox/sessions/{session['id']}/scan")).status == 422
    bad = await desk.call("POST", f"/sandbox/sessions/{session['id']}/inbound", None, {"from": "x", "text": "Hi"})
    assert bad.status == 422
