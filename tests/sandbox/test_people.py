"""Contacts, LIDs and uploads (contract 3.3 and 4)."""

from __future__ import annotations

import base64
import io

import pytest

from phonebank.sandbox.identity import digits_of_lid, lid_of

from .desk import ANNA, BEN, Desk

JPEG = b"\xff\xd8\xff" + b"x" * 100


async def upload(desk: Desk, key: str, data: bytes, mime: str) -> tuple[int, dict]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": mime}
    async with desk.client.post(desk.server.url + "/api/upload", data=io.BytesIO(data), headers=headers) as response:
        return response.status, await response.json()


async def test_lids_lead_back(desk: Desk):
    session = await desk.linked()
    key = session["api_key"]
    lid = (await desk.call("GET", f"/api/lid-from-pn/{ANNA[1:]}", key)).body["data"]["lid"]
    assert lid.endswith("@lid") and ANNA[1:] not in lid
    answer = await desk.call("GET", f"/api/pn-from-lid/{lid.replace('@', '%40')}", key)
    assert answer.body["data"] == {"pn": ANNA[1:] + "@s.whatsapp.net"}
    await desk.turn(resolve_lids=False)
    refused = await desk.call("GET", f"/api/pn-from-lid/{lid}", key)
    assert refused.status == 404 and refused.body["success"] is False
    bad = await desk.call("GET", "/api/lid-from-pn/12", key)
    assert bad.body == {"success": False, "error": "Phone number not found or invalid."}


@pytest.mark.parametrize("digits", ["4915112345678", "1234567", "999999999999999", "14155550101"])
def test_lids_are_one_to_one(digits: str):
    assert digits_of_lid(lid_of(digits)) == digits


async def test_on_whatsapp(desk: Desk):
    session = await desk.linked()
    await desk.turn(unregistered=[BEN])
    for name, exists in (("%2B14155550101", True), ("%2B14155550102", False), ("14155550102%40s.whatsapp.net", False)):
        answer = await desk.call("GET", f"/api/on-whatsapp/{name}", session["api_key"])
        assert answer.body == {"success": True, "data": {"exists": exists}}


async def test_contacts(desk: Desk):
    session = await desk.linked()
    key = session["api_key"]
    await desk.call("PUT", "/api/contacts", key, {"jid": ANNA, "fullName": "Anna", "saveOnPrimaryAddressbook": False})
    await desk.send(session, to=BEN)
    plain = (await desk.call("GET", "/api/contacts", key)).body["data"]
    assert [item["jid"].partition("@")[0] for item in plain] == [ANNA[1:], BEN[1:]] and plain[0]["name"] == "Anna"
    page = (await desk.call("GET", "/api/contacts?paginated=true&page=2&limit=1", key)).body["data"]
    assert page["items"][0]["jid"].startswith(BEN[1:]) and page["pagination"]["totalPages"] == 2
    assert (await desk.call("GET", f"/api/contacts/{ANNA[1:]}", key)).body["data"]["name"] == "Anna"
    assert (await desk.call("GET", f"/api/contacts/{ANNA[1:]}/picture", key)).body["data"] == {"imgUrl": None}


async def test_upload_both_forms(desk: Desk):
    session = await desk.linked()
    status, body = await upload(desk, session["api_key"], JPEG, "image/jpeg")
    assert status == 200 and set(body) == {"success", "publicUrl"}
    async with desk.client.get(body["publicUrl"]) as response:
        assert await response.read() == JPEG and response.headers["Content-Type"] == "image/jpeg"
    encoded = base64.b64encode(JPEG).decode()
    for fields in ({"base64": f"data:image/jpeg;base64,{encoded}"}, {"base64": encoded, "mimetype": "image/jpeg"}):
        answer = await desk.call("POST", "/api/upload", session["api_key"], fields)
        async with desk.client.get(answer.body["publicUrl"]) as response:
            assert await response.read() == JPEG
    assert (await desk.call("GET", "/media/unknown.jpg")).status == 404


@pytest.mark.parametrize(
    ("data", "mime", "status"),
    [
        (b"GIF89a", "image/gif", 422),
        (b"no jpeg at all", "image/jpeg", 422),
        (b"", "image/jpeg", 422),
        (b"RIFF" + b"x" * (5 * 1024 * 1024), "image/webp", 413),
        (b"data", "multipart/form-data; boundary=x", 422),
    ],
)
async def test_upload_is_checked(desk: Desk, data: bytes, mime: str, status: int):
    session = await desk.linked()
    found, body = await upload(desk, session["api_key"], data, mime)
    assert found == status and body["success"] is False and body["error"]
