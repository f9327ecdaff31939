"""Whether a figure that was looked at again and again grows: the first quarter after the warm-up against the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WARM_UP = 0.2  # of the run: caches, pools and the allocator fill
MOST = 0.05  # of memory that a process may grow by
SLACK = 2  # handles and threads

Series = Sequence[tuple[float, float]]  # (seconds, figure) in order of time


@dataclass(frozen=True, slots=True)
class Trend:
    """Medians of the two quarters, for a single look proves nothing; and the least of the last quarter."""

    first: float
    last: float
    least: float

    @property
    def part(self) -> float:
        """Growth as a part of what there was."""
        return self.last / self.first - 1 if self.first else float(self.last > 0)

    @property
    def leaks_memory(self) -> bool:
        return self.last > self.first * (1 + MOST)

    @property
    def leaks_handles(self) -> bool:
        """Connections come and go by the dozen: a leak lifts even their least number above the usual one of before."""
        return self.least - self.first > SLACK

    def gathers_rows(self, slack: int) -> bool:
        """More rows by over a tenth and over `slack`: what waits in a queue goes up and down."""
        return self.last - self.first > max(slack, self.first / 10)


def trend(series: Series, seconds: float) -> Trend:
    """Of a run of so many seconds. Raises ValueError when a quarter has no sample: then nothing can be said."""
    warm = seconds * WARM_UP
    quarter = (seconds - warm) / 4
    first = [value for at, value in series if warm <= at < warm + quarter]
    last = [value for at, value in series if seconds - quarter <= at]
    if not first or not last:
        raise ValueError("The run was too short: there is nothing to compare.")
    return Trend(median(first), median(last), min(last))
