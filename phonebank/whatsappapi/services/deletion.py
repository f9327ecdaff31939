"""What taking sessions away does to the campaigns they carry, told before it is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, Sum
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from phonebank.accounts.models import User
from phonebank.language import grouped
from phonebank.whatsappapi.models import Attempt, Campaign, CampaignCount, CampaignSession, WaSenderSession

State = Campaign.State
LIVE = [State.DEALING, State.SCHEDULED, State.RUNNING, State.PAUSED]
# Under way, or without a clear answer (an index has each of them).
OPEN = Q(finished_at=None) | Q(outcome=Attempt.Outcome.UNKNOWN, resolved_at=None)


@dataclass(frozen=True)
class Effect:
    """A campaign that loses senders: `queued` people wait at them, `others` are the senders it keeps."""

    campaign: Campaign
    queued: int
    others: list[WaSenderSession]

    @property
    def outlook(self) -> str:
        """What becomes of the people, in a sentence."""
        who = (
            _("Nobody waits there at the moment")
            if not self.queued
            else _("%(queued)s waiting there") % {"queued": _people(self.queued)}
        )
        if not self.others:
            if not self.queued:
                return _("%(who)s; it has no other session left.") % {"who": who}
            return _("%(who)s stay in line, as it has no other session left.") % {"who": who}
        up = [one for one in self.others if one.status == WaSenderSession.Status.CONNECTED]
        names = _names([one.session_name for one in (up or self.others)])
        if not self.queued:
            return _("%(who)s; it goes on over %(names)s.") % {"who": who, "names": names}
        return self._move(names, is_up=bool(up))

    def _move(self, names: str, is_up: bool) -> str:
        facts = {"n": grouped(self.queued), "names": names}
        if not is_up:
            return (
                ngettext(
                    "%(n)s person waiting there moves to %(names)s as soon as that is connected.",
                    "%(n)s people waiting there move to %(names)s as soon as that is connected.",
                    self.queued,
                )
                % facts
            )
        if self.campaign.state == State.PAUSED:
            return (
                ngettext(
                    "%(n)s person waiting there moves to %(names)s when it is resumed.",
                    "%(n)s people waiting there move to %(names)s when it is resumed.",
                    self.queued,
                )
                % facts
            )
        return (
            ngettext(
                "%(n)s person waiting there moves to %(names)s.",
                "%(n)s people waiting there move to %(names)s.",
                self.queued,
            )
            % facts
        )


@dataclass(frozen=True)
class Effects:
    """All campaigns concerned, the largest queue first; `heir` becomes the default session, when that changes.

    `unanswered` messages may have been sent: what came of them is found in the session's log at the gateway, if at all.
    """

    live: list[Effect]
    drafts: list[Campaign]
    heir: WaSenderSession | None
    loses_default: bool
    unanswered: int

    @property
    def queued(self) -> int:
        return sum(one.queued for one in self.live)


def effects(user: User, wa_sessions: Iterable[WaSenderSession]) -> Effects:
    """What deleting these of the user's sessions would do. The same number of queries, however many there are."""
    going = list(wa_sessions)
    lanes = CampaignSession.objects.filter(session__in=going, is_active=True, campaign__user=user)
    campaigns = list(Campaign.objects.filter(lanes__in=lanes, state__in=[*LIVE, State.DRAFT]).distinct())
    queued = dict(
        CampaignCount.objects.filter(campaign__in=campaigns, session__in=going, state="queued")
        .values_list("campaign")
        .annotate(n=Sum("n"))
    )
    others: dict[int, list[WaSenderSession]] = defaultdict(list)
    kept = CampaignSession.objects.filter(campaign__in=campaigns, is_active=True, session__deleted_at=None)
    for lane in kept.exclude(session__in=going).select_related("session"):
        others[lane.campaign_id].append(lane.session)
    live = [Effect(one, queued.get(one.pk, 0), others[one.pk]) for one in campaigns if one.state in LIVE]
    loses_default = any(one.is_default for one in going)
    return Effects(
        live=sorted(live, key=lambda one: -one.queued),
        drafts=[one for one in campaigns if one.state == State.DRAFT],
        heir=next_default(user, going) if loses_default else None,
        loses_default=loses_default,
        unanswered=Attempt.objects.filter(OPEN, session__in=going).count(),
    )


def next_default(user: User, going: Iterable[WaSenderSession]) -> WaSenderSession | None:
    """Who becomes the default when these go: the one created first among the others."""
    rest = WaSenderSession.objects.visible_to(user).exclude(pk__in=[one.pk for one in going])
    return rest.order_by("created_at", "pk").first()


def _people(n: int) -> str:
    return ngettext("%(n)s person", "%(n)s people", n) % {"n": grouped(n)}


def _names(names: list[str]) -> str:
    if len(names) > 3:
        return _("%(names)s and %(n)s others") % {"names": ", ".join(names[:2]), "n": len(names) - 2}
    return _(" and ").join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
