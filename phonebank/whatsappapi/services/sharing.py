"""Lending a session to another person: invite, accept, decline, change, leave, revoke; and what each did with it."""

from __future__ import annotations

import logging
import secrets
import smtplib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignCount,
    Message,
    SessionShare,
    WaSenderSession,
)
from phonebank.whatsappapi.models.fields import digest
from phonebank.whatsappapi.models.shares import SessionShareQuerySet
from phonebank.whatsappapi.services.capabilities import check
from phonebank.whatsappapi.services.errors import ServiceError, check_reach
from phonebank.whatsappapi.services.session_history import note_action

log = logging.getLogger(__name__)

Role, End = SessionShare.Role, SessionShare.End

LINK_LASTS = timedelta(days=14)
MOST = 50  # unended shares of one session
FORGET = timedelta(days=90)  # addresses of invitations that came to nothing
AN_HOUR = 30  # invitations that one person may make in an hour: each may be a mail to somebody
SMTP_TIMEOUT = 15.0  # seconds
LEFT = ("accepted", "sent", "delivered", "read", "failed", "unknown", "uncertain")  # words of what went out
SHARED = stored("Is shared with somebody as %(role)s.")
ENDED = stored("Is no longer shared with somebody as %(role)s.")
WENT = stored("Is no longer shared with somebody as %(role)s: they left.")
_GONE = gettext_lazy("This invitation does not exist any more: it was used, taken back, or its time is over.")


def invite(
    *, actor: User, wa_session: WaSenderSession, email: str, role: str, until: datetime | None = None
) -> tuple[SessionShare, str]:
    """Invites whoever has this address. Returns the share and a one-time token, which is shown this once.

    Nothing that is returned or recorded tells whether anybody here has the address. An open invitation to it, and one
    whose time is over, are replaced.
    """
    address = _address(email)
    _check_terms(role, until)
    if address == actor.email.lower():
        raise ServiceError(_("This is your own address. Nothing was shared."), code="email")
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        row = _own(actor, wa_session)
        _check_room(actor, row)
        for old in row.shares.unended().select_for_update(no_key=True).filter(email=address):
            if old.is_live:
                raise ServiceError(
                    _("This person has this session already. Change or end that share."), code="duplicate"
                )
            _end(old, End.REPLACED, actor)
        share = SessionShare.objects.create(
            session=row, email=address, role=role, until=until, invited_by=actor, digest=digest(token),
            link_until=timezone.now() + LINK_LASTS,
        )  # fmt: skip
        record(actor=actor, verb="share.invited", target=row, role=role, until=_iso(until), share=str(share.public_id))
        if settings.EMAIL_URL:
            jobs.defer("tell_invited", lock=f"share:{share.pk}", share=share.pk)
    share.refresh_from_db()
    return share, token


def tell_invited(share: int) -> bool:
    """Mails an invitation, once. False: there is nothing to tell, or no mail server took it."""
    row = SessionShare.objects.waiting().filter(pk=share, told_at=None).select_related("session", "invited_by").first()
    if row is None or not settings.EMAIL_URL:
        return False
    if not SessionShare.objects.filter(pk=row.pk, told_at=None).update(told_at=timezone.now()):
        return False
    message = _letter(row)
    try:
        message.send()
    except (smtplib.SMTPException, OSError):
        log.warning("the mail about share %s could not be sent", row.public_id)
        return False
    return True


def _letter(row: SessionShare) -> EmailMessage:
    """In the language of whoever it goes to, where they have an account; else in that of who invites them."""
    known = User.objects.filter(email__iexact=row.email).first() or row.invited_by
    with translation.override(known.language if known else settings.LANGUAGE_CODE):
        return _compose(row)


def _compose(row: SessionShare) -> EmailMessage:
    who = (row.invited_by.name or row.invited_by.email) if row.invited_by else _("Somebody")
    base = (settings.PUBLIC_URL or settings.LOCAL_URL).rstrip("/")
    text = _(
        "%(who)s invites you to use the WhatsApp session “%(session)s” in Phonebank, as %(role)s.\n\n"
        "Log in with this address and look at your invitations:\n%(base)s/whatsappapi/invitations/\n\n"
        "If you have no account there yet, ask for one: the invitation waits for you. If you do "
        "not know what this is about, do nothing."
    ) % {"who": who, "session": row.session.session_name, "role": row.role, "base": base}
    subject = _("%(who)s shares a WhatsApp session with you") % {"who": who}
    return EmailMessage(
        subject, text, None, [row.email],
        connection=get_connection(timeout=SMTP_TIMEOUT), headers={"Auto-Submitted": "auto-generated"},
    )  # fmt: skip


def invitations_of(user: User) -> SessionShareQuerySet:
    """Invitations that wait for somebody with one of the user's verified addresses."""
    mine = EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)
    rows = SessionShare.objects.waiting().filter(email__in=[one.lower() for one in mine], session__user__is_active=True)
    return rows.exclude(session__user=user).select_related("session__user", "invited_by")


def find_invitation(user: User, token: str) -> SessionShare | None:
    """What a one-time token invites to, while it can be used. Looking does not use it up."""
    rows = SessionShare.objects.waiting().filter(digest=digest(token), link_until__gt=timezone.now())
    rows = rows.filter(session__user__is_active=True).exclude(session__user=user)
    return rows.select_related("session__user", "invited_by").first()


def accept(*, actor: User, share: SessionShare, token: str = "") -> SessionShare:
    """Takes an invitation: one to a verified address of the actor, or the one behind `token`. Exactly once."""
    with transaction.atomic():
        # One after another: of two invitations to one session that one person accepts, the second replaces the first.
        WaSenderSession.objects.select_for_update(no_key=True).get(pk=share.session_id)
        row = _invitation(actor, share, token)
        mine = row.session.shares.unended().filter(user=actor).exclude(pk=row.pk)
        for old in mine.select_for_update(no_key=True).order_by("pk"):
            _end(old, End.REPLACED, actor)
        row.user, row.accepted_at, row.digest, row.link_until = actor, timezone.now(), "", None
        row.save(update_fields=["user", "accepted_at", "digest", "link_until"])
        record(actor=actor, verb="share.accepted", target=row.session, role=row.role, share=str(row.public_id))
        note_action(row.session, SHARED % {"role": row.role}, actor)
    return row


def decline(*, actor: User, share: SessionShare, token: str = "") -> None:
    """Refuses an invitation."""
    with transaction.atomic():
        row = _invitation(actor, share, token)
        _end(row, End.DECLINED, actor)
        record(actor=actor, verb="share.declined", target=row.session, share=str(row.public_id))


def leave(*, actor: User, wa_session: WaSenderSession) -> None:
    """Gives a shared session back. What waits for it in the actor's campaigns goes to their other sessions."""
    with transaction.atomic():
        mine = SessionShare.objects.live().filter(user=actor, session=wa_session)
        row = mine.select_for_update(no_key=True, of=("self",)).select_related("session").first()
        if row is None:
            raise ServiceError(_("This session does not exist."), code="not_found")
        _end(row, End.LEFT, actor)
        record(actor=actor, verb="share.left", target=row.session, share=str(row.public_id))
        note_action(row.session, WENT % {"role": row.role}, actor)


def change(*, actor: User, share: SessionShare, **terms: Any) -> SessionShare:
    """Another `role`, another end (`until`), or both. It holds for the next claim and the next request.

    What is not named stays as it is by then: two who change one each do not undo each other.
    """
    with transaction.atomic():
        row = _owned(actor, share)
        role, until = terms.get("role", row.role), terms.get("until", row.until)
        _check_terms(role, terms.get("until"))
        changes = {"role": (row.role, role), "until": (_iso(row.until), _iso(until))}
        changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
        if changes:
            row.role, row.until = role, until
            row.save(update_fields=["role", "until"])
            record(actor=actor, verb="share.changed", target=row.session, changes=changes, share=str(row.public_id))
    return row


def revoke(*, actor: User, share: SessionShare) -> SessionShare:
    """Ends a share or takes an invitation back. No first byte of theirs leaves later than 1.0 s after this commits."""
    with transaction.atomic():
        row = _owned(actor, share)
        _end(row, End.REVOKED, actor)
        record(actor=actor, verb="share.revoked", target=row.session, share=str(row.public_id))
        if row.user_id:
            note_action(row.session, ENDED % {"role": row.role}, actor)
    return row


def share_of(actor: User, share_id: object) -> SessionShare | None:
    """A share of one of the actor's own sessions that has not ended."""
    rows = SessionShare.objects.unended().filter(session__user=actor, session__deleted_at=None, public_id=share_id)
    return rows.select_related("session", "user").first()


def prune() -> int:
    """Deletes invitations that came to nothing long ago: an address is all they hold. Returns how many."""
    old = SessionShare.objects.filter(user=None, ended_at__lt=timezone.now() - FORGET)
    return old.delete()[0]


# --- who did what -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Work:
    """What one person did over somebody's session: campaigns with the number of messages that went out, and singles."""

    user: User
    campaigns: list[tuple[str, int]] = field(default_factory=list)
    singles: int = 0

    @property
    def total(self) -> int:
        return self.singles + sum(n for __, n in self.campaigns)


def shares_of(wa_session: WaSenderSession) -> QuerySet[SessionShare]:
    """The session's shares that have not ended, those whose time is over among them."""
    return wa_session.shares.unended().select_related("user")


def work_of(wa_session: WaSenderSession) -> dict[int, Work]:
    """By user: all who sent anything over the session that was not theirs, ex-members among them. Two queries."""
    done: dict[int, Work] = {}
    users = {one.user_id: one.user for one in wa_session.shares.exclude(user=None).select_related("user")}
    if not users:
        return done
    rows = CampaignCount.objects.filter(session=wa_session, campaign__user__in=users, state__in=LEFT, n__gt=0)
    grouped = rows.values_list("campaign__user", "campaign__name", "campaign").annotate(total=Sum("n"))
    for user, name, __, n in grouped.order_by("-campaign"):
        done.setdefault(user, Work(users[user])).campaigns.append((name, n))
    singles = Message.objects.filter(user__in=users, campaign=None, session=wa_session, attempt__isnull=False)
    for user, n in singles.values_list("user").annotate(n=Count("pk")):
        done.setdefault(user, Work(users[user])).singles = n
    return done


def note_start(actor: User, campaign: Campaign) -> None:
    """Tells the owners of shared sessions that a campaign of somebody else's begins over them; in its transaction."""
    lanes = campaign.lanes.filter(is_active=True).exclude(session__user=campaign.user_id)
    for lane in lanes.select_related("session__user"):
        note_use(actor, campaign, lane.session)


def note_use(actor: User, campaign: Campaign, wa_session: WaSenderSession) -> None:
    """The same for one session, where it is not the campaign's owner's own."""
    if wa_session.user_id != campaign.user_id:
        record(actor=actor, verb="share.used", target=wa_session, campaign=campaign.name)


def writers_to(session: int, owner: int, phone: str) -> list[User]:
    """Others than the owner who ever wrote to this person over the session: what they answer binds these too."""
    borrowers = SessionShare.objects.filter(session=session).exclude(user=None).exclude(user=owner).values("user")
    wrote = Attempt.objects.filter(session=session, message__user__in=borrowers, message__phone=phone)
    return list(User.objects.filter(pk__in=wrote.values("message__user")).order_by("pk"))


# --- parts ------------------------------------------------------------------------------------------------------------


def _own(actor: User, wa_session: WaSenderSession) -> WaSenderSession:
    """The row under lock, for its owner."""
    row = WaSenderSession.objects.alive().select_for_update(no_key=True).filter(pk=wa_session.pk).first()
    if row is None:
        raise ServiceError(_("This session does not exist."), code="not_found")
    check(actor, row, "share")
    return row


def _owned(actor: User, share: SessionShare) -> SessionShare:
    rows = SessionShare.objects.unended().select_for_update(no_key=True, of=("self",)).select_related("session__user")
    row = rows.filter(pk=share.pk, session__deleted_at=None).first()
    if row is None:
        raise ServiceError(_("This share has ended already."), code="not_found")
    check(actor, row.session, "share")
    return row


def _invitation(actor: User, share: SessionShare, token: str) -> SessionShare:
    """The invitation under lock, if it is the actor's to answer."""
    found = find_invitation(actor, token) if token else invitations_of(actor).filter(pk=share.pk).first()
    if found is None or found.pk != share.pk:
        raise ServiceError(_GONE, code="not_found")
    rows = SessionShare.objects.waiting().select_for_update(no_key=True, of=("self",)).select_related("session__user")
    row = rows.filter(pk=found.pk).first()
    if row is None:
        raise ServiceError(_GONE, code="not_found")
    return row


def _end(row: SessionShare, end: str, actor: User) -> None:
    row.ended_at, row.ended_by, row.end, row.digest, row.link_until = timezone.now(), actor, end, "", None
    row.save(update_fields=["ended_at", "ended_by", "end", "digest", "link_until"])


def _address(email: str) -> str:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise ServiceError(_("This is no e-mail address. Nothing was shared."), code="email") from None
    return address


def _check_terms(role: str, until: datetime | None) -> None:
    if role not in Role.values:
        raise ServiceError(_("Choose viewer or operator. Nothing was changed."), code="role")
    if until is not None and (until.tzinfo is None or until <= timezone.now()):
        raise ServiceError(_("The end must lie in the future. Nothing was changed."), code="until")
    check_reach(until, code="until")


def _check_room(actor: User, row: WaSenderSession) -> None:
    if row.shares.unended().count() >= MOST:
        words = _("This session is shared %(most)s times, which is the most. End a share first.") % {"most": MOST}
        raise ServiceError(words, code="too_many")
    lately = SessionShare.objects.filter(invited_by=actor, invited_at__gt=timezone.now() - timedelta(hours=1))
    if lately.count() >= AN_HOUR:
        raise ServiceError(
            _("You made %(most)s invitations within an hour. Go on in a while.") % {"most": AN_HOUR}, code="too_many"
        )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
