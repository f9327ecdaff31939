"""A session that may not be used - somebody else's, deleted, over the plan, switched off, its key refused - by every
way in: refused or left out, nothing leaves from it, and whoever tried is on record. All of them work at the gateway,
so that nothing but our own rules holds them back.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.audit.models import Event
from phonebank.whatsappapi.dispatch import deal, tend
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignSession,
    Contact,
    ContactList,
    Message,
    SessionGroup,
    WaSenderSession,
)
from phonebank.whatsappapi.services import campaigns, drafts, gateways, runs
from tests.dispatch.kinds import World
from tests.services.conftest import Sandbox, _sandbox, sandbox

__all__ = ["_sandbox", "sandbox"]

KINDS: dict[str, dict[str, Any]] = {
    "foreign": {}, "deleted": {"deleted_at": timezone.now()}, "surplus": {"is_surplus": True},
    "switched off": {"is_active": False}, "refused key": {"rejected_key_version": 1},
}  # fmt: skip
NOT_THERE = ("foreign", "deleted")


class Intruder(World):
    """Somebody who tries one session everywhere. Every attempt gets people of its own."""

    def draft(self, *, running: bool = False) -> Campaign:
        """Over the good session; running, with its people waiting."""
        people = ContactList.objects.create(user=self.user, name=str(uuid.uuid4()))
        rows = [Contact(user=self.user, phone=next(self.numbers), name="P", consent="granted") for _ in range(2)]
        people.contacts.set(Contact.objects.bulk_create(rows))
        made = campaigns.create_campaign(
            actor=self.user, name="Try", body="Hi", contact_list=people, wa_sessions=[self.one]
        )
        if running:
            campaigns.launch(actor=self.user, campaign=made)
            self.deal(made)
        return made

    def api(self, method: str, path: str, body: dict[str, Any]) -> Any:
        return self.page.generic(
            method, f"/api/{path}", json.dumps(body).encode(), "application/json", headers=self.bearer
        )

    def wizard(self, draft: Campaign, **fields: Any) -> Any:
        draft.refresh_from_db()
        base = {"version": draft.version, "go": "next", "policy": "next"}
        return self.page.post(f"/whatsappapi/send-campaign/{draft.public_id}/senders/", base | fields)

    def team(self, bad: WaSenderSession) -> SessionGroup:
        """A group that the session got into by some way of its own."""
        made = SessionGroup.objects.create(user=self.user, name=str(uuid.uuid4()))
        made.sessions.set([bad])
        return made


def ways(me: Intruder, bad: WaSenderSession) -> dict[str, tuple[Callable[[], Any], set[int], bool]]:
    """Way in -> the try, the answers that refuse it, and whether an attempt by a body must leave a record."""
    key, group = str(bad.public_id), me.team(bad)
    whole = {"body": "Hi", "contact_list": str(me.draft().contact_list.public_id)}
    draft, running = me.draft(), me.draft(running=True)
    theirs = SessionGroup.objects.create(user=bad.user, name="Theirs") if bad.user != me.user else group
    one = {"body": "Hi", "phone": next(me.numbers)}
    Contact.objects.create(user=me.user, phone=one["phone"], consent="granted")
    gone = {404} if bad.deleted_at or bad.user != me.user else set()
    refused, unfit = gone or {409, 422}, gone or {409}
    found: dict[str, tuple[Callable[[], Any], set[int], bool]] = {
        "draft by page": (lambda: me.wizard(draft, wa_sessions=[key]), refused, True),
        "draft by API": (lambda: me.api("POST", "campaigns/", whole | {"sessions": [key]}), unfit, True),
        "changed draft by API": (lambda: me.api("PATCH", f"campaigns/{draft.public_id}/", {"sessions": [key]}),
                                 unfit, True),
        "draft by group and API": (lambda: me.api("POST", "campaigns/", whole | {"groups": [str(group.public_id)]}),
                                   {422}, False),
        "running by API": (lambda: me.api("POST", f"campaigns/{running.public_id}/add-session/", {"session": key}),
                           unfit, True),
        "message by API": (lambda: me.api("POST", "messages/", one | {"session": key}), unfit, bool(gone)),
        "message by group and API": (lambda: me.api("POST", "messages/", one | {"group": str(group.public_id)}),
                                     {409}, False),
        "test by page": (lambda: me.page.post(f"/whatsappapi/sessions/{key}/test/",
                                              {"to": me.one.linked_number, "body": "Hi"}), gone or {422}, False),
    }  # fmt: skip
    if gone:  # what is one's own may be in a group, and be connected anew, whatever is wrong with it
        mine = SessionGroup.objects.create(user=me.user, name=f"Mine {key}")
        found |= {
            "group by API": (lambda: me.api("POST", "groups/", {"name": "A", "sessions": [key]}), gone, True),
            "changed group by API": (lambda: me.api("PATCH", f"groups/{mine.public_id}/", {"sessions": [key]}),
                                     gone, True),
            "group by page": (lambda: me.page.post(f"/whatsappapi/groups/{mine.public_id}/",
                                                   {"name": f"Mine {key}", "colour": "blue", "wa_sessions": [key]}),
                              {422}, True),
            "bulk by API": (lambda: me.api("POST", "bulk-actions/", {"verb": "connect", "sessions": [key]}),
                            gone, True),
            "bulk by page": (lambda: me.page.post("/whatsappapi/sessions/bulk/", {"verb": "connect", "pick": [key]}),
                             gone, True),
            "running by page": (lambda: me.page.post(f"/whatsappapi/campaigns/{running.public_id}/sessions/",
                                                     {"session": key}), gone, True),
        }  # fmt: skip
    if bad.user != me.user:
        found["their group"] = (
            lambda: me.api("POST", "messages/", one | {"group": str(theirs.public_id)}), gone, True
        )  # fmt: skip
    return found


def bypass(me: Intruder, bad: WaSenderSession) -> list[int]:
    """Campaigns that the session is in already when it becomes unfit: as a lane with people, and as their fallback."""
    with_people, fallback = me.draft(), me.draft()
    CampaignSession.objects.create(campaign=with_people, session=bad, position=1)
    CampaignSession.objects.create(campaign=fallback, session=bad, position=1)
    CampaignSession.objects.filter(campaign=fallback, session=me.one).update(session=me.lost)
    for one in (with_people, fallback):
        Campaign.objects.filter(pk=one.pk).update(state="dealing")
        me.deal(one)
    return [with_people.pk, fallback.pk]


def test_nothing_leaves_from_a_session_that_may_not_be_used(db: None, sandbox: Sandbox, settings: Any) -> None:
    settings.LOCAL_URL, settings.API_RATE = "", 10**9
    me, wrong, campaigns_with = Intruder(sandbox, 1), [], dict[str, list[int]]()
    bad = {kind: me.link(4 + n) for n, kind in enumerate(KINDS)}
    for kind, row in bad.items():
        if kind != "foreign":
            campaigns_with[kind] = bypass(me, row)
            WaSenderSession.objects.filter(pk=row.pk).update(**KINDS[kind])
            row.refresh_from_db()
    bad["foreign"] = _of_somebody_else(me, bad["foreign"])
    for kind, row in bad.items():
        for way, (attempt, expected, is_noted) in ways(me, row).items():
            before = noted(me)
            answer = attempt()
            if answer.status_code not in expected or noted(me) - before != int(is_noted):
                wrong.append((kind, way, answer.status_code, noted(me) - before, answer.text[:300]))
        _by_a_group_and_into_a_run(me, row, kind)
    assert not wrong
    _nothing_left_from(me, list(bad.values()), [one for rows in campaigns_with.values() for one in rows])


def noted(me: Intruder) -> int:
    return Event.objects.filter(verb__in=["campaign.refused", "session.refused"], actor=me.user).count()


def _by_a_group_and_into_a_run(me: Intruder, bad: WaSenderSession, kind: str) -> None:
    """A group that holds it brings nobody into a draft; a run does not take it."""
    draft, lanes = me.draft(), set(bad.lanes.values_list("pk", flat=True))
    me.wizard(draft, wa_sessions=[str(me.one.public_id)], groups=[str(me.team(bad).public_id)])
    assert list(draft.lanes.values_list("session", flat=True)) == [me.one.pk]
    if kind not in NOT_THERE:
        path = f"/whatsappapi/campaigns/{me.draft(running=True).public_id}/sessions/"
        assert f"{bad.session_name} " in me.page.post(path, {"session": str(bad.public_id)}, follow=True).text
    assert set(bad.lanes.values_list("pk", flat=True)) == lanes


def _nothing_left_from(me: Intruder, bad: list[WaSenderSession], running: list[int]) -> None:
    """The engine runs until everybody else is served; the fallbacks are dealt anew as often as it likes."""
    WaSenderSession.objects.filter(pk=me.lost.pk).update(status="disconnected")
    waiting = Message.objects.filter(session__in=bad, state="queued")
    assert waiting.count() == 8, "two people wait at each that is one's own"
    waiting.update(retry_at=timezone.now())  # due at once, if anything would take them
    for one in running:
        deal.redeal(one, Campaign.Policy.NEXT)
    tend.tend()
    assert Message.objects.filter(session=me.lost, campaign__in=running).count() == 4, "no fallback takes them"
    others = Campaign.objects.filter(state="running").exclude(pk__in=running)
    asyncio.run(me.drive(list(others.values_list("pk", flat=True))))
    entries = me.sandbox.pull("GET", "/ledger/entries?limit=1000")["entries"]
    assert {one["session"] for one in entries} <= {me.one.wasender_id, me.two.wasender_id}
    assert entries, "the good ones do send"
    # Not one request more than what is in the ledger: none was made and refused.
    assert sum(me.sandbox.pull("GET", "/stats")["requests"]["send-message"].values()) == len(entries)
    assert not Attempt.objects.filter(session__in=bad).exists()
    assert not Message.objects.filter(session__in=bad, campaign__in=others).exists()


def _of_somebody_else(me: Intruder, bad: WaSenderSession) -> WaSenderSession:
    stranger = User.objects.create_user("stranger@phonebank.example", plan="enterprise", time_zone="UTC")
    account = gateways.ensure_sandbox_account(owner=stranger, url=me.sandbox.url, token=me.sandbox.token)
    WaSenderSession.objects.filter(pk=bad.pk).update(user=stranger, account=account)
    bad = WaSenderSession.objects.get(pk=bad.pk)
    # Nor by the services, whatever a page or the API lets through.
    for verb in (
        lambda: runs.add_session(actor=me.user, campaign=me.draft(), wa_session=bad),
        lambda: campaigns.create_campaign(
            actor=me.user, name="X", body="Hi", contact_list=me.draft().contact_list, wa_sessions=[bad]
        ),
    ):
        with pytest.raises(drafts.ServiceError) as refused:
            verb()
        assert refused.value.code == "not_found"
    return bad
