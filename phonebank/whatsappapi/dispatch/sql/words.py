"""How a state and a rank are merged into one word."""

from __future__ import annotations

# The word that pages and counters show: our own knowledge merged with what the world reported.
WORD = (
    "CASE WHEN {t}.state = 'accepted' "
    "THEN (ARRAY['accepted','accepted','sent','delivered','read','read'])[{t}.rank + 1] ELSE {t}.state END"
)


def word(table: str) -> str:
    return WORD.format(t=table)
