"""What people write to us: kept once, tied to its contact, and obeyed when it says stop or start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from phonebank.accounts.models import User
from phonebank.gateways.webhooks import Inbound
from phonebank.language import stored
from phonebank.whatsappapi.models import InboundMessage, SessionQuarter, WaSenderSession
from phonebank.whatsappapi.services import optout, probes
from phonebank.whatsappapi.services.doubts import is_doubtful
from phonebank.whatsappapi.services.sharing import writers_to

MESSAGE_TO = stored("message to “%(name)s”")
_LID = re.compile(r"(\d{1,30})(?::\d+)?@lid", re.ASCII)

# Locked in the order in which an import writes them.
_CONTACTS = """
WITH u AS (
  SELECT * FROM unnest(%(user)s::bigint[], %(phone)s::text[], %(lid)s::text[]) AS u(user_id, phone, lid)
)
SELECT c.id, c.user_id, c.phone, c.lid FROM whatsappapi_contact c
WHERE c.id IN (
  SELECT c.id FROM u JOIN whatsappapi_contact c ON c.user_id = u.user_id AND c.phone = u.phone WHERE u.phone <> ''
  UNION SELECT c.id FROM u JOIN whatsappapi_contact c ON c.user_id = u.user_id AND c.lid = u.lid WHERE u.lid <> '')
ORDER BY c.user_id, c.phone FOR NO KEY UPDATE OF c
"""
_TOUCH = """
UPDATE whatsappapi_contact c SET last_session_id = u.session, lid = CASE WHEN c.lid = '' THEN u.lid ELSE c.lid END
FROM unnest(%(contact)s::bigint[], %(session)s::bigint[], %(lid)s::text[]) AS u(contact, session, lid)
WHERE c.id = u.contact
"""
# The conversations are locked in key order, whoever writes them. A message belongs to the campaign with which this
# session last wrote to that person, be it of somebody the session is (or was) shared with.
_INSERT = """
WITH u AS MATERIALIZED (
  SELECT *, coalesce(nullif(phone, ''), lid) AS person
  FROM unnest(%(user)s::bigint[], %(session)s::bigint[], %(contact)s::bigint[], %(key_id)s::text[], %(phone)s::text[],
              %(lid)s::text[], %(name)s::text[], %(text)s::text[], %(media)s::text[], %(sent_at)s::timestamptz[])
    AS u(user_id, session_id, contact_id, key_id, phone, lid, name, text, media, sent_at)
), c AS (
  INSERT INTO whatsappapi_conversation AS c (public_id, user_id, session_id, contact_id, person, phone, lid, name,
    last_at)
  SELECT DISTINCT ON (session_id, person) gen_random_uuid(), user_id, session_id, contact_id, person, phone, lid, name,
    sent_at FROM u WHERE person <> '' ORDER BY session_id, person, sent_at DESC
  ON CONFLICT (session_id, person) DO UPDATE SET
    contact_id = coalesce(excluded.contact_id, c.contact_id),
    lid = CASE WHEN excluded.lid = '' THEN c.lid ELSE excluded.lid END,
    name = CASE WHEN excluded.name = '' THEN c.name ELSE excluded.name END
  RETURNING c.id, c.session_id, c.person
)
INSERT INTO whatsappapi_inboundmessage
  (user_id, session_id, contact_id, key_id, phone, lid, name, text, media, sent_at, received_at, conversation_id,
   campaign_id)
SELECT u.user_id, u.session_id, u.contact_id, u.key_id, u.phone, u.lid, u.name, u.text, u.media, u.sent_at,
  clock_timestamp(), c.id, (
    SELECT m.campaign_id FROM whatsappapi_message m JOIN whatsappapi_attempt a ON a.id = m.attempt
    WHERE m.user_id = ANY(array_append(ARRAY(
        SELECT h.user_id FROM whatsappapi_sessionshare h WHERE h.session_id = u.session_id AND h.user_id IS NOT NULL
      ), u.user_id)) AND m.phone = u.phone AND u.phone <> '' AND a.session_id = u.session_id
      AND m.campaign_id IS NOT NULL AND a.started_at > u.sent_at - interval '30 days'
    ORDER BY a.started_at DESC LIMIT 1)
FROM u LEFT JOIN c ON c.session_id = u.session_id AND c.person = u.person
ORDER BY u.sent_at
ON CONFLICT DO NOTHING
RETURNING conversation_id, sent_at, text, media
"""
_NEWS = """
UPDATE whatsappapi_conversation c SET unread = c.unread + u.n,
  last_at = greatest(c.last_at, u.at),
  last_text = CASE WHEN u.at >= c.last_at THEN u.text ELSE c.last_text END,
  last_media = CASE WHEN u.at >= c.last_at THEN u.media ELSE c.last_media END
FROM unnest(%(id)s::bigint[], %(n)s::int[], %(at)s::timestamptz[], %(text)s::text[], %(media)s::text[])
  AS u(id, n, at, text, media)
WHERE c.id = u.id
"""
# Who was known by their LID alone, and now by their number: one conversation from then on.
_BEHIND = """
SELECT c.id, c.session_id, u.phone FROM unnest(%(session)s::bigint[], %(lid)s::text[], %(phone)s::text[])
  AS u(session, lid, phone)
JOIN whatsappapi_conversation c ON c.session_id = u.session AND c.person = u.lid
ORDER BY c.id FOR NO KEY UPDATE OF c
"""
_JOIN = """
WITH old AS (SELECT * FROM whatsappapi_conversation WHERE id = %(id)s), heir AS (
  INSERT INTO whatsappapi_conversation AS c (public_id, user_id, session_id, contact_id, person, phone, lid, name,
    last_at, last_text, last_media, unread)
  SELECT gen_random_uuid(), user_id, session_id, contact_id, %(phone)s, %(phone)s, lid, name, last_at, last_text,
    last_media, unread FROM old
  ON CONFLICT (session_id, person) DO UPDATE SET lid = excluded.lid, unread = c.unread + excluded.unread,
    last_text = CASE WHEN excluded.last_at > c.last_at THEN excluded.last_text ELSE c.last_text END,
    last_media = CASE WHEN excluded.last_at > c.last_at THEN excluded.last_media ELSE c.last_media END,
    last_at = greatest(c.last_at, excluded.last_at)
  RETURNING c.id, c.contact_id
)
UPDATE whatsappapi_inboundmessage m SET conversation_id = heir.id, phone = %(phone)s,
  contact_id = coalesce(m.contact_id, heir.contact_id)
FROM heir WHERE m.conversation_id = %(id)s
"""


@dataclass(slots=True)
class Letter:
    """One inbound message as it will be stored. `phone` is E.164 or empty, `lid` `<digits>@lid` or empty."""

    user: int
    session: int
    key_id: str
    phone: str
    lid: str
    name: str
    text: str
    sent_at: datetime
    media: str = ""
    contact: int | None = None

    @classmethod
    def of(cls, inbound: Inbound, *, user: int, session: int, received_at: datetime) -> Letter:
        """From a parsed event. A sending time in the future counts as the moment of arrival."""
        lid = _LID.fullmatch(inbound.lid or "")
        return cls(
            user=user,
            session=session,
            key_id=inbound.key_id[:80],
            phone=inbound.phone or "",
            lid=f"{lid[1]}@lid" if lid else "",
            name=inbound.push_name[:120],
            text=inbound.text or "",
            sent_at=min(inbound.timestamp or received_at, received_at),
            media=inbound.media,
        )

    @property
    def matters(self) -> bool:
        """Whether something is to be done about it (`obey`) after it was stored."""
        return optout.is_stop(self.text) or optout.is_start(self.text) or is_doubtful(self.text)


def store(cursor: Any, letters: Sequence[Letter]) -> None:
    """Stores messages once each, inside the caller's transaction, and ties person, contact and session together."""
    letters = probes.take(letters)
    if not letters:
        return
    cursor.execute(_CONTACTS, _columns(letters, "user", "phone", "lid"))
    by_phone, by_lid = {}, {}
    for pk, user, phone, lid in cursor.fetchall():
        by_phone[user, phone] = (pk, phone)
        if lid:
            by_lid.setdefault((user, lid), (pk, phone))
    last: dict[int, Letter] = {}
    for letter in sorted(letters, key=lambda one: one.sent_at):
        found = by_phone.get((letter.user, letter.phone)) or by_lid.get((letter.user, letter.lid))
        if found is not None:
            letter.contact, letter.phone = found[0], letter.phone or found[1]
            last[found[0]] = letter
    if last:
        cursor.execute(_TOUCH, _columns(list(last.values()), "contact", "session", "lid"))
    names = ("user", "session", "contact", "key_id", "phone", "lid", "name", "text", "media", "sent_at")
    cursor.execute(_INSERT, _columns(letters, *names))
    answers = [(letter.user, letter.session, letter.phone) for letter in letters]
    transaction.on_commit(lambda: SessionQuarter.objects.mark_answers(answers), robust=True)
    _tell(cursor, cursor.fetchall())
    both = [letter for letter in letters if letter.phone and letter.lid]
    if both:
        cursor.execute(_BEHIND, _columns(both, "session", "lid", "phone"))
        for old, __, phone in cursor.fetchall():
            join_person(cursor, old, phone)


def _tell(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    """Notes on each conversation what is new in it. `rows` come in the order in which they were written."""
    news: dict[int, tuple[Any, ...]] = {}
    for conversation, at, text, media in rows:
        if conversation is not None:
            n = news[conversation][1] if conversation in news else 0
            news[conversation] = (conversation, n + 1, at, text[:200], media)
    if news:
        columns = dict(
            zip(("id", "n", "at", "text", "media"), map(list, zip(*news.values(), strict=True)), strict=True)
        )
        cursor.execute(_NEWS, columns)


def join_person(cursor: Any, conversation: int, phone: str) -> None:
    """The number behind a conversation's LID is known: what was written goes on under it."""
    cursor.execute(_JOIN, {"id": conversation, "phone": phone})
    cursor.execute("DELETE FROM whatsappapi_conversation WHERE id = %s", [conversation])


def obey(letter: Letter) -> None:
    """Does what a stop or a start asks for, and holds back who may have asked, for somebody to decide.

    Has transactions of its own, so none may be open.
    """
    user = User.objects.get(pk=letter.user)
    session = WaSenderSession.objects.get(pk=letter.session)
    source = MESSAGE_TO % {"name": session.session_name}
    language = optout.stop_language(letter.text)
    if letter.phone:
        # Whoever wrote to them over this session is answered too, and first: the confirmation comes from the owner.
        for writer in writers_to(letter.session, letter.user, letter.phone):
            _bind(letter, writer, session, source, language)
    if language is not None and (letter.phone or letter.lid):
        optout.opt_out(
            user=user,
            phone=letter.phone,
            lid=letter.lid,
            source=source,
            session=session if session.deleted_at is None else None,
            language=language,
        )
    elif language is None and is_doubtful(letter.text):
        optout.hold_for_review(
            user=user, phone=letter.phone, lid=letter.lid, words=letter.text, source=source, session=session
        )
    elif language is None and not _stopped_later(letter):
        optout.opt_in(user=user, phone=letter.phone, lid=letter.lid, source=source)


def _bind(letter: Letter, writer: User, session: WaSenderSession, source: str, language: str | None) -> None:
    """The same for somebody who borrowed the session and wrote to this person. START lifts only what was said here:
    what they said to a number of the borrower's, they take back there."""
    who = {"user": writer, "phone": letter.phone, "lid": letter.lid, "source": source}
    if language is not None:
        optout.opt_out(**who, session=session)
    elif is_doubtful(letter.text):
        optout.hold_for_review(**who, words=letter.text, session=session)
    elif not _stopped_later(letter):
        optout.opt_in(**who, lent=session)


def _stopped_later(letter: Letter) -> bool:
    """Webhooks come in any order: a start may arrive after the stop that followed it."""
    who = Q(phone=letter.phone) if letter.phone else Q(lid=letter.lid)
    later = InboundMessage.objects.filter(who, user_id=letter.user, sent_at__gt=letter.sent_at)
    return any(optout.is_stop(text) for text in later.values_list("text", flat=True)[:200])


def _columns(letters: Sequence[Letter], *names: str) -> dict[str, list[Any]]:
    return {name: [getattr(one, name) for one in letters] for name in names}
