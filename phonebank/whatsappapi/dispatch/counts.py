"""Counters are moved in the transaction that moves the rows, by summed deltas in key order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from phonebank.whatsappapi.dispatch.sql import tick as sql

Key = tuple[int, int | None, str]


class Deltas(Counter[Key]):
    """Deltas of CampaignCount rows, by (campaign, session, word)."""

    def moves(self, moves: Iterable[Mapping[str, Any]] | None) -> None:
        """Adds what a statement returned: `n` rows of a campaign and session went from `old` to `new`."""
        for move in moves or ():
            campaign, session, n = move["campaign_id"], move["session_id"], move["n"]
            self[campaign, move.get("old_session", session), move["old"]] -= n
            self[campaign, session, move["new"]] += n

    def columns(self) -> dict[str, list[Any]]:
        """Parameters of sql.COUNT."""
        rows = [(*key, n) for key, n in self.items() if n]
        return {name: [row[i] for row in rows] for i, name in enumerate("cswd")}

    def write(self, cursor: Any) -> None:
        """Writes them, last thing in the caller's transaction."""
        columns = self.columns()
        if columns["c"]:
            cursor.execute(sql.COUNT, columns)
