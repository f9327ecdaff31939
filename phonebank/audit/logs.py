"""Log lines: with the id of their request (the answer has it as X-Request-ID), without secrets and phone numbers."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

from phonebank.audit.origin import current

# What must never be read in a log, however it came there: in a message, in an exception, in a library's own line.
_SECRETS = re.compile(
    r"(?i:bearer)\s+[^\s\"',;]+"
    r"|\d+\|[A-Za-z0-9]{20,}"  # a personal access token of the gateway
    r"|pbk_[A-Za-z0-9]{8,}"  # an API token of ours
    r"|(?<![0-9A-Za-z/])[0-9a-f]{64}(?![0-9A-Za-z])"  # a session key
)
_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s@]+(?=@)")  # in an address
# Addresses that are a secret themselves: whoever reads one of them may use it.
_DOORS = re.compile(r"(/(?:link|invitation|confirm-email|reset/key|webhook/[0-9a-f-]{36})/)[^/\s?\"']+")
_PHONES = re.compile(r"\+\d[\d\s().-]{5,18}\d|(?<![\w.])\d{7,15}(?=@(?:s\.whatsapp\.net|c\.us|lid))")


# In a message: else somebody's text could look like another line, or speak to a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


class RequestId(logging.Filter):
    """Adds `request_id` to each record: empty outside of requests. Of a handler, not of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django tells of a 404 when the middleware is over, but with the request.
        request_id = getattr(getattr(record, "request", None), "request_id", "") or current.get().request_id
        record.request_id = request_id
        return True


class Line(logging.Formatter):
    """For people: time, level, logger, the request's id in brackets, and what there is to say."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}{request_id}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        copy = logging.makeLogRecord(record.__dict__)
        request_id = getattr(record, "request_id", "")
        copy.request_id = f" [{request_id}]" if request_id else ""
        copy.msg, copy.args = _CONTROL.sub(lambda found: repr(found[0])[1:-1], record.getMessage()), None
        return masked(super().format(copy))


class Json(logging.Formatter):
    """For machines: one JSON object a line; `error` holds the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        if record.exc_info:
            line["error"] = masked(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def masked(text: str) -> str:
    """`text` with secrets as *** and phone numbers down to their last four digits."""
    text = _DOORS.sub(r"\1***", _PASSWORD.sub(r"\1***", _SECRETS.sub("***", text)))
    return _PHONES.sub(lambda found: "…" + re.sub(r"\D", "", found[0])[-4:], text)
