"""Opt-out and opt-in: who said stop is suppressed for all of the owner's sessions at once."""

from __future__ import annotations

import logging
import re
from functools import cache, lru_cache

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.errors import GatewayError
from phonebank.language import stored
from phonebank.whatsappapi.dispatch.statuses import recount, skip_person
from phonebank.whatsappapi.models import ConsentRecord, Contact, Kind, Message, State, Suppression, WaSenderSession
from phonebank.whatsappapi.services.erasure import digest_of
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call
from phonebank.whatsappapi.services.optout_patterns import refusal_language
from phonebank.whatsappapi.services.optout_rules import APART, sentence_language
from phonebank.whatsappapi.services.optout_spelling import spelled
from phonebank.whatsappapi.services.optout_vetoes import is_about_else
from phonebank.whatsappapi.services.optout_words import ENGLISH, HARMLESS, LANGUAGES, POLITE, is_unspaced, normalise
from phonebank.whatsappapi.services.sharing import writers_to
from phonebank.whatsappapi.services.suppressions import SKIP_REASON, one_at_a_time

logger = logging.getLogger(__name__)

MOST_WORDS = 60  # a longer message is a letter, and no keyword speaks for it
_NEGATED = re.compile(r"\b(?:dont|don t|do not|never)$")  # "Please don't unsubscribe me"
_QUESTION = re.compile(r"[^.!?؟？\n]*[?؟？]+")
_CLAUSE = re.compile(r"[.,;:!\n،。，！]+")
_SENTENCE = re.compile(r"([^.!?\n]*)([.!?\n]?)(.*)", re.DOTALL)  # the first, its mark, the rest
_FOUND = stored("number found for a LID")


def is_stop(text: str) -> bool:
    """Whether a person asks not to be written to any more, in any of the languages known."""
    return stop_language(text) is not None


def is_start(text: str) -> bool:
    """Whether the whole message is a word that lifts an opt-out. It makes us send more, so nothing else counts."""
    message = normalise(text)
    return message in _START or _bare(message) in _START


@lru_cache(maxsize=16)  # whoever asks for doubts asks twice
def stop_language(text: str) -> str | None:
    """The language in which a message asks to stop ("en" when it is a word of several); None when it does not."""
    text = text[:2000]
    opening, mark, rest = _SENTENCE.match(text).groups()  # type: ignore[union-attr]
    is_word = normalise(opening) in _FIRST
    if is_word and mark == "?" and normalise(rest):  # "Unsubscribe? No, I like it": the answer counts
        text = rest
    message = normalise(text)
    words = message.split()
    if not words or len(words) > MOST_WORDS:
        return None
    bare = _bare(message)
    whole = _WHOLE.get(message) or _WHOLE.get(bare)
    if whole:
        return whole
    known = [_WHOLE.get(word) for word in bare.split()]
    if known and None not in known:  # "STOP CANCEL END"
        return known[0]
    first = bare.split()[0] if bare else words[0]
    if not (is_word and mark) and text.rstrip().endswith(("?", "؟", "？")):
        first = ""  # "Stop, was that not 5 a piece?" asks; "Stop. Who is this?" does both
    if first in _FIRST and not HARMLESS.match(bare):
        return _FIRST[first]
    found = _phrase_language(message) or ("en" if ENGLISH.search(message) else "")
    message = spelled(message)
    found = found or _phrase_language(message) or refusal_language(message) or ""
    sentence, is_clear = sentence_language(message, _stated(text)) or ("", False)
    found = found or sentence
    return found if found and not is_about_else(message, is_clear=is_clear) else None


def _stated(text: str) -> str:
    """What is said and not asked, its clauses set apart."""
    clauses = (spelled(normalise(clause)) for clause in _CLAUSE.split(_QUESTION.sub(" ", text)))
    return APART.join(filter(None, clauses))


def _phrase_language(message: str) -> str | None:
    """By a phrase that stands anywhere in it."""
    found = _PHRASES.search(f" {message} ")
    if found and not _NEGATED.search(f" {message}"[: found.start()]):
        return _PHRASE_LANGUAGE[found["a"] or found["b"]]
    found = _UNSPACED_PHRASES.search(message) if is_unspaced(message) else None
    return _PHRASE_LANGUAGE[found[0]] if found else None


def opt_out(
    *,
    user: User,
    phone: str = "",
    lid: str = "",
    source: str,
    session: WaSenderSession | None = None,
    actor: User | None = None,
    language: str = "",
    reason: str = "",
) -> Suppression:
    """Suppresses a person for all of `user`'s sessions, by phone (E.164), by LID or by both. Idempotent.

    The suppression commits first, then the queued rows are skipped: a row dealt meanwhile sees one or the other
    (send-path 5). `session` is the one they wrote to: the user's own sends the one confirmation, in `language`. `actor`
    is set when a person of ours did it by hand; `reason` is told from that when it is empty.
    """
    if not phone and not lid:
        raise ServiceError(_("Nobody was named to opt out."), code="nobody")
    with transaction.atomic(durable=True):
        one_at_a_time(user)
        contact = _contact(user, phone, lid)
        phone = phone or (contact.phone if contact else "")
        lid = lid or (contact.lid if contact else "")
        reason = reason or (Suppression.Reason.MANUAL if actor else Suppression.Reason.STOP)
        suppression, is_new = _suppress(user, phone, lid, source, reason, actor, session)
        if contact is not None and contact.consent != Contact.Consent.WITHDRAWN:
            _withdraw(contact, source, actor)
        if is_new:
            record(actor=actor, verb="contact.opted_out", target=contact, owner=user, source=source)
        if suppression.session_id is not None:
            recount([(suppression.session_id, suppression.created_at)])
    with transaction.atomic(durable=True):
        if phone:
            one_at_a_time(user)
            with connection.cursor() as cursor:
                skip_person(cursor, user.pk, phone, SKIP_REASON)
        if phone and session is not None and session.user_id == user.pk:
            _confirm(suppression, user, phone, contact, session, language)
    return suppression


def opt_in(*, user: User, phone: str = "", lid: str = "", source: str, lent: WaSenderSession | None = None) -> bool:
    """Lifts a suppression on the person's own word; True if there was one.

    Consent comes back only where evidence of an earlier consent exists: a message alone grants none. `lent` is the
    session they wrote to where it is not `user`'s: that lifts what they said to it, and nothing if there is more.
    """
    with transaction.atomic():
        one_at_a_time(user)
        contact = _contact(user, phone, lid)
        phone = phone or (contact.phone if contact else "")
        lid = lid or (contact.lid if contact else "")
        active, erased = _active(user, phone, lid), _erased(user, phone, lid)
        if lent is not None:
            said = Q(session=lent, reason__in=[Suppression.Reason.STOP, Suppression.Reason.REVIEW])
            if active.exclude(said).exists() or erased.exists():
                return False
        lifted = active.update(lifted_at=timezone.now()) + erased.update(lifted_at=timezone.now())
        if lifted and contact is not None and contact.consent == Contact.Consent.WITHDRAWN:
            granted = contact.consent_records.filter(status=Contact.Consent.GRANTED).exists()
            contact.consent = Contact.Consent.GRANTED if granted else Contact.Consent.UNKNOWN
            contact.save(update_fields=["consent"])
            ConsentRecord.objects.create(user=user, contact=contact, status=contact.consent, source=source[:200])
        if lifted:
            record(actor=None, verb="contact.opted_in", target=contact, owner=user, source=source)
    return bool(lifted)


def hold_for_review(
    *,
    user: User,
    phone: str = "",
    lid: str = "",
    words: str,
    source: str,
    session: WaSenderSession | None = None,
) -> Suppression | None:
    """Lets nothing more go to a person who may have asked to stop, until somebody has decided. None: they did before.

    Nothing that waits is skipped for it: it is when its turn comes. Their consent stays as it is. `session` is the one
    they wrote to.
    """
    with transaction.atomic():
        one_at_a_time(user)
        contact = _contact(user, phone, lid)
        phone = phone or (contact.phone if contact else "")
        known = list(_active(user, phone, lid))
        for row in known:
            _said_to(row, session)
        if not (phone or lid) or known:
            return None
        held = Suppression.objects.create(
            user=user, phone=phone, lid=lid, reason=Suppression.Reason.REVIEW, note=source[:200], words=words[:500],
            session=session,
        )  # fmt: skip
        record(actor=None, verb="contact.held_for_review", target=contact or held, owner=user, source=source)
        return held


def resolve_lids(limit: int = 20) -> int:
    """Asks the gateway whose number stands behind LIDs that opted out, and suppresses these too. Returns how many."""
    waiting = Suppression.objects.filter(phone="", lifted_at=None).order_by("?")
    resolved = 0
    for suppression in waiting.select_related("user", "session")[:limit]:
        phone = _phone_of(suppression)
        if phone:
            _bind_writers(suppression, phone)
        if phone and suppression.reason == Suppression.Reason.REVIEW:
            with transaction.atomic():
                one_at_a_time(suppression.user)
                if not _active(suppression.user, phone, "").exists():
                    Suppression.objects.filter(pk=suppression.pk, lifted_at=None).update(phone=phone)
                    resolved += 1
        elif phone:
            opt_out(user=suppression.user, phone=phone, lid=suppression.lid, source=_FOUND)
            resolved += 1
    return resolved


def _bind_writers(suppression: Suppression, phone: str) -> None:
    """The same for others who wrote to this person over the session. Doubtful words each of them reads, once: also
    where its owner has decided meanwhile."""
    session, lid = suppression.session, suppression.lid
    for writer in writers_to(session.pk, session.user_id, phone) if session else ():
        if suppression.reason != Suppression.Reason.REVIEW and suppression.added_by_id is None:
            opt_out(user=writer, phone=phone, lid=lid, source=_FOUND, session=session)
        elif not Suppression.objects.filter(user=writer, lid=lid, created_at__gte=suppression.created_at).exists():
            hold_for_review(user=writer, phone=phone, lid=lid, words=suppression.words, source=_FOUND, session=session)


def _contact(user: User, phone: str, lid: str) -> Contact | None:
    """By phone first; a LID speaks only for the contact it is known to belong to."""
    mine = Contact.objects.select_for_update(no_key=True).filter(user=user)
    found = mine.filter(phone=phone).first() if phone else None
    if found is None and lid:
        found = mine.filter(lid=lid).order_by("pk").first()
    return found


def _active(user: User, phone: str, lid: str) -> QuerySet[Suppression]:
    who = (Q(phone=phone) if phone else Q(pk=None)) | (Q(lid=lid) if lid else Q(pk=None))
    return Suppression.objects.filter(who, user=user, lifted_at=None)


def _erased(user: User, phone: str, lid: str) -> QuerySet[Suppression]:
    """Erased people are known by digests alone."""
    digests = [digest_of(user, number) for number in (phone, lid) if number]
    return Suppression.objects.filter(user=user, digest__in=digests, lifted_at=None).exclude(digest="")


def _suppress(
    user: User,
    phone: str,
    lid: str,
    source: str,
    reason: str,
    actor: User | None,
    session: WaSenderSession | None,
) -> tuple[Suppression, bool]:
    known = {one.pk: one for one in _active(user, phone, lid).select_for_update(no_key=True).order_by("pk")}
    by_phone = next((one for one in known.values() if phone and one.phone == phone), None)
    by_lid = next((one for one in known.values() if lid and one.lid == lid), None)
    row = by_phone or by_lid
    if row is None or (phone and by_phone is None and row.phone):
        new = Suppression(
            user=user,
            phone=phone,
            lid="" if by_lid else lid,
            reason=reason,
            note=source[:200],
            added_by=actor,
            session=session,
        )
        Suppression.objects.bulk_create([new], ignore_conflicts=True)  # somebody else may be faster
        found = _active(user, phone, lid).order_by("pk")
        return (found.filter(phone=phone).first() if phone else None) or found[0], row is None
    row.phone = row.phone or phone
    row.lid = row.lid or ("" if by_lid else lid)
    was_held = row.reason == Suppression.Reason.REVIEW
    if was_held:
        row.reason, row.note, row.added_by = reason, source[:200], actor
    if was_held and (session is None or session.user_id == user.pk):
        row.session = session or row.session
    else:
        _said_to(row, session)
    row.save(update_fields=["phone", "lid", "reason", "note", "added_by", "session"])
    return row, was_held


def _said_to(row: Suppression, session: WaSenderSession | None) -> None:
    """What was first said to a lent session is now said elsewhere, too: START to the lent one lifts it no more."""
    if row.session is not None and row.session.user_id != row.user_id:
        row.session = session
        row.save(update_fields=["session"])


def _withdraw(contact: Contact, source: str, actor: User | None) -> None:
    contact.consent = Contact.Consent.WITHDRAWN
    contact.save(update_fields=["consent"])
    ConsentRecord.objects.create(
        user_id=contact.user_id, contact=contact, status=contact.consent, source=source[:200], recorded_by=actor
    )


def _confirm(
    suppression: Suppression, user: User, phone: str, contact: Contact | None, session: WaSenderSession, language: str
) -> None:
    """The one confirmation: whoever flips the flag queues it."""
    if not Suppression.objects.filter(pk=suppression.pk, is_confirmed=False).update(is_confirmed=True):
        return
    words = LANGUAGES.get(language) or LANGUAGES.get(user.locale.split("-")[0]) or LANGUAGES["en"]
    Message.objects.create(
        user=user,
        contact=contact,
        session=session,
        phone=phone,
        kind=Kind.CONFIRMATION,
        state=State.QUEUED,
        body=words.reply,
        retry_at=timezone.now(),
    )


def _phone_of(suppression: Suppression) -> str | None:
    contact = Contact.objects.filter(user=suppression.user, lid=suppression.lid).first()
    if contact is not None:
        return contact.phone
    session = WaSenderSession.objects.visible_to(suppression.user).connected().select_related("account").first()
    if session is None or not session.api_key:
        return None
    try:
        return client_call(session.account, lambda gateway: gateway.pn_from_lid(session.api_key, suppression.lid))
    except GatewayError as error:
        logger.info("a LID could not be resolved (%s)", error.code)
        return None


def _listed(text: str) -> list[str]:
    """Single words up to the first slash, phrases after it."""
    words, *phrases = text.split("/")
    return [one for one in map(normalise, [*words.split(), *phrases]) if one]


@cache
def _polite() -> frozenset[str]:
    return frozenset(normalise(POLITE).split())


def _bare(message: str) -> str:
    """The message without the courtesies at its ends; as it stands if nothing else is in it."""
    words = message.split()
    first, last = 0, len(words)
    while first < last and words[first] in _polite():
        first += 1
    while last > first and words[last - 1] in _polite():
        last -= 1
    return " ".join(words[first:last])


def _tables() -> tuple[dict[str, str], dict[str, str], dict[str, str], frozenset[str]]:
    """Whole messages, first words and phrases with their language (the first that has them), and words of start."""
    whole: dict[str, str] = {}
    first: dict[str, str] = {}
    phrases: dict[str, str] = {}
    start: set[str] = set()
    for code, language in LANGUAGES.items():
        for word in _listed(language.strong):
            whole.setdefault(word, code)
            first.setdefault(word, code)
        for word in _listed(language.weak):
            whole.setdefault(word, code)
        for phrase in filter(None, map(normalise, language.phrases.split("/"))):
            phrases.setdefault(phrase, code)
        start.update(_listed(language.start))
    return whole, first, phrases, frozenset(start - whole.keys())


_WHOLE, _FIRST, _PHRASE_LANGUAGE, _START = _tables()


def _any_of(phrases: list[str]) -> str:
    return "|".join(re.escape(one) for one in sorted(phrases, key=len, reverse=True))


# Phrases of several words also match where the last one goes on: endings carry "me" or "please" in many languages.
_PHRASES = re.compile(
    f" (?:(?P<a>{_any_of([one for one in _PHRASE_LANGUAGE if ' ' in one])})"
    f"|(?P<b>{_any_of([one for one in _PHRASE_LANGUAGE if ' ' not in one])}) )"
)
_UNSPACED_PHRASES = re.compile(_any_of([one for one in _PHRASE_LANGUAGE if is_unspaced(one)]))
