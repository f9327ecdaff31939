"""A session taken back in the middle of somebody's campaign, before the real processes."""

from __future__ import annotations

import time

import pytest
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.sandbox import DEFAULT_TOKEN
from phonebank.whatsappapi.models import Attempt, Contact, ContactList, Message, SessionShare, WaSenderSession
from phonebank.whatsappapi.services import campaigns, gateways, sessions, sharing

from .conftest import AREAS, Scene

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_revoked_session_sends_nothing_after_a_second_and_the_run_goes_on(scene: Scene) -> None:
    owner = scene.user
    [lent] = scene.link(1)
    olga = scene.user = User.objects.create_user("olga@phonebank.example", plan="enterprise")
    own = _link(scene)
    share = SessionShare.objects.create(
        session=lent, email=olga.email, user=olga, role="operator", accepted_at=timezone.now()
    )
    campaign = scene.campaign(_people(scene, 400), [lent, own])
    scene.until("100 sent", lambda: scene.sent(campaign) >= 100)
    sharing.revoke(actor=owner, share=share)
    ended = time.time()
    scene.completed(campaign)
    scene.check(campaign)
    assert scene.sent(campaign) == 400
    late = [one for one in scene.entries() if one["session"] == lent.wasender_id]
    assert late and max(one["first_byte"] for one in late) <= ended + 1.0
    moved = Message.objects.filter(campaign=campaign, why=f"Moved: {lent.session_name} is not shared any more")
    assert moved.exists() and not moved.exclude(session=own).exists()
    assert Attempt.objects.filter(session=own, outcome="accepted").count() + len(late) == 400
    assert campaigns.progress(campaign).counts.get("queued", 0) == 0


def _link(scene: Scene) -> WaSenderSession:
    """A session of the scene's present user; the sandbox takes a number once."""
    account = gateways.ensure_sandbox_account(owner=scene.user, url=scene.sandbox.url, token=DEFAULT_TOKEN)
    account.rate_per_minute = 0
    account.save()
    one = sessions.create_session(
        actor=scene.user, account=account, phone_number="+16465550109", account_protection=False
    )
    scene.relink(one)
    return one


def _people(scene: Scene, count: int) -> ContactList:
    people = ContactList.objects.create(user=scene.user, name="Olga's")
    numbers = [f"+1{area}55501{i:02d}" for area in AREAS for i in range(100)][:count]
    people.contacts.set(
        Contact.objects.bulk_create(Contact(user=scene.user, phone=one, name="P", consent="granted") for one in numbers)
    )
    return people
