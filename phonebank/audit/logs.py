"""Log lines of a request carry its id, which the answer has as X-Request-ID and the audit log beside each act."""

from __future__ import annotations

import logging

from phonebank.audit.origin import current


class RequestId(logging.Filter):
    """Adds `request_id` to each record: in brackets, empty outside of requests. Of a handler, not of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        # Django tells of a 404 when the middleware is over, but with the request.
        request_id = getattr(getattr(record, "request", None), "request_id", "") or current.get().request_id
        record.request_id = f" [{request_id}]" if request_id else ""
        return True
