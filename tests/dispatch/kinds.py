"""The table of docs/send-path.md 2 as plain Python, and people with random facts who come in by every way there is."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

import phonenumbers
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from phonebank import jobs
from phonebank.accounts.api_tokens import create_token
from phonebank.accounts.models import Plan, User
from phonebank.whatsappapi.dispatch import arrays, deal, tend
from phonebank.whatsappapi.dispatch.worker import Engine
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignCount,
    CampaignSession,
    Contact,
    ContactList,
    Conversation,
    Message,
    SessionGroup,
    Suppression,
    WaSenderSession,
)
from phonebank.whatsappapi.services import campaigns, contacts, decisions, gateways, optout, runs, sessions, single
from phonebank.whatsappapi.services.errors import ServiceError
from phonebank.whatsappapi.services.inbound import Letter, obey, store
from tests.services.conftest import Sandbox

AREAS = [area for area in range(201, 990) if phonenumbers.is_valid_number(phonenumbers.parse(f"+1{area}5550100"))]
# Way in -> kind of message. `row`: written into the table by whoever finds a way round the services.
WAYS = {
    "list": "campaign", "import": "campaign", "api": "campaign", "retry": "campaign", "fallback": "campaign",
    "resend": "campaign", "closed": "campaign", "row": "", "service": "transactional", "group": "transactional",
    "api-single": "transactional", "reply-page": "reply", "reply-api": "reply", "test-page": "test",
    "test-api": "test", "stop": "confirmation",
}  # fmt: skip
DEARER = {"closed": 2, "service": 2, "group": 2, "api-single": 2, "reply-page": 2, "reply-api": 2, "test-page": 2,
          "test-api": 2, "stop": 1}  # fmt: skip
STOPS = ("", "stop", "manual", "import", "complaint", "review", "lifted")
SINGLES = ("transactional", "reply", "test", "confirmation", "probe")
AWAKE, ASLEEP = "Etc/GMT", "Etc/GMT+12"
COUNTED, UNCOUNTED = ("transactional", "campaign"), ("reply", "test", "confirmation")


@dataclass(slots=True)
class Case:
    """One person, what is known about them, and how a message to them comes in."""

    phone: str
    way: str
    kind: str
    consent: str
    suppression: str  # a reason, "lifted", or nothing
    is_late: bool  # consent and suppression become so only once the message is queued
    is_quiet: bool
    prior: tuple[int, int, bool]  # messages within a day, before it, and whether of a kind that counts
    wrote: bool
    own: str  # "yes", "gone" for a session that was deleted, or nothing
    is_full: bool  # at a session without any of today's quota left
    contact: Contact | None = field(default=None, repr=False)

    def may_get_it(self) -> bool:
        """What the table says. Kinds that are named nowhere in a column are free of its rule."""
        if self.is_full or self.way == "closed":
            return False
        if self.kind in ("campaign", "transactional", "reply") and self.suppression not in ("", "lifted"):
            return False
        if self.kind in ("campaign", "transactional") and self.consent != "granted":
            return False
        if self.kind == "campaign":
            today, before, counts = self.prior
            if self.is_quiet or (counts and (today >= 1 or today + before >= 4)):
                return False
        if self.kind == "reply" and not self.wrote:
            return False
        return self.own == "yes" if self.kind in ("test", "probe") else True


def draw(rng: random.Random, phone: str) -> Case:
    """Mostly people who may be written to: a table of refusals alone would prove little."""
    way = rng.choices(list(WAYS), [DEARER.get(way, 4) for way in WAYS])[0]
    kind = WAYS[way] or rng.choice(SINGLES)
    own = rng.random()
    return Case(
        phone=phone,
        way=way,
        kind=kind,
        consent=rng.choices(["granted", "unknown", "withdrawn"], [7, 1, 1])[0],
        suppression=rng.choices(STOPS, [9, 1, 1, 1, 1, 2, 2])[0],
        is_late=rng.random() < 0.5,
        is_quiet=rng.random() < 0.2,
        prior=rng.choice([(0, 0, True)] * 4 + [(1, 0, True), (1, 0, False), (0, 3, True), (0, 4, True), (0, 4, False)]),
        wrote=rng.random() < (0.7 if kind == "reply" else 0.2),
        own="yes" if own < (0.5 if kind in ("test", "probe") else 0.04) else "gone" if own > 0.96 else "",
        is_full=way in ("row", "service", "test-page") and rng.random() < 0.1,
    )  # fmt: skip


class World:
    """An owner with linked sessions at a real sandbox, and the engine of one worker."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        self.sandbox, self.rng = sandbox, random.Random(seed)
        self.numbers = iter(f"+1{area}55501{n:02d}" for area in AREAS for n in range(100))
        sandbox.pull(
            "PATCH", "/knobs", {"rate_limit": 0, "concurrency": 0, "protected_gap": 0, "connecting_seconds": 0}
        )
        Plan.objects.update_or_create(
            slug="enterprise", defaults={"name": "Enterprise", "max_sessions": 10, "daily_limit": None}
        )
        self.user = User.objects.create_user("owner@phonebank.example", plan="enterprise", time_zone="UTC")
        self.account = gateways.ensure_sandbox_account(owner=self.user, url=sandbox.url, token=sandbox.token)
        self.account.rate_per_minute = 0
        self.account.save()
        self.one, self.two, self.lost, self.full = (self.link(i) for i in range(4))
        self.group = SessionGroup.objects.create(user=self.user, name="Team")
        self.group.sessions.set([self.one, self.two])
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status) "
                "VALUES ('bench', 'drive_shard', 'kinds', 'doing') RETURNING id"
            )
            self.job = cursor.fetchone()[0]
        self.page = Client()
        self.page.force_login(self.user)
        self.bearer = {
            "Authorization": f"Bearer {create_token(actor=self.user, name='t', scope='write', days=None)[1]}"
        }

    def link(self, i: int) -> WaSenderSession:
        made = sessions.create_session(
            actor=self.user, account=self.account, phone_number=f"+1646555019{i}", account_protection=False
        )
        sessions.connect(actor=self.user, wa_session=made)

        def settled() -> bool:
            sessions.refresh_status(wa_session=made)
            return WaSenderSession.objects.get(pk=made.pk).status == "connected"

        self.sandbox.link(made.wasender_id or 0, settled)
        return WaSenderSession.objects.get(pk=made.pk)

    # -- one batch ---------------------------------------------------------------------------------------------

    def batch(self, size: int) -> list[Case]:
        """Draws people, lets their messages in, runs the engine until nothing is due. Returns the cases."""
        cases = [draw(self.rng, next(self.numbers)) for _ in range(size)]
        self.reset()
        self.meet(cases)
        self.turn([case for case in cases if not case.is_late])
        queue = self.let_in(cases)
        self.turn([case for case in cases if case.is_late])
        tend.tend()
        asyncio.run(self.drive(queue))
        return cases

    def reset(self) -> None:
        """The sessions as each batch begins: the first has used nothing, the last one all it may."""
        today = timezone.now().date()
        WaSenderSession.objects.filter(pk=self.lost.pk).update(status="connected")
        for row in (self.one, self.two, self.lost, self.full):
            WaSenderSession.objects.filter(pk=row.pk).update(usage_date=today, usage_opened_at=timezone.now())
        WaSenderSession.objects.filter(pk=self.full.pk).update(daily_limit=5, messages_sent_today=5)

    def meet(self, cases: list[Case]) -> None:
        """The facts that stay as they are. Who comes by an import is made by it."""
        imported = [case for case in cases if case.way == "import"]
        Contact.objects.bulk_create(
            Contact(user=self.user, phone=case.phone, name="P", consent="granted" if case.is_late else case.consent)
            for case in cases
            if case.way != "import"
        )
        lines = [f"{case.phone},{'form' if case.is_late or case.consent == 'granted' else ''}" for case in imported]
        if imported:
            contacts.import_csv(
                actor=self.user, list_name="Imported", filename="people.csv",
                data="\n".join(["phone,consent", *lines]).encode(),
                columns={"phone": "phone", "consent": "consent"},
            )  # fmt: skip
        known = {one.phone: one for one in Contact.objects.filter(phone__in=[case.phone for case in cases])}
        for case in cases:
            case.contact = known[case.phone]
            case.contact.time_zone = ASLEEP if case.is_quiet else AWAKE
        Contact.objects.bulk_update(known.values(), ["time_zone"])
        before = [pair for case in cases for pair in self.before(case)]
        Message.objects.bulk_create(message for message, _ in before)
        Attempt.objects.bulk_create(attempt for _, attempt in before)
        self.hear([case for case in cases if case.wrote], "Hello")
        for case in cases:
            if case.own:
                WaSenderSession.objects.create(
                    user=self.user, account=self.account, session_name=case.phone, phone_number=case.phone,
                    linked_number=case.phone, deleted_at=timezone.now() if case.own == "gone" else None,
                )  # fmt: skip

    def before(self, case: Case) -> Iterator[tuple[Message, Attempt]]:
        """What was sent to them earlier."""
        today, before, counts = case.prior
        for hours in [2] * today + [24 * 9] * before:
            begun = timezone.now() - timedelta(hours=hours)
            kind = self.rng.choice(COUNTED if counts else UNCOUNTED)
            sent = Message(
                user=self.user, contact=case.contact, session=self.one, phone=case.phone, kind=kind, state="accepted",
                attempt=uuid.uuid4(), body="Before",
            )  # fmt: skip
            yield sent, Attempt(
                id=sent.attempt, message=sent, session=self.one, phone=case.phone, worker="w", key_version=1,
                connection_version=0, body_hash=b"", started_at=begun, lease_until=begun, finished_at=begun,
                resolved_at=begun, outcome="accepted",
            )  # fmt: skip

    def hear(self, cases: list[Case], text: str) -> None:
        """They write to the first session."""
        letters = [
            Letter(user=self.user.pk, session=self.one.pk, key_id=uuid.uuid4().hex, phone=case.phone, lid="", name="P",
                   text=text, sent_at=timezone.now())
            for case in cases
        ]  # fmt: skip
        with connection.cursor() as cursor:
            store(cursor, letters)
        for letter in letters:
            if letter.matters:
                obey(letter)

    def turn(self, cases: list[Case]) -> None:
        """Consent and suppression as they are in the end, written past every service that would skip rows for it."""
        for consent in Contact.Consent.values:
            whose = [case.phone for case in cases if case.consent == consent]
            Contact.objects.filter(phone__in=whose).update(consent=consent)
        now = timezone.now()
        Suppression.objects.bulk_create(
            Suppression(user=self.user, phone=case.phone, reason="stop", lifted_at=now)
            if case.suppression == "lifted"
            else Suppression(user=self.user, phone=case.phone, reason=case.suppression)
            for case in cases
            if case.suppression and case.way != "stop"
        )

    # -- the ways in -------------------------------------------------------------------------------------------

    def let_in(self, cases: list[Case]) -> list[int]:
        """Every message by its way. Returns the campaigns that may send."""
        by_way: dict[str, list[Case]] = {way: [case for case in cases if case.way == way] for way in WAYS}
        running = [self.run(way, by_way[way]) for way in ("list", "import", "api", "retry", "fallback", "resend")]
        self.run("closed", by_way["closed"])
        for way, act in self.singles().items():
            for case in by_way[way]:
                with suppress(ServiceError):  # refused at once; whether rightly, the ledger tells
                    act(case)
        return [one for one in running if one is not None]

    def singles(self) -> dict[str, Callable[[Case], Any]]:
        me = self.user
        return {
            "row": self.row,
            "service": lambda case: single.send_single(
                actor=me, kind=case.kind, body="Hi", contact=case.contact, wa_session=self.at(case)
            ),
            "group": lambda case: single.send_single(
                actor=me, kind=case.kind, body="Hi", phone=case.phone, group=self.group
            ),
            "api-single": lambda case: self.post("messages/", {"body": "Hi", "phone": case.phone}),
            "test-api": lambda case: self.post("messages/", {"body": "Hi", "phone": case.phone, "kind": "test"}),
            "test-page": lambda case: self.page.post(
                f"/whatsappapi/sessions/{self.at(case).public_id}/test/", {"to": case.phone, "body": "Hi"}
            ),
            "reply-page": lambda case: self.answer(case, by_api=False),
            "reply-api": lambda case: self.answer(case, by_api=True),
            "stop": self.stop,
        }

    def at(self, case: Case) -> WaSenderSession:
        return self.full if case.is_full else self.one

    def row(self, case: Case) -> None:
        Message.objects.create(
            user=self.user, contact=case.contact, session=self.at(case), phone=case.phone, kind=case.kind, body="Hi",
            retry_at=timezone.now(),
        )  # fmt: skip

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.page.post(f"/api/{path}", body, content_type="application/json", headers=self.bearer)

    def answer(self, case: Case, *, by_api: bool) -> None:
        """In the conversation that is there; without one, as somebody would who knows the service."""
        found = Conversation.objects.filter(phone=case.phone).first()
        if found is None:
            single.send_single(actor=self.user, kind="reply", body="Hi", phone=case.phone, wa_session=self.one)
        elif by_api:
            self.post(f"conversations/{found.public_id}/answer/", {"body": "Hi"})
        else:
            self.page.post(f"/whatsappapi/replies/{found.public_id}/answer/", {"body": "Hi"})

    def stop(self, case: Case) -> None:
        """They say it twice, and somebody of ours notes it as well: one confirmation."""
        self.hear([case], "STOP")
        self.hear([case], "stop!")
        optout.opt_out(user=self.user, phone=case.phone, source="a call", session=self.two, actor=self.user)

    def run(self, way: str, cases: list[Case]) -> int | None:
        if not cases:
            return None
        people = ContactList.objects.create(user=self.user, name=f"{way} {uuid.uuid4()}")
        people.contacts.add(*[case.contact for case in cases])
        lanes = [self.lost, self.two] if way == "fallback" else [self.one, self.two]
        if way == "api":
            made = self.post("campaigns/", {
                "body": "Hi", "contact_list": str(people.public_id), "sessions": [str(one.public_id) for one in lanes],
            })  # fmt: skip
            assert made.status_code == 201, made.content
            campaign = Campaign.objects.get(public_id=made.json()["id"])
        elif way in ("retry", "resend"):
            campaign = self.finished(people, cases, "failed" if way == "retry" else "uncertain")
            if way == "retry":
                campaign = runs.retry_failed(actor=self.user, campaign=campaign)
        else:
            campaign = campaigns.create_campaign(
                actor=self.user, name=way, body="Hi {{ name }}", contact_list=people, wa_sessions=lanes
            )
        self.start(way, campaign)
        if way == "fallback":
            WaSenderSession.objects.filter(pk=self.lost.pk).update(status="disconnected")
        return campaign.pk

    def start(self, way: str, campaign: Campaign) -> None:
        hour = datetime.now(UTC).hour
        rules: dict[str, Any] = {"cap_day": 1, "cap_month": 4}
        # In the zone of those who sleep it is twelve hours earlier: six hours round that moment are quiet.
        rules |= {"quiet_start": time((hour + 9) % 24), "quiet_end": time((hour + 15) % 24), "is_sticky": False}
        if way == "closed":
            rules |= {"windows": [None] * 7, "open_from": timezone.now() + timedelta(days=1),
                      "open_until": timezone.now() + timedelta(days=2)}  # fmt: skip
        Campaign.objects.filter(pk=campaign.pk).update(**rules)
        if way == "resend":
            decisions.send_again(actor=self.user, campaign=campaign)
            return
        if way == "api":
            launched = self.post(f"campaigns/{campaign.public_id}/launch/", {})
            assert launched.status_code == 200, launched.content
        else:
            campaign.refresh_from_db()
            try:
                campaigns.launch(actor=self.user, campaign=campaign)
            except ServiceError:  # nobody at all may be written to, or never within a window: then let it be dealt
                Campaign.objects.filter(pk=campaign.pk).update(state="dealing")
        self.deal(campaign)

    def deal(self, campaign: Campaign) -> None:
        """As the job does it."""
        Campaign.objects.filter(pk=campaign.pk, state="draft").update(state="dealing")
        while not deal.deal_chunk(campaign.pk):
            pass

    def finished(self, people: ContactList, cases: list[Case], state: str) -> Campaign:
        """A campaign that is over and left these people in `state`."""
        made = Campaign.objects.create(
            user=self.user, name=state, body="Hi", contact_list=people, state="completed", sealed_at=timezone.now()
        )
        for i, row in enumerate((self.one, self.two)):
            CampaignSession.objects.create(campaign=made, session=row, position=i, cursor=9999, tail=9999)
        Message.objects.bulk_create(
            Message(user=self.user, campaign=made, contact=case.contact, session=self.one, phone=case.phone,
                    state=state, position=i, time_zone=ASLEEP if case.is_quiet else AWAKE)
            for i, case in enumerate(cases)
        )  # fmt: skip
        CampaignCount.objects.create(campaign=made, session=self.one, state=state, n=len(cases))
        return made

    # -- the engine --------------------------------------------------------------------------------------------

    async def drive(self, running: list[int]) -> None:
        """The engine of a worker that holds every shard, until nothing is due any more."""
        engine = Engine(jobs.database())
        engine.limits.held = dict.fromkeys(range(settings.SEND_SHARDS), self.job)
        engine.limits.in_flight = 50
        work = asyncio.create_task(engine.run())
        conn = await arrays.connect(jobs.database())
        try:
            async with asyncio.timeout(120):
                while True:
                    row = await (await conn.execute(DUE, {"full": self.full.pk, "running": running})).fetchone()
                    if row is not None and not row[0]:
                        break
                    await asyncio.sleep(0.05)
        finally:
            engine.drain()
            await work
            await conn.close()

    def ledger(self) -> dict[str, int]:
        """Recipient -> messages that the sandbox took."""
        return {f"+{to.lstrip('+')}": n for to, n in self.sandbox.pull("GET", "/ledger/recipients").items()}


# Under way, due, or not looked at yet.
DUE = """
SELECT EXISTS (SELECT 1 FROM whatsappapi_message m WHERE m.state = 'sending')
  OR EXISTS (SELECT 1 FROM whatsappapi_message m WHERE m.state = 'queued' AND m.session_id <> %(full)s
    AND (m.campaign_id IS NULL OR m.campaign_id = ANY(%(running)s))
    AND (m.retry_at <= clock_timestamp() + interval '5 s' OR m.retry_at IS NULL))
"""
