"""What people write back, as conversations: a person with one of the sessions. Answers leave from the same session."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Case, Exists, F, Min, OuterRef, Prefetch, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, Least
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways.errors import GatewayError
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    Contact,
    Conversation,
    InboundMessage,
    Kind,
    Message,
    SessionShare,
    State,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import optout
from phonebank.whatsappapi.services.capabilities import LENT_TO
from phonebank.whatsappapi.services.decisions import AGAIN, decide_single
from phonebank.whatsappapi.services.doubts import is_doubtful
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.gateways import client_call, explain
from phonebank.whatsappapi.services.inbound import join_person
from phonebank.whatsappapi.services.media import Media
from phonebank.whatsappapi.services.recipients import text_of
from phonebank.whatsappapi.services.single import Word, in_words, send_single

# What came with a message, in a person's word; it is never fetched.
CARRIED = {
    "photo": gettext_lazy("Photo"),
    "video": gettext_lazy("Video"),
    "audio": gettext_lazy("Voice note"),
    "document": gettext_lazy("Document"),
    "sticker": gettext_lazy("Sticker"),
    "contact": gettext_lazy("Contact card"),
    "location": gettext_lazy("Location"),
    "poll": gettext_lazy("Poll"),
    "reaction": gettext_lazy("Reaction"),
    "image": gettext_lazy("Picture"),
}
SHOWN = 50  # entries of a thread at once


def find_conversations(
    user: User,
    *,
    q: str = "",
    wa_session: WaSenderSession | None = None,
    campaign: Campaign | None = None,
    unread: bool = False,
) -> QuerySet[Conversation]:
    """The conversations that the user may see, the latest first, each with `campaign_ref` (of their own) and
    `campaign_name` of its last message.

    `q`: part of a name, of a number in any spelling, or of the last message. `campaign`: who answered to it.
    """
    rows = _seen_by(user)
    q = q.strip().replace("\x00", "")
    digits = "".join(char for char in q if char.isdecimal() and char.isascii())
    if digits and not any(char.isalpha() for char in q):
        rows = rows.filter(phone__contains=digits.lstrip("0") or digits)
    elif q:
        # The people first: half the time of the join.
        people = Contact.objects.filter(user=user, name__icontains=q).values("pk")
        rows = rows.filter(Q(name__icontains=q) | Q(contact__in=people) | Q(last_text__icontains=q))
    if wa_session is not None:
        rows = rows.filter(session=wa_session)
    if campaign is not None:
        rows = rows.filter(pk__in=InboundMessage.objects.filter(campaign=campaign).values("conversation"))
    if unread:
        rows = rows.filter(unread__gt=0)
    last = InboundMessage.objects.filter(conversation=OuterRef("pk")).order_by("-id")
    own = Q(campaign__user=user)
    last = last.annotate(
        own_ref=Case(When(own, then="campaign__public_id")),
        told_name=Case(When(own | Q(user=user), then="campaign__name")),
    )
    rows = rows.annotate(
        campaign_ref=Subquery(last.values("own_ref")[:1]), campaign_name=Subquery(last.values("told_name")[:1])
    )
    return rows.select_related("session").order_by("-last_at", "-pk")


def _seen_by(user: User) -> QuerySet[Conversation]:
    """With the user's own sessions; and with those lent to them, of people who answered what they wrote over it. Whom
    a session's owner knows the person as, is the owner's."""
    own = Q(user=user)
    shares = SessionShare.objects.live().filter(user=user, role__in=LENT_TO["reply"])
    if lent := list(shares.values_list("session", flat=True)):
        wrote = _written(user, OuterRef("phone"), OuterRef("session")).filter(started_at__lt=OuterRef("last_at"))
        own |= Q(session__in=lent) & ~Q(phone="") & Exists(wrote)
    rows = Conversation.objects.filter(own, session__deleted_at=None)
    return rows.prefetch_related(Prefetch("contact", Contact.objects.filter(user=user)))


def _written(user: User, phone: str | OuterRef, session: int | OuterRef) -> QuerySet[Attempt]:
    """What the user wrote to this person over this session and the gateway took, be it known from a later report. What
    never left opens nobody's conversation."""
    took = Q(outcome=Attempt.Outcome.ACCEPTED) | Q(msg_id__isnull=False) & ~Q(outcome=Attempt.Outcome.REJECTED)
    return Attempt.objects.filter(took, message__user=user, message__phone=phone, session=session)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of a thread. `is_ours`: we wrote it; then `word` tells what became of it.

    `doubtful`: the attempt of which nobody can tell, where a person may decide; `again`: it may be sent once more.
    """

    key: str
    at: datetime
    is_ours: bool
    text: str
    carried: str = ""
    word: Word | None = None
    kind: str = ""
    campaign: Campaign | None = None
    mark: str = ""  # stop, doubt or start: what the words mean for being written to
    doubtful: uuid.UUID | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation's last entries, the oldest first; `earlier`: the moment before which there are more."""

    entries: Sequence[Entry]
    earlier: datetime | None
    is_open: bool  # an answer's fate may be known in a moment


def thread(conversation: Conversation, viewer: User, before: datetime | None = None) -> Thread:
    """What was sent by this session to this person, and what they wrote to it, in time order.

    To its owner all of it, whoever sent it. To whom the session is lent: what they sent, and what was written since.
    """
    entries = _theirs(conversation, viewer, before) + _ours(conversation, viewer, before)
    entries.sort(key=lambda one: (one.at, one.is_ours, one.key))
    shown = entries[-SHOWN:]
    earlier = shown[0].at if len(entries) > SHOWN else None
    return Thread(shown, earlier, any(one.word is not None and one.word.is_open for one in shown))


def _theirs(conversation: Conversation, viewer: User, before: datetime | None) -> list[Entry]:
    rows = InboundMessage.objects.filter(conversation=conversation).select_related("campaign")
    if conversation.user_id != viewer.pk:
        mine = _written(viewer, conversation.phone, conversation.session_id)
        began = mine.aggregate(at=Min("started_at"))["at"]
        rows = rows.filter(received_at__gt=began) if began else rows.none()
    # The phone's time has whole seconds: an answer must not stand above what it answers.
    rows = rows.annotate(at=Least(F("sent_at") + timedelta(seconds=1), F("received_at")))
    if before is not None:
        rows = rows.filter(at__lt=before)
    return [
        Entry(
            key=f"i{one.pk}",
            at=one.at,
            is_ours=False,
            text=one.text,
            carried=CARRIED.get(one.media, ""),
            campaign=_own_campaign(one.campaign, viewer),
            mark=_mark(one.text),
        )
        for one in rows.order_by("-at", "-pk")[: SHOWN + 1]
    ]


def _mark(text: str) -> str:
    if optout.is_stop(text):
        return "stop"
    if optout.is_start(text):
        return "start"
    return "doubt" if is_doubtful(text) else ""


def _own_campaign(campaign: Campaign | None, viewer: User) -> Campaign | None:
    return campaign if campaign is not None and campaign.user_id == viewer.pk else None


def _ours(conversation: Conversation, viewer: User, before: datetime | None) -> list[Entry]:
    """By the session of the attempt, not the one that a row is dealt to: that may change afterwards."""
    if not conversation.phone:
        return []
    attempt = Attempt.objects.filter(pk=OuterRef("attempt"))
    writers = [viewer.pk]
    if conversation.user_id == viewer.pk:
        lent_to = SessionShare.objects.filter(session=conversation.session_id).exclude(user=None)
        writers += lent_to.values_list("user", flat=True)
    rows = Message.objects.filter(user__in=writers, phone=conversation.phone).annotate(
        begun=Subquery(attempt.values("started_at")), by=Subquery(attempt.values("session_id"))
    )
    rows = rows.annotate(at=Coalesce("begun", "created_at"))
    # A campaign's row belongs here once it was tried; a single one at once.
    rows = rows.filter(Q(by=conversation.session_id) | Q(by=None, campaign=None, session=conversation.session_id))
    if before is not None:
        rows = rows.filter(at__lt=before)
    return [_entry(one, viewer) for one in rows.select_related("campaign").order_by("-at", "-pk")[: SHOWN + 1]]


def _entry(one: Message, viewer: User) -> Entry:
    campaign = one.campaign
    carried = campaign.media_kind if campaign is not None else (one.media or {}).get("kind", "")
    return Entry(
        key=f"m{one.pk}",
        at=one.at,  # type: ignore[attr-defined]
        is_ours=True,
        text=text_of(one),
        carried=CARRIED.get(carried, ""),
        word=in_words(one),
        kind=one.kind,
        campaign=_own_campaign(campaign, viewer),
        doubtful=one.attempt if one.state == State.UNCERTAIN and one.user_id == viewer.pk else None,
        again=one.kind in AGAIN,
    )


def suppression_of(conversation: Conversation, viewer: User) -> Suppression | None:
    """What keeps this person from being written to by the viewer, by number or by LID; one under review comes last,
    and the viewer's own before that of the session's owner, whose words are not theirs to read."""
    who = Q(pk=None)
    if conversation.phone:
        who |= Q(phone=conversation.phone)
    if conversation.lid:
        who |= Q(lid=conversation.lid)
    found = list(Suppression.objects.filter(who, user__in={conversation.user_id, viewer.pk}, lifted_at=None))
    return min(found, key=lambda one: (one.reason == Suppression.Reason.REVIEW, one.user_id != viewer.pk), default=None)


def answer(*, actor: User, conversation: Conversation, body: str, media: Media | None = None) -> Message:
    """Queues an answer at the session they wrote to, and counts what they wrote as read.

    ServiceError: nothing was queued. A LID without a number cannot be written to (`no_number`, contract 3).
    """
    found = _owned(actor, conversation)
    if not found.phone:
        text = _("WhatsApp hides this person's number, so they cannot be answered from here. Answer on the phone.")
        raise ServiceError(text, code="no_number")
    if suppression_of(found, actor) is not None:
        raise ServiceError(_("This person asked not to be written to. Nothing was sent."), code="opted_out")
    with transaction.atomic():
        message = send_single(
            actor=actor, kind=Kind.REPLY, body=body, phone=found.phone, wa_session=found.session, media=media
        )
        mark_read(actor=actor, conversation=found)
    return message


def decide(*, actor: User, conversation: Conversation, attempt: uuid.UUID, again: bool) -> Message:
    """A person's decision about one of ours here of which nobody can tell (`decisions.decide_single`)."""
    found = _owned(actor, conversation)
    return decide_single(actor=actor, session=found.session, attempt=attempt, again=again)


def mark_read(*, actor: User, conversation: Conversation) -> None:
    """Its owner has looked at it; whom the session is lent to changes nothing by that."""
    Conversation.objects.visible_to(actor).filter(pk=conversation.pk, unread__gt=0).update(unread=0)


def find_number(*, actor: User, conversation: Conversation) -> Conversation:
    """Asks the gateway whose number is behind a LID. The conversation goes on under the number, by a new id."""
    found = _owned(actor, conversation)
    if found.phone:
        return found
    key, lid = found.session.api_key, found.lid
    try:
        phone = client_call(found.session.account, lambda gateway: gateway.pn_from_lid(key, lid))
    except GatewayError as error:
        raise explain(error, _("The number is still unknown.")) from None
    if not phone:
        raise ServiceError(
            _("WhatsApp still hides this person's number. They can be answered on the phone."), code="lid"
        )
    with transaction.atomic(), connection.cursor() as cursor:
        # Webhooks lock in the same order: the conversation by its LID is the first.
        if not Conversation.objects.select_for_update(no_key=True).filter(pk=found.pk, phone="").exists():
            raise ServiceError(_("Somebody was faster. Open the conversation again."), code="changed")
        join_person(cursor, found.pk, phone)
        heir = Conversation.objects.get(session=found.session_id, person=phone)
        record(actor=actor, verb="conversation.number_found", target=found.session)
    return heir


def conversation_of(user: User, public_id: uuid.UUID) -> Conversation | None:
    """The conversation with this id, if the user may see it."""
    return _seen_by(user).filter(public_id=public_id).select_related("session__account").first()


def _owned(actor: User, conversation: Conversation) -> Conversation:
    found = conversation_of(actor, conversation.public_id)
    if found is None:
        raise ServiceError(_("This conversation does not exist."), code="not_found")
    return found
