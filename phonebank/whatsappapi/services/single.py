"""Single messages: to one person, from a page or the API. What each kind must obey, the claim checks again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import grouped, said, stored
from phonebank.whatsappapi.dispatch.kinds import RULES, Rules
from phonebank.whatsappapi.models import (
    Contact,
    InboundMessage,
    Kind,
    Message,
    SessionGroup,
    State,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services.capabilities import LENT_TO, reach
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.health import health
from phonebank.whatsappapi.services.media import Media, check_text
from phonebank.whatsappapi.services.phones import to_e164
from phonebank.whatsappapi.services.rotation import get_next_available_session

ACTIONS = {Kind.TEST: "test", Kind.REPLY: "reply"}  # what a kind is to whoever borrows a session
TEST_LASTS = timedelta(minutes=15)  # a test that could not leave by then tells nothing any more
TEST_BODY = gettext_lazy("Test message from Phonebank. If you read this, the session works.")
EXPIRED = stored("It could not be sent within 15 minutes")
STRANDED = stored("Its session was deleted before it was sent")


def send_single(
    *,
    actor: User,
    kind: str,
    body: str,
    phone: str = "",
    contact: Contact | None = None,
    wa_session: WaSenderSession | None = None,
    group: SessionGroup | None = None,
    media: Media | None = None,
) -> Message:
    """Queues one message at `wa_session`, or at the session of `group` (or of all) that rotation names.

    `media` comes from `media.read`, which checked it.

    Nothing was queued where it raises: unknown person or session (`not_found`), no consent, opted out, a number that
    is not one's own (test, probe), nobody who wrote first (reply), no session that can send (`not_connected`,
    `limit_reached`, `no_session`). The claim has the last word on all of it, the daily limit included.
    """
    rules, text = RULES[Kind(kind)], check_text(body, media)
    lent = _lent(actor, kind, wa_session)
    who = _contact(actor, contact)
    number = _number(phone, who)
    if who is None:
        who = Contact.objects.filter(user=actor, phone=number).first()
    _check_rules(actor, rules, number, who, lent)
    row = _chosen(wa_session) if wa_session is not None else _rotated(actor, group)
    with transaction.atomic():
        message = Message.objects.create(
            user=actor,
            contact=who,
            session=row,
            phone=number,
            kind=kind,
            state=State.QUEUED,
            body=text,
            media=media.as_json() if media else None,
            retry_at=timezone.now(),
        )
        if kind != Kind.PROBE:  # nobody does these by hand; that they were switched on is on record
            record(actor=actor, verb="message.queued", target=row, kind=str(kind))
    message.refresh_from_db()
    return message


def _lent(actor: User, kind: str, wa_session: WaSenderSession | None) -> WaSenderSession | None:
    """The session where it is somebody else's, after a look at what the actor may do with it."""
    if wa_session is None:
        return None
    row = reach(actor, wa_session, ACTIONS.get(Kind(kind), "send"))
    return row if row.user_id != actor.pk else None


def _check_rules(actor: User, rules: Rules, number: str, who: Contact | None, lent: WaSenderSession | None) -> None:
    """What the claim will check again, said at once. `lent`: the session, where it is somebody else's."""
    stopped = Suppression.objects.filter(user__in=[actor.pk, *([lent.user_id] if lent else [])], lifted_at=None)
    letters = InboundMessage.objects.filter(phone=number)
    letters = letters.filter(user=lent.user_id, session=lent) if lent else letters.filter(user=actor)
    if rules.consent and (who is None or who.consent != Contact.Consent.GRANTED):
        raise ServiceError(_("No consent of this person is on record. Nothing was sent."), code="no_consent")
    if rules.suppression and stopped.filter(phone=number).exists():
        raise ServiceError(_("This person asked not to be written to. Nothing was sent."), code="opted_out")
    if rules.own and number not in dict(own_numbers(actor)):
        raise ServiceError(_("Test messages go to the numbers of your own linked sessions only."), code="not_own")
    if rules.answer and not letters.exists():
        raise ServiceError(_("This person has not written to you, so there is nothing to answer."), code="unasked")


def send_test(*, actor: User, to: str, body: str = "", wa_session: WaSenderSession | None = None) -> Message:
    """A test message to one of the owner's own linked numbers."""
    return send_single(actor=actor, kind=Kind.TEST, body=body or str(TEST_BODY), phone=to, wa_session=wa_session)


def own_numbers(user: User) -> list[tuple[str, str]]:
    """The verified numbers of the user's sessions, and of those they may test, with the session each is linked to:
    somebody scanned a code with that phone."""
    usable = WaSenderSession.objects.usable_by(user, LENT_TO["test"])
    mine = usable.exclude(linked_number="").order_by("session_name")
    return list(dict(mine.values_list("linked_number", "session_name")).items())


def tests_of(wa_session: WaSenderSession, user: User) -> list[Message]:
    """The session's last test messages, newest first: all to its owner, to others their own."""
    rows = Message.objects.filter(campaign=None, session=wa_session, kind=Kind.TEST)
    rows = rows if wa_session.user_id == user.pk else rows.filter(user=user)
    return list(rows.order_by("-created_at", "-pk")[:5])


# --- the outcome in words ---------------------------------------------------------------------------------------------

_RANKS = {
    2: ("green", pgettext_lazy("one message", "Sent"), gettext_lazy("WhatsApp has taken it.")),
    3: ("green", pgettext_lazy("one message", "Delivered"), gettext_lazy("It is on the phone.")),
    4: ("green", pgettext_lazy("one message", "Read"), gettext_lazy("Somebody opened it.")),
    5: ("green", gettext_lazy("Played"), gettext_lazy("Somebody played it.")),
}
_STATES = {
    State.QUEUED: ("blue", gettext_lazy("Waiting"), gettext_lazy("It leaves as soon as the session may send.")),
    State.SENDING: ("blue", gettext_lazy("Being sent"), gettext_lazy("WaSender is asked to send it.")),
    State.UNKNOWN: (
        "yellow",
        gettext_lazy("Being looked up"),
        gettext_lazy("No clear answer came. Phonebank finds out; it is not sent twice."),
    ),
    State.UNCERTAIN: (
        "yellow",
        gettext_lazy("Uncertain"),
        gettext_lazy("Nobody can say whether it arrived. Look at the phone."),
    ),
    State.FAILED: ("red", pgettext_lazy("one message", "Failed"), gettext_lazy("WaSender could not send it.")),
    State.EXPIRED: ("red", gettext_lazy("Not sent"), gettext_lazy("It could not be sent within 15 minutes.")),
    State.CANCELLED: ("red", gettext_lazy("Not sent"), gettext_lazy("It was cancelled.")),
    State.SKIPPED: ("red", gettext_lazy("Not sent"), gettext_lazy("It was left out.")),
}
_WATCHED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Word:
    """What became of a message, for a person. `is_open`: more may be known in a moment."""

    light: str
    word: str
    reason: str
    is_open: bool


def in_words(message: Message, now: datetime | None = None) -> Word:
    """The merged word of state and rank (send-path 1)."""
    young = message.created_at > (now or timezone.now()) - _WATCHED
    if message.state == State.ACCEPTED:
        light, word, reason = _RANKS.get(
            message.rank, ("blue", _("Accepted"), _("WaSender has it; WhatsApp has not confirmed it yet."))
        )
        return Word(light, word, reason, young and message.rank < 3)
    light, word, reason = _STATES[State(message.state)]
    is_open = message.state in (State.QUEUED, State.SENDING, State.UNKNOWN)
    return Word(light, word, f"{said(message.reason)}." if message.reason else reason, is_open and young)


# --- what would wait for ever -----------------------------------------------------------------------------------------


def tidy_singles(limit: int = 200) -> int:
    """Ends tests that waited too long and singles whose session is gone; transactional ones go to another session.

    Returns how many rows it moved.
    """
    now = timezone.now()
    waiting = Message.objects.filter(campaign=None, state=State.QUEUED, retry_at__isnull=False)
    with transaction.atomic():
        late = waiting.filter(kind__in=[Kind.TEST, Kind.PROBE], created_at__lt=now - TEST_LASTS)
        ended = _end(_locked(late, limit), State.EXPIRED, EXPIRED)
        lost = list(_locked(waiting.filter(session__deleted_at__isnull=False), limit))
        for message in [one for one in lost if one.kind == Kind.TRANSACTIONAL]:
            heir = get_next_available_session(message.user)
            if heir is not None:
                Message.objects.filter(pk=message.pk).update(session=heir, retry_at=now)
                lost.remove(message)
                ended += 1
        return ended + _end(lost, State.FAILED, STRANDED)


def _locked(rows: Iterable[Message], limit: int) -> list[Message]:
    return list(rows.select_for_update(no_key=True, skip_locked=True, of=("self",)).order_by("pk")[:limit])


def _end(rows: list[Message], state: str, reason: str) -> int:
    return Message.objects.filter(pk__in=[one.pk for one in rows], state=State.QUEUED).update(
        state=state, reason=reason, retry_at=None
    )


# --- who, and over which session --------------------------------------------------------------------------------------


def _contact(actor: User, contact: Contact | None) -> Contact | None:
    if contact is None:
        return None
    found = Contact.objects.filter(user=actor, pk=contact.pk).first()
    if found is None:
        raise ServiceError(_("This contact does not exist."), code="not_found")
    return found


def _number(phone: str, contact: Contact | None) -> str:
    if contact is not None:
        return contact.phone
    try:
        return to_e164(phone)
    except ValueError as error:
        raise ServiceError(_("%(error)s Nothing was sent.") % {"error": error}, code="phone") from None


def _chosen(wa_session: WaSenderSession) -> WaSenderSession:
    mine = WaSenderSession.objects.alive()
    row = mine.with_limit().filter(pk=wa_session.pk).first()
    if row is None:
        raise ServiceError(_("This session does not exist."), code="not_found")
    if not mine.connected().filter(pk=row.pk).exists() and not _rests(row):
        state = health(row, timezone.now())
        raise ServiceError(
            _("%(session)s cannot send: %(word)s. %(reason)s")
            % {"session": row.session_name, "word": state.word, "reason": state.reason},
            code="not_connected",
        )
    if not mine.below_limit().filter(pk=row.pk).exists():
        text = _("%(session)s has used all of today's %(effective_limit)s messages. Nothing was sent.") % {
            "session": row.session_name,
            "effective_limit": grouped(row.effective_limit),
        }
        raise ServiceError(text, code="limit_reached")
    return row


def _rests(row: WaSenderSession) -> bool:
    """Closed by the gateway's rate limit for a moment: what is queued then leaves by itself."""
    soon = timezone.now() + timedelta(minutes=1)
    others = WaSenderSession.objects.connected(now=soon)
    return others.filter(pk=row.pk).exists()


def _rotated(actor: User, group: SessionGroup | None) -> WaSenderSession:
    passed_over: list[int] = []
    if group is not None:
        found = SessionGroup.objects.visible_to(actor).filter(pk=group.pk).first()
        if found is None:
            raise ServiceError(_("This group does not exist."), code="not_found")
        outside = WaSenderSession.objects.visible_to(actor).exclude(groups=found)
        passed_over = list(outside.values_list("pk", flat=True))
    row = get_next_available_session(actor, passed_over)
    if row is None:
        text = _("No session is connected and below its limit. Nothing was sent.")
        if group is not None:
            text = _("No session of the group %(name)s is connected and below its limit. Nothing was sent.") % {
                "name": group.name
            }
        raise ServiceError(text, code="no_session")
    return row
