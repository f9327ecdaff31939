"""A person's account, taken away with all it holds. What stays is a pseudonym in the audit log, and no more.

It begins in one transaction: from its commit on nobody can log in, nothing of theirs is sent, and their name and
address are gone. The rest is a job that may be killed anywhere and run again: each step looks at what is still there.
Suppressions go too: they told this owner alone whom not to write to (docs/adr/0009).
"""

from __future__ import annotations

import logging

from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank import jobs
from phonebank.accounts import services as accounts
from phonebank.accounts.administrators import LastAdministrator, check_another, is_administrator
from phonebank.accounts.models import OneTimeLink, User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.deal import hand_over
from phonebank.whatsappapi.models import (
    AccountDeletion,
    Attempt,
    Campaign,
    GatewayAccount,
    Message,
    SessionShare,
    WaSenderSession,
)
from phonebank.whatsappapi.models.contacts import unlock_ledger
from phonebank.whatsappapi.services import account_deletion_sql as sql
from phonebank.whatsappapi.services import sessions
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.notices import tell_administrators

log = logging.getLogger(__name__)

JOB = "delete_account"
LOCK = "accounts:delete"  # one after another
AGAIN = 20.0  # seconds until what is under way is looked at again
TRIES = 6  # looks at a gateway that does not answer, until its sessions are given up there
MANY = 1000  # contacts from which on an index is worth its making
State = Campaign.State
OPEN = [State.DRAFT, State.DEALING, State.SCHEDULED, State.RUNNING, State.PAUSED]
LAST = gettext_lazy("You are the last administrator: nobody could run this installation. Make somebody else one first.")
ONE_LEFT = stored("An account is deleted, but a session could not be removed at the gateway: remove it there.")
SOME_LEFT = stored("An account is deleted, but %(n)s sessions could not be removed at the gateway: remove them there.")


def begin(*, actor: User, user: User) -> AccountDeletion:
    """Takes the account out of service, for good. By its owner, or by an administrator once it is switched off."""
    if actor.pk != user.pk and not (is_administrator(actor) and not User.objects.get(pk=user.pk).is_active):
        raise ServiceError(_("Switch the account off first. Nothing was deleted."), code="not_allowed")
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        made = AccountDeletion.objects.filter(user=row.pk).first()
        if made is not None:
            return made
        try:
            check_another(row)
        except LastAdministrator:
            raise ServiceError(LAST, code="last_administrator") from None
        made = AccountDeletion.objects.create(user=row.pk, ref=row.public_id)
        record(actor=actor, verb="user.closed", target=row, owner=row)
        accounts.end_logins(row)
        cancelled = Campaign.objects.filter(user=row, state__in=OPEN)
        cancelled.update(state=State.CANCELLED, finished_at=timezone.now(), pause_reason="")
        _forget(row)
        jobs.defer(JOB, lock=LOCK, account=row.pk)
    return made


def go_on(account: int) -> bool:
    """As much of an account as can go now. True: all of it is gone (or was)."""
    made = AccountDeletion.objects.filter(user=account, finished_at=None).first()
    user = User.objects.filter(pk=account, is_active=False).first()
    if made is None:
        return True
    if user is not None:
        if not _leave_gateway(user, made) or _is_under_way(user):
            return False
        _erase(user)
    with transaction.atomic():
        made.finished_at = timezone.now()
        made.save(update_fields=["finished_at"])
        if made.sessions_left:
            words = ONE_LEFT if made.sessions_left == 1 else SOME_LEFT % {"n": made.sessions_left}
            tell_administrators(f"deleted:{made.ref}", words)
    return True


def finish_what_was_begun() -> int:
    """Defers anew what a dead worker left. Returns how many."""
    begun = 0
    for account in AccountDeletion.objects.filter(finished_at=None).values_list("user", flat=True):
        if not jobs.is_there(LOCK):
            begun += jobs.defer(JOB, lock=LOCK, once=f"{LOCK}:{account}", account=account)
    return begun


# --- at once ----------------------------------------------------------------------------------------------------------


def _forget(user: User) -> None:
    """Who it was. The address is free again."""
    old = user.email
    user.email, user.name, user.time_zone, user.locale = f"{user.public_id}@deleted.invalid", "", "UTC", "en"
    user.is_active = user.is_superuser = user.is_staff = False
    user.set_unusable_password()
    user.last_login = None
    user.save()
    user.emailaddress_set.all().delete()
    user.authenticator_set.all().delete()  # secrets do not wait for a gateway that does not answer
    OneTimeLink.objects.filter(Q(user=user) | Q(email__iexact=old)).delete()
    SessionShare.objects.filter(Q(user=user) | Q(email__iexact=old)).delete()
    LogEntry.objects.filter(Q(user=user) | Q(object_id=str(user.pk), content_type__model="user")).delete()


# --- step by step -----------------------------------------------------------------------------------------------------


def _leave_gateway(user: User, made: AccountDeletion) -> bool:
    """Removes the sessions there, then here. False: some gateway does not answer; it is asked again later.

    After TRIES they are removed here alone, and the administrators are told that the gateway still has them.
    """
    mine = WaSenderSession.objects.alive().filter(user=user).select_related("account", "user")
    failed = 0
    for row in mine.order_by("pk"):
        failed += not _remove(user, row, at_gateway=True)
    if failed and made.tries + 1 < TRIES:
        made.tries += 1
        made.save(update_fields=["tries"])
        return False
    for row in mine.order_by("pk"):
        # Counted first: a crash between the two tells of one too many rather than of none.
        made.sessions_left += row.wasender_id is not None
        made.save(update_fields=["sessions_left"])
        if not _remove(user, row, at_gateway=False):
            _drop(row)
    GatewayAccount.objects.filter(user=user).update(token="", removed_at=timezone.now())
    return True


def _remove(user: User, row: WaSenderSession, *, at_gateway: bool) -> bool:
    try:
        sessions.delete(actor=user, wa_session=row, at_gateway=at_gateway)
    except ServiceError as error:
        if error.code == "not_found":
            _drop(row)
            return True
        log.info("session %s of a deleted account could not be removed (%s)", row.public_id, error.code)
        return False
    return True


def _drop(row: WaSenderSession) -> None:
    """Here only: it sends no more, and its secrets are gone."""
    WaSenderSession.objects.filter(pk=row.pk, deleted_at=None).update(
        deleted_at=timezone.now(), is_active=False, is_default=False, api_key="", webhook_secret="", adopted_webhook=""
    )


def _is_under_way(user: User) -> bool:
    """A request whose end nobody knows yet: its rows are the only record of it. The reaper ends them soon."""
    about = Q(session__user=user) | Q(message__user=user)
    return Attempt.objects.filter(about, finished_at=None).exists()


def _erase(user: User) -> None:
    """All rows, the largest tables in chunks. What others sent over this person's numbers stays theirs."""
    _hand_back(user)
    for statement in sql.CHUNKS:
        while _run(statement, user):
            pass
    is_many = user.contacts.count() > MANY
    if is_many:
        _with(sql.DROP_INDEX, sql.MAKE_INDEX)
    try:
        for statement in sql.PEOPLE:
            while _run(statement, user):
                pass
    finally:
        if is_many:
            _with(sql.DROP_INDEX)
    with transaction.atomic():
        unlock_ledger()
        Campaign.objects.filter(user=user).delete()
        WaSenderSession.objects.filter(user=user).delete()
        GatewayAccount.objects.filter(user=user).delete()
        user.delete()


def _hand_back(user: User) -> None:
    """Messages of other people's campaigns that this person's numbers carried: they stay, and name no session.

    Whoever waits goes to the campaign's other sessions; where there is none, they fail.
    """
    mine = list(WaSenderSession.objects.filter(user=user).values_list("pk", flat=True))
    theirs = Campaign.objects.filter(lanes__session__in=mine).exclude(user=user).values_list("pk", flat=True).distinct()
    about = {"sessions": mine, "campaigns": list(theirs), "user": user.pk}
    for campaign in theirs:
        while hand_over(campaign, mine):
            pass
    while about["campaigns"]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.HAND_BACK, about)
            deltas, rows = Deltas(), cursor.fetchall()
            for campaign, session, old, new, n in rows:
                deltas[campaign, session, old] -= n
                deltas[campaign, None, new] += n
            deltas.write(cursor)
        if not rows:
            break
    singles = Message.objects.filter(session__in=mine, campaign=None).exclude(user=user)
    singles.filter(state="queued").update(state="failed", reason=sql.TAKEN_AWAY, retry_at=None)
    singles.filter(state="unknown").update(state="uncertain", reason=sql.TAKEN_AWAY)
    singles.update(session=None)


def _run(statement: str, user: User) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        unlock_ledger()
        cursor.execute(statement, {"user": user.pk, "chunk": sql.CHUNK})
        return cursor.rowcount


def _with(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
