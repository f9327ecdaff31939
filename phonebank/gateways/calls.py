"""How every call but sending goes: one exchange, then a JSON object or a `GatewayError`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from phonebank.gateways import errors
from phonebank.gateways.limits import retry_after
from phonebank.gateways.outcomes import error_text, json_object, text_code
from phonebank.gateways.redact import redact
from phonebank.gateways.transport import ANSWER_LIMIT, Answer, Failure, GuardedBody, exchange, time_limits

T = TypeVar("T")

encode_json: Callable[[object], str] = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_BY_TEXT = {"not_connected": errors.NotConnected, "no_subscription": errors.NoSubscription, "gone": errors.NotFound}
_BY_STATUS = {
    401: errors.Unauthorized, 402: errors.NoSubscription, 403: errors.Unauthorized, 404: errors.NotFound,
    405: errors.ConfigurationError, 410: errors.NotFound,
}  # fmt: skip
# The QR and passkey calls in any other state (contract 2, 2.2).
_NOT_ASKED = re.compile(r"need_(?:scan|passkey) state|re.?initiali[sz]e")


class Calls:
    """Base URL, HTTP session and limits shared by all calls; holds no credential."""

    def __init__(
        self, base_url: str, http: aiohttp.ClientSession, *, deadline: float = 20.0, connect_timeout: float = 5.0
    ) -> None:
        """`deadline` bounds a whole call, `connect_timeout` its connecting, both in seconds.

        Raises ConfigurationError when `base_url` is not an http(s) URL free of credentials, query and fragment.
        """
        self._base = _checked(base_url)
        self._http = http
        self._connect_timeout = connect_timeout
        self._limits = time_limits(deadline, connect_timeout)

    def _url(self, path: str) -> URL:
        return URL(self._base + path, encoded=True)

    async def _call(
        self,
        credential: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        most: int = ANSWER_LIMIT,
    ) -> Mapping[str, Any]:
        """The JSON object of a 2xx answer, empty for one without a body. Raises GatewayError."""
        guard = None
        if method in ("POST", "PUT"):
            guard = GuardedBody(encode_json(body or {}).encode())
        headers = {"Authorization": f"Bearer {credential}"}
        result = await exchange(self._http, method, self._url(path), headers, self._limits, guard, most)
        return read_answer(result, credential, method, path)


def read_answer(result: Answer | Failure, credential: str, method: str, path: str) -> Mapping[str, Any]:
    """The JSON object of a successful exchange; raises the GatewayError that fits any other."""
    where = f"{method} {redact(path)}"
    if isinstance(result, Failure):
        raise _lost(result, method, where)
    body = json_object(result.body)
    if 200 <= result.status < 300 and (body is not None or not result.body.strip()):
        if body is None or body.get("success") is not False:
            return body or {}
    elif 200 <= result.status < 300:
        raise errors.UnexpectedAnswer(f"{where}: no JSON object", http_status=result.status)
    raise _refusal(result, body, f"{where}: {redact(error_text(body or {}), credential)}", method, path)


def read_value(parser: Callable[[Any], T], value: object) -> T:
    """`parser(value)`; raises UnexpectedAnswer, chained to nothing, where it raises ValueError."""
    try:
        return parser(value)
    except ValueError as error:
        problem = str(error)
    raise errors.UnexpectedAnswer(problem)


def _lost(failure: Failure, method: str, where: str) -> errors.GatewayError:
    detail = f"{where}: {failure.detail}"
    if failure.code == "unsendable":
        return errors.ConfigurationError(detail)
    # A read changes nothing, so it may simply be repeated, whatever became of it.
    if method == "GET" or not failure.written:
        return errors.Unreachable(detail, http_status=failure.http_status)
    return errors.OutcomeUnknown(detail, http_status=failure.http_status)


def _refusal(
    answer: Answer, body: Mapping[str, Any] | None, detail: str, method: str, path: str
) -> errors.GatewayError:
    status, text = answer.status, error_text(body or {}).casefold()
    if status >= 500:
        return (errors.Unreachable if method == "GET" else errors.OutcomeUnknown)(detail, http_status=status)
    if status == 429:
        return errors.Throttled(detail, http_status=status, retry_after=retry_after(body or {}, answer.headers))
    if status < 200 or 300 <= status < 400 or (body is None and status in (400, 404)):
        return errors.ConfigurationError(detail, http_status=status)
    if "session limit" in text:
        return errors.LimitReached(detail, http_status=status)
    if _NOT_ASKED.search(text):
        return errors.NotConnected(detail, http_status=status)
    kind = _BY_TEXT.get(text_code(text) or "") or _BY_STATUS.get(status, errors.Refused)
    if kind is errors.NotFound and path.count("/") == 1:
        kind = errors.ConfigurationError  # nothing but the path itself can be unknown there
    return kind(detail, http_status=status)


def _checked(base_url: str) -> str:
    try:
        url = URL(base_url.strip().rstrip("/"))
        good = url.scheme in ("http", "https") and url.host and not (url.user or url.password or url.query_string)
        if good and not url.fragment:
            return str(url).rstrip("/")
    except (ValueError, TypeError, AttributeError):
        pass
    raise errors.ConfigurationError("the base URL must look like https://host/api")
