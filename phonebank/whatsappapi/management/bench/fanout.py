"""`phonebank bench fanout`: rows a second of the deal, beside streamed `bulk_create`."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.management.bench.compare import SESSIONS
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.models import Campaign, ContactList, Message, WaSenderSession

CHUNK = 10_000


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """Both in this process, in turns; the deal over all, `bulk_create` over a tenth (it is linear)."""
    linked = stand.sessions(SESSIONS)
    many, few = stand.people(options.rows), stand.people(max(CHUNK, options.rows // 10))
    rates: dict[str, list[float]] = {"deal": [], "bulk_create": []}
    for _ in range(options.rounds):
        stand.forget()
        campaign = stand.campaign(many, linked, dealt=False)
        Campaign.objects.filter(pk=campaign.pk).update(state=Campaign.State.DEALING)
        begun = time.perf_counter()
        while not deal.deal_chunk(campaign.pk):
            pass
        rates["deal"].append(options.rows / (time.perf_counter() - begun))
        stand.forget()
        rates["bulk_create"].append(_plain(stand, few, linked))
    found = {name: round(median(values)) for name, values in rates.items()}
    options.say(f"deal {found['deal']:,} rows/s, bulk_create {found['bulk_create']:,} rows/s")
    return found | {"rows": options.rows, "runs": {name: [round(one) for one in own] for name, own in rates.items()}}


def _plain(stand: Stand, people: ContactList, linked: list[WaSenderSession]) -> float:
    """Rows a second of the ORM's best: read by iterator, written in chunks, each its own transaction."""
    campaign = Campaign.objects.create(user=stand.user, name="Plain", body="Hi", contact_list=people)
    begun, rows, n = time.perf_counter(), [], 0
    for contact in people.contacts.order_by("pk").iterator(CHUNK):
        rows.append(
            Message(
                user_id=stand.user.pk,
                campaign=campaign,
                contact_id=contact.pk,
                phone=contact.phone,
                session_id=linked[n % len(linked)].pk,
                position=n // len(linked) + 1,
                variables={"name": contact.name},
            )
        )
        n += 1
        if len(rows) == CHUNK:
            Message.objects.bulk_create(rows)
            rows = []
    Message.objects.bulk_create(rows)
    return n / (time.perf_counter() - begun)
