"""Once an hour: what the alerts, scores and morning's mails need not remember any longer."""

from __future__ import annotations

import time

from phonebank.whatsappapi.services import deliveries, digest, wellbeing

EVERY = 3600.0  # seconds

_next = 0.0


def prune() -> int:
    """Deletes what is older than three months. Returns how many rows."""
    global _next
    if time.monotonic() < _next:
        return 0
    _next = time.monotonic() + EVERY
    return deliveries.prune() + wellbeing.prune() + digest.prune()
