"""The calls about sessions, made with a personal access token (contract 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from phonebank.gateways import parsing
from phonebank.gateways.base import ConnectResult, LogEntry, LogPage, Passkey, QrCode, SessionInfo, SessionLogEntry
from phonebank.gateways.calls import Calls, read_value
from phonebank.gateways.coerce import as_object, as_text, normalise_status
from phonebank.gateways.errors import NotFound, UnexpectedAnswer
from phonebank.gateways.transport import LIST_LIMIT

# What Phonebank subscribes to (contract 7.7); more would only repeat the same messages.
WEBHOOK_EVENTS = ("session.status", "qrcode.updated", "messages.update", "message.sent", "messages.received")
# No read_incoming_messages, always_online or proxy_url: nothing here hides or plays a person.
_SETTINGS = frozenset(
    ["name", "phone_number", "account_protection", "log_messages", "webhook_url", "webhook_enabled", "webhook_events"]
)


class SessionCalls(Calls):
    """Every method raises GatewayError. A token lists and deletes all sessions of its account: one per owner."""

    async def auth_check(self, token: str) -> None:
        """Return if the token is valid; raises Unauthorized if not (contract 2: any 2xx)."""
        await self._call(token, "GET", "/auth-check")

    async def list_sessions(self, token: str) -> list[SessionInfo]:
        """All sessions of the account, without their secrets."""
        answer = await self._call(token, "GET", "/whatsapp-sessions", most=LIST_LIMIT)
        return read_value(parsing.sessions, answer.get("data"))

    async def create_session(
        self,
        token: str,
        *,
        name: str,
        phone_number: str,
        account_protection: bool = True,
        log_messages: bool = True,
        webhook_url: str = "",
        webhook_events: tuple[str, ...] = WEBHOOK_EVENTS,
    ) -> SessionInfo:
        """Create a session; webhooks are on when `webhook_url` is given. Raises LimitReached at the plan's end.

        OutcomeUnknown means that it may exist now: list the sessions and compare phone numbers.
        """
        body: dict[str, Any] = {
            "name": name,
            "phone_number": phone_number,
            "account_protection": account_protection,
            "log_messages": log_messages,
            "webhook_enabled": bool(webhook_url),
        }
        if webhook_url:
            body |= {"webhook_url": webhook_url, "webhook_events": list(webhook_events)}
        return _session(await self._call(token, "POST", "/whatsapp-sessions", body))

    async def get_session(self, token: str, session_id: int) -> SessionInfo:
        """One session with its secrets. Raises NotFound."""
        return _session(await self._call(token, "GET", f"/whatsapp-sessions/{session_id:d}"))

    async def update_session(self, token: str, session_id: int, **settings: object) -> SessionInfo:
        """Change settings named as in contract 2.1. A non-empty `warning` in the result means: repeat the call."""
        if unknown := settings.keys() - _SETTINGS:
            raise TypeError(f"no such session setting: {', '.join(sorted(unknown))}")
        body = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        return _session(await self._call(token, "PUT", f"/whatsapp-sessions/{session_id:d}", body))

    async def delete_session(self, token: str, session_id: int) -> bool:
        """Delete a session; False when it was gone already (contract 2: 204, 200 or 404)."""
        try:
            await self._call(token, "DELETE", f"/whatsapp-sessions/{session_id:d}")
        except NotFound:
            return False
        return True

    async def connect(self, token: str, session_id: int, *, link_method: str = "qr") -> ConnectResult:
        """Start linking by `qr` or `passkey` (contract 2.2)."""
        path = f"/whatsapp-sessions/{session_id:d}/connect"
        answer = await self._call(token, "POST", path, {"linkMethod": link_method})
        return parsing.connection(answer.get("data"))

    async def qrcode(self, token: str, session_id: int) -> QrCode:
        """The present QR text. Raises NotConnected when the session waits for no scan: connect once more."""
        answer = await self._call(token, "GET", f"/whatsapp-sessions/{session_id:d}/qrcode")
        text = as_text(as_object(answer.get("data")).get("qrCode"), 2000)
        if not text:
            raise UnexpectedAnswer("no QR code in the answer")
        return QrCode(text)

    async def passkey_token(self, token: str, session_id: int) -> Passkey:
        """The token for WaSender's passkey helper. Raises NotConnected when no passkey is asked for."""
        answer = await self._call(token, "GET", f"/whatsapp-sessions/{session_id:d}/passkey-token")
        return read_value(parsing.passkey, answer.get("data"))

    async def disconnect(self, token: str, session_id: int) -> str:
        """End the session's connection and return its new status."""
        answer = await self._call(token, "POST", f"/whatsapp-sessions/{session_id:d}/disconnect")
        return normalise_status(as_object(answer.get("data")).get("status"))

    async def restart(self, token: str, session_id: int) -> None:
        """Restart a connected session; it needs no new scan."""
        await self._call(token, "POST", f"/whatsapp-sessions/{session_id:d}/restart")

    async def regenerate_key(self, token: str, session_id: int) -> str:
        """A new session key; the old one ends at once. After OutcomeUnknown read the key with `get_session`."""
        answer = await self._call(token, "POST", f"/whatsapp-sessions/{session_id:d}/regenerate-key")
        key = as_text(answer.get("api_key"), 500)  # not under "data" (contract 2)
        if not key:
            raise UnexpectedAnswer("no key in the answer")
        return key

    async def message_logs(
        self, token: str, session_id: int, page: int = 1, per_page: int = 100, status: str | None = None
    ) -> LogPage[LogEntry]:
        """A page of the messages sent through the API. `status`: sent, failed or in_progress.

        Raises UnexpectedAnswer when any entry is unreadable, for such a page would prove nothing.
        """
        query: dict[str, object] = {"page": page, "per_page": per_page}
        if status:
            query["status"] = status
        answer = await self._call(token, "GET", f"/whatsapp-sessions/{session_id:d}/message-logs?{urlencode(query)}")
        return read_value(lambda data: parsing.log_page(data, parsing.message_entry), answer.get("data"))

    async def session_logs(
        self, token: str, session_id: int, page: int = 1, per_page: int = 100
    ) -> LogPage[SessionLogEntry]:
        """A page of the session's state changes."""
        query = urlencode({"page": page, "per_page": per_page})
        answer = await self._call(token, "GET", f"/whatsapp-sessions/{session_id:d}/session-logs?{query}")
        return read_value(lambda data: parsing.log_page(data, parsing.session_entry), answer.get("data"))


def _session(answer: Mapping[str, Any]) -> SessionInfo:
    info = read_value(parsing.session, answer.get("data"))
    return replace(info, warning=as_text(answer.get("warning"), 500))
