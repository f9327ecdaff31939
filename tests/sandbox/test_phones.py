"""The phones page, used as a browser without scripts would use it."""

from __future__ import annotations

from urllib.parse import quote

from .desk import ANNA, Desk, Subscriber, until


async def page(desk: Desk, path: str) -> str:
    async with desk.client.get(desk.server.url + path) as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        text = await response.text()
    assert "style=" not in text and "onclick" not in text
    return text


async def press(desk: Desk, path: str, came_from: str = "/", **fields: str) -> str:
    """Presses a button and answers where it leads."""
    headers = {"Referer": desk.server.url + came_from, "Origin": desk.server.url}
    url = desk.server.url + path
    async with desk.client.post(url, data=fields, headers=headers, allow_redirects=False) as response:
        assert response.status == 303, await response.text()
        return response.headers["Location"]


async def test_scan_with_a_button(desk: Desk):
    assert "No number yet" in await page(desk, "/")
    session = await desk.create(name="Shop <b>")
    await desk.account("POST", f"/whatsapp-sessions/{session['id']}/connect")
    overview = await page(desk, "/")
    assert "Shop &lt;b&gt;" in overview and "Shop <b>" not in overview and "Waits for a scan" in overview
    where = f"/numbers/{session['id']}"
    assert "<svg" in await page(desk, where)
    assert await press(desk, where + "/scan", where) == where
    await until(lambda: desk.status_is(session, "connected"))
    assert "Connected" in await page(desk, where) and "<svg" not in await page(desk, where)
    assert "note=" in await press(desk, where + "/scan", where), "what cannot be done is said"
    for lever, status in (("drop", "disconnected"), ("restore", "connected"), ("logout", "logged_out")):
        await press(desk, f"{where}/{lever}")
        await until(lambda: desk.status_is(session, status))  # noqa: B023 - awaited at once


async def test_read_reply_and_stop(desk: Desk, subscriber: Subscriber):
    session = await desk.linked(**subscriber.settings("messages.received"))
    await desk.send(session, text="Sale <script>alert(1)</script>")
    await desk.call(
        "POST", "/api/send-message", session["api_key"], {"to": ANNA, "imageUrl": "https://example.org/a.jpg"}
    )
    assert ANNA in await page(desk, "/")
    chat = f"/people/{ANNA}"
    shown = await page(desk, chat)
    assert "&lt;script&gt;alert(1)" in shown and "<script>alert" not in shown and "Image" in shown
    number = str(session["id"])
    assert await press(desk, chat + "/reply", chat, session=number, text="Count me in") == chat
    await press(desk, chat + "/stop", chat, session=number)
    await press(desk, chat + "/reply", chat, session=number, text="Who?", lid_only="on")
    await until(lambda: len(subscriber.events) == 3)
    bodies = [data["messages"] for data in subscriber.of("messages.received")]
    assert [body["messageBody"] for body in bodies] == ["Count me in", "STOP", "Who?"]
    assert [body["key"]["addressingMode"] for body in bodies] == ["pn", "pn", "lid"]
    assert "Count me in" in await page(desk, chat)
    assert "Who?" in await page(desk, f"/numbers/{number}"), "the number shows its conversations"
    assert "note=" in await press(desk, chat + "/reply", chat, session=number, text=" ")


async def test_search_and_unknown_pages(desk: Desk):
    session = await desk.linked()
    await desk.send(session)
    assert ANNA in await page(desk, "/?q=" + quote("5550101"))
    assert "Nobody with such a number" in await page(desk, "/?q=999")
    await page(desk, "/people/+14155550199")
    for path in ("/numbers/77", "/people/nobody", "/assets/../pages.py", "/nothing"):
        assert (await desk.call("GET", path)).status == 404
    for name in ("phones.css", "phones.js"):
        assert (await desk.call("GET", f"/assets/{name}")).status == 200


async def test_back_never_leaves_the_page(desk: Desk):
    session = await desk.linked()
    headers = {"Referer": "https://example.org//evil"}
    url = f"{desk.server.url}/numbers/{session['id']}/drop"
    async with desk.client.post(url, headers=headers, allow_redirects=False) as response:
        assert response.headers["Location"] == "/"
