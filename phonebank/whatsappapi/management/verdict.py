"""What must hold after a drill, checked against the sandbox's own ledger. Names as in docs/send-path.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db import connection

from phonebank.whatsappapi.dispatch.sql.words import word
from phonebank.whatsappapi.management.journey import Sandbox
from phonebank.whatsappapi.models import Attempt, Campaign, Message, WaSenderSession

# Rows against counters in one statement, so one snapshot: statuses may still be coming in.
DRIFT = f"""
SELECT count(*) FROM (
  SELECT session_id, state, n FROM whatsappapi_campaigncount WHERE campaign_id = %s AND n <> 0
) c FULL JOIN (
  SELECT session_id, {word("m")} AS word, count(*) AS n FROM whatsappapi_message m WHERE campaign_id = %s GROUP BY 1, 2
) m ON m.session_id IS NOT DISTINCT FROM c.session_id AND m.word = c.state
WHERE c.n IS DISTINCT FROM m.n
"""  # noqa: S608 our own word()


@dataclass(frozen=True, slots=True)
class Line:
    """One rule: what was found, and whether it holds."""

    name: str
    found: str
    holds: bool


def entries(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The whole ledger, in order of acceptance."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = sandbox.call("GET", f"/sandbox/ledger/entries?limit=5000&after={after}")
        found, after = found + page["entries"], page["next_after"]
    return found


def verdict(
    sandbox: Sandbox, campaign: Campaign, people: int, pauses: list[tuple[float, float]], opt_outs: dict[str, float]
) -> list[Line]:
    """Checks after the run. `pauses`: (paused, resumed) times; `opt_outs`: time of commit by phone; epoch seconds."""
    ledger = entries(sandbox)
    rows = dict(Message.objects.filter(campaign=campaign).values_list("phone", "state"))
    states = Counter(rows.values())
    confirmations = set(Message.objects.filter(kind="confirmation").values_list("body", flat=True))
    ours = [entry for entry in ledger if entry["text"] not in confirmations]
    per_person = Counter("+" + str(entry["to"]).lstrip("+") for entry in ours)
    twice = sum(1 for n in per_person.values() if n > 1)
    accepted = {phone for phone, state in rows.items() if state == "accepted"}
    disagree = len(accepted ^ per_person.keys())
    late = sum(1 for e in ours for a, b in pauses if a + 1.0 < e["first_byte"] < b)
    after_stop = sum(
        1 for e in ours if (at := opt_outs.get("+" + str(e["to"]).lstrip("+"))) and e["first_byte"] > at + 1.0
    )
    over = _over_limit(sandbox)
    with connection.cursor() as cursor:
        cursor.execute(DRIFT, [campaign.pk, campaign.pk])
        drift = cursor.fetchone()[0]
    left = states["queued"] + states["sending"]
    return [
        Line("people planned, rows", f"{people}, {len(rows)}", len(rows) == people),
        Line("lost (queued or sending at the end)", str(left), left == 0),
        Line("got it twice, by the ledger", str(twice), twice == 0),
        Line(
            "unknown, uncertain",
            f"{states['unknown']}, {states['uncertain']}",
            not states["unknown"] + states["uncertain"],
        ),
        Line("ledger and rows disagree about", str(disagree), disagree == 0),
        Line("sessions over their limit", str(over[0]), over[0] == 0),
        Line("sessions whose count differs from the ledger", str(over[1]), over[1] == 0),
        Line("counters that differ from rows", str(drift), drift == 0),
        Line("first bytes over 1.0 s after a pause", str(late), late == 0),
        Line("first bytes over 1.0 s after an opt-out", str(after_stop), after_stop == 0),
        Line("campaign", campaign.state, campaign.state == "completed"),
    ]


def _over_limit(sandbox: Sandbox) -> tuple[int, int]:
    """Sessions that sent more than their limit, and sessions whose count is not what the ledger says."""
    over = differ = 0
    for one in WaSenderSession.objects.alive():
        sent = sandbox.call("GET", f"/sandbox/ledger?session={one.wasender_id}")["accepted"]
        refused = Attempt.objects.filter(session=one, http_status=422).count()
        over += one.daily_limit is not None and sent > one.daily_limit
        differ += one.messages_sent_today != sent + refused
    return over, differ
