"""The HTML of the phones page. Every value that came from outside goes through `escape`."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import datetime
from html import escape
from urllib.parse import quote

import segno

from .messages import DELIVERED, ERROR, PENDING, READ, SENT, Message
from .state import CONNECTED, CONNECTING, DISCONNECTED, NEED_PASSKEY, NEED_SCAN, Inbound, Session

MOST_CARDS = 120
People = list[tuple[str, Message | Inbound]]
STATUS = {  # status -> (colour, word)
    CONNECTED: ("good", "Connected"),
    CONNECTING: ("wait", "Connecting"),
    NEED_SCAN: ("wait", "Waits for a scan"),
    NEED_PASSKEY: ("wait", "Waits for a passkey"),
    DISCONNECTED: ("idle", "Not connected"),
    "logged_out": ("bad", "Logged out"),
    "expired": ("bad", "Link expired"),
}
TICKS = {PENDING: "on its way", SENT: "sent", DELIVERED: "delivered", READ: "read", ERROR: "failed"}
LABELS = {
    "imageUrl": "Image",
    "videoUrl": "Video",
    "documentUrl": "Document",
    "audioUrl": "Voice note",
    "stickerUrl": "Sticker",
    "contact": "Contact card",
    "location": "Location",
    "poll": "Poll",
}


def moment(message: Message | Inbound) -> float:
    """When it happened, in epoch seconds."""
    return message.accepted_at if isinstance(message, Message) else message.at


def _clock(seconds: float) -> str:
    when = datetime.fromtimestamp(seconds).astimezone()
    today = when.date() == datetime.now().astimezone().date()
    shown = when.strftime("%H:%M" if today else "%d %b %H:%M")
    return f'<time datetime="{when.isoformat(timespec="seconds")}">{shown}</time>'


def _document(title: str, body: str, note: str = "") -> str:
    told = f'<p class="note" role="status">{escape(note)}</p>' if note else ""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} - Simulated phones</title>"
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/phones.css">'
        '<script src="/assets/phones.js" defer></script></head><body>'
        '<header class="top"><a class="brand" href="/">Simulated phones</a><span class="tag">Sandbox</span></header>'
        f"<main>{told}{body}</main></body></html>"
    )


def problem(text: str) -> str:
    """A page that only says what is wrong."""
    return _document(text, f'<section><h1>{escape(text)}</h1><p><a href="/">All phones</a></p></section>')


def _button(action: str, label: str, kind: str = "") -> str:
    name = action.strip("/").replace("/", "-").replace("+", "")
    button = f'<button id="{escape(name)}" class="{kind}">{label}</button>'
    return f'<form method="post" action="{escape(action)}">{button}</form>'


def _chip(session: Session) -> str:
    colour, word = STATUS.get(session.status, ("idle", session.status))
    return f'<span class="chip {colour}">{escape(word)}</span>'


def _qr(session: Session) -> str:
    if session.status != NEED_SCAN or not session.qr:
        return ""
    picture = io.BytesIO()
    code = segno.make(session.qr, error="l", micro=False)
    code.save(picture, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=2, dark="#000", light="#fff")
    return f'<div class="qr" role="img" aria-label="QR code">{picture.getvalue().decode()}</div>'


def _actions(session: Session) -> str:
    base = f"/numbers/{session.id}/"
    if session.status in (NEED_SCAN, NEED_PASSKEY):
        label = "Scan with this phone" if session.status == NEED_SCAN else "Confirm on this phone"
        return _button(base + "scan", label, "main")
    if session.status == CONNECTED:
        return _button(base + "drop", "Drop the link") + _button(base + "logout", "Log out", "quiet")
    if session.status == DISCONNECTED and session.linked:
        return _button(base + "restore", "Restore the link", "main") + _button(base + "logout", "Log out", "quiet")
    if session.status == CONNECTING:
        return '<p class="hint">One moment.</p>'
    return _button(base + "connect", "Show a QR code") + '<p class="hint">Or press Connect in Phonebank.</p>'


def _card(session: Session) -> str:
    sent, heard = len(session.accepted), len(session.inbound)
    return (
        f'<li class="card"><div class="who"><h2><a href="/numbers/{session.id}">'
        f"{escape(session.settings['name'])}</a></h2>{_chip(session)}</div>"
        f'<p class="number">+{escape(session.number)}</p>'
        f'<p class="hint">{sent:,} sent, {heard:,} received</p><div class="actions">{_actions(session)}</div></li>'
    )


def _content(message: Message | Inbound) -> str:
    """What a bubble says, with a label for what is not text."""
    if isinstance(message, Inbound):
        return escape(message.text)
    if message.deleted:
        return "<em>This message was deleted</em>"
    labels = [label for name, label in LABELS.items() if name in message.fields]
    shown = "".join(f'<span class="kind">{label}</span>' for label in labels)
    return shown + escape(message.text)


def _person(to: str, message: Message | Inbound) -> str:
    said = _content(message)
    who = "" if isinstance(message, Message) else '<span class="you">Reply: </span>'
    state = f"<small>{TICKS[message.status]}</small>" if isinstance(message, Message) else ""
    return (
        f'<li><a class="row" href="/people/{quote(to, safe="+@")}"><b>{escape(to)}</b>{_clock(moment(message))}'
        f'<span class="last">{who}{said}</span>{state}</a></li>'
    )


def _people(people: People, empty: str) -> str:
    if not people:
        return f'<p class="empty">{empty}</p>'
    return '<ul class="people">' + "".join(_person(to, message) for to, message in people) + "</ul>"


def _totals(summary: dict[str, int]) -> str:
    words = {"accepted": "accepted", "delivered": "delivered", "read": "read", "failed": "failed"}
    items = "".join(f"<div><dd>{summary[name]:,}</dd><dt>{word}</dt></div>" for name, word in words.items())
    twice = summary["duplicates"]
    alarm = f'<div class="alarm"><dd>{twice:,}</dd><dt>delivered twice</dt></div>' if twice else ""
    return f'<dl class="totals">{items}{alarm}</dl>'


def overview(sessions: Iterable[Session], people: People, summary: dict[str, int], *, wanted: str, note: str) -> str:
    """All phones: the numbers that write, and the people who were written to."""
    # Who waits for something comes first, or it would be missed among hundreds.
    order = {NEED_SCAN: 0, NEED_PASSKEY: 0, CONNECTING: 1}
    ordered = sorted(sessions, key=lambda item: order.get(item.status, 2))
    cards = "".join(_card(session) for session in ordered[:MOST_CARDS])
    more = f'<p class="hint">And {len(ordered) - MOST_CARDS:,} more.</p>' if len(ordered) > MOST_CARDS else ""
    numbers = (
        f'<ul class="cards">{cards}</ul>'
        if cards
        else (
            '<p class="empty">No number yet. Create a session in Phonebank, press Connect, then scan its code here.</p>'
        )
    )
    empty = "Nobody with such a number." if wanted else "Nothing arrived yet. Send a campaign and look here again."
    return _document(
        "All",
        f'<section data-live="numbers"><h1>Your numbers</h1>{_totals(summary)}{numbers}{more}</section>'
        '<section><h2>People</h2><form class="search" role="search"><label for="q">Find a number</label>'
        f'<input id="q" name="q" inputmode="tel" value="{escape(wanted)}"><button>Find</button></form>'
        f'<div data-live="people">{_people(people, empty)}</div></section>',
        note,
    )


def number(session: Session, people: People, summary: dict[str, int], *, note: str) -> str:
    """One of the numbers that write: its code, its levers, its conversations."""
    talks = _people(people, "Nothing sent and nothing received yet.")
    return _document(
        session.settings["name"],
        f'<section data-live="number"><p><a href="/">All phones</a></p>'
        f'<h1>Phone of {escape(session.settings["name"])}</h1><div class="device">'
        f'<ul class="cards one">{_card(session)}</ul>{_qr(session)}</div>'
        f"{_totals(summary)}<h2>Conversations</h2>{talks}</section>",
        note,
    )


def _bubble(message: Message | Inbound, session: Session) -> str:
    mine = isinstance(message, Inbound)
    name = escape(session.settings["name"])
    meta = f"to {name}" if mine else f"{name}, {TICKS[message.status]}"
    return (
        f'<li class="bubble {"mine" if mine else "theirs"}"><p>{_content(message)}</p>'
        f"<small>{meta} {_clock(moment(message))}</small></li>"
    )


def chat(to: str, bubbles: list[tuple[Message | Inbound, Session]], partners: list[Session], *, note: str) -> str:
    """One person's phone."""
    shown = "".join(_bubble(message, session) for message, session in bubbles)
    talk = f'<ol class="chat">{shown}</ol>' if shown else '<p class="empty">Nothing arrived on this phone yet.</p>'
    return _document(
        to,
        f'<section class="phone"><p><a href="/">All phones</a></p><h1 class="number">{escape(to)}</h1>'
        f'<div data-live="chat" class="talk">{talk}</div>{_answering(to, partners)}</section>',
        note,
    )


def _answering(to: str, partners: list[Session]) -> str:
    if not to.startswith("+") or not partners:
        return ""
    action = f"/people/{quote(to, safe='+')}"
    options = "".join(
        f'<option value="{session.id}">{escape(session.settings["name"])} (+{escape(session.number)})</option>'
        for session in partners
    )
    return (
        f'<form class="reply" method="post" action="{action}/reply"><label for="session">Reply to</label>'
        f'<select id="session" name="session">{options}</select><label for="text">Message</label>'
        '<input id="text" name="text" autocomplete="off" maxlength="4096" placeholder="Write a reply">'
        '<label class="check"><input type="checkbox" name="lid_only"> Hide my number (LID only)</label>'
        f'<button class="main">Send</button><button formaction="{action}/stop" class="stop">Send STOP</button></form>'
    )
