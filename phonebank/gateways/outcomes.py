"""What an answer to `POST /send-message` proves: send-path 1, contract 3.1, 5.1 and 6 in one place.

Whatever is not foreseen is `MaybeSent`: it costs a look into the gateway's log, while a wrong "unsent" costs a
second message to the same person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Outcome, Rejected
from phonebank.gateways.coerce import as_int, as_object, as_text, parse_json
from phonebank.gateways.limits import retry_after
from phonebank.gateways.redact import redact
from phonebank.gateways.transport import Answer, Failure

UNREACHABLE_WAIT = 5.0  # seconds before the same session is tried again after a failed connection

# Texts that mean the same under any status code (contract 6), first match wins.
_TEXTS = (
    (re.compile(r"session\b.{0,40}\bnot connected"), "not_connected"),
    (re.compile(r"active subscription|subscription or trial"), "no_subscription"),
    (re.compile(r"\bsession\b.{0,20}\bnot found"), "gone"),
    (re.compile(r"\bapi key\b|unauthenticated"), "unauthorized"),
    (re.compile(r"does not exist on whatsapp|not (?:registered )?on whatsapp"), "not_on_whatsapp"),
)
_STATUSES = {401: "unauthorized", 402: "no_subscription", 403: "unauthorized", 410: "gone"}
# Codes about our request as such: the next recipient would meet them too.
_CONFIGURATION = frozenset({404, 405, 406, 407, 411, 414, 415, 421, 426, 431, 451})
_PROXY_TIMEOUTS = frozenset({408, 499})  # a machine in between gave up; it may have passed the request on


def error_text(body: Mapping[str, Any]) -> str:
    """The words of an error answer; two shapes exist, and validation errors list fields (contract 6)."""
    words = next((text for key in ("message", "error", "detail") if (text := as_text(body.get(key), 1000))), "")
    errors = as_object(body.get("errors"))
    fields = [f"{as_text(name, 60)}: {as_text(first, 300)}" for name, texts in list(errors.items())[:5]
              for first in (texts[:1] if isinstance(texts, list) else [texts])]  # fmt: skip
    return "; ".join([words, *fields] if words else fields)


def text_code(text: str) -> str | None:
    """The meaning of an error text that outranks its status code, or None."""
    folded = text[:2000].casefold()
    return next((code for pattern, code in _TEXTS if pattern.search(folded)), None)


def json_object(raw: bytes) -> Mapping[str, Any] | None:
    """The JSON object in an answer, or None when it is something else."""
    try:
        value = parse_json(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def classify(result: Answer | Failure, api_key: str) -> Outcome:
    """The outcome of one send. Details are redacted, `api_key` first of all."""
    if isinstance(result, Failure):
        return _classify_failure(result)
    body = json_object(result.body)
    if 200 <= result.status < 300:
        return _classify_2xx(result, body, api_key)
    return _classify_error(result, body, api_key)


def _classify_failure(failure: Failure) -> Outcome:
    if failure.written:
        return MaybeSent(failure.code, failure.detail, failure.http_status)
    if failure.code == "unsendable":
        return NotSent("configuration", failure.detail, None)
    if failure.code == "late":
        return Deferred("late", failure.detail, 0.0, None)
    return Deferred("unreachable", failure.detail, UNREACHABLE_WAIT, None)


def _classify_2xx(answer: Answer, body: Mapping[str, Any] | None, api_key: str) -> Outcome:
    if body is None:
        return MaybeSent("garbage", "the answer is no JSON object", answer.status)
    data = as_object(body.get("data"))
    success = body.get("success")
    if success is True:
        msg_id = as_int(data.get("msgId"))
        if msg_id is None or msg_id < 1:
            return MaybeSent("no_msg_id", "accepted without a usable msgId", answer.status)
        return Accepted(msg_id, as_text(data.get("jid"), 128), answer.status)
    if success is False and "msgId" not in data:
        return _refused(answer, body, api_key)
    return MaybeSent("garbage", "the answer neither accepts nor refuses", answer.status)


def _classify_error(answer: Answer, body: Mapping[str, Any] | None, api_key: str) -> Outcome:
    status = answer.status
    if body is not None and body.get("success") is True:
        return MaybeSent("garbage", f"HTTP {status} with success", status)
    if status == 429 or (400 <= status < 500 and status not in _PROXY_TIMEOUTS and body is not None):
        return _refused(answer, body or {}, api_key)
    if 300 <= status < 400:
        return NotSent("configuration", f"redirected (HTTP {status}): check the base URL", status)
    if status in _PROXY_TIMEOUTS:
        return MaybeSent("timeout", f"HTTP {status}", status)
    if 400 <= status < 500:
        return _refused_without_json(status)
    text = error_text(body or {})
    if body is not None and body.get("success") is False and text_code(text) == "not_connected":
        return NotSent("not_connected", redact(text, api_key), status)
    code = "server_error" if status >= 500 else "garbage"
    return MaybeSent(code, redact(f"HTTP {status} {text}".rstrip(), api_key), status)


def _refused(answer: Answer, body: Mapping[str, Any], api_key: str) -> Outcome:
    """Proven unsent (contract 3.1): any 4xx of the API, and a 2xx that says `success:false`."""
    status, text = answer.status, error_text(body)
    detail = redact(text or f"HTTP {status}", api_key)
    meaning = text_code(text)
    if meaning == "not_connected":
        return NotSent("not_connected", detail, status)
    if status == 429 or (status < 300 and "retry_after" in body):
        return Deferred("rate_limited", detail, retry_after(body, answer.headers), status)
    if meaning == "not_on_whatsapp":
        return Rejected("not_on_whatsapp", detail, status)
    if status in _STATUSES or meaning in ("no_subscription", "gone"):
        return NotSent(meaning if meaning in ("no_subscription", "gone") else _STATUSES[status], detail, status)
    if meaning == "unauthorized" and status < 300:
        return NotSent("unauthorized", detail, status)
    if status in _CONFIGURATION:
        return NotSent("configuration", detail, status)
    return Rejected("invalid", detail, status)


def _refused_without_json(status: int) -> Outcome:
    """A 4xx in another voice than the API's (a proxy, a firewall): it says nothing about one recipient."""
    if status == 422:
        return Rejected("invalid", "HTTP 422", status)
    code = _STATUSES.get(status, "configuration")
    return NotSent(code, f"HTTP {status} without a JSON answer", status)
