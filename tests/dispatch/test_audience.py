"""send-path 3: the deal over several lists, tags and conditions, in the same turns as over one list."""

from __future__ import annotations

import pytest

from phonebank.accounts.models import User
from phonebank.gateways.base import Rejected
from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.models import Campaign, Contact, ContactList, ContactTag, Message
from phonebank.whatsappapi.services import runs
from tests.dispatch.bench import Bench


def audience_of(bench: Bench, audience: dict[str, object], chunk: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Phones of those dealt, in the order of the deal."""
    monkeypatch.setattr(deal, "CHUNK", chunk)
    campaign = bench.campaign(None, [bench.session() for _ in range(3)], audience=audience)
    campaign.refresh_from_db()
    assert campaign.state == "running" and campaign.sealed_at
    rows = list(Message.objects.filter(campaign=campaign).order_by("contact_id"))
    in_turn = [one.session_id for one in rows if one.state == "queued"]
    ring = list(campaign.lanes.order_by("position").values_list("session_id", flat=True))
    assert in_turn == [ring[i % 3] for i in range(len(in_turn))]
    bench.check()
    return [one.phone for one in rows]


@pytest.mark.parametrize("chunk", [10_000, 7, 1])
def test_several_lists_tags_and_conditions(bench: Bench, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody once, however many lists they are on; in turn, over chunks of any size."""
    first, second = bench.people(12, "First"), bench.people(6, "Second", start=20)
    second.contacts.add(*first.contacts.order_by("pk")[:5])
    staff = bench.people(0, "Staff")
    tag = ContactTag.objects.create(user=bench.user, name="vip")
    everybody = list(Contact.objects.order_by("pk"))
    tag.contacts.set(everybody[3:15])
    staff.contacts.set(everybody[4:6])
    Contact.objects.filter(pk__in=[one.pk for one in everybody[:10]]).update(attributes={"city": "Bos%ton_"})
    Contact.objects.filter(pk=everybody[8].pk).update(consent="unknown")

    def dealt(**audience: object) -> list[str]:
        return audience_of(bench, audience, chunk, monkeypatch)

    def phones(rows: list[Contact]) -> list[str]:
        return [one.phone for one in rows]

    both = {"lists": [first.pk, second.pk]}
    assert dealt(**both) == phones(everybody)
    assert dealt(**both, tags=[tag.pk], without=[staff.pk]) == phones([everybody[3], *everybody[6:15]])
    assert dealt(tags=[tag.pk]) == phones(everybody[3:15])
    city = {"field": "city", "test": "is", "value": "BOS%TON_"}
    assert dealt(**both, filters=[city]) == phones(everybody[:10])
    assert dealt(lists=[first.pk], filters=[city | {"test": "is_not"}]) == phones(everybody[10:12])
    assert dealt(lists=[first.pk], filters=[city | {"test": "contains", "value": "%T"}]) == phones(everybody[:10])
    number = {"field": "phone", "test": "starts", "value": everybody[11].phone[:-1]}
    assert dealt(**both, filters=[number, {"field": "name", "test": "is", "value": "p"}]) == phones(everybody[10:12])
    assert dealt(without=[staff.pk]) == [] == dealt(filters=[city])


def test_a_list_of_somebody_else_deals_nobody(bench: Bench) -> None:
    other = User.objects.create_user("other@example.com")
    theirs = ContactList.objects.create(user=other, name="Theirs")
    theirs.contacts.set([Contact.objects.create(user=other, phone="+12125550199", consent="granted")])
    for audience in ({"lists": [theirs.pk]}, {"lists": [bench.people(1).pk, theirs.pk]}):
        campaign = bench.campaign(None, [bench.session()], audience=audience)
        campaign.refresh_from_db()
        assert campaign.state == "paused" and not campaign.messages.exists()


@pytest.mark.parametrize("gone", ["without", "lists", "tags"])
def test_a_list_that_is_deleted_meanwhile_stops_the_deal(
    gone: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the people of a left-out list would be written to."""
    monkeypatch.setattr(deal, "CHUNK", 4)
    people, staff = bench.people(9), bench.people(1, "Staff", start=50)
    tag = ContactTag.objects.create(user=bench.user, name="vip")
    tag.contacts.set(people.contacts.all())
    audience = {"lists": [people.pk], "without": [staff.pk], "tags": [tag.pk]}
    campaign = bench.campaign(None, [bench.session()], audience=audience, run=False)
    assert not deal.deal_chunk(campaign.pk)
    {"without": staff, "lists": people, "tags": tag}[gone].delete()
    assert deal.deal_chunk(campaign.pk)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.sealed_at, campaign.messages.count()) == ("paused", None, 4)
    assert "was deleted" in campaign.pause_reason
    assert bench.claim(9) == []


def test_a_clone_and_a_retry_keep_the_audience(bench: Bench) -> None:
    people, staff = bench.people(6), bench.people(0, "Staff")
    staff.contacts.set(people.contacts.order_by("pk")[:2])
    audience = {"lists": [people.pk], "without": [staff.pk]}
    campaign = bench.campaign(people, [bench.session()], audience=audience)
    one, *failed = bench.claim(9, limits=bench.worker("wide", in_flight=9))
    bench.settle(bench.accepted(one), *[(c, Rejected("invalid", "", 422)) for c in failed])
    Campaign.objects.update(state="completed")
    campaign.refresh_from_db()
    for verb, n in ((runs.clone, 4), (runs.retry_failed, 3)):
        made = verb(actor=bench.user, campaign=campaign)
        Campaign.objects.filter(pk=made.pk).update(state="dealing")
        assert deal.deal_chunk(made.pk)
        assert made.messages.count() == n
