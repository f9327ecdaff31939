"""From a gateway's outcome to what it changes: the message, its attempt, the session and the quota."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import assert_never

from phonebank.gateways.base import Accepted, Deferred, MaybeSent, NotSent, Outcome, Rejected
from phonebank.gateways.coerce import as_text
from phonebank.language import stored
from phonebank.whatsappapi.dispatch.media import Media

REFUSED = {
    "unauthorized": stored("The gateway refused this session's key"),
    "no_subscription": stored("The gateway account has no active subscription"),
    "not_connected": stored("The number was not connected"),
    "gone": stored("The session no longer exists at the gateway"),
    "configuration": stored("The gateway's address or set-up is wrong"),
}
REJECTED = {
    "not_on_whatsapp": stored("This number is not on WhatsApp"),
    "invalid": stored("The gateway refused this message"),
}


@dataclass(slots=True)
class Claim:
    """A message that this worker may send, once, until `send_before` (boot clock, seconds).

    `gap`: seconds to the next one of the session, as its pace has it.
    """

    message: int
    attempt: uuid.UUID
    session: int
    campaign: int | None
    phone: str
    body: str
    key_version: int
    connection: int
    due: float
    send_before: float
    media: Media | None = None
    gap: float = 0.0

    @property
    def mark(self) -> str:
        """Names the session under this key and this link: a refusal counts for no other."""
        return f"{self.session}:{self.key_version}:{self.connection}"


@dataclass(slots=True)
class Effect:
    """What outcomes mean for a session."""

    paused: float = 0.0
    strike: int = 0
    rejected: int = 0
    lost: int = 0

    @property
    def matters(self) -> bool:
        """Whether it must be written even when the session wants nothing."""
        return self.strike > 0 or self.paused > 0 or self.rejected > 0 or self.lost > 0


@dataclass(slots=True)
class Batch:
    """Outcomes as columns of sql.SETTLE, with their effects on sessions and campaigns, and alerts (session, cause)."""

    columns: dict[str, list[object]]
    effects: dict[int, Effect] = field(default_factory=dict)
    pause: dict[int, str] = field(default_factory=dict)
    alerts: list[tuple[int, str]] = field(default_factory=list)


COLUMNS = [
    "attempt",
    "message",
    "session",
    "outcome",
    "state",
    "msg_id",
    "http",
    "detail",
    "retry",
    "mark",
    "refund",
    "reason",
]


def row(claim: Claim, outcome: Outcome) -> dict[str, object]:
    """One outcome as a row of sql.SETTLE. Anything not proven is unknown."""
    base: dict[str, object] = {
        "attempt": claim.attempt,
        "message": claim.message,
        "session": claim.session,
        "msg_id": None,
        "http": outcome.http_status,
        "detail": as_text(getattr(outcome, "detail", ""), 500),
        "retry": 0.0,
        "mark": "",
        "refund": False,
        "reason": "",
    }
    match outcome:
        case Accepted():
            return base | {"outcome": "accepted", "state": "accepted", "msg_id": outcome.msg_id}
        case Rejected():
            reason = REJECTED.get(outcome.code, "The gateway refused this message")
            return base | {"outcome": "rejected", "state": "failed", "reason": reason}
        case Deferred():
            retry = outcome.retry_after if outcome.code == "rate_limited" else 0.1 if outcome.code == "late" else 2.0
            return base | {"outcome": "deferred", "state": "queued", "retry": float(retry), "refund": True}
        case NotSent():
            mark = "" if outcome.code == "configuration" else claim.mark
            reason = REFUSED.get(outcome.code, "The session could not send")
            return base | {
                "outcome": "not_sent", "state": "queued", "retry": 1.0, "mark": mark, "refund": True, "reason": reason,
            }  # fmt: skip
        case MaybeSent():
            return base | {"outcome": "unknown", "state": "unknown", "reason": "No clear answer; being looked up"}
    assert_never(outcome)


def batch(outcomes: list[tuple[Claim, Outcome]]) -> Batch:
    """Columns for one settle. Two outcomes with one (session, msgId) prove nothing: both stay unknown."""
    rows = []
    seen: dict[tuple[int, int], int] = {}
    result = Batch({})
    for claim, outcome in outcomes:
        if isinstance(outcome, Accepted):
            key = (claim.session, outcome.msg_id)
            seen[key] = seen.get(key, 0) + 1
    for claim, outcome in outcomes:
        if isinstance(outcome, Accepted) and seen[claim.session, outcome.msg_id] > 1:
            outcome = MaybeSent("collision", f"msgId {outcome.msg_id} came twice", outcome.http_status)
            result.alerts.append((claim.session, "collision"))
        rows.append(row(claim, outcome))
        _effects(result, claim, outcome)
    result.columns = {name: [one[name] for one in rows] for name in COLUMNS}
    return result


def _effects(result: Batch, claim: Claim, outcome: Outcome) -> None:
    effect = result.effects.setdefault(claim.session, Effect())
    match outcome:
        case Accepted():
            effect.strike = min(effect.strike, -1) if effect.strike <= 0 else effect.strike
        case Deferred(code="rate_limited"):
            effect.paused = max(effect.paused, outcome.retry_after + random.uniform(0.2, 1.0))  # noqa: S311 jitter
            effect.strike = 1
        case Deferred(code="unreachable"):
            effect.paused = max(effect.paused, 1.0)
        case NotSent(code="configuration"):
            if claim.campaign:
                result.pause[claim.campaign] = as_text(f"{REFUSED['configuration']}: {outcome.detail}", 200)
        case NotSent(code="unauthorized" | "no_subscription"):
            effect.rejected = max(effect.rejected, claim.key_version)
        case NotSent():
            effect.lost = max(effect.lost, claim.connection + 1)
