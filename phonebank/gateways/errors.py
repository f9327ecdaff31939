"""What goes wrong in a management call. `send` never raises these: it returns an outcome.

No error carries a credential, and none is chained to an exception of the HTTP library.
"""

from __future__ import annotations

from typing import ClassVar


def gettext_noop(sentence: str) -> str:
    """Marks a sentence for the translators. Who shows it looks it up; this package knows no Django."""
    return sentence


class GatewayError(Exception):
    """A gateway call failed. `user_message` may be shown to a person; `str()` adds the redacted detail for logs.

    `retryable`: repeating it later may help and cannot harm. `alert`: an operator has to act.
    `retry_after`: seconds the gateway asked us to wait. `http_status` is None when no answer came.
    """

    code: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False
    alert: ClassVar[bool] = False
    user_message: ClassVar[str] = gettext_noop("The gateway refused this.")

    def __init__(self, detail: str = "", *, http_status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.http_status = http_status
        self.retry_after = retry_after

    def __str__(self) -> str:
        status = f" (HTTP {self.http_status})" if self.http_status else ""
        return f"{self.code}{status}: {self.detail or self.user_message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConfigurationError(GatewayError):
    """The base URL is wrong or something else answers there (404 on a path, 405, 3xx)."""

    code, alert = "configuration", True
    user_message = gettext_noop("The gateway's address seems to be wrong. Check it in the account's settings.")


class Unauthorized(GatewayError):
    """401 or 403: the token or key is wrong, revoked or rotated."""

    code, alert = "unauthorized", True
    user_message = gettext_noop("The gateway does not accept this access token or key. Enter a new one.")


class NoSubscription(GatewayError):
    """The gateway account has no active subscription or trial."""

    code, alert = "no_subscription", True
    user_message = gettext_noop("The gateway account has no active subscription.")


class LimitReached(GatewayError):
    """The plan at the gateway allows no further session (contract 6, 403 on create)."""

    code = "limit_reached"
    user_message = gettext_noop("The gateway account's plan allows no further session.")


class NotFound(GatewayError):
    """The session or message does not exist at the gateway any more."""

    code = "gone"
    user_message = gettext_noop("The gateway does not know this any more.")


class NotConnected(GatewayError):
    """The session is not in the state that the call needs."""

    code, retryable = "not_connected", True
    user_message = gettext_noop("This session is not connected. Connect it first.")


class Refused(GatewayError):
    """Another 4xx, or `success:false`: the gateway understood and said no. Nothing was done."""

    code = "refused"


class Throttled(GatewayError):
    """429: nothing was done; wait `retry_after` seconds."""

    code, retryable = "rate_limited", True
    user_message = gettext_noop("The gateway asks us to slow down. Try again in a moment.")


class Unreachable(GatewayError):
    """No connection: nothing was sent."""

    code, retryable = "unreachable", True
    user_message = gettext_noop("The gateway cannot be reached. Try again in a moment.")


class OutcomeUnknown(GatewayError):
    """Timeout, reset or 5xx after the request may have left: a write may have happened. Look before repeating it."""

    code = "outcome_unknown"
    user_message = gettext_noop("The gateway gave no clear answer. Refresh to see what happened.")


class UnexpectedAnswer(GatewayError):
    """A success that cannot be read."""

    code, alert = "unexpected_answer", True
    user_message = gettext_noop("The gateway answered in a way we do not understand.")
