"""An append-only file of what changed, so that a restarted sandbox is the same one, even after kill -9.

One JSON array per line, [kind, fields...]. Each line is in the kernel's hands before the change is answered.
A torn last line is cut off; a line that cannot be read otherwise stops the start: it is no journal of ours.
"""

from __future__ import annotations

import gc
import json
from pathlib import Path
from time import time
from typing import Any

from .http import encode
from .links import Links
from .messages import Ledger, Message
from .sends import Sends
from .state import Account, Inbound, Session, World


class JournalError(Exception):
    """The file is no journal of a sandbox."""


class Journal:
    """Writes if there is a path, and does nothing otherwise."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: Any = None

    def record(self, kind: str, *fields: Any) -> None:
        """Writes one line; nothing while the file is still being read."""
        if self._file is not None:
            self._file.write(encode([kind, *fields]).encode() + b"\n")

    def load(self, world: World, ledger: Ledger, sends: Sends, links: Links) -> None:
        """Makes the world what the file says, then starts to write. Raises JournalError, OSError."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        reader, whole, alive = _Reader(world, ledger, sends), 0, 0.0
        if self._path.exists():
            alive = self._path.stat().st_mtime
            whole = reader.read(self._path)
        # One writer is enough, and unbuffered: a write is one call, and what was written outlives the process.
        self._file = self._path.open("ab", buffering=0)
        self._file.truncate(whole)
        # After kill -9 the last write is the last proof of life: later steps of messages happen now, perhaps again.
        alive = max(alive, reader.stopped)
        for message in ledger.messages:
            sends.resume(message, alive)
        for session in list(world.sessions.values()):
            links.resume(session)

    def close(self) -> None:
        """Notes the end, so that the next start knows which steps of messages were made before it."""
        if self._file is not None:
            self.record("stopped", time())
            self._file.close()
            self._file = None


class _Reader:
    """Replays the lines; a method per kind."""

    def __init__(self, world: World, ledger: Ledger, sends: Sends) -> None:
        self.world = world
        self.ledger = ledger
        self.sends = sends
        self.stopped = 0.0  # when it was last ended in good order

    def read(self, path: Path) -> int:
        """Replays the file and answers the length of its whole lines in bytes. Raises JournalError."""
        kinds = {name.removeprefix("on_"): getattr(self, name) for name in dir(self) if name.startswith("on_")}
        whole = 0
        # Nothing here becomes garbage, and looking for it again and again would double the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            with path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    kind, *fields = json.loads(line)
                    kinds[kind](*fields)
                    whole += len(line)
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{path}, byte {whole}: {error!r}") from error
        finally:
            if collecting:
                gc.enable()
        return whole

    def _session(self, session_id: int) -> Session:
        return self.world.sessions.get(session_id) or self.world.former[session_id]

    def on_stopped(self, when: float) -> None:
        self.stopped = when

    def on_account(self, *fields: Any) -> None:
        self.world.put_account(Account(*fields))

    def on_session(self, session_id: int, *fields: Any) -> None:
        fresh = Session(session_id, *fields)
        known = self.world.sessions.get(session_id)
        if known is None:
            self.world.put_session(fresh)
            return
        del self.world.by_key[known.api_key]
        for name in ("settings", "api_key", "webhook_secret", "updated_at", "status", "linked"):
            setattr(known, name, getattr(fresh, name))
        self.world.put_session(known)

    def on_gone(self, session_id: int) -> None:
        self.world.remove_session(self.world.sessions[session_id])

    def on_event(self, session_id: int, when: float, event_type: str, status: str) -> None:
        self._session(session_id).events.append((when, event_type, status))

    def on_message(
        self,
        message_id: int,
        session_id: int,
        to: str,
        content: str | dict[str, Any],
        first_byte: float,
        accepted: float,
        *future: Any,
    ) -> None:
        message = Message(message_id, self._session(session_id), to, content, first_byte)
        message.accepted_at = accepted
        message.sent_at, message.delivered_at, message.read_at, message.fails, message.logged = future
        self.sends.put(message)

    def on_future(self, message_id: int, *future: Any) -> None:
        message = self.ledger.get(message_id)
        message.sent_at, message.delivered_at, message.read_at, message.fails = future

    def on_edit(self, message_id: int, content: str | dict[str, Any]) -> None:
        self.ledger.get(message_id).content = content

    def on_deleted(self, message_id: int) -> None:
        self.ledger.get(message_id).deleted = True

    def on_contact(self, session_id: int, digits: str, name: str) -> None:
        self._session(session_id).contacts[digits] = name

    def on_inbound(self, session_id: int, *fields: Any) -> None:
        self.world.put_inbound(self._session(session_id), Inbound(*fields))

    def on_reset(self, next_id: int) -> None:
        self.ledger.next_id = next_id
        self.ledger.clear()
        for session in self.world.sessions.values():
            session.accepted.clear()
            session.log.clear()
            session.inbound.clear()
