"""How much of a benchmark is run, and where its words go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Options:
    """`rounds`: runs of which the median counts. `messages`: of our engine in a run beside opponents."""

    rounds: int = 5
    messages: int = 20_000
    sizes: tuple[int, ...] = (10_000, 100_000)
    rows: int = 100_000  # rows of the fan-out, and messages behind the pages
    import_rows: int = 100_000
    intake_seconds: float = 30.0
    pace_seconds: float = 60.0
    pace_sessions: tuple[int, int] = (500, 3000)
    only: list[str] = field(default_factory=list)  # opponents; empty: all
    say: Callable[[str], None] = print

    def full(self) -> None:
        """Everything at its full size: about an hour."""
        self.sizes, self.intake_seconds = (10_000, 100_000, 1_000_000), 60.0
        self.rows = self.import_rows = 1_000_000

    def quick(self) -> None:
        """Only to see that it works; the figures mean nothing."""
        self.rounds, self.messages, self.sizes, self.rows, self.import_rows = 1, 1000, (1000,), 2000, 2000
        self.intake_seconds, self.pace_seconds, self.pace_sessions = 5.0, 5.0, (50, 100)
        self.only = self.only or ["bare"]
