"""Drafts: campaigns that are being written. Each is a row from its first step on, saved piece by piece.

Two tabs may have the same draft open. Whoever saves says which version was read; if another tab saved in between,
nothing is written and `Conflict` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from phonebank.accounts.models import User
from phonebank.audit.models import record
from phonebank.language import grouped
from phonebank.whatsappapi.models import Campaign, CampaignSession, ContactList, WaSenderSession
from phonebank.whatsappapi.services import audience
from phonebank.whatsappapi.services.errors import ServiceError, check_reach
from phonebank.whatsappapi.services.media import LONGEST
from phonebank.whatsappapi.services.senders import Senders

DAY = 24 * 60
# What people are spared where nobody said otherwise (docs/send-path.md 2); simulated phones need none of it.
RULES = {"quiet_start": time(21), "quiet_end": time(8), "cap_day": 1, "cap_month": 4}
TIMES = ("scheduled_at", "expires_at", "quiet_start", "quiet_end")
NO_RULES = dict.fromkeys(RULES)
DRAFT = Campaign.State.DRAFT


class Conflict(ServiceError):
    """Another tab saved the draft since it was read. `campaign` is the draft as it is now."""

    def __init__(self, campaign: Campaign) -> None:
        at = campaign.saved_at.astimezone(ZoneInfo(campaign.user.time_zone))
        super().__init__(
            _("This draft was changed in another tab at %(at)s. What you entered here is kept, and not saved yet.")
            % {"at": f"{at:%H:%M}"},
            code="changed",
        )
        self.campaign = campaign


def create_draft(*, actor: User, name: str = "", contact_list: ContactList | None = None) -> Campaign:
    """An empty draft, or one for the people of a list."""
    if contact_list is not None and contact_list.user_id != actor.pk:
        raise ServiceError(_("There is no such list."), code="not_found")
    today = timezone.localdate(timezone=ZoneInfo(actor.time_zone))
    with transaction.atomic():
        if contact_list is not None:  # not deleted before the draft refers to it
            contact_list = ContactList.objects.select_for_update(no_key=True).get(pk=contact_list.pk)
        made = Campaign.objects.create(
            user=actor,
            name=_name(name) or _("Campaign of %(day)s") % {"day": date_format(today, "j F")},
            body="",
            contact_list=contact_list,
            audience=audience.of_list(contact_list) if contact_list else {},
        )
        default = WaSenderSession.objects.visible_to(actor).connected().filter(is_default=True).first()
        if default is not None:
            set_lanes(made, [default])
            follow_gateway(made)
            made.save(update_fields=list(RULES))
        record(actor=actor, verb="campaign.create", target=made)
    return made


def save(
    *,
    actor: User,
    campaign: Campaign,
    changes: Mapping[str, Any],
    senders: Senders | None = None,
    version: int | None = None,
) -> Campaign:
    """Writes fields, and with `senders` the sessions, of a draft. A draft may be unfinished; wrong values are refused.

    `version`: the one that was read. Raises Conflict, and writes nothing, if another one was saved since and differs.
    """
    cleaned = {name: _CHECKS[name](value) if name in _CHECKS else value for name, value in changes.items()}
    with transaction.atomic():
        row = lock(actor, campaign)
        check_times(cleaned, {name: cleaned.get(name, getattr(row, name)) for name in TIMES})
        before = list(row.lanes.filter(is_active=True).values_list("session_id", flat=True))
        names = [name for name, value in cleaned.items() if getattr(row, name) != value]
        is_moved = senders is not None and [one.pk for one in senders.sessions] != before
        if not names and not is_moved:
            return row
        if version is not None and row.version != version:
            raise Conflict(row)
        for name in names:
            setattr(row, name, cleaned[name])
        if "audience" in names:
            lists = row.audience.get("lists", [])
            row.contact_list_id = lists[0] if len(lists) == 1 else None
        if senders is not None and is_moved:
            set_lanes(row, senders.sessions)
            follow_gateway(row)
        row.version += 1
        row.saved_at = timezone.now()
        row.save(update_fields=[*names, *RULES, "contact_list", "version", "saved_at"])
        _note(actor, row, names, senders if is_moved else None)
    return row


def delete_draft(*, actor: User, campaign: Campaign, version: int | None = None) -> None:
    """Throws a draft away. Nothing of it was ever sent. `version`: the one that was seen; Conflict if it is no more."""
    with transaction.atomic():
        row = lock(actor, campaign)
        check_version(row, version)
        record(actor=actor, verb="campaign.discarded", target=row)
        row.delete()


def check_version(campaign: Campaign, version: int | None) -> None:
    """Raises Conflict where the draft is no longer what was read."""
    if version is not None and campaign.version != version:
        raise Conflict(campaign)


def lock(actor: User, campaign: Campaign) -> Campaign:
    found = Campaign.objects.visible_to(actor).select_for_update(no_key=True).filter(pk=campaign.pk).first()
    if found is None:
        raise ServiceError(_("This draft is not there any more. It was deleted."), code="not_found")
    if found.state != DRAFT:
        raise ServiceError(
            _("This campaign is %(found)s by now; nothing was changed.") % {"found": found.get_state_display()},
            code="wrong_state",
        )
    return found


def set_lanes(campaign: Campaign, sessions: list[WaSenderSession]) -> None:
    campaign.lanes.all().delete()
    CampaignSession.objects.bulk_create(
        CampaignSession(campaign=campaign, session=one, position=i) for i, one in enumerate(sessions)
    )


def follow_gateway(campaign: Campaign) -> None:
    """Rules that spare people come with the first real session, and go when all are simulated; own choices stay."""
    accounts = campaign.lanes.values_list("session__account__is_sandbox", flat=True)
    wanted = NO_RULES if all(accounts) else RULES
    if {name: getattr(campaign, name) for name in RULES} in (RULES, NO_RULES):
        for name, value in wanted.items():
            setattr(campaign, name, value)


def _note(actor: User, row: Campaign, names: list[str], senders: Senders | None) -> None:
    about: dict[str, Any] = {"fields": names} if names else {}
    if senders is not None:
        # A group stands for its members at this moment.
        about |= {"sessions": [str(one.public_id) for one in senders.sessions]}
        about |= {"groups": [str(one.public_id) for one in senders.groups]} if senders.groups else {}
    record(actor=actor, verb="campaign.saved", target=row, **about)


# --- what a field may hold -------------------------------------------------------------------------------------------


def _name(name: str) -> str:
    text = " ".join(name.replace("\x00", "").split())
    if len(text) > 120:
        raise ServiceError(_("A name has at most 120 characters."), code="name")
    return text


def _named(name: str) -> str:
    if not (text := _name(name)):
        raise ServiceError(_("A campaign needs a name."), code="name")
    return text


def _body(body: str) -> str:
    text = body.replace("\x00", "").replace("\r\n", "\n").strip()
    if len(text) > LONGEST:
        raise ServiceError(
            _("The message has %(n)s characters; WhatsApp takes %(longest)s. Nothing was saved.")
            % {"n": grouped(len(text)), "longest": grouped(LONGEST)},
            code="too_long",
        )
    return text


def _policy(policy: str) -> str:
    if policy not in Campaign.Policy.values:
        raise ServiceError(_("There is no such rule for sessions that cannot send."), code="policy")
    return policy


def check_pace(pace: int | None) -> int | None:
    """From 1 to 6,000 messages a minute and session, or None for what the sessions may (`pace`)."""
    if pace is not None and not 1 <= pace <= 6000:
        raise ServiceError(_("The pace must be from 1 to 6,000 messages a minute and session."), code="pace")
    return pace


def _windows(windows: Any) -> list[list[int] | None] | None:
    """Seven days from Monday; each [first minute, last minute) of the owner's day, or None."""
    if windows is None:
        return None
    spans = [None if span is None else list(span) for span in windows]
    if len(spans) != 7:
        raise ServiceError(_("Say for each of the seven days from Monday when it may send."), code="windows")
    for span in spans:
        if span is not None and not (len(span) == 2 and 0 <= span[0] < span[1] <= DAY):
            raise ServiceError(_("A sending time must end after it begins, on the same day."), code="windows")
    if not any(spans):
        raise ServiceError(_("Choose at least one day on which it may send."), code="windows")
    return spans


def _cap_day(cap: int | None) -> int | None:
    if cap is not None and not 1 <= cap <= 20:
        raise ServiceError(_("The cap must be from 1 to 20 messages a person and day."), code="cap_day")
    return cap


def _cap_month(cap: int | None) -> int | None:
    if cap is not None and not 1 <= cap <= 200:
        raise ServiceError(_("The cap must be from 1 to 200 messages a person and 30 days."), code="cap_month")
    return cap


_CHECKS = {
    "name": _named,
    "body": _body,
    "policy": _policy,
    "pace": check_pace,
    "windows": _windows,
    "cap_day": _cap_day,
    "cap_month": _cap_month,
}


def check_times(changed: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Those that are set now must lie ahead; and all must fit together."""
    now, start, end = timezone.now(), after["scheduled_at"], after["expires_at"]
    if changed.get("scheduled_at") and start <= now:
        raise ServiceError(_("This time has passed. Choose a later one, or start now."), code="scheduled_at")
    if changed.get("expires_at") and end <= now:
        raise ServiceError(_("The end date has passed. Choose a later one, or none."), code="expires_at")
    for name in {"scheduled_at", "expires_at"} & set(changed):
        check_reach(after[name], code=name)
    if {"scheduled_at", "expires_at"} & set(changed) and start and end and end <= start:
        raise ServiceError(_("The campaign would end before it starts. Change one of the two."), code="expires_at")
    if (after.get("quiet_start") is None) != (after.get("quiet_end") is None):
        raise ServiceError(_("Quiet hours need a beginning and an end. Fill in both, or none."), code="quiet_end")
