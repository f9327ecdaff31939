"""The one exception that services raise for a person to read."""

from __future__ import annotations


class ServiceError(Exception):
    """A verb could not be done. `message` says what happened, what was kept and what to do; `code` is for machines."""

    def __init__(self, message: str, *, code: str = "invalid") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
