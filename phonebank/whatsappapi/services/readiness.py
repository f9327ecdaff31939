"""What stands between a draft and its start, and what its sender should know before pressing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from phonebank.language import grouped
from phonebank.whatsappapi.dispatch.render import TAG
from phonebank.whatsappapi.dispatch.windows import present_or_next
from phonebank.whatsappapi.models import Campaign, CampaignSession, WaSenderSession
from phonebank.whatsappapi.services import approval, audience
from phonebank.whatsappapi.services.audience import Count
from phonebank.whatsappapi.services.capabilities import lent
from phonebank.whatsappapi.services.drafts import RULES
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.media import check_text, media_of
from phonebank.whatsappapi.services.senders import unfit

BLOCKS, WARNS, TELLS = "block", "warn", "tell"
UNSHARED = ("unshared", gettext_lazy("is not shared with you any more"))
_ENDING = re.compile(r"\bstop\b|unsubscri|opt.?out|baja|arr[eê]t|abmelden|sair\b|стоп", re.I)


@dataclass(frozen=True, slots=True)
class Problem:
    """`severity`: block (it cannot start), warn, or tell. `step`: the page where it is put right."""

    severity: str
    step: str
    words: str
    code: str = "not_ready"

    @property
    def is_blocking(self) -> bool:
        return self.severity == BLOCKS


def problems(campaign: Campaign, count: Count | None = None) -> list[Problem]:
    """The worst first. With `count` (of its audience) also what needs everybody looked at."""
    lanes = list(campaign.lanes.filter(is_active=True).select_related("session__account"))
    borrowed = lent(campaign.user) if any(lane.session.user_id != campaign.user_id for lane in lanes) else set()
    senders = _senders(lanes, campaign.user_id, borrowed)
    found = [*_audience(campaign, count), *_message(campaign, count), *senders, *_schedule(campaign)]
    if any(not lane.session.account.is_sandbox for lane in lanes):
        found += _rules(campaign)
    found += _approval(campaign, count)
    order = [BLOCKS, WARNS, TELLS]
    return sorted(found, key=lambda one: order.index(one.severity))


def is_done(campaign: Campaign, step: str) -> bool:
    """Whether a step has what the start needs; a schedule always has: now."""
    if step == "audience":
        return not audience.is_empty(campaign)
    if step == "message":
        return bool(campaign.body or campaign.media_kind)
    return step != "senders" or campaign.lanes.filter(is_active=True, session__deleted_at=None).exists()


def unproven(lanes: Iterable[CampaignSession]) -> Problem | None:
    names = [
        lane.session.session_name
        for lane in lanes
        if not lane.session.account.is_sandbox and lane.session.webhook_proven_at is None
    ]
    if not names:
        return None
    words = _(
        "Replies and STOP cannot reach us from %(names)s: no event has come in yet. Nothing was "
        "changed. Set PUBLIC_URL to an https address the gateway can reach, then link the session "
        "again."
    ) % {"names": ", ".join(names)}
    return Problem(BLOCKS, "senders", words, "webhook_unproven")


def _audience(campaign: Campaign, count: Count | None) -> list[Problem]:
    if audience.is_empty(campaign):
        return [Problem(BLOCKS, "audience", _("Nobody is chosen yet. Choose a list or a tag."), "no_audience")]
    if campaign.parent_id is None and (missing := audience.chosen(campaign).missing):
        words = ngettext(
            "%(n)s of the lists and tags you chose was deleted. Choose anew.",
            "%(n)s of the lists and tags you chose were deleted. Choose anew.",
            missing,
        ) % {"n": missing}
        return [Problem(BLOCKS, "audience", words, "no_audience")]
    if count is None:
        return []
    if not count.sendable:
        words = _("Nobody of this audience can be written to. Choose other people, or note how these agreed.")
        return [Problem(BLOCKS, "audience", words, "nobody")]
    if count.left_out:
        n = count.left_out
        words = ngettext(
            "%(n)s person is left out; the reasons are beside their number.",
            "%(n)s people are left out; the reasons are beside their number.",
            n,
        ) % {"n": grouped(n)}
        return [Problem(TELLS, "audience", words)]
    return []


def _message(campaign: Campaign, count: Count | None) -> list[Problem]:
    if not campaign.body and not campaign.media_kind:
        return [Problem(BLOCKS, "message", _("Write a message first."), "empty")]
    found = []
    try:
        check_text(campaign.body, media_of(campaign))
    except ServiceError as error:
        found.append(Problem(BLOCKS, "message", error.message, error.code))
    if count is not None and count.sendable:
        bare = [tag[1] for tag in TAG.finditer(campaign.body) if not (tag[2] or "").strip()]
        for name, n in audience.lacking(campaign, dict.fromkeys(bare)).items():
            words = ngettext(
                "%(n)s person has no %(name)s, and your message leaves a gap there.",
                "%(n)s people have no %(name)s, and your message leaves a gap there.",
                n,
            ) % {"n": grouped(n), "name": name}
            found.append(
                Problem(
                    WARNS,
                    "message",
                    _("%(words)s Give it a text for them: {{ %(name)s|... }}.") % {"words": words, "name": name},
                )
            )
    if not _ENDING.search(campaign.body):
        words = _(
            "It does not say how to stop these messages. STOP works all the same; people who know it complain less."
        )
        found.append(Problem(TELLS, "message", words))
    return found


def _senders(lanes: list[CampaignSession], owner: int, borrowed: set[int]) -> list[Problem]:
    if not lanes:
        return [Problem(BLOCKS, "senders", _("Choose at least one session to send from."), "no_session")]
    found = []
    kept = [lane.session for lane in lanes if lane.session.user_id == owner or lane.session_id in borrowed]
    unusable = [(lane.session, unfit(lane.session) if lane.session in kept else UNSHARED) for lane in lanes]
    wrong = [(one, why) for one, why in unusable if why[0]]
    is_none_left = len(wrong) == len(lanes)
    for one, (code, words) in wrong:
        text = _("%(session)s %(why)s.") if is_none_left else _("%(session)s %(why)s. The others take its part.")
        text %= {"session": one.session_name, "why": words}
        found.append(Problem(BLOCKS if is_none_left else WARNS, "senders", text, code))
    if problem := unproven(lanes):
        found.append(problem)
    for one, why in unusable:
        if not why[0] and one.status != WaSenderSession.Status.CONNECTED:
            words = _("%(session)s cannot send now. You may start: its part is dealt as you chose.") % {
                "session": one.session_name
            }
            found.append(Problem(WARNS, "senders", words))
    return found


def _schedule(campaign: Campaign) -> list[Problem]:
    now, start, end = timezone.now(), campaign.scheduled_at, campaign.expires_at
    if start and start <= now:
        words = _("The time of its start has passed. Choose a later one, or start now.")
        return [Problem(BLOCKS, "schedule", words, "scheduled_at")]
    if end and end <= (start or now):
        words = _("The campaign would end before it starts. Change one of the two.")
        return [Problem(BLOCKS, "schedule", words, "expires_at")]
    if not campaign.windows:
        return []
    window = present_or_next(campaign.windows, campaign.user.time_zone, start or now)
    if window is None or (end and window[0] >= end):
        words = _("None of its sending times lies before its end. Change one of the two.")
        return [Problem(BLOCKS, "schedule", words, "windows")]
    return [] if window[0] <= (start or now) else [Problem(TELLS, "schedule", _waits(campaign, window[0]))]


def _approval(campaign: Campaign, count: Count | None) -> list[Problem]:
    """What an administrator said of it, and whether one will look at it first."""
    if count is None:
        return []
    said, look = approval.note(campaign), approval.needs_look(campaign, count.sendable)
    return [Problem(severity, "message", words) for severity, words in ((WARNS, said), (TELLS, look)) if words]


def _waits(campaign: Campaign, until: datetime) -> str:
    at = until.astimezone(ZoneInfo(campaign.user.time_zone))
    return _("It first sends at %(time)s on %(day)s, when its sending times begin.") % {
        "time": f"{at:%H:%M}",
        "day": date_format(at, "l"),
    }


def _rules(campaign: Campaign) -> list[Problem]:
    """Where people are spared less than they are by default."""
    found = []
    if campaign.quiet_start is None:
        found.append(Problem(WARNS, "schedule", _("There are no quiet hours: people may be written to at night.")))
    if campaign.cap_day is None or campaign.cap_day > RULES["cap_day"]:  # type: ignore[operator]
        words = _("People may get several campaign messages a day. One is what most put up with.")
        found.append(Problem(WARNS, "schedule", words))
    return found
