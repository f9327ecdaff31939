"""The WaSender gateway: sending, and the calls made with a session's key (contract 2, 3, 4)."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted  # what the encoder itself does with a string
from typing import Any, Unpack
from urllib.parse import quote

import aiohttp

from phonebank.gateways import parsing
from phonebank.gateways.base import Deferred, MaybeSent, MessageInfo, Outcome, Rejected, WhoAmI, boot_clock
from phonebank.gateways.calls import encode_json, read_answer, read_value
from phonebank.gateways.coerce import as_object, as_phone, as_text, normalise_status
from phonebank.gateways.errors import NotFound, Refused, UnexpectedAnswer
from phonebank.gateways.outcomes import classify
from phonebank.gateways.transport import GuardedBody, When, exchange, open_http, time_limits
from phonebank.gateways.wasender_sessions import WEBHOOK_EVENTS, SessionCalls

__all__ = ["WEBHOOK_EVENTS", "WaSender", "normalise_status", "open_http"]

logger = logging.getLogger(__name__)

UPLOAD_DEADLINE = 120.0  # seconds; up to 100 MB travel (contract 3.3)


class WaSender(SessionCalls):
    """A client of one gateway address; cheap to make, holds no credential, shares the caller's HTTP session."""

    def __init__(
        self, base_url: str, http: aiohttp.ClientSession, *, deadline: float = 20.0, connect_timeout: float = 5.0
    ) -> None:
        """See `Calls`: limits in seconds; raises ConfigurationError for a base URL that cannot be one."""
        super().__init__(base_url, http, deadline=deadline, connect_timeout=connect_timeout)
        self._send_url = self._url("/send-message")

    async def send_text(self, api_key: str, to: str, text: str, **when: Unpack[When]) -> Outcome:
        """Send `text` to the +E164 number `to`; see `send`."""
        return await self._post(api_key, f'{{"to":{quoted(to)},"text":{quoted(text)}}}'.encode(), when)

    async def send(self, api_key: str, payload: Mapping[str, Any], **when: Unpack[When]) -> Outcome:
        """POST a message of any kind of contract 3, once. Raises nothing but CancelledError.

        `send_before` is a `boot_clock` time in seconds: if it has passed when the first byte is to be written,
        nothing is written and the outcome is Deferred("late"). `leaving` is called when it is written.
        """
        try:
            body = encode_json(payload).encode()
        except (TypeError, ValueError, RecursionError):
            return Rejected("invalid", "the message cannot be encoded", 0)
        return await self._post(api_key, body, when)

    async def _post(self, api_key: str, payload: bytes, when: When) -> Outcome:
        before = when.get("send_before")
        if before is not None and boot_clock() > before:
            return Deferred("late", "the moment to send had passed", 0.0, None)
        body = GuardedBody(payload, **when)
        headers = {"Authorization": f"Bearer {api_key}"}
        result = await exchange(self._http, "POST", self._send_url, headers, self._limits, body)
        try:
            return classify(result, api_key)
        except Exception as error:  # a caller that settles rows must get an outcome, whatever the answer held
            logger.error("an answer could not be classified (%s)", type(error).__name__)
            return MaybeSent("unexpected", "the answer could not be classified", None)

    async def session_status(self, api_key: str) -> str:
        """The session's own status, normalised. Unauthorized means a rotated key or a logged-out session."""
        return normalise_status((await self._call(api_key, "GET", "/status")).get("status"))

    async def who_am_i(self, api_key: str) -> WhoAmI:
        """The number really linked."""
        return read_value(parsing.who_am_i, (await self._call(api_key, "GET", "/user")).get("data"))

    async def message_info(self, api_key: str, msg_id: int) -> MessageInfo:
        """Status and WhatsApp key of a message; UnexpectedAnswer if the answer is about another one."""
        answer = await self._call(api_key, "GET", f"/messages/{msg_id:d}/info")
        info = read_value(parsing.message_info, answer.get("data"))
        if info.msg_id != msg_id:
            raise UnexpectedAnswer("the answer is about another message")
        return info

    async def upload(self, api_key: str, content: bytes, mime: str) -> str:
        """Upload media as a raw body and return its public URL, valid for 24 hours (contract 3.3)."""
        body = aiohttp.BytesIOPayload(io.BytesIO(content), content_type=mime)
        headers = {"Authorization": f"Bearer {api_key}"}
        limits = time_limits(UPLOAD_DEADLINE, self._connect_timeout)
        result = await exchange(self._http, "POST", self._url("/upload"), headers, limits, body)
        url = as_text(read_answer(result, api_key, "POST", "/upload").get("publicUrl"), 2000)
        if not url.startswith(("https://", "http://")):
            raise UnexpectedAnswer("no public URL in the answer")
        return url

    async def on_whatsapp(self, api_key: str, identifier: str) -> bool:
        """Whether a number, JID or @username exists. Capped and risky (contract 4): never for whole lists."""
        answer = await self._call(api_key, "GET", f"/on-whatsapp/{quote(identifier, safe='')}")
        exists = as_object(answer.get("data")).get("exists")
        if not isinstance(exists, bool):
            raise UnexpectedAnswer("no verdict in the answer")
        return exists

    async def pn_from_lid(self, api_key: str, lid: str) -> str | None:
        """The +E164 number behind a LID, or None when the gateway does not know it."""
        return as_phone((await self._identity(api_key, f"/pn-from-lid/{quote(lid, safe='')}")).get("pn"))

    async def lid_from_pn(self, api_key: str, phone: str) -> str | None:
        """The LID of a +E164 number, or None when the gateway does not know it."""
        lid = as_text((await self._identity(api_key, f"/lid-from-pn/{quote(phone, safe='')}")).get("lid"), 200)
        return lid if lid.endswith("@lid") else None

    async def _identity(self, api_key: str, path: str) -> Mapping[str, Any]:
        try:
            return as_object((await self._call(api_key, "GET", path)).get("data"))
        except (NotFound, Refused):
            return {}
