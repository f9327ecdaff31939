"""A bench for the engine: rows in a real database, and its functions driven one at a time with outcomes of choice."""

from __future__ import annotations

import asyncio
import itertools
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from django.apps import apps
from django.db import connection, transaction

from phonebank import jobs
from phonebank.accounts.models import User
from phonebank.gateways.base import Accepted, Outcome
from phonebank.whatsappapi.dispatch import arrays, deal, tend
from phonebank.whatsappapi.dispatch.claim import Bodies, Limits, Ticked, tick
from phonebank.whatsappapi.dispatch.counts import Deltas
from phonebank.whatsappapi.dispatch.settle import Claim
from phonebank.whatsappapi.dispatch.sql import between
from phonebank.whatsappapi.dispatch.sql import tick as sql
from phonebank.whatsappapi.dispatch.sql.words import word
from phonebank.whatsappapi.dispatch.statuses import Status, merge
from phonebank.whatsappapi.models import (
    Attempt,
    Campaign,
    CampaignSession,
    Contact,
    ContactList,
    GatewayAccount,
    InboundMessage,
    Message,
    WaSenderSession,
)
from tests.reference import restore

T = TypeVar("T")
SHARDS = 4

# What the engine promises at every moment, as queries that find offenders.
BROKEN = {
    "counters equal rows": f"""
        SELECT coalesce(c.campaign_id, m.campaign_id), coalesce(c.session_id, m.session_id), coalesce(c.state, m.word),
          c.n AS counted, m.n AS rows
        FROM (SELECT campaign_id, session_id, state, n FROM whatsappapi_campaigncount WHERE n <> 0) c
        FULL JOIN (SELECT campaign_id, session_id, {word("m")} AS word, count(*) AS n FROM whatsappapi_message m
                   WHERE campaign_id IS NOT NULL GROUP BY 1, 2, 3) m
          ON m.campaign_id = c.campaign_id AND m.session_id IS NOT DISTINCT FROM c.session_id AND m.word = c.state
        WHERE c.n IS DISTINCT FROM m.n""",
    "no queued row is behind its cursor without a time to retry": """
        SELECT m.id, m.position, l.cursor FROM whatsappapi_message m LEFT JOIN whatsappapi_campaignsession l
          ON l.campaign_id = m.campaign_id AND l.session_id = m.session_id
        WHERE m.state = 'queued' AND m.retry_at IS NULL AND NOT coalesce(m.position > l.cursor, false)""",
    "no queued row is beyond its lane's tail without a time to retry": """
        SELECT m.id, m.position, l.tail FROM whatsappapi_message m JOIN whatsappapi_campaignsession l
          ON l.campaign_id = m.campaign_id AND l.session_id = m.session_id
        WHERE m.state = 'queued' AND m.retry_at IS NULL AND m.position > l.tail""",
    "used equals the day's attempts not proven unsent": """
        SELECT s.id, s.messages_sent_today, x.n FROM whatsappapi_wasendersession s CROSS JOIN LATERAL (
          SELECT count(*) AS n FROM whatsappapi_attempt a
          WHERE a.session_id = s.id AND a.usage_date = s.usage_date AND a.outcome NOT IN ('deferred', 'not_sent')) x
        WHERE s.messages_sent_today <> x.n""",
    "one open attempt for a session and person": """
        SELECT session_id, phone, count(*) FROM whatsappapi_attempt WHERE resolved_at IS NULL
        GROUP BY 1, 2 HAVING count(*) > 1""",
    "one accepted attempt for a message": """
        SELECT message_id, count(*) FROM whatsappapi_attempt WHERE outcome = 'accepted'
        GROUP BY 1 HAVING count(*) > 1""",
    "what is under way or looked up has its attempt": """
        SELECT m.id, m.state FROM whatsappapi_message m LEFT JOIN whatsappapi_attempt a ON a.id = m.attempt
        WHERE (m.state = 'sending' AND (a.id IS NULL OR a.finished_at IS NOT NULL OR a.message_id <> m.id))
           OR (m.state = 'unknown' AND (a.outcome IS DISTINCT FROM 'unknown' OR a.resolved_at IS NOT NULL))
           OR (m.state = 'accepted' AND a.msg_id IS NULL AND m.reason <> 'Assumed sent by a person')
           OR (m.state = 'queued' AND m.attempt IS NOT NULL)""",
}


class Bench:
    """One owner, sessions and campaigns, and the engine's functions over one asynchronous connection."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.conn = self.connect()
        self.msg_ids = itertools.count(1000)
        self.bodies = Bodies()
        restore()
        self.user = User.objects.create_user("owner@phonebank.example", plan="enterprise")
        self.account = GatewayAccount.objects.create(
            user=self.user, name="Box", base_url="http://127.0.0.1:9/api", token="t", is_sandbox=True, rate_per_minute=0
        )
        self.limits = self.worker("bench", in_flight=1000)

    def close(self) -> None:
        self.run(self.conn.close())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def connect(self) -> psycopg.AsyncConnection[Any]:
        async def open_() -> psycopg.AsyncConnection[Any]:
            return await arrays.connect(jobs.database())

        return self.run(open_())

    # -- rows --------------------------------------------------------------------------------------------------

    def worker(self, name: str, *, in_flight: int = 2, lease: float = 30.0) -> Limits:
        """A worker that holds all shards by a job that is `doing`."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status) "
                "VALUES ('bench', 'drive_shard', %s, 'doing') RETURNING id",
                [name],
            )
            job = cursor.fetchone()[0]
        return Limits(dict.fromkeys(range(SHARDS), job), SHARDS, in_flight, lease, name)

    def session(self, **fields: Any) -> WaSenderSession:
        n = WaSenderSession.objects.count()
        values = {
            "user": self.user,
            "account": self.account,
            "wasender_id": n + 1,
            "session_name": f"Desk {n}",
            "phone_number": f"+164655501{n:02d}",
            "status": "connected",
            "account_protection": False,
            "api_key": f"key-{n}",
        }
        return WaSenderSession.objects.create(**values | fields)

    def people(self, count: int, name: str = "People", start: int = 0, **fields: Any) -> ContactList:
        made, _ = ContactList.objects.get_or_create(user=self.user, name=name)
        numbers = [f"+1{201 + i // 100}55501{i % 100:02d}" for i in range(start, start + count)]
        made.contacts.add(
            *Contact.objects.bulk_create(
                Contact(user=self.user, phone=one, **({"name": "P", "consent": "granted"} | fields)) for one in numbers
            )
        )
        return made

    def campaign(
        self, people: ContactList, sessions: Iterable[WaSenderSession], *, run: bool = True, **fields: Any
    ) -> Campaign:
        """A campaign, dealt and running unless told otherwise."""
        made = Campaign.objects.create(
            **{"user": self.user, "name": "Sale", "body": "Hi {{ name }}", "contact_list": people} | fields,
            state="dealing",
        )
        CampaignSession.objects.bulk_create(
            CampaignSession(campaign=made, session=one, position=i) for i, one in enumerate(sessions)
        )
        if run:
            while not deal.deal_chunk(made.pk):
                pass
        return made

    def single(
        self, session: WaSenderSession, phone: str, kind: str = "transactional", *, earned: bool = True, **fields: Any
    ) -> Message:
        """A single message. `earned`: what its kind demands is there (they wrote; the number is the owner's)."""
        contact = Contact.objects.filter(user=self.user, phone=phone).first()
        if earned and kind == "reply":
            InboundMessage.objects.create(user=self.user, session=session, key_id=str(uuid.uuid4()), phone=phone)
        if earned and kind in ("test", "probe"):
            self.session(linked_number=phone, status="disconnected")
        return Message.objects.create(
            **{"user": self.user, "contact": contact, "session": session, "phone": phone, "kind": kind, "body": "Hello"}
            | {"retry_at": datetime.fromisoformat("2020-01-01T00:00:00Z")}
            | fields
        )

    # -- the engine --------------------------------------------------------------------------------------------

    def tick(
        self,
        wants: dict[int, int] | int = 0,
        outcomes: Iterable[tuple[Claim, Outcome]] = (),
        *,
        limits: Limits | None = None,
        conn: psycopg.AsyncConnection[Any] | None = None,
    ) -> Ticked:
        """One tick. `wants` as a number: so many for every session."""
        if isinstance(wants, int):
            wants = dict.fromkeys(WaSenderSession.objects.values_list("pk", flat=True), wants) if wants else {}
        result = Ticked()
        self.run(tick(conn or self.conn, limits or self.limits, list(outcomes), wants, self.bodies, 0.0, result))
        return result

    def claim(self, n: int = 1, **more: Any) -> list[Claim]:
        return self.tick(n, **more).claims

    def settle(self, *outcomes: tuple[Claim, Outcome]) -> Ticked:
        return self.tick(outcomes=outcomes)

    def accepted(self, claim: Claim) -> tuple[Claim, Accepted]:
        return claim, Accepted(next(self.msg_ids))

    def reap(self, conn: psycopg.AsyncConnection[Any] | None = None) -> None:
        async def work() -> None:
            used = conn or self.conn
            async with used.transaction():
                row = await (await used.execute(between.REAP)).fetchone()
                deltas = Deltas()
                deltas.moves(row[0] if row else None)
                if deltas:
                    await used.execute(sql.COUNT, deltas.columns())

        self.run(work())

    def lapse(self, *claims: Claim) -> None:
        """Their leases end now."""
        rows = Attempt.objects.filter(pk__in=[one.attempt for one in claims]) if claims else Attempt.objects.all()
        rows.filter(finished_at=None).update(lease_until=datetime.fromisoformat("2020-01-01T00:00:00Z"))

    def merge(self, *updates: Status) -> set[int]:
        with transaction.atomic(), connection.cursor() as cursor:
            return merge(cursor, updates)

    def redeal(self, campaign: Campaign) -> int:
        return deal.redeal(campaign.pk, campaign.policy)

    def complete(self, campaign: Campaign) -> bool:
        return tend.complete(campaign.pk)

    # -- what is seen ------------------------------------------------------------------------------------------

    def state(self, claim: Claim) -> str:
        return Message.objects.get(pk=claim.message).state

    def used(self, session: WaSenderSession) -> int:
        return WaSenderSession.objects.get(pk=session.pk).messages_sent_today

    def states(self, campaign: Campaign) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in Message.objects.filter(campaign=campaign).values_list("state", flat=True):
            found[one] = found.get(one, 0) + 1
        return found

    def check(self) -> None:
        """Every promise of `BROKEN` is kept at this moment."""
        with connection.cursor() as cursor:
            for promise, query in BROKEN.items():
                cursor.execute(query)
                assert cursor.fetchall() == [], promise

    # -- two at once -------------------------------------------------------------------------------------------

    def overlap(self, first: Callable[[], Any], second: Callable[[], T], then: Callable[[], Any] = lambda: None) -> T:
        """`first` and `then` in transactions that stay open until `second`, in a thread, waits for them or is over."""
        self.run(self.conn.execute("BEGIN"))
        box: dict[str, Any] = {}
        with transaction.atomic():
            first()
            thread = threading.Thread(target=_boxed, args=(second, box))
            thread.start()
            asked = 0
            while thread.is_alive() and not _somebody_waits():
                thread.join(0.01)
                asked += 1
                assert asked < 6000, "it neither waits nor ends"
            then()
            self.run(self.conn.execute("COMMIT"))
        thread.join(60)
        assert not thread.is_alive()
        if "error" in box:
            raise box["error"]
        return box["value"]

    def elsewhere(self, wants: dict[int, int] | int = 0, outcomes: Any = (), limits: Limits | None = None) -> Ticked:
        """A tick of another worker, for use in a thread."""
        if isinstance(wants, int):
            wants = dict.fromkeys(WaSenderSession.objects.values_list("pk", flat=True), wants) if wants else {}
        result = Ticked()

        async def work() -> None:
            async with await arrays.connect(jobs.database()) as conn:
                await tick(conn, limits or self.limits, list(outcomes), wants, Bodies(), 0.0, result)

        asyncio.run(work())
        return result

    # -- the clock ---------------------------------------------------------------------------------------------

    @contextmanager
    def clock(self) -> Any:
        """Lets the test set the clock that the engine's statements read: `with bench.clock() as at: at(moment)`.

        `clock_timestamp()` and `now()` are found in a schema before PostgreSQL's own.
        """
        with connection.cursor() as cursor:
            cursor.execute(CLOCK)
            cursor.execute("SET search_path = bench, pg_catalog, public")
        self.run(self.conn.execute("SET search_path = bench, pg_catalog, public"))

        def at(moment: datetime) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('bench.now', %s, false)", [moment.isoformat()])
            self.run(self.conn.execute("SELECT set_config('bench.now', %s, false)", [moment.isoformat()]))

        try:
            yield at
        finally:
            self.run(self.conn.execute("RESET search_path"))
            with connection.cursor() as cursor:
                cursor.execute("RESET search_path")
                cursor.execute("DROP SCHEMA bench CASCADE")


CLOCK = "".join(
    f"CREATE FUNCTION bench.{name}() RETURNS timestamptz LANGUAGE sql STABLE "
    "AS $$ SELECT current_setting('bench.now')::timestamptz $$;"
    for name in ("clock_timestamp", "now")
)
CLOCK = "DROP SCHEMA IF EXISTS bench CASCADE; CREATE SCHEMA bench;" + CLOCK


def _boxed(work: Callable[[], Any], box: dict[str, Any]) -> None:
    try:
        box["value"] = work()
    except BaseException as error:
        box["error"] = error
    finally:
        connection.close()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


KEPT = {"accounts_plan", "whatsappapi_installation"}  # rows that migrations make


def tables() -> list[str]:
    """All that a bench may fill. Their order is no matter: foreign keys are checked at the end."""
    ours = {"whatsappapi", "accounts", "account", "audit"}
    models = [one._meta for one in apps.get_models(include_auto_created=True) if one._meta.app_label in ours]
    names = {one.db_table for one in models if one.managed and not one.proxy} - KEPT
    return ["procrastinate_periodic_defers", "procrastinate_events", "procrastinate_jobs", *sorted(names)]


def wipe() -> None:
    """Empties the tables that a bench fills."""
    with connection.cursor() as cursor:
        cursor.execute("SET phonebank.maintenance = 'on'; SET phonebank.erasing = 'on'")
        cursor.execute(";".join(f"DELETE FROM {table}" for table in tables()))
        cursor.execute("RESET phonebank.maintenance; RESET phonebank.erasing")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan of the database and all below it."""
    yield plan
    for one in plan.get("Plans", ()):
        yield from nodes(one)
