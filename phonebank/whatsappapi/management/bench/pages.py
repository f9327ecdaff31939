"""`phonebank bench pages`: pages with a thousand sessions and a large campaign, over HTTP, for somebody logged in.

The campaign is half done: people in every state, with the attempts of those who were written to.
"""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from phonebank.accounts.models import User
from phonebank.whatsappapi.dispatch import deal
from phonebank.whatsappapi.dispatch.sql.words import word
from phonebank.whatsappapi.management.bench.options import Options
from phonebank.whatsappapi.management.bench.stand import Stand
from phonebank.whatsappapi.management.stage import free_port, wait_for
from phonebank.whatsappapi.models import Campaign, CampaignSession, Contact, ContactList, WaSenderSession

SESSIONS, FEW = 1000, 10
REQUESTS = 60  # of each page, one after the other
TOGETHER, AT_ONCE = 24, 4  # and by four at once


def run(stand: Stand, options: Options) -> dict[str, Any]:
    """Per page: p95 in milliseconds alone and by four at once, and the number of queries with 10 and 1,000 sessions."""
    stand.forget()
    linked = stand.sessions(SESSIONS)
    campaign = stand.campaign(stand.people(options.rows), linked)
    few = _few(stand)
    for one in (campaign, few):
        _half_done(one)
    with stand.superuser(connection.settings_dict["NAME"]) as su:
        su.execute("VACUUM")  # as autovacuum leaves it behind a run
    stand.settle()
    paths, alike = _paths(campaign), _paths(few)
    port = free_port()
    stand.start("web", "web", "--port", str(port), pinned=False)
    found: dict[str, Any] = {"sessions": SESSIONS, "rows": options.rows, "pages": {}}
    try:
        wait_for(f"http://127.0.0.1:{port}{reverse('account_login')}", stand.group)
        cookie = _cookie(stand.user)
        for name, path in paths.items():
            alone = _p95(port, path, cookie, REQUESTS)
            together = _p95(port, path, cookie, TOGETHER, AT_ONCE)
            queries = [_queries(few.user, alike[name]), _queries(stand.user, path)]
            found["pages"][name] = {"p95_ms": alone, "p95_of_four_ms": together, "queries": queries}
            options.say(f"{name}: p95 {alone:.0f} ms, by four at once {together:.0f} ms; queries {queries}")
    finally:
        stand.stop("web")
    return found


def _paths(campaign: Campaign) -> dict[str, str]:
    """Name -> address. A deep page begins after nine tenths of the people; a search that finds nobody looks longest."""
    here = reverse("whatsappapi:campaign", args=[campaign.public_id])
    phones = campaign.messages.order_by("phone").values_list("phone", flat=True)
    n = phones.count()
    deep, sought = phones[n * 9 // 10], phones[n // 2]
    copy = Campaign.objects.create(
        user=campaign.user, name="Next", body="Hi", contact_list=campaign.contact_list, cap_day=1, cap_month=4
    )
    CampaignSession.objects.bulk_create(
        CampaignSession(campaign=copy, session=lane.session, position=i)
        for i, lane in enumerate(campaign.lanes.all()[:10])
    )
    return {
        "dashboard": reverse("whatsappapi:dashboard"),
        "sessions": reverse("whatsappapi:sessions"),
        "campaigns": reverse("whatsappapi:campaigns"),
        "campaign": here,
        "people, failed": f"{here}?state=failed",
        "people, a deep page": f"{here}?after={quote(deep)}",
        "people, a number's beginning": f"{here}?q={quote(sought[:8])}",
        "people, a number's end": f"{here}?q={sought[-7:]}",
        "people, a name": f"{here}?q=P{n // 2}",
        "people, nobody's name": f"{here}?q=Nobody",
        "uncertain": reverse("whatsappapi:uncertain", args=[campaign.public_id]),
        "export, its beginning": reverse("whatsappapi:export_recipients", args=[campaign.public_id, "csv"]),
        "review": reverse("whatsappapi:wizard", args=[copy.public_id, "review"]),
    }


# Of a hundred people each: 55 were sent to (some read it), 5 failed, 40 wait; and of one in a thousand nobody can tell.
HALF = """
UPDATE whatsappapi_message SET
  state = CASE WHEN id % 1000 = 7 THEN 'uncertain' WHEN id % 100 < 5 THEN 'failed' WHEN id % 100 < 60 THEN 'accepted'
               ELSE 'queued' END,
  rank = CASE WHEN id % 1000 <> 7 AND id % 100 BETWEEN 5 AND 59 THEN 2 + id % 3 ELSE 0 END,
  attempt = CASE WHEN id % 100 < 60 THEN gen_random_uuid() END,
  reason = CASE WHEN id % 100 < 5 THEN 'The gateway refused it' ELSE '' END
WHERE campaign_id = %(campaign)s
"""
ATTEMPTS = """
INSERT INTO whatsappapi_attempt (id, message_id, session_id, phone, worker, key_version, connection_version, body_hash,
  started_at, lease_until, finished_at, resolved_at, outcome, http_status, detail, msg_id, key_id, why)
SELECT attempt, id, session_id, phone, 'bench', 1, 1, '', t, t, t, t,
  CASE state WHEN 'uncertain' THEN 'unknown' WHEN 'failed' THEN 'rejected' ELSE 'accepted' END, 200, '',
  CASE state WHEN 'accepted' THEN id END, '', ''
FROM (SELECT *, clock_timestamp() - make_interval(secs => id % 3600) AS t FROM whatsappapi_message
      WHERE campaign_id = %(campaign)s AND attempt IS NOT NULL) m
"""
FORGET = "DELETE FROM whatsappapi_campaigncount WHERE campaign_id = %(campaign)s"
COUNTS = """
INSERT INTO whatsappapi_campaigncount (campaign_id, session_id, state, n)
SELECT campaign_id, session_id, @word, count(*) FROM whatsappapi_message m WHERE campaign_id = %(campaign)s
GROUP BY 1, 2, 3
""".replace("@word", word("m"))


def _half_done(campaign: Campaign) -> None:
    with connection.cursor() as cursor:
        for one in (HALF, ATTEMPTS, FORGET, COUNTS):
            cursor.execute(one.replace("id %", "id %%"), {"campaign": campaign.pk})


def _few(stand: Stand) -> Campaign:
    """Another user, with ten sessions and a small campaign."""
    user = User.objects.create_user("few@phonebank.example", plan="enterprise", name="Few")
    rows = WaSenderSession.objects.bulk_create(
        WaSenderSession(
            user=user, account=stand.account, wasender_id=10**9 + i, session_name=f"Few {i}", status="connected",
            phone_number=f"+1646{6_000_000 + i}", is_default=False,
        )
        for i in range(FEW)
    )  # fmt: skip
    people = ContactList.objects.create(user=user, name="Few")
    people.contacts.set(
        Contact.objects.bulk_create(
            Contact(user=user, phone=f"+1202{2_000_000 + i}", name=f"P{i}", consent="granted") for i in range(FEW * 20)
        )
    )
    campaign = Campaign.objects.create(user=user, name="Few", body="Hi", contact_list=people, state="dealing")
    CampaignSession.objects.bulk_create(
        CampaignSession(campaign=campaign, session=one, position=i) for i, one in enumerate(rows)
    )
    while not deal.deal_chunk(campaign.pk):
        pass
    Campaign.objects.filter(pk=campaign.pk).update(state=Campaign.State.PAUSED)
    return campaign


def _cookie(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _p95(port: int, path: str, cookie: str, requests: int, at_once: int = 1) -> float:
    def ask(n: int) -> list[float]:
        http_ = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        times = []
        for _ in range(n):
            begun = time.perf_counter()
            http_.request("GET", path, headers={"Cookie": cookie})
            answer = http_.getresponse()
            is_file = answer.getheader("Content-Disposition")
            # A download: until its heading and the first row are there.
            _ = [answer.readline(), answer.readline()] if is_file else answer.read()
            times.append((time.perf_counter() - begun) * 1000)
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}.")
            if is_file:
                answer.close()  # the connection stays open as long as its answer does, and the file is written on
                http_.close()
        http_.close()
        return times

    ask(3)  # templates, connections, plans
    with ThreadPoolExecutor(at_once) as pool:
        times = sorted(one for part in pool.map(ask, [requests // at_once] * at_once) for one in part)
    return round(times[int(len(times) * 0.95)], 1)


def _queries(user: User, path: str) -> int:
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(user)
    client.get(path)  # what is cached is not counted twice
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(path)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}.")
    return len(asked)
