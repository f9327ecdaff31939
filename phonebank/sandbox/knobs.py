"""The knobs: timing, limits and behaviour that a test turns, for all, for one session or for one recipient.

The defaults are a friendly day: answers in 20-60 ms, one webhook per event, everything delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Annotated, Any, get_type_hints

from .identity import recipient_of

Span = tuple[float, float]


class KnobError(ValueError):
    """A knob that does not exist or a value that it cannot take."""


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise KnobError("a number from 0 is needed")
    return value


def _span(value: Any) -> Span:
    low, high = value if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    if _number(low) > _number(high):
        raise KnobError("the first of the two must be the smaller")
    return float(low), float(high)


def _fraction(value: Any) -> float:
    if _number(value) > 1:
        raise KnobError("a number from 0 to 1 is needed")
    return float(value)


def _whole(value: Any) -> int:
    if _number(value) != int(value):
        raise KnobError("a whole number is needed")
    return int(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise KnobError("true or false is needed")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise KnobError("a text is needed")
    return value


def _one_of(*names: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in names:
            raise KnobError("one of " + ", ".join(names) + " is needed")
        return value

    return check


def _numbers(value: Any) -> frozenset[str]:
    found = [recipient_of(item) for item in value] if isinstance(value, list | tuple | frozenset) else [None]
    if None in found:
        raise KnobError("a list of telephone numbers is needed")
    return frozenset(found)


# A knob's type says how its value is checked and made its own.
Times = Annotated[Span, _span]
Seconds = Annotated[float, _number]
Fraction = Annotated[float, _fraction]
Whole = Annotated[int, _whole]
Flag = Annotated[bool, _flag]
Text = Annotated[str, _text]


@dataclass(frozen=True, slots=True)
class Knobs:
    """Times in seconds; a span is one number or [least, most]. What each does: docs/sandbox.md."""

    # Answers
    latency: Times = (0.02, 0.06)
    acceptance_delay: Times = (0, 0)
    # What becomes of an accepted message, counted from acceptance
    sent_after: Times = (0.2, 0.2)
    delivered_after: Times = (0.6, 0.6)
    read_after: Times = (1, 3)
    delivered_fraction: Fraction = 1
    read_fraction: Fraction = 0.6
    fail_fraction: Fraction = 0
    fail_reason: Text = "Failed to send message: connection closed"
    # Message log
    logs: Flag = True
    log_lag: Seconds = 0
    # Limits; 0 switches one off
    rate_limit: Whole = 256
    rate_window: Seconds = 60
    protected_gap: Seconds = 5
    concurrency: Whole = 5
    account_rate: Whole = 0
    reset_form: Annotated[str, _one_of("delta", "epoch")] = "delta"
    # Recipients and identity
    unregistered: Annotated[frozenset[str], _numbers] = frozenset()
    resolve_lids: Flag = True
    jid_form: Annotated[str, _one_of("jid", "digits", "plus")] = "jid"
    # Sessions
    not_connected_status: Whole = 400
    create_status: Whole = 201
    qr_seconds: Seconds = 20
    qr_limit: Whole = 15
    connecting_seconds: Seconds = 0.5
    passkey: Flag = False
    keep_link: Flag = True
    # Webhooks
    webhook_delay: Times = (0, 0)
    webhook_early: Flag = False
    webhook_loss: Fraction = 0
    webhook_duplicate: Fraction = 0
    webhook_copies: Whole = 2
    webhook_reorder: Fraction = 0
    webhook_backwards: Fraction = 0
    webhook_wrong_secret: Fraction = 0
    webhook_shape: Annotated[str, _one_of("full", "docs")] = "full"
    webhook_retries: Whole = 0
    webhook_retry_after: Seconds = 1
    # The old Python SDK's idea of the service (contract 9)
    compat: Annotated[str, _one_of("", "py")] = ""


CHECKS = {name: hint.__metadata__[0] for name, hint in get_type_hints(Knobs, include_extras=True).items()}


def checked(changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` with every value in its knob's own type. Raises KnobError with the knob's name."""
    clean = {}
    for name, value in changes.items():
        if name not in CHECKS:
            raise KnobError(f"{name}: no such knob")
        try:
            clean[name] = CHECKS[name](value)
        except KnobError as error:
            raise KnobError(f"{name}: {error}") from None
    return clean


def as_json(values: dict[str, Any]) -> dict[str, Any]:
    """Knob values as JSON can carry them."""
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}


class KnobStore:
    """The knobs for all, and what single sessions (by id) or recipients (by number) have otherwise."""

    def __init__(self, changes: dict[str, Any]) -> None:
        """`changes` are what the defaults start with. Raises KnobError."""
        self._start = self.base = replace(Knobs(), **checked(changes))
        self._sessions: dict[int, dict[str, Any]] = {}
        self._numbers: dict[str, dict[str, Any]] = {}
        self._merged: dict[tuple[int, str], Knobs] = {}

    def of(self, session_id: int = 0, number: str = "") -> Knobs:
        """The knobs in force: a recipient's own win over the session's, these over everybody's."""
        if not self._sessions and not self._numbers:
            return self.base
        key = (session_id if session_id in self._sessions else 0, number if number in self._numbers else "")
        if key not in self._merged:
            own = {**self._sessions.get(key[0], {}), **self._numbers.get(key[1], {})}
            self._merged[key] = replace(self.base, **own)
        return self._merged[key]

    def change(self, changes: dict[str, Any], *, session_id: int = 0, number: str = "") -> None:
        """Sets knobs for all, or for one session or recipient only. Raises KnobError; then nothing is changed."""
        clean = checked(changes)
        if number:
            self._numbers.setdefault(number, {}).update(clean)
        elif session_id:
            self._sessions.setdefault(session_id, {}).update(clean)
        else:
            self.base = replace(self.base, **clean)
        self._merged.clear()

    def restore(self) -> None:
        """Back to the knobs of the start, for everybody."""
        self.base = self._start
        self._sessions.clear()
        self._numbers.clear()
        self._merged.clear()

    def describe(self) -> dict[str, Any]:
        """Everything set, as JSON."""
        return {
            "all": as_json(asdict(self.base)),
            "sessions": {str(key): as_json(value) for key, value in self._sessions.items()},
            "numbers": {key: as_json(value) for key, value in self._numbers.items()},
        }


def pick(random: Random, span: Span) -> float:
    """A time within the span."""
    low, high = span
    return low if low == high else random.uniform(low, high)
