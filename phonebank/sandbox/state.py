"""What the emulated service knows: accounts, sessions, people's phones (contract 1 and 2)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Any

from .identity import digits_of

FIRST_SESSION_ID = 1001
CONNECTED = "connected"
DISCONNECTED = "disconnected"
CONNECTING = "connecting"
NEED_SCAN = "need_scan"
NEED_PASSKEY = "need_passkey"
LOGGED_OUT = "logged_out"
EXPIRED = "expired"


def iso(moment: float) -> str:
    """Epoch seconds as the service writes them in sessions and session logs."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Account:
    """A customer of the service. `plan` is paid or trial; `session_limit` 0 means none."""

    id: int
    token: str
    name: str = "Sandbox"
    plan: str = "paid"
    subscribed: bool = True
    session_limit: int = 0


@dataclass(slots=True)
class Session:
    """One WhatsApp session. `settings` are the fields that the customer may write (contract 2.1)."""

    id: int
    account_id: int
    settings: dict[str, Any]
    api_key: str
    webhook_secret: str
    created_at: float
    updated_at: float
    status: str = DISCONNECTED
    linked: str = ""  # digits of the number whose phone scanned; empty: no phone is linked
    # Not kept over a restart
    in_flight: int = 0
    qr: str = ""
    qr_turns: int = 0
    passkey: dict[str, Any] | None = None
    accepted: list[Any] = field(default_factory=list)  # every Message, oldest first
    log: list[Any] = field(default_factory=list)  # those that message-logs may show
    events: list[tuple[float, str, str]] = field(default_factory=list)  # session log: (when, event type, status)
    inbound: list[Inbound] = field(default_factory=list)
    contacts: dict[str, str] = field(default_factory=dict)  # digits -> name
    blocked: set[str] = field(default_factory=set)

    @property
    def number(self) -> str:
        """The digits that this session writes from."""
        return self.linked or digits_of(self.settings["phone_number"]) or ""

    @property
    def protected(self) -> bool:
        return bool(self.settings.get("account_protection"))

    def wants(self, event: str) -> bool:
        """Is there somebody who subscribed to this event? Nothing is sent for an empty list of events."""
        settings = self.settings
        return bool(
            settings.get("webhook_enabled")
            and settings.get("webhook_url")
            and event in (settings.get("webhook_events") or ())
        )


@dataclass(slots=True)
class Inbound:
    """A message that a person's phone sent to a session's number."""

    id: int
    digits: str
    text: str
    at: float
    lid_only: bool = False


SETTINGS = {
    "name": "",
    "phone_number": "",
    "account_protection": True,
    "log_messages": True,
    "webhook_url": None,
    "webhook_enabled": False,
    "webhook_events": None,
    "read_incoming_messages": False,
    "auto_reject_calls": False,
    "always_online": False,
    "ignore_groups": False,
    "ignore_channels": False,
    "ignore_broadcasts": False,
    "proxy_url": None,
}


class World:
    """All accounts and sessions with the indexes that requests need. `record` gets every change for the journal."""

    def __init__(self, record: Callable[..., None]) -> None:
        self.record = record
        self.accounts: dict[int, Account] = {}
        self.sessions: dict[int, Session] = {}
        self.former: dict[int, Session] = {}  # deleted ones: what they sent stays in the ledger
        self.by_token: dict[str, Account] = {}
        self.by_key: dict[str, Session] = {}
        self._lines: dict[str, Session] = {}  # digits of a linked number -> the session that was linked to it last
        self._next_session = FIRST_SESSION_ID
        self._next_inbound = 1

    # Accounts

    def add_account(self, token: str = "", **about: Any) -> Account:
        """Makes an account, with a personal access token of the service's form when none is given."""
        number = max(self.accounts, default=0) + 1
        account = Account(number, token or f"{number}|{secrets.token_hex(24)}", **about)
        self.put_account(account)
        self.record_account(account)
        return account

    def put_account(self, account: Account) -> None:
        old = self.accounts.get(account.id)
        if old is not None:
            self.by_token.pop(old.token, None)
        self.accounts[account.id] = account
        self.by_token[account.token] = account

    def record_account(self, account: Account) -> None:
        fields = (account.id, account.token, account.name, account.plan, account.subscribed, account.session_limit)
        self.record("account", *fields)

    # Sessions

    def add_session(self, account: Account, settings: dict[str, Any]) -> Session:
        now = time()
        session = Session(
            self._next_session, account.id, settings, secrets.token_hex(32), secrets.token_hex(16), now, now
        )
        self.put_session(session)
        self.save(session)
        return session

    def put_session(self, session: Session) -> None:
        self.sessions[session.id] = session
        self.by_key[session.api_key] = session
        self._lines[session.linked] = session
        self._next_session = max(self._next_session, session.id + 1)

    def save(self, session: Session) -> None:
        """Writes the session's lasting part into the journal."""
        self._lines[session.linked] = session
        self.record(
            "session",
            session.id,
            session.account_id,
            session.settings,
            session.api_key,
            session.webhook_secret,
            session.created_at,
            session.updated_at,
            session.status,
            session.linked,
        )

    def line(self, digits: str) -> Session | None:
        """The session that is linked to this number."""
        found = self._lines.get(digits)
        return found if found is not None and found.linked == digits and found.id in self.sessions else None

    def remove_session(self, session: Session) -> None:
        self.former[session.id] = self.sessions.pop(session.id)
        self.by_key.pop(session.api_key, None)
        session.settings["webhook_enabled"] = False
        self.record("gone", session.id)

    def new_key(self, session: Session) -> None:
        """A fresh API key; the old one is worth nothing from now on."""
        del self.by_key[session.api_key]
        session.api_key = secrets.token_hex(32)
        self.by_key[session.api_key] = session
        self.save(session)

    def sessions_of(self, account: Account) -> list[Session]:
        return [session for session in self.sessions.values() if session.account_id == account.id]

    def number_taken(self, digits: str, besides: Session | None = None) -> bool:
        """Numbers are unique over the whole service (contract 2.1)."""
        return any(
            session is not besides and digits_of(session.settings["phone_number"]) == digits
            for session in self.sessions.values()
        )

    def log_event(self, session: Session, event_type: str, status: str) -> None:
        """One line of the session log."""
        now = time()
        session.events.append((now, event_type, status))
        self.record("event", session.id, now, event_type, status)

    # People

    def add_inbound(self, session: Session, digits: str, text: str, *, lid_only: bool = False) -> Inbound:
        message = Inbound(self._next_inbound, digits, text, time(), lid_only)
        self.put_inbound(session, message)
        self.record("inbound", session.id, message.id, digits, text, message.at, lid_only)
        return message

    def put_inbound(self, session: Session, message: Inbound) -> None:
        session.inbound.append(message)
        self._next_inbound = max(self._next_inbound, message.id + 1)
