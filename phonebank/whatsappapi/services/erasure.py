"""Erasing a person: what they asked for is done, and done for good, without knowing any more who they were.

What stays is a suppression with a keyed digest of the number. Messages that were sent stay as rows, for counters and
the ledger of attempts must go on adding up, but name a stand-in instead of the person, and no text or name of theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

from django.db import connection, transaction
from django.utils import timezone

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.dispatch.statuses import skip_person
from phonebank.whatsappapi.models import Contact, DigestKey, Suppression
from phonebank.whatsappapi.models.contacts import unlock_ledger
from phonebank.whatsappapi.services.suppressions import one_at_a_time

AGAIN = 60.0  # seconds until a person with a request under way is looked at again
STAND_IN = "erased:"
ASKED = stored("Asked to be erased")
ERASED = stored("Was erased")


def digest_of(user: User, number: str) -> str:
    """The keyed digest of a number or LID, as suppressions of erased people hold it."""
    return _digest(_key(user), number)


def erased_numbers(user: User) -> Callable[[str], bool]:
    """Tells whether a number belongs to somebody whom this owner erased."""
    known = frozenset(
        Suppression.objects.filter(user=user, lifted_at=None).exclude(digest="").values_list("digest", flat=True)
    )
    if not known:
        return lambda number: False
    key = _key(user)
    return lambda number: _digest(key, number) in known


def erase(*, actor: User, contact: Contact) -> None:
    """Suppresses the person at once, skips what waits for them, and erases the rest in a job.

    The suppression commits first, then the queued rows are skipped (send-path 5). A request that may still be under
    way keeps its number until its fate is known; until then the suppression stays in clear.
    """
    user, phone, lid = contact.user, contact.phone, contact.lid
    with transaction.atomic(durable=True):
        one_at_a_time(user)
        Suppression.objects.filter(user=user, phone=phone, lifted_at=None).update(reason=Suppression.Reason.ERASED)
        erased = Suppression(user=user, phone=phone, reason=Suppression.Reason.ERASED, note=ASKED, added_by=actor)
        Suppression.objects.bulk_create([erased], ignore_conflicts=True)
        Contact.objects.filter(pk=contact.pk).update(consent=Contact.Consent.WITHDRAWN)
        record(actor=actor, verb="contact.erased", target=contact, had_lid=bool(lid))
        jobs.defer("erase_person", lock=f"erase:{contact.pk}", contact=contact.pk)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        one_at_a_time(user)
        skip_person(cursor, user.pk, phone, ERASED)


def finish(contact: int) -> bool:
    """Erases what is left of a person once nothing of theirs is under way. True: done (or done before)."""
    with transaction.atomic(), connection.cursor() as cursor:
        person = Contact.objects.select_related("user").filter(pk=contact).first()
        if person is None:
            return True
        user, phone, lid = person.user, person.phone, person.lid
        one_at_a_time(user)
        cursor.execute(_DEALS, [user.pk])  # a deal must not insert a row for somebody who goes away meanwhile
        suppressed = Suppression.objects.select_for_update(no_key=True).filter(user=user, lifted_at=None, phone=phone)
        mark = suppressed.filter(reason=Suppression.Reason.ERASED).first()
        if mark is None:  # they wrote START meanwhile
            return True
        skip_person(cursor, user.pk, phone, ERASED)
        cursor.execute(_OPEN, [user.pk, phone])
        if cursor.fetchone()[0]:
            return False
        stand_in = STAND_IN + secrets.token_hex(6)
        about = {"user": user.pk, "phone": phone, "digits": phone.lstrip("+").encode(), "lid": lid, "as": stand_in}
        for statement in _SCRUB:
            cursor.execute(statement, about | {"contact": person.pk})
        mark.phone, mark.lid, mark.note, mark.words = stand_in, "", "", ""
        mark.digest, mark.created_at = _digest(_key(user), phone), timezone.now()
        mark.save(update_fields=["phone", "lid", "note", "words", "digest", "created_at"])
        if lid:
            Suppression.objects.filter(user=user, lid=lid).delete()
            Suppression.objects.create(
                user=user, phone=STAND_IN + secrets.token_hex(6), reason=mark.reason, digest=_digest(_key(user), lid)
            )
        unlock_ledger()
        person.delete()
        return True


def _key(user: User) -> bytes:
    row = DigestKey.objects.filter(user=user).first()
    if row is None:
        row, __ = DigestKey.objects.get_or_create(user=user, defaults={"key": secrets.token_hex(32)})
    return bytes.fromhex(row.key)


def _digest(key: bytes, number: str) -> str:
    return hmac.digest(key, number.encode(), hashlib.sha256).hex()


_DEALS = """
SELECT id FROM whatsappapi_campaign WHERE user_id = %s AND state = 'dealing' ORDER BY id FOR NO KEY UPDATE
"""
# A row that may still move by itself, or a request whose fate is open, needs its number.
_OPEN = """
SELECT EXISTS (
  SELECT 1 FROM whatsappapi_message m WHERE m.user_id = %s AND m.phone = %s AND (
    m.state IN ('queued', 'sending', 'unknown')
    OR EXISTS (SELECT 1 FROM whatsappapi_attempt a WHERE a.message_id = m.id AND a.resolved_at IS NULL)))
"""
# Messages, then attempts: the order in which everybody locks them. What they wrote goes altogether.
_SCRUB = (
    """
    WITH m AS MATERIALIZED (
      SELECT id FROM whatsappapi_message WHERE user_id = %(user)s AND phone = %(phone)s
      ORDER BY id FOR NO KEY UPDATE
    ), gone AS (
      UPDATE whatsappapi_message t SET phone = %(as)s, variables = '{}', time_zone = '', contact_id = NULL,
        body = CASE WHEN body IS NULL THEN NULL ELSE '' END, media = NULL
      FROM m WHERE t.id = m.id RETURNING t.id
    )
    UPDATE whatsappapi_attempt a SET phone = %(as)s, detail = '' FROM gone WHERE a.message_id = gone.id
    """,
    "SELECT 1 FROM whatsappapi_contact WHERE id = %(contact)s FOR UPDATE",  # who stores a message of theirs does so too
    """
    DELETE FROM whatsappapi_inboundmessage
    WHERE user_id = %(user)s AND (contact_id = %(contact)s OR phone = %(phone)s OR (lid <> '' AND lid = %(lid)s))
    """,
    """
    DELETE FROM whatsappapi_conversation
    WHERE user_id = %(user)s AND (contact_id = %(contact)s OR phone = %(phone)s OR (lid <> '' AND lid = %(lid)s))
    """,
    # Webhooks as they arrived. Those that still wait for their message are dropped with them.
    """
    UPDATE whatsappapi_webhookevent e SET body = '', state = CASE WHEN state = 'new' THEN state ELSE 'done' END
    FROM whatsappapi_wasendersession s
    WHERE s.id = e.session_id AND s.user_id = %(user)s AND e.state <> 'new'
      AND (position(%(digits)s::bytea IN e.body) > 0
           OR (%(lid)s <> '' AND position(convert_to(split_part(%(lid)s, '@', 1), 'UTF8') IN e.body) > 0))
    """,
    "DELETE FROM whatsappapi_suppression WHERE user_id = %(user)s AND phone = %(phone)s AND lifted_at IS NOT NULL",
)
