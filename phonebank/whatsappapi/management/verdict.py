"""What must hold after a drill: the invariants, checked against the sandbox's own ledger and the whole database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from phonebank.audit.models import Event
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.dispatch.render import body_hash
from phonebank.whatsappapi.dispatch.sql.words import word
from phonebank.whatsappapi.management import guards
from phonebank.whatsappapi.management.journey import Sandbox, until
from phonebank.whatsappapi.models import Attempt, Campaign, Message, WaSenderSession, WebhookEvent

# Rows against counters in one statement, so one snapshot: statuses may still be coming in.
DRIFT = f"""
SELECT coalesce(c.session_id, m.session_id) AS session, coalesce(c.state, m.word) AS word, c.n AS counted, m.n AS rows
FROM (SELECT session_id, state, n FROM whatsappapi_campaigncount WHERE campaign_id = %s AND n <> 0) c
FULL JOIN (SELECT session_id, {word("m")} AS word, count(*) AS n FROM whatsappapi_message m WHERE campaign_id = %s
           GROUP BY 1, 2) m ON m.session_id IS NOT DISTINCT FROM c.session_id AND m.word = c.state
WHERE c.n IS DISTINCT FROM m.n
"""  # noqa: S608 our own word()
# A second request to a person is only right when every earlier one is proven unsent.
REPEATED = """
SELECT a.message_id FROM whatsappapi_attempt a JOIN whatsappapi_attempt b
  ON b.message_id = a.message_id AND b.started_at < a.started_at AND b.outcome NOT IN ('deferred', 'not_sent')
"""
NUMBER = re.compile(rb"\+?1(201|646)\d{7}")  # of people and sessions in a drill
LATE = 1.0  # seconds after a stop within which a first byte may still come


@dataclass(frozen=True, slots=True)
class Line:
    """One rule: what was found, and whether it holds."""

    name: str
    found: str
    holds: bool


@dataclass(slots=True)
class Deeds:
    """What was asked for and done, to be compared with what came of it. Times are epoch seconds of the commit."""

    people: dict[int, int] = field(default_factory=dict)  # planned, by campaign
    pauses: list[tuple[int, float, float]] = field(default_factory=list)  # campaign, paused, resumed
    cancelled: dict[int, float] = field(default_factory=dict)
    opt_outs: dict[str, float] = field(default_factory=dict)
    shut: dict[tuple[int, int], float] = field(default_factory=dict)  # (campaign, session taken out of it for good)
    audited: Counter[str] = field(default_factory=Counter)  # verbs that a person used


@dataclass(slots=True)
class Facts:
    """The ledger, and the rows it is compared with. Entries name sessions by the gateway's number."""

    entries: list[dict[str, Any]]
    rows: dict[int, tuple[int | None, str, str]]  # message -> campaign, phone, state
    attempts: dict[tuple[int, int], tuple[int, bytes]]  # gateway's session and msgId -> message, body hash

    def message(self, entry: dict[str, Any]) -> int | None:
        found = self.attempts.get((entry["session"], entry["msgId"]))
        return found[0] if found else None


def entries(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The whole ledger, in order of acceptance."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = sandbox.call("GET", f"/sandbox/ledger/entries?limit=5000&after={after}")
        found, after = found + page["entries"], page["next_after"]
    return found


def drift(campaign: int) -> list[tuple[Any, ...]]:
    """Counters that differ from the rows: (session, word, counted, rows)."""
    with connection.cursor() as cursor:
        cursor.execute(DRIFT, [campaign, campaign])
        return cursor.fetchall()


def usage(sandbox: Sandbox) -> tuple[list[str], list[str]]:
    """Sessions that sent more than their limit, and sessions whose count is not what the ledger says (names)."""
    over, differ = [], []
    for one in WaSenderSession.objects.with_limit().exclude(wasender_id=None):
        sent = sandbox.call("GET", f"/sandbox/ledger?session={one.wasender_id}")["accepted"]
        # A refused recipient keeps its unit: the gateway counts the request (send-path 1).
        refused = Attempt.objects.filter(session=one, http_status=422).count()
        if one.effective_limit is not None and sent > one.effective_limit:
            over.append(f"{one.session_name} {sent} > {one.effective_limit}")
        if one.messages_sent_today != sent + refused:
            differ.append(f"{one.session_name} {one.messages_sent_today} not {sent + refused}")
    return over, differ


def facts(sandbox: Sandbox) -> Facts:
    rows = {
        pk: (campaign, phone, state)
        for pk, campaign, phone, state in Message.objects.values_list("pk", "campaign_id", "phone", "state")
    }
    answered = Attempt.objects.exclude(msg_id=None)
    attempts = {
        (session, msg_id): (message, bytes(digest))
        for session, msg_id, message, digest in answered.values_list(
            "session__wasender_id", "msg_id", "message_id", "body_hash"
        )
    }
    return Facts(entries(sandbox), rows, attempts)


def verdict(sandbox: Sandbox, deeds: Deeds, *, guarded: bool = True) -> list[Line]:
    """All lines, in the order of docs/drill.md. `guarded`: the guards were up."""
    seen = facts(sandbox)
    lines = [*_ends(seen, deeds), *_once(seen), *_limits(sandbox), *_stops(seen, deeds), *_counters(deeds)]
    if guarded:
        lines += _instants()
    return [*lines, _inbox(), _texts(seen), *_campaigns(deeds), _audit(deeds)]


def _count(name: str, offenders: Iterable[Any]) -> Line:
    found = [str(one) for one in offenders]
    return Line(name, f"{len(found)}" + (f" ({', '.join(found[:3])})" if found else ""), not found)


def _phone(entry: dict[str, Any]) -> str:
    return "+" + str(entry["to"]).lstrip("+")


def _ends(seen: Facts, deeds: Deeds) -> list[Line]:
    planned = sum(deeds.people.values())
    of = [state for campaign, _, state in seen.rows.values() if campaign in deeds.people]
    states = Counter(of)
    open_ = states["queued"] + states["sending"]
    doubt = states["unknown"] + states["uncertain"]
    return [
        Line("I1  nobody lost: people planned, rows", f"{planned:,}, {len(of):,}", len(of) == planned),
        Line("I1  no end reached: queued or sending", str(open_), not open_),
        Line("I1  unknown or uncertain at the end", str(doubt), not doubt),
    ]


def _once(seen: Facts) -> list[Line]:
    per_person = Counter((_phone(entry), entry["text"]) for entry in seen.entries)
    twice = [f"{phone[-4:]} x{n}" for (phone, _), n in per_person.items() if n > 1]
    with connection.cursor() as cursor:
        cursor.execute(REPEATED)
        repeated = {row[0] for row in cursor.fetchall()}
    by_ledger = {seen.message(entry) for entry in seen.entries}
    accepted = {pk for pk, (_, _, state) in seen.rows.items() if state == "accepted"}
    nobodys = sum(seen.message(entry) is None for entry in seen.entries)
    return [
        _count("I2  nobody twice: people with two messages in the ledger", twice),
        _count("I2  requests after one that was not proven unsent", repeated),
        Line("I2  ledger and rows disagree about", str(n := len(accepted - by_ledger) + nobodys), not n),
    ]


def _limits(sandbox: Sandbox) -> list[Line]:
    over, differ = usage(sandbox)
    return [
        _count("I3  sessions over their limit", over),
        _count("I3  sessions whose count is not the ledger's", differ),
    ]


def _stops(seen: Facts, deeds: Deeds) -> list[Line]:
    campaign = {pk: row[0] for pk, row in seen.rows.items()}
    by_campaign: dict[int | None, list[float]] = {}
    by_lane: dict[tuple[int | None, int], list[float]] = {}
    for entry in seen.entries:
        its = campaign.get(seen.message(entry) or 0)
        by_campaign.setdefault(its, []).append(entry["first_byte"])
        by_lane.setdefault((its, entry["session"]), []).append(entry["first_byte"])
    paused = [_late(at, a) for one, a, b in deeds.pauses for at in by_campaign.get(one, ()) if a + LATE < at < b]
    cancelled = [_late(at, a) for one, a in deeds.cancelled.items() for at in by_campaign.get(one, ()) if at > a + LATE]
    shut = [_late(at, a) for one, a in deeds.shut.items() for at in by_lane.get(one, ()) if at > a + LATE]
    after_stop = [
        _late(e["first_byte"], a) for e in seen.entries
        if e["text"].startswith("Hi ") and (a := deeds.opt_outs.get(_phone(e))) and e["first_byte"] > a + LATE
    ]  # fmt: skip
    return [
        _count("I4  claims after an opt-out committed", _claims_after(deeds.opt_outs)),
        _count("I5  first bytes over 1.0 s after an opt-out", after_stop),
        _count("I5  first bytes over 1.0 s after a pause", paused),
        _count("I5  first bytes over 1.0 s after a cancel", cancelled),
        _count("I5  first bytes over 1.0 s after a session was taken out", shut),
    ]


def _late(at: float, stop: float) -> str:
    return f"{at - stop:.1f} s"


def _claims_after(opt_outs: dict[str, float]) -> list[str]:
    rows = Attempt.objects.filter(phone__in=opt_outs, message__kind="campaign").values_list("phone", "started_at")
    return [phone[-4:] for phone, at in rows if at.timestamp() > opt_outs[phone]]


def _counters(deeds: Deeds) -> list[Line]:
    return [_count("I6  counters that differ from rows", [row for one in deeds.people for row in drift(one)])]


def _instants() -> list[Line]:
    noted = guards.noted()
    names = {
        "I7 rank": "I7  reported status that went back, at any instant",
        "states": "I7  moves that the state machine does not know",
        "I3 limit": "I3  counts above the limit, at any instant",
        "I8 right": "I8  claims at a session or key that was not to be used",
        "I11 in flight": "I11 claims above the requests in flight allowed",
        "I12 completed": "I12 campaigns completed with rows still open",
    }
    return [_count(name, noted.get(rule, ())) for rule, name in names.items()]


def _inbox() -> Line:
    old = Now() - timedelta(seconds=10)  # statuses may still be coming in
    left = WebhookEvent.objects.filter(Q(state="quarantined") | Q(state="new", received_at__lt=old))
    left = left.values_list("state", "note")
    return _count("I9  stored events not processed, or put aside", left)


def _texts(seen: Facts) -> Line:
    wrong = [
        entry["msgId"] for entry in seen.entries
        if (found := seen.attempts.get((entry["session"], entry["msgId"]))) and found[1] != body_hash(entry["text"])
    ]  # fmt: skip
    return _count("I10 texts that are not what was recorded before", wrong)


def _campaigns(deeds: Deeds) -> list[Line]:
    wanted = {pk: "cancelled" if pk in deeds.cancelled else "completed" for pk in deeds.people}
    states = dict(Campaign.objects.filter(pk__in=wanted).values_list("pk", "state"))
    other = [f"{states.get(pk)} not {end}" for pk, end in wanted.items() if states.get(pk) != end]
    return [_count(f"I12 campaigns not ended as they should ({len(wanted)} in all)", other)]


def _audit(deeds: Deeds) -> Line:
    there = Counter(Event.objects.exclude(actor=None).values_list("verb", flat=True))
    missing = [f"{verb} {there[verb]} of {n}" for verb, n in deeds.audited.items() if there[verb] < n]
    return _count(f"I13 acts of a person without a record ({deeds.audited.total()} in all)", missing)


def secrets(log: Path) -> Line:
    """I14: nothing secret in what the processes wrote, in the records of acts and in stored events."""
    keys = [DEFAULT_TOKEN, settings.SECRET_KEY]
    keys += [one for s in WaSenderSession.objects.all() for one in (s.api_key, s.webhook_secret) if one]
    key = re.compile(b"|".join(re.escape(one.encode()) for one in keys))
    acts = "\n".join(str(data) for data in Event.objects.values_list("data", flat=True)).encode()
    found = []
    for where, text in (("log", log.read_bytes() if log.exists() else b""), ("audit", acts)):
        found += [f"key in {where}"] * bool(key.search(text)) + [f"number in {where}"] * bool(NUMBER.search(text))
    bodies = WebhookEvent.objects.values_list("body", flat=True).iterator()
    found += ["key in a stored event"] * sum(1 for body in bodies if key.search(bytes(body)))
    return _count("I14 secrets or numbers in logs, records, stored events", found)


def replay(sample: int = 500) -> Line:
    """I9: stored events are processed once more, and nothing changes. The workers must be running."""
    before = _state()
    ids = list(WebhookEvent.objects.filter(state="done").order_by("?").values_list("pk", flat=True)[:sample])
    WebhookEvent.objects.filter(pk__in=ids).update(state="new", due_at=Now(), tries=0)
    again = WebhookEvent.objects.filter(pk__in=ids, state="new")
    until("events to be processed again", lambda: not again.exists(), 30)
    changed = sum(1 for pk, now in _state().items() if now[0] != before[pk][0] or now[1] < before[pk][1])
    return Line(f"I9  rows changed by processing {len(ids)} events again", str(changed), not changed)


def _state() -> dict[int, tuple[str, int]]:
    return {pk: (state, rank) for pk, state, rank in Message.objects.values_list("pk", "state", "rank")}
