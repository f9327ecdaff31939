"""Webhooks as they come in: authenticated and stored for good before the answer. Applied later: webhooks.py."""

from __future__ import annotations

import hashlib
import logging
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.fernet import InvalidToken
from django.db import connection
from django.utils.crypto import constant_time_compare

from phonebank.gateways.webhooks import blank, find_session_ref
from phonebank.whatsappapi.models.fields import digest, ring

logger = logging.getLogger(__name__)

BACKLOG_MAX = 500_000  # due events; beyond that the gateway is asked to come back later
BACKLOG_EVERY = 10.0  # seconds between two looks at it

_FIND = """
SELECT d.i, s.id, s.api_key_digest, s.previous_key_digest, coalesce(s.previous_key_until > now(), false),
  s.wasender_id, s.webhook_token, s.deleted_at IS NOT NULL, s.webhook_secret_digest <> d.digest, s.api_key
FROM unnest(%s::uuid[], %s::text[]) WITH ORDINALITY AS d(owner, digest, i)
JOIN accounts_user u ON u.public_id = d.owner
JOIN whatsappapi_wasendersession s ON s.user_id = u.id AND (
  s.webhook_secret_digest = d.digest OR s.previous_secret_digest = d.digest AND s.previous_secret_until > now())
"""
_NAMES_ANOTHER = """
SELECT EXISTS (SELECT 1 FROM whatsappapi_wasendersession
  WHERE api_key_digest = %(digest)s OR previous_key_digest = %(digest)s OR wasender_id = %(number)s)
"""
# In the order of the digests: two batches with the same deliveries would else wait for one another.
_STORE = """
INSERT INTO whatsappapi_webhookevent (session_id, body, digest, state, note)
SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::text[], %s::text[]) AS u(s, b, d, t, n) ORDER BY d
ON CONFLICT (digest) DO NOTHING
"""
_BACKLOG = """
SELECT EXISTS (SELECT 1 FROM whatsappapi_webhookevent
  WHERE state IN ('new', 'unmatched') AND due_at <= statement_timestamp() OFFSET %s)
"""
_KEY = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Za-z]{40,128}(?![0-9A-Za-z])")  # what might be a session key (contract 1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request. `token` is the last part of its address, empty in the old one; `secret` what its header held."""

    user_id: uuid.UUID | str
    token: str
    secret: str = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway is told. Only 2xx means "kept"."""

    status: int
    error: str = ""


KEPT = Answer(200)
REFUSED = Answer(401, "Not accepted.")  # the same for every reason
UNNAMED = Answer(403, "The delivery names no session of this secret.")
FOREIGN = Answer(403, "The delivery names another session.")
GONE = Answer(410, "This session was deleted.")
FULL = Answer(503, "Too many events are waiting. Try again later.")


@dataclass(frozen=True, slots=True)
class _Session:
    id: int
    key: str
    previous_key: str
    previous_is_valid: bool
    number: int | None
    token: str
    is_deleted: bool
    by_old_secret: bool
    api_key: str = field(repr=False)  # sealed, like the token

    def is_named_by(self, ref: str) -> bool:
        """Whether a delivery's sessionId is ours: the API key (the old one for a day), or the number."""
        found = digest(ref)
        if found == self.key or str(self.number) == ref:
            return True
        return self.previous_is_valid and found == self.previous_key

    def has_token(self, token: str) -> bool:
        return bool(self.token) and constant_time_compare(_unsealed(self.token), token)


@lru_cache(maxsize=4096)
def _unsealed(text: str) -> str:
    """What a column holds encrypted; nothing where no key of ours opens it. Unsealing anew costs more than all else."""
    try:
        return ring().decrypt(text.encode()).decode() if text else ""
    except InvalidToken:
        return ""


@dataclass(frozen=True, slots=True)
class _Row:
    """What is stored of a delivery."""

    session: int
    body: bytes
    digest: bytes
    state: str
    note: str


class _Backlog:
    """Whether too many events wait; looked up at times, for a count with every delivery would cost more than it."""

    def __init__(self) -> None:
        self._looked_at = -BACKLOG_EVERY
        self._is_full = False

    def is_full(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at >= BACKLOG_EVERY:
            self._looked_at = now
            with connection.cursor() as cursor:
                cursor.execute(_BACKLOG, [BACKLOG_MAX])
                self._is_full = bool(cursor.fetchone()[0])
        return self._is_full


_backlog = _Backlog()


def receive(deliveries: Sequence[Delivery]) -> list[Answer]:
    """Stores deliveries durably and answers them in order. Two statements however many, now and then a third.

    Raises the database's errors; then none of them was acknowledged, and repeating them stores nothing twice.
    """
    found = _find(deliveries)
    answers: list[Answer] = []
    rows: list[_Row] = []
    for one, sessions in zip(deliveries, found, strict=True):
        answer, row = _judge(one, sessions)
        answers.append(answer)
        if row is not None:
            rows.append(row)
    if rows:
        names = ("session", "body", "digest", "state", "note")
        with connection.cursor() as cursor:
            cursor.execute(_STORE, [[getattr(row, name) for row in rows] for name in names])
    return answers


def _find(deliveries: Sequence[Delivery]) -> list[list[_Session]]:
    """The sessions that each delivery may be of: of its owner, by its secret and token."""
    asked: list[tuple[int, uuid.UUID, str]] = []
    for i, one in enumerate(deliveries):
        try:
            if one.secret:
                asked.append((i, uuid.UUID(str(one.user_id)), digest(one.secret)))
        except (ValueError, UnicodeEncodeError):
            continue
    by_delivery: dict[int, list[_Session]] = defaultdict(list)
    if asked:
        with connection.cursor() as cursor:
            cursor.execute(_FIND, [[one[1] for one in asked], [one[2] for one in asked]])
            for number, *row in cursor.fetchall():
                by_delivery[asked[number - 1][0]].append(_Session(*row))
    return [
        [session for session in by_delivery[i] if not one.token or session.has_token(one.token)]
        for i, one in enumerate(deliveries)
    ]


def _judge(one: Delivery, sessions: list[_Session]) -> tuple[Answer, _Row | None]:
    if not sessions:
        return REFUSED, None
    ref = find_session_ref(one.body)
    named = [session for session in sessions if ref is not None and session.is_named_by(ref)]
    if not named and len(sessions) > 1:
        return UNNAMED, None
    session = (named or sessions)[0]
    if session.is_deleted:
        return GONE, None
    if ref is not None and not named and _names_another(ref, session):
        logger.warning("a webhook for session %s names another session", session.id)
        return FOREIGN, _row(session, one.body, "quarantined", "names another session")
    if _backlog.is_full():
        return FULL, None
    note = "previous secret" if session.by_old_secret else "" if named or ref is None else "unknown session key"
    return KEPT, _row(session, one.body, "new", note)


def _names_another(ref: str, session: _Session) -> bool:
    """An unknown key may be our own after a change at the gateway; one we know as another's (or expired) is not."""
    if digest(ref) == session.previous_key:
        return True
    number = int(ref) if ref.isascii() and ref.isdigit() and len(ref) < 19 else None
    with connection.cursor() as cursor:
        cursor.execute(_NAMES_ANOTHER, {"digest": digest(ref), "number": number})
        return bool(cursor.fetchone()[0])


def _row(session: _Session, raw: bytes, state: str, note: str) -> _Row:
    # The key itself first: in a damaged body it may have grown together with what stands beside it.
    body = blank(raw, _unsealed(session.api_key))
    kept = _KEY.sub(lambda found: b"***" if session.is_named_by(found[0].decode()) else found[0], body)
    unique = hashlib.sha256(str(session.id).encode() + b"|" + kept).digest()
    return _Row(session.id, kept, unique, state, note)
