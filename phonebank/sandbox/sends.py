"""`POST /send-message` and what becomes of an accepted message (contract 3)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import time
from typing import Any

from .agenda import Agenda
from .events import Events
from .http import Response, json_response
from .identity import digits_of, jid_of, recipient_of
from .knobs import Knobs, KnobStore, pick
from .messages import DELIVERED, ERROR, PENDING, READ, SENT, Ledger, Message
from .state import CONNECTED, Session

MAX_TEXT = 4096  # characters (contract 10)
MEDIA = ("imageUrl", "videoUrl", "documentUrl", "audioUrl", "stickerUrl")
OBJECTS = ("contact", "location", "poll")
CONTENT = frozenset(MEDIA + OBJECTS)
KEPT = CONTENT | {"text", "fileName", "viewOnce", "mentions", "replyTo"}
NOT_CONNECTED = "Your Whatsapp Session is not connected please connect your session first."
NO_JID = "The provided JID does not exist on WhatsApp."


def invalid(errors: dict[str, list[str]]) -> Response:
    """422 of a validation (contract 6)."""
    return json_response(422, {"success": False, "message": "Validation failed", "errors": errors})


def not_connected(knobs: Knobs) -> Response:
    return json_response(knobs.not_connected_status, {"success": False, "message": NOT_CONNECTED})


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://")) and len(value) <= 2048


def _number_in(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _object_ok(name: str, value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if name == "contact":
        return isinstance(value.get("name"), str) and isinstance(value.get("phone"), str)
    if name == "location":
        return _number_in(value.get("latitude"), -90, 90) and _number_in(value.get("longitude"), -180, 180)
    options = value.get("options")
    return (
        isinstance(value.get("question"), str)
        and isinstance(options, list)
        and 2 <= len(options) <= 12
        and all(isinstance(option, str) and option for option in options)
    )


def problems(body: dict[str, Any]) -> dict[str, list[str]]:
    """What is wrong with the request's fields, by field; empty if nothing is."""
    errors: dict[str, list[str]] = {}
    to = body.get("to")
    if not to:
        errors["to"] = ["The to field is required."]
    elif recipient_of(to) is None and not (isinstance(to, str) and to.endswith("@lid")):
        errors["to"] = ["The to field format is invalid."]
    text = body.get("text")
    if text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT):
        errors["text"] = [f"The text field must be a string of at most {MAX_TEXT} characters."]
    given = [name for name in body if name in CONTENT and body[name] is not None]
    if not text and not given:
        errors.setdefault("text", ["The text field is required when no other content is present."])
    for name in given:
        if not (_is_url(body[name]) if name in MEDIA else _object_ok(name, body[name])):
            errors[name] = [f"The {name} field is invalid."]
    reply = body.get("replyTo")
    if reply is not None and (isinstance(reply, bool) or not isinstance(reply, int) or reply < 1):
        errors["replyTo"] = ["The replyTo field must be a positive integer."]
    return errors


def content_from(body: dict[str, Any]) -> str | dict[str, Any]:
    """The part of the request that is kept: the bare text, or all known fields."""
    kept = {name: value for name, value in body.items() if name in KEPT and value is not None}
    return kept["text"] if kept.keys() == {"text"} else kept


class Sends:
    """Takes messages in and lets them live: pending, sent, delivered, read, or failed."""

    def __init__(
        self, ledger: Ledger, knobs: KnobStore, agenda: Agenda, events: Events, record: Callable[..., None], seed: int,
        hear: Callable[[Message], None] = lambda message: None,
    ) -> None:  # fmt: skip
        self.ledger = ledger
        self.knobs = knobs
        self.agenda = agenda
        self.events = events
        self.record = record
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose
        self.hear = hear

    def answer(self, session: Session, body: dict[str, Any], first_byte: float) -> tuple[Response, Message | None]:
        """Checks and accepts one send; no message means that it was refused."""
        to = recipient_of(body.get("to")) or ""
        knobs = self.knobs.of(session.id, to)
        refusal = self._refusal(session, body, to, knobs)
        if refusal is not None:
            return refusal, None
        message = self._accept(session, to, content_from(body), first_byte, knobs)
        # By hand, it is the one hot answer: no addressee that passed the checks needs escaping.
        data = f'{{"msgId":{message.id},"jid":"{self._echo(to, knobs)}","status":"in_progress"}}'
        return Response(200, f'{{"success":true,"data":{data}}}'.encode()), message

    def begin(self, message: Message) -> None:
        """The message's life takes its planned course."""
        self.agenda.at(message.sent_at, self._advance, message)

    def hurry(self, message: Message, done: Callable[[], None]) -> None:
        """The message is sent at once; `done` is called when its webhook was posted."""
        message.sent_at = message.accepted_at
        self._advance(message, done)

    def _refusal(self, session: Session, body: dict[str, Any], to: str, knobs: Knobs) -> Response | None:
        errors = problems(body)
        if errors:
            return invalid(errors)
        if session.status != CONNECTED:
            return not_connected(knobs)
        if not to or to in knobs.unregistered:
            return json_response(422, {"success": False, "message": NO_JID})
        return None

    def _echo(self, to: str, knobs: Knobs) -> str:
        digits = digits_of(to)
        if digits is None or knobs.jid_form == "plus":
            return to
        return digits if knobs.jid_form == "digits" else jid_of(to)

    def _accept(
        self, session: Session, to: str, content: str | dict[str, Any], first_byte: float, knobs: Knobs
    ) -> Message:
        """The message is in, in ledger and journal; from here on it is a fact. Its future is drawn now."""
        message = Message(self.ledger.next_id, session, to, content, first_byte)
        message.accepted_at = time()
        message.logged = knobs.logs
        self._plan(message, message.accepted_at, knobs)
        self.put(message)
        self._record(message)
        return message

    def put(self, message: Message) -> None:
        """Files a new or remembered message."""
        self.ledger.add(message)
        message.session.accepted.append(message)
        if message.logged:
            message.session.log.append(message)

    def _record(self, message: Message) -> None:
        self.record(
            "message",
            message.id,
            message.session.id,
            message.to,
            message.content,
            message.first_byte,
            message.accepted_at,
            *self._future(message),
            message.logged,
        )

    def _future(self, message: Message) -> tuple[float, float, float, str]:
        return message.sent_at, message.delivered_at, message.read_at, message.fails

    def _plan(self, message: Message, start: float, knobs: Knobs) -> None:
        draw = self.random
        message.sent_at = start + pick(draw, knobs.sent_after)
        message.delivered_at = message.read_at = 0.0
        message.fails = ""
        if knobs.fail_fraction and draw.random() < knobs.fail_fraction:
            message.fails = knobs.fail_reason
        elif knobs.delivered_fraction == 1 or draw.random() < knobs.delivered_fraction:
            message.delivered_at = max(start + pick(draw, knobs.delivered_after), message.sent_at)
            if draw.random() < knobs.read_fraction:
                message.read_at = max(start + pick(draw, knobs.read_after), message.delivered_at)

    def resend(self, message: Message) -> None:
        """The vendor's own retry of a failed message (contract 3.2)."""
        message.status = PENDING
        self.ledger.failed -= 1
        self._plan(message, time(), self.knobs.of(message.session.id, message.to))
        self.record("future", message.id, *self._future(message))
        self.agenda.at(message.sent_at, self._advance, message)

    def resume(self, message: Message, since: float) -> None:
        """A message remembered from a journal: its steps up to `since` are history, the rest is still to come."""
        for status, moment in self._steps(message):
            if moment > since:
                self.agenda.at(moment, self._advance, message)
                return
            message.status = status
            self.ledger.count(status)

    def _steps(self, message: Message) -> list[tuple[int, float]]:
        if message.fails:
            return [(ERROR, message.sent_at)]
        steps = [(SENT, message.sent_at), (DELIVERED, message.delivered_at), (READ, message.read_at)]
        return [step for step in steps if step[1]]

    def _advance(self, message: Message, done: Callable[[], None] | None = None) -> None:
        """The next step of a message's life is due, unless it was forgotten by a reset."""
        if self.ledger.get(message.id) is not message:
            return
        status = message.status
        if status == PENDING:
            status = ERROR if message.fails else SENT
        elif status in (SENT, DELIVERED):
            status += 1
        message.status = status
        self.ledger.count(status)
        self.events.message_status(message, status, done)
        if status in (ERROR, SENT):
            self.events.message_sent(message)
        if status == DELIVERED:
            self.hear(message)
        if status == SENT and message.delivered_at:
            self.agenda.at(message.delivered_at, self._advance, message)
        elif status == DELIVERED and message.read_at:
            self.agenda.at(message.read_at, self._advance, message)
