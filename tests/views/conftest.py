from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from phonebank.accounts.models import User
from phonebank.whatsappapi.models import (
    Campaign,
    CampaignCount,
    CampaignSession,
    Contact,
    ContactList,
    GatewayAccount,
    Message,
    WaSenderSession,
)
from tests.accounts.conftest import plans
from tests.services.conftest import _sandbox, sandbox

__all__ = ["_sandbox", "plans", "sandbox"]
ZONE = "Europe/Madrid"


def local_today() -> date:
    """The date of the desk's owner, which is not always that of UTC."""
    return timezone.localdate(timezone=ZoneInfo(ZONE))


class Desk:
    """One user's things, made row by row: pages only read them."""

    def __init__(self, email: str) -> None:
        self.user = User.objects.create_user(email, plan="enterprise", name="Somebody", time_zone=ZONE)
        self.account = GatewayAccount.objects.create(
            user=self.user, name="Box", base_url="http://127.0.0.1:9/api", token="t", is_sandbox=True
        )
        self.client = Client()
        self.client.force_login(self.user)

    def session(self, name: str = "", status: str = "connected", **fields: object) -> WaSenderSession:
        n = WaSenderSession.objects.count()
        values = {"wasender_id": n + 1, "phone_number": f"+1212555{n:04d}", "session_name": name or f"Desk {n}"}
        return WaSenderSession.objects.create(user=self.user, account=self.account, status=status, **values | fields)

    def contact_list(self, people: int, name: str = "List") -> ContactList:
        made = ContactList.objects.create(user=self.user, name=name)
        made.contacts.set(
            Contact.objects.bulk_create(
                Contact(user=self.user, phone=f"+1646{made.pk % 900 + 100}{i:04d}", name=f"P {i}", consent="granted")
                for i in range(people)
            )
        )
        return made

    def campaign(self, people: int, sessions: int = 1, state: str = "running", name: str = "Sale") -> Campaign:
        """`people` per session, all delivered."""
        made = Campaign.objects.create(
            user=self.user,
            name=name,
            state=state,
            body="Hi {{ name|there }}",
            contact_list=self.contact_list(people, name),
        )
        for i in range(sessions):
            row = self.session()
            CampaignSession.objects.create(campaign=made, session=row, position=i)
            CampaignCount.objects.create(campaign=made, session=row, state="delivered", n=people)
            Message.objects.bulk_create(
                Message(user=self.user, campaign=made, session=row, contact=contact, phone=f"{contact.phone}{i}",
                        state="accepted", rank=3, position=n)
                for n, contact in enumerate(made.contact_list.contacts.all())
            )  # fmt: skip
        return made

    def recount(self, campaign: Campaign) -> None:
        """The counters, after a test has changed rows by itself."""
        campaign.counts.all().delete()
        counted = Counter((row.session_id, row.word) for row in campaign.messages.all())
        CampaignCount.objects.bulk_create(
            CampaignCount(campaign=campaign, session_id=session, state=state, n=n)
            for (session, state), n in counted.items()
        )


@pytest.fixture
def make_desk(plans: None) -> Callable[[str], Desk]:
    return Desk


@pytest.fixture
def desk(plans: None) -> Desk:
    return Desk("ana@example.org")


@pytest.fixture
def other(plans: None) -> Desk:
    return Desk("charlie@example.org")
