"""The ways to tell somebody: their bell always, and mail, chats and webhooks that they set up."""

from __future__ import annotations

import re
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.gateways import outbound
from phonebank.whatsappapi.models import (
    AlertKind,
    AlertRule,
    AlertSettings,
    Channel,
    Delivery,
    SessionGroup,
    WaSenderSession,
)
from phonebank.whatsappapi.models.alerts import new_hook_secret
from phonebank.whatsappapi.services import chat
from phonebank.whatsappapi.services.errors import ServiceError

Kind = Channel.Kind

MOST = 20  # channels, and rules, of one person
TESTS = 10  # test messages of one person within an hour
# What the first rule tells. The others ring the bell only, unless a rule says more.
FIRST_KINDS = [
    AlertKind.LOST, AlertKind.SCAN, AlertKind.SLOWED, AlertKind.FAILURES, AlertKind.BRAKE, AlertKind.UNCERTAIN,
    AlertKind.HOOK, AlertKind.OTHER,
]  # fmt: skip


def settings_of(user: User) -> AlertSettings:
    """A person's settings. The first time, mail to their own address and one rule about everything are made too."""
    row = AlertSettings.objects.filter(user=user).first()
    if row is not None:
        return row
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        row, made = AlertSettings.objects.get_or_create(user=user)
        if made:
            with translation.override(user.language):
                names = _("My e-mail"), _("Everything that needs a hand")
            mail = Channel.objects.create(user=user, kind=Kind.MAIL, name=names[0], hint=user.email[:80], is_first=True)
            rule = AlertRule.objects.create(user=user, name=names[1], kinds=FIRST_KINDS)
            rule.channels.set([mail])
    return row


def change_settings(
    *, actor: User, quiet_from: int | None, quiet_until: int | None, wants_digest: bool | None = None
) -> AlertSettings:
    """Quiet hours (both or neither, hours of the day in the person's zone) and the morning's mail."""
    if (quiet_from is None) != (quiet_until is None) or (quiet_from is not None and quiet_from == quiet_until):
        raise ServiceError(_("Quiet hours need a beginning and another end. Nothing was changed."), code="quiet")
    settings_of(actor)
    with transaction.atomic():
        row = AlertSettings.objects.select_for_update(no_key=True).get(user=actor)
        before = {"quiet_from": row.quiet_from, "quiet_until": row.quiet_until, "wants_digest": row.wants_digest}
        row.quiet_from, row.quiet_until = quiet_from, quiet_until
        if wants_digest is not None:
            row.wants_digest = wants_digest
        row.save()
        changes = {name: (old, getattr(row, name)) for name, old in before.items() if getattr(row, name) != old}
        if changes:
            record(actor=actor, verb="alerts.settings_changed", owner=actor, changes=changes)
    return row


# --- channels ---------------------------------------------------------------------------------------------------------


def add(*, actor: User, kind: str, name: str, address: str) -> Channel:
    """A new channel. The address is checked and then never shown again; a webhook gets its signing secret."""
    address, name = address.strip(), " ".join(name.split())[:60]
    hint = {Kind.MAIL: _mail_hint, Kind.CHAT: chat.check, Kind.WEBHOOK: _hook_hint}[Kind(kind)](address)
    settings_of(actor)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if Channel.objects.visible_to(actor).count() >= MOST:
            raise ServiceError(_("%(most)s channels are the most. Remove one first.") % {"most": MOST}, code="too_many")
        row = Channel.objects.create(
            user=actor, kind=kind, name=name or hint, address=address, hint=hint[:80],
            secret=new_hook_secret() if kind == Kind.WEBHOOK else "",
        )  # fmt: skip
        record(actor=actor, verb="channel.added", target=row, kind=kind)
    return row


def switch(*, actor: User, channel: Channel, is_active: bool) -> None:
    """Takes a channel out of use, or into use again."""
    with transaction.atomic():
        row = _locked(actor, channel)
        if row.is_active != is_active:
            row.is_active = is_active
            row.save(update_fields=["is_active"])
            record(actor=actor, verb="channel.changed", target=row, changes={"is_active": (not is_active, is_active)})


def remove(*, actor: User, channel: Channel) -> None:
    """Deletes a channel with its address and log. The first one is only switched off: it is how we reach its owner."""
    with transaction.atomic():
        row = _locked(actor, channel)
        if row.is_first:
            raise ServiceError(_("Your own e-mail stays; switch it off instead."), code="first")
        record(actor=actor, verb="channel.removed", target=row)
        row.delete()


def test(*, actor: User, channel: Channel) -> Delivery:
    """Sends a test message at once, by the chore; what came of it stands in the log."""
    with transaction.atomic():
        row = _locked(actor, channel)
        recent = Delivery.objects.visible_to(actor).filter(
            event=Delivery.Event.TEST, created_at__gt=timezone.now() - timedelta(hours=1)
        )
        if recent.count() >= TESTS:
            raise ServiceError(
                _("%(tests)s tests an hour are the most. Wait a little.") % {"tests": TESTS}, code="too_many"
            )
        record(actor=actor, verb="channel.tested", target=row)
        return Delivery.objects.create(channel=row, event=Delivery.Event.TEST, due_at=timezone.now())


def replay(*, actor: User, delivery: Delivery) -> None:
    """Sends a message of the log once more, under the same id."""
    with transaction.atomic():
        row = Delivery.objects.visible_to(actor).select_for_update(no_key=True, of=("self",)).filter(pk=delivery.pk)
        found = row.first()
        if found is None:
            raise ServiceError(_("This does not exist."), code="not_found")
        if found.state in (Delivery.State.WAITING, Delivery.State.SENDING):
            raise ServiceError(_("It is being sent already."), code="wrong_state")
        found.state, found.tries, found.due_at, found.outcome = Delivery.State.WAITING, 0, timezone.now(), ""
        found.save(update_fields=["state", "tries", "due_at", "outcome"])
        record(actor=actor, verb="channel.replayed", target=found.channel, event=found.event)


def _locked(actor: User, channel: Channel) -> Channel:
    row = Channel.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=channel.pk).first()
    if row is None:
        raise ServiceError(_("This does not exist."), code="not_found")
    return row


def _mail_hint(address: str) -> str:
    try:
        validate_email(address)
    except ValidationError:
        raise ServiceError(_("This is not an e-mail address. Nothing was saved."), code="address") from None
    name, __, host = address.rpartition("@")
    return f"{name[:2]}…@{host}"


def _hook_hint(address: str) -> str:
    try:
        url = outbound.check_url(address, allow_private=settings.ALERT_ALLOW_PRIVATE)
    except outbound.Forbidden as error:
        raise ServiceError(_("%(error)s Nothing was saved.") % {"error": error}, code="address") from None
    return f"{url.scheme}://{url.host}/…"


# --- rules ------------------------------------------------------------------------------------------------------------


def rules_of(user: User) -> QuerySet[AlertRule]:
    return AlertRule.objects.visible_to(user).select_related("session", "group").prefetch_related("channels")


def save_rule(
    *, actor: User, rule: AlertRule | None, name: str, kinds: list[str], channels: list[Channel],
    session: WaSenderSession | None = None, group: SessionGroup | None = None, delay: int = 60, cool_down: int = 15,
    tells_recovery: bool = True, is_active: bool = True,
) -> AlertRule:  # fmt: skip
    """A new rule, or another wording of one. Session, group and channels are the actor's own."""
    if session is not None and group is not None:
        raise ServiceError(_("A rule is about one session, or one group, or all. Nothing was saved."), code="scope")
    if not kinds:
        raise ServiceError(_("Choose at least one kind of alert. Nothing was saved."), code="kinds")
    for one in [*channels, *(part for part in (session, group) if part is not None)]:
        if one.user_id != actor.pk:
            raise ServiceError(_("This does not exist."), code="not_found")
    settings_of(actor)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if rule is None:
            if AlertRule.objects.visible_to(actor).count() >= MOST:
                raise ServiceError(
                    _("%(most)s rules are the most. Remove one first.") % {"most": MOST}, code="too_many"
                )
            row = AlertRule(user=actor)
        else:
            found = AlertRule.objects.visible_to(actor).filter(pk=rule.pk).first()
            if found is None:
                raise ServiceError(_("This does not exist."), code="not_found")
            row = found
        row.name, row.kinds = re.sub(r"\s+", " ", name).strip()[:60] or _("Rule"), sorted(set(kinds))
        row.session, row.group, row.delay, row.cool_down = session, group, delay, cool_down
        row.tells_recovery, row.is_active = tells_recovery, is_active
        row.save()
        row.channels.set(channels)
        record(actor=actor, verb="alert_rule.saved", target=row, kinds=row.kinds, channels=len(channels))
    return row


def remove_rule(*, actor: User, rule: AlertRule) -> None:
    with transaction.atomic():
        row = AlertRule.objects.visible_to(actor).filter(pk=rule.pk).first()
        if row is None:
            raise ServiceError(_("This does not exist."), code="not_found")
        record(actor=actor, verb="alert_rule.removed", target=row)
        row.delete()
