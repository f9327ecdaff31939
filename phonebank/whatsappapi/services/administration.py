"""What an administrator does to people's accounts. Nobody ever acts as somebody else."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phonebank.accounts import mfa
from phonebank.accounts import services as accounts
from phonebank.accounts.administrators import LastAdministrator, check_another
from phonebank.accounts.models import OneTimeLink, User
from phonebank.audit.models import record
from phonebank.language import stored
from phonebank.whatsappapi.models import Campaign, Installation
from phonebank.whatsappapi.services.capabilities import check_administrator
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.notices import tell, tell_administrators

State = Campaign.State
NEW_ONE = stored("There is a new administrator. The audit log says who did it.")
ONE_LESS = stored("An administrator's rights were taken away. The audit log says who did it.")
LINK_MADE = stored("An administrator made a login link for you. If you did not ask for it, ask them why.")
FACTOR_REMOVED = stored(
    "An administrator removed your second factor: your password alone logs you in. Set it up anew in your settings."
)
ADDRESS_CHANGED = stored("An administrator changed the address you log in with.")
SWITCHED_OFF = stored("The account was switched off by an administrator. Resume it when you are back.")
LAST = gettext_lazy(
    "This is the last administrator: without them nobody could run the installation. Nothing was changed."
)
LOOKS = {
    "": gettext_lazy("Everybody"),
    "off": gettext_lazy("Switched off"),
    "administrators": gettext_lazy("Administrators"),
    "ending": gettext_lazy("Plan ends"),
}


def find_people(*, q: str = "", look: str = "", plan: str = "") -> QuerySet[User]:
    """People by a part of their name or address, and a key of LOOKS, in the order of their addresses."""
    rows = User.objects.select_related("subscription__plan").order_by("email")
    if q:
        rows = rows.filter(Q(email__icontains=q) | Q(name__icontains=q))
    if look == "off":
        rows = rows.filter(is_active=False)
    elif look == "administrators":
        rows = rows.filter(is_superuser=True)
    elif look == "ending":
        rows = rows.filter(subscription__expires_at__isnull=False)
    return rows.filter(subscription__plan__slug=plan) if plan else rows


def switch_off(*, actor: User, user: User) -> User:
    """Ends somebody's logins and tokens at once, and pauses their campaigns; nothing of theirs leaves after a second.

    The claim asks whether the owner is active, as it asks for the kill switch. What is queued is kept.
    """
    check_administrator(actor)
    with transaction.atomic():
        row = _locked(user)
        if not row.is_active:
            return row
        _keep_one(row)
        row.is_active = False
        row.save(update_fields=["is_active"])
        paused = pause_all(row, SWITCHED_OFF)
        accounts.end_logins(row)
        record(actor=actor, verb="user.switched_off", target=row, owner=row, campaigns=paused)
    return row


def switch_on(*, actor: User, user: User) -> User:
    """Lets somebody in again. Their campaigns stay paused until they resume them; tokens have to be made anew."""
    check_administrator(actor)
    with transaction.atomic():
        row = _locked(user)
        if row.is_active:
            return row
        if not row.email or row.email.endswith(".invalid"):
            raise ServiceError(_("This account is being deleted. It cannot come back."), code="deleted")
        row.is_active = True
        row.save(update_fields=["is_active"])
        record(actor=actor, verb="user.switched_on", target=row, owner=row)
    return row


def set_administrator(*, actor: User, user: User, is_one: bool) -> User:
    """Gives somebody an administrator's rights, or takes them. All administrators are told."""
    check_administrator(actor)
    with transaction.atomic():
        row = _locked(user)
        if row.is_superuser == is_one:
            return row
        if is_one and not row.is_active:
            raise ServiceError(_("This account is switched off. Switch it on first."), code="off")
        if not is_one:
            _keep_one(row)
        row.is_superuser = row.is_staff = is_one
        row.save(update_fields=["is_superuser", "is_staff"])
        verb = "user.made_administrator" if is_one else "user.made_ordinary"
        record(actor=actor, verb=verb, target=row, owner=row)
        words = NEW_ONE if is_one else ONE_LESS
        tell_administrators(f"administrators:{row.public_id}:{is_one}", words)
    return row


def change_address(*, actor: User, user: User, email: str) -> None:
    """Another e-mail address for somebody, who is told on their alerts page."""
    check_administrator(actor)
    try:
        with transaction.atomic():
            accounts.change_address(actor=actor, user=user, email=email)
            tell([user], f"address:{user.pk}", ADDRESS_CHANGED)
    except accounts.AddressTaken:
        raise ServiceError(_("Somebody else has this address. Nothing was changed."), code="email") from None


def make_login_link(*, actor: User, user: User) -> str:
    """A link for somebody who cannot log in, where no mail could bring them one. They are told that it was made.

    With mail there is none: whoever holds such a link can act as that person, and the mail goes to them alone.
    """
    check_administrator(actor)
    if settings.EMAIL_URL:
        raise ServiceError(_("Mail is set up here: send them a link by mail instead."), code="has_mail")
    if user.pk != actor.pk:
        words = LINK_MADE
        tell([user], f"loginlink:{user.pk}", words)
    return accounts.make_link(purpose=OneTimeLink.Purpose.LOGIN, user=user, hours=24, actor=actor)


def remove_factor(*, actor: User | None, user: User) -> bool:
    """For somebody whose phone is lost and whose codes are used up; they are told. False where there was no factor.

    None is the terminal. There alone an administrator may do it to themselves: their page asks them for a code.
    """
    if actor is not None:
        check_administrator(actor)
        if user.pk == actor.pk:
            raise ServiceError(_("Your own is in your settings, where it asks for a code."), code="own")
    with transaction.atomic():
        removed = mfa.remove_factor(actor=actor, user=_locked(user))
        if removed:
            tell([user], f"factor:{user.pk}", FACTOR_REMOVED)
    return removed


def set_approval(*, actor: User, above: int | None) -> None:
    """From how many people on a first campaign waits for an administrator; None: none does.

    What waits by then still does.
    """
    check_administrator(actor)
    if above is not None and not 1 <= above <= 1_000_000:
        raise ServiceError(_("From 1 to 1,000,000 people, or none at all. Nothing was changed."), code="above")
    with transaction.atomic():
        row = Installation.lock()
        before, row.approval_above = row.approval_above, above
        if before != above:
            row.save(update_fields=["approval_above"])
            record(actor=actor, verb="installation.approval_changed", target=row, changes={"above": (before, above)})


def pause_all(user: User, reason: str) -> int:
    """Whatever of theirs runs or would start by itself is paused. Inside a transaction. Returns how many."""
    going = Campaign.objects.filter(user=user, state__in=[State.DEALING, State.SCHEDULED, State.RUNNING])
    return going.update(state=State.PAUSED, pause_reason=reason)


def _locked(user: User) -> User:
    found = User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
    if found is None:
        raise ServiceError(_("This account is not there any more."), code="not_found")
    return found


def _keep_one(user: User) -> None:
    try:
        check_another(user)
    except LastAdministrator:
        raise ServiceError(LAST, code="last_administrator") from None
