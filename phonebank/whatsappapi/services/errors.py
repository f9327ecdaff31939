"""The one exception that services raise for a person to read, and what many of them raise it for."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

REACH = timedelta(days=36525)


class ServiceError(Exception):
    """A verb could not be done. `message` says what happened, what was kept and what to do; `code` is for machines."""

    def __init__(self, message: str, *, code: str = "invalid") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def check_reach(moment: datetime | None, *, code: str) -> None:
    """Refuses a day that nobody means. The last ones that can be written down are beyond what can be read again."""
    if moment is not None and abs(moment - timezone.now()) > REACH:
        raise ServiceError(
            _("This day is too far away. Choose one within a hundred years. Nothing was changed."), code=code
        )
