"""Webhook events: the envelope, the shapes of `data`, and what may go wrong with them (contract 7.3 to 7.7)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import time
from typing import Any

from .agenda import Agenda
from .http import encode
from .identity import PN_SUFFIX, jid_of, key_id, lid_of
from .knobs import KnobStore, pick
from .messages import DELIVERED, ERROR, Message
from .state import Inbound, Session
from .webhooks import Courier, Delivery

MEDIA = ("image", "video", "document", "audio", "sticker")


def content_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The WhatsApp message content that a send with these fields becomes."""
    text = fields.get("text")
    for kind in MEDIA:
        url = fields.get(f"{kind}Url")
        if url:
            media = {"url": url}
            if text and kind not in ("audio", "sticker"):
                media["caption"] = text
            if kind == "document":
                media["fileName"] = fields.get("fileName") or "document"
            return {f"{kind}Message": media}
    if contact := fields.get("contact"):
        return {"contactMessage": {"displayName": contact.get("name"), "vcard": f"TEL:{contact.get('phone')}"}}
    if location := fields.get("location"):
        place = {"degreesLatitude": location["latitude"], "degreesLongitude": location["longitude"]}
        return {"locationMessage": place | {"name": location.get("name"), "address": location.get("address")}}
    if poll := fields.get("poll"):
        options = [{"optionName": option} for option in poll["options"]]
        return {"pollCreationMessage": {"name": poll["question"], "options": options}}
    return {"extendedTextMessage": {"text": text}}


def message_key(message: Message) -> dict[str, Any]:
    return {"id": key_id(message.id), "fromMe": True, "remoteJid": jid_of(message.to)}


def message_data(message: Message, status: int) -> dict[str, Any]:
    """The full shape of `messages.update`, which `GET /messages/{msgId}/info` answers too."""
    key = message_key(message)
    return {
        "id": key["id"],
        "msgId": message.id,
        "remoteJid": key["remoteJid"],
        "status": status,
        "messageTimestamp": str(int(message.accepted_at)),
        "key": key,
        "message": content_of(message.fields),
    }


def inbound_data(inbound: Inbound) -> dict[str, Any]:
    """An inbound message as observed; with `lid_only` nothing in it leads to the number without asking."""
    phone, lid = inbound.digits + PN_SUFFIX, lid_of(inbound.digits)
    key: dict[str, Any] = {"id": key_id(inbound.id, "in"), "fromMe": False}
    if inbound.lid_only:
        key |= {"remoteJid": lid, "addressingMode": "lid", "senderLid": lid}
    else:
        key |= {"remoteJid": phone, "addressingMode": "pn", "senderLid": lid}
        key |= {"senderPn": phone, "cleanedSenderPn": inbound.digits}
    return {
        "key": key,
        "id": key["id"],
        "remoteJid": key["remoteJid"],
        "messageTimestamp": int(inbound.at),
        "pushName": f"Phone {inbound.digits[-4:]}",
        "broadcast": False,
        "verifiedBizName": None,
        "messageBody": inbound.text,
        "message": {"conversation": inbound.text, "messageContextInfo": {}},
    }


class Events:
    """Turns what happens into webhooks for those who subscribed, with the knobs' accidents."""

    def __init__(self, knobs: KnobStore, agenda: Agenda, courier: Courier, seed: int) -> None:
        self.knobs = knobs
        self.agenda = agenda
        self.courier = courier
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose

    def emit(
        self, session: Session, event: str, data: Any, *, extra_delay: float = 0, done: Callable[[], None] | None = None
    ) -> None:
        """Posts an event if the session subscribed to it. `done` is called when it was posted, or at once if not."""
        knobs = self.knobs.of(session.id)
        if not session.wants(event) or self._chance(knobs.webhook_loss):
            if done is not None:
                done()
            return
        envelope = {
            "event": event,
            "sessionId": session.api_key,
            "data": data,
            "timestamp": int(time() * 1000),
        }
        secret = session.webhook_secret
        if self._chance(knobs.webhook_wrong_secret):
            secret = secret[::-1]
        url, body = session.settings["webhook_url"], encode(envelope).encode()
        delay = pick(self.random, knobs.webhook_delay) + extra_delay
        copies = knobs.webhook_copies if self._chance(knobs.webhook_duplicate) else 1
        for number in range(copies):
            wait = delay + (self.random.uniform(0.02, 0.5) if number else 0)
            delivery = Delivery(url, body, secret, knobs.webhook_retries, knobs.webhook_retry_after, done)
            done = None
            if wait:
                self.agenda.at(time() + wait, self.courier.post, delivery)
            else:
                self.courier.post(delivery)

    def session_status(self, session: Session) -> None:
        self.emit(session, "session.status", {"status": session.status, "timestamp": int(time() * 1000)})

    def qr_updated(self, session: Session) -> None:
        self.emit(session, "qrcode.updated", {"qr": session.qr})

    def message_status(self, message: Message, status: int, done: Callable[[], None] | None = None) -> None:
        """`messages.update` for one step of a message that the API sent."""
        session = message.session
        knobs = self.knobs.of(session.id)
        if not session.wants("messages.update"):
            if done is not None:
                done()
            return
        data = self._status_data(message, status, knobs.webhook_shape)
        held_back = self.random.uniform(0.5, 3) if self._chance(knobs.webhook_reorder) else 0
        self.emit(session, "messages.update", data, extra_delay=held_back, done=done)
        if status >= DELIVERED and self._chance(knobs.webhook_backwards):
            data = self._status_data(message, status - 1, knobs.webhook_shape)
            self.emit(session, "messages.update", data, extra_delay=held_back + self.random.uniform(0.1, 1))

    def _status_data(self, message: Message, status: int, shape: str) -> dict[str, Any]:
        if shape == "docs":
            return {"update": {"status": status}, "key": message_key(message)}
        return message_data(message, status)

    def message_sent(self, message: Message) -> None:
        """`message.sent`, of a failure without any key (contract 7.7), and `messages.upsert` of a success."""
        session = message.session
        if message.status == ERROR:
            error = f"{message.fails}: {message.to}"
            self.emit(session, "message.sent", {"success": False, "error": error})
            return
        if not (session.wants("message.sent") or session.wants("messages.upsert")):
            return
        key, content = message_key(message), content_of(message.fields)
        self.emit(session, "message.sent", {"key": key, "message": content, "success": True})
        upsert = {"key": key, "message": content, "messageTimestamp": int(message.sent_at)}
        self.emit(session, "messages.upsert", {"messages": [upsert]})

    def received(self, session: Session, inbound: Inbound) -> None:
        """An inbound message, once per subscribed event: who enables several gets it several times."""
        data = inbound_data(inbound)
        self.emit(session, "messages.received", {"messages": data})
        self.emit(session, "messages-personal.received", {"messages": data})
        self.emit(session, "messages.upsert", {"messages": [data]})

    def acknowledged(self, session: Session, digits: str, status: int, *, from_me: bool, form: str) -> None:
        """The ack shape: about messages that the phone's owner sent or read by hand (contract 7.4)."""
        phone, lid = digits + PN_SUFFIX, lid_of(digits)
        key: dict[str, Any] = {"id": key_id(int(time() * 1e6), "phone"), "fromMe": from_me}
        key["remoteJid"] = {"pn": phone, "lid": lid, "empty": ""}[form]
        if form == "pn":
            key |= {"senderPn": phone, "cleanedSenderPn": digits, "senderLid": lid}
        self.emit(session, "messages.update", {"key": key, "status": status})

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability
