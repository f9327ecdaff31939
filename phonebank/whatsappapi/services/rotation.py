"""Which session sends next."""

from __future__ import annotations

from collections.abc import Iterable

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import WaSenderSession


def get_next_available_session(
    user: User, exclude_sessions: Iterable[WaSenderSession | int] = ()
) -> WaSenderSession | None:
    """The user's connected, active session below its limit that was used longest ago; None when there is none.

    `exclude_sessions` (rows or ids) are passed over. Nothing is reserved: a claim does that.
    """
    return WaSenderSession.objects.visible_to(user).available(exclude_sessions).first()
