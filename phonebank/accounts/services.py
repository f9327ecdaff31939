"""One-time links, the first administrator, invitations. A link needs no mail: whoever makes it hands it over."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from phonebank.accounts.logins import session_keys
from phonebank.accounts.mfa import has_factor
from phonebank.accounts.models import ApiToken, OneTimeLink, Plan, User
from phonebank.audit.models import record

Purpose = OneTimeLink.Purpose


class LinkSpent(Exception):
    """This link was used already, has run out or was never made."""


class AddressTaken(Exception):
    """Somebody else has this address."""


class AlreadySetUp(Exception):
    """The installation has an administrator: its setup page is closed for good."""


def make_link(
    *, purpose: str, user: User | None = None, email: str = "", hours: float = 24, actor: User | None = None
) -> str:
    """A fresh 256-bit token; only its digest is stored, so that a copy of the database opens no door.

    `actor` is who made it on the people page; None is the terminal.
    """
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        if purpose == Purpose.INVITE:  # the last one counts
            earlier = OneTimeLink.objects.filter(purpose=purpose, email=email.lower(), used_at=None)
            earlier.update(used_at=timezone.now())
        OneTimeLink.objects.create(
            digest=_digest(token),
            purpose=purpose,
            user=user,
            email=email.lower(),
            expires_at=timezone.now() + timedelta(hours=hours),
        )
        record(actor=actor, verb=f"link.{purpose}.made", target=user, owner=user)
    return token


def find_link(token: str) -> OneTimeLink | None:
    """The link behind `token` while it can still be used. Looking does not use it up: link previews look too."""
    return _open_links(token).select_related("user").first()


def consume(*, token: str, purpose: str) -> OneTimeLink:
    """Uses the link up. Of any number of callers at once exactly one gets it; the others get LinkSpent."""
    # Not find-then-save: the row count of one conditional UPDATE decides who was first.
    if not _open_links(token).filter(purpose=purpose).update(used_at=timezone.now()):
        raise LinkSpent
    return OneTimeLink.objects.select_related("user").get(digest=_digest(token))


def log_in_by_link(*, token: str) -> User:
    """The person whom a login link lets in, or as far as the page that asks for their second factor."""
    with transaction.atomic():
        user = consume(token=token, purpose=Purpose.LOGIN).user
        if user is None or not user.is_active:
            raise LinkSpent
        record(actor=user, verb="link.login.opened" if has_factor(user) else "link.login.used", target=user)
        return user


def has_administrator() -> bool:
    return User.objects.filter(is_superuser=True).exists()


def create_first_administrator(*, token: str, email: str, password: str, time_zone: str, name: str = "") -> User:
    """The person of the setup link, as administrator on Enterprise. Only ever one, whatever links are about."""
    with transaction.atomic():
        # Two different setup links may arrive at once: this row makes them queue.
        Plan.objects.select_for_update(no_key=True).get(slug="enterprise")
        if has_administrator():
            raise AlreadySetUp
        consume(token=token, purpose=Purpose.SETUP)
        user = User.objects.create_superuser(email, password, time_zone=time_zone, name=name)
        _trust_address(user)
        OneTimeLink.objects.filter(purpose=Purpose.SETUP, used_at=None).update(used_at=timezone.now())
        record(actor=user, verb="administrator.created", target=user)
        return user


def accept_invite(*, token: str, password: str, time_zone: str, name: str = "") -> User:
    """A new user with the invited address, on DEFAULT_PLAN. LinkSpent when that address joined meanwhile."""
    with transaction.atomic():
        link = consume(token=token, purpose=Purpose.INVITE)
        if User.objects.filter(email__iexact=link.email).exists():
            raise LinkSpent
        user = User.objects.create_user(link.email, password, time_zone=time_zone, name=name)
        _trust_address(user)
        record(actor=user, verb="invite.accepted", target=user)
        return user


def change_profile(*, actor: User, name: str, time_zone: str, locale: str) -> None:
    """A person's own settings. The record says that the name changed, not to what."""
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        before = {"time_zone": row.time_zone, "locale": row.locale}
        is_renamed = row.name != name
        row.name, row.time_zone, row.locale = name, time_zone, locale
        row.save(update_fields=["name", "time_zone", "locale"])
        changes = {field: (old, getattr(row, field)) for field, old in before.items() if old != getattr(row, field)}
        if changes or is_renamed:
            facts = {"renamed": True} if is_renamed else {}
            record(actor=actor, verb="user.settings_changed", target=row, changes=changes, **facts)


def change_language(*, actor: User, language: str) -> None:
    """By the switch that stands on every page."""
    change_profile(actor=actor, name=actor.name, time_zone=actor.time_zone, locale=language)


def set_password(*, actor: User, password: str) -> None:
    """A person's new password; every session of theirs ends unless the caller renews it."""
    with transaction.atomic():
        actor.set_password(password)
        actor.save(update_fields=["password"])
        record(actor=actor, verb="user.password_set", target=actor)


def end_logins(user: User) -> None:
    """Logs the person out everywhere: browsers, programs, and links that nobody has used yet."""
    ApiToken.objects.filter(user=user).delete()
    OneTimeLink.objects.filter(user=user, used_at=None).update(used_at=timezone.now())
    mine = [key for key, _ in session_keys(user)]
    Session.objects.filter(session_key__in=mine).delete()


def change_address(*, actor: User, user: User, email: str) -> None:
    """Another address for `user`, by an administrator or where no mail can prove it. The old one stops working.

    AddressTaken when somebody else has it. Neither address gets into the record.
    """
    email = email.strip().lower()
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if row.email == email:
            return
        if User.objects.filter(email__iexact=email).exclude(pk=row.pk).exists():
            raise AddressTaken
        row.email = email
        row.save(update_fields=["email"])
        EmailAddress.objects.filter(user=row).delete()
        _trust_address(row)
        record(actor=actor, verb="user.address_changed", target=row, owner=row)


def unproven_address(user: User) -> EmailAddress | None:
    """The address that this person has still to prove, where mail asks for it."""
    return EmailAddress.objects.filter(user=user, verified=False).order_by("-primary", "pk").first()


def signup_is_open() -> bool:
    """Whether a stranger may sign up: never before the first administrator, then as SIGNUP says."""
    return settings.SIGNUP == "open" and has_administrator()


def _trust_address(user: User) -> None:
    """No verification mail for who came by a link that a person handed over."""
    EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"primary": True, "verified": True})


def _open_links(token: str):
    return OneTimeLink.objects.filter(digest=_digest(token), used_at=None, expires_at__gt=timezone.now())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
