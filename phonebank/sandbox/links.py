"""The link between a session and its phone: the states it goes through and who may move it (contract 2.2 and 2.4)."""

from __future__ import annotations

import secrets
from base64 import b64encode
from time import time
from typing import Any

from .agenda import Agenda
from .events import Events
from .knobs import KnobStore
from .state import (
    CONNECTED,
    CONNECTING,
    DISCONNECTED,
    EXPIRED,
    LOGGED_OUT,
    NEED_PASSKEY,
    NEED_SCAN,
    Session,
    World,
    iso,
)

PASSKEY_SECONDS = 300


class LinkError(Exception):
    """The session's state does not allow this; the text says why."""


class Links:
    """Moves sessions through their states, tells the subscribers and keeps the session log."""

    def __init__(self, world: World, knobs: KnobStore, agenda: Agenda, events: Events) -> None:
        self.world = world
        self.knobs = knobs
        self.agenda = agenda
        self.events = events

    # What the customer asks for through the API

    def connect(self, session: Session, method: str = "qr") -> dict[str, Any]:
        """Starts linking; answers the `data` of contract 2.2 in upper case. A phone linked before needs no scan."""
        if session.status in (CONNECTED, CONNECTING):
            return {"status": "CONNECTED", "message": "Session is already connected or connecting."}
        if session.linked:
            self._begin(session)
            return {"status": "CONNECTED", "message": "Session is reconnecting."}
        if method == "passkey" or self.knobs.of(session.id).passkey:
            expires = time() + PASSKEY_SECONDS
            session.passkey = {"token": secrets.token_urlsafe(24), "expires_at": iso(expires)}
            self._set(session, NEED_PASSKEY)
            return {"status": "NEED_PASSKEY", "passkey": session.passkey}
        if session.status != NEED_SCAN:
            self._set(session, NEED_SCAN)
            self.start_qr(session)
        return {"status": "NEED_SCAN", "qrCode": session.qr}

    def disconnect(self, session: Session) -> None:
        """The customer's disconnect; the phone stays linked if the knob `keep_link` says so."""
        if not self.knobs.of(session.id).keep_link:
            session.linked = ""
        self._set(session, DISCONNECTED)

    def restart(self, session: Session) -> None:
        """Only of a connected session, without a new scan."""
        if session.status != CONNECTED:
            raise LinkError("Only connected sessions can be restarted.")
        self.world.log_event(session, "session_restarted", CONNECTED)
        self._begin(session)

    # What happens at the phone

    def scan(self, session: Session, digits: str = "") -> None:
        """The phone with this number (default: the session's own) scans the code, or confirms the passkey."""
        if session.status not in (NEED_SCAN, NEED_PASSKEY):
            raise LinkError(f"The session waits for no scan, it is {session.status}.")
        session.linked = digits or session.number
        session.qr, session.passkey = "", None
        self._begin(session)

    def drop(self, session: Session) -> None:
        """The phone loses its connection."""
        if session.status not in (CONNECTED, CONNECTING):
            raise LinkError(f"There is no connection to lose, the session is {session.status}.")
        self._set(session, DISCONNECTED)

    def restore(self, session: Session) -> None:
        """The phone is back; nobody has to scan."""
        if session.status != DISCONNECTED or not session.linked:
            raise LinkError("Only a linked phone that lost its connection can come back.")
        self._begin(session)

    def log_out(self, session: Session) -> None:
        """The owner removes the linked device on the phone."""
        self._unlink(session, LOGGED_OUT)

    def expire(self, session: Session) -> None:
        """WhatsApp ends the link."""
        self._unlink(session, EXPIRED)

    # QR codes

    def start_qr(self, session: Session) -> None:
        """First code of a session that waits for a scan, and its turning."""
        session.qr, session.qr_turns = "", 0
        self._turn(session, "")

    def _turn(self, session: Session, shown: str) -> None:
        """A new code in place of the one shown, if it still is; after `qr_limit` codes the session gives up."""
        if session.status != NEED_SCAN or session.qr != shown or session.id not in self.world.sessions:
            return
        knobs = self.knobs.of(session.id)
        if session.qr_turns >= knobs.qr_limit:
            session.qr = ""
            self._set(session, DISCONNECTED)
            return
        parts = [b64encode(secrets.token_bytes(32)).decode() for _ in range(3)]
        session.qr = f"2@{secrets.token_urlsafe(60)},{','.join(parts)}"
        session.qr_turns += 1
        self.events.qr_updated(session)
        self.agenda.at(time() + knobs.qr_seconds, self._turn, session, session.qr)

    # Moving

    def resume(self, session: Session) -> None:
        """After a restart of the sandbox: what was under way goes on."""
        if session.status == CONNECTING:
            self._soon_connected(session)
        elif session.status == NEED_SCAN:
            self.start_qr(session)

    def _begin(self, session: Session) -> None:
        self._set(session, CONNECTING)
        self._soon_connected(session)

    def _soon_connected(self, session: Session) -> None:
        self.agenda.at(time() + self.knobs.of(session.id).connecting_seconds, self._connected, session)

    def _connected(self, session: Session) -> None:
        if session.status == CONNECTING:
            self._set(session, CONNECTED)

    def _unlink(self, session: Session, status: str) -> None:
        if not session.linked:
            raise LinkError("No phone is linked.")
        session.linked = ""
        self._set(session, status)

    def _set(self, session: Session, status: str) -> None:
        session.status = status
        session.updated_at = time()
        self.world.save(session)
        self.world.log_event(session, "status_change", status)
        self.events.session_status(session)
