"""What people write to us: kept once, tied to its contact, and obeyed when it says stop or start."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from phonebank.accounts.models import User
from phonebank.gateways.webhooks import Inbound
from phonebank.whatsappapi.models import InboundMessage, WaSenderSession
from phonebank.whatsappapi.services import optout
from phonebank.whatsappapi.services.doubts import is_doubtful

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
_INSERT = """
INSERT INTO whatsappapi_inboundmessage
  (user_id, session_id, contact_id, key_id, phone, lid, name, text, sent_at, received_at)
SELECT u.*, clock_timestamp()
FROM unnest(%(user)s::bigint[], %(session)s::bigint[], %(contact)s::bigint[], %(key_id)s::text[], %(phone)s::text[],
            %(lid)s::text[], %(name)s::text[], %(text)s::text[], %(sent_at)s::timestamptz[]) AS u
ON CONFLICT DO NOTHING
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
        )

    @property
    def matters(self) -> bool:
        """Whether something is to be done about it (`obey`) after it was stored."""
        return optout.is_stop(self.text) or optout.is_start(self.text) or is_doubtful(self.text)


def store(cursor: Any, letters: Sequence[Letter]) -> None:
    """Stores messages once each, inside the caller's transaction, and ties person, contact and session together."""
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
    names = ("user", "session", "contact", "key_id", "phone", "lid", "name", "text", "sent_at")
    cursor.execute(_INSERT, _columns(letters, *names))


def obey(letter: Letter) -> None:
    """Does what a stop or a start asks for, and holds back who may have asked, for somebody to decide.

    Has transactions of its own, so none may be open.
    """
    user = User.objects.get(pk=letter.user)
    session = WaSenderSession.objects.get(pk=letter.session)
    source = f"message to “{session.session_name}”"
    language = optout.stop_language(letter.text)
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
        optout.hold_for_review(user=user, phone=letter.phone, lid=letter.lid, words=letter.text, source=source)
    elif language is None and not _stopped_later(letter):
        optout.opt_in(user=user, phone=letter.phone, lid=letter.lid, source=source)


def _stopped_later(letter: Letter) -> bool:
    """Webhooks come in any order: a start may arrive after the stop that followed it."""
    who = Q(phone=letter.phone) if letter.phone else Q(lid=letter.lid)
    later = InboundMessage.objects.filter(who, user_id=letter.user, sent_at__gt=letter.sent_at)
    return any(optout.is_stop(text) for text in later.values_list("text", flat=True)[:200])


def _columns(letters: Sequence[Letter], *names: str) -> dict[str, list[Any]]:
    return {name: [getattr(one, name) for one in letters] for name in names}
